//! To come.

/// To come.
#[derive(Debug, Clone)]
pub struct Channels;
