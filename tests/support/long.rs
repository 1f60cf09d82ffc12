//! The short and the long form of tests, and the seed that makes what is random repeatable.

/// Whether the long form was asked for: `tests/run --long`.
pub fn is_long() -> bool {
    std::env::var_os("QUELL_LONG").is_some()
}

/// `QUELL_TEST_SEED`, or a new one; the test prints it.
pub fn seed() -> u64 {
    std::env::var("QUELL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..))
}
