//! x
mod position;
mod sketch;
mod wire;
