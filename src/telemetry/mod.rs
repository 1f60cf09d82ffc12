//! What the program says about itself: logs, metrics, and [`signals`], the one place that makes both.

pub mod logs;
pub mod metrics;
pub mod signals;

pub use metrics::Metrics;
