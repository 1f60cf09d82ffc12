//! Places at which a test lets the program die, and mistakes that a test lets it make.
//!
//! Both are compiled into what tests run and into nothing else: without the feature `failpoints`, or in an optimised build, the functions are
//! empty. What is named here is proven by `tests/integration/crash`: for each place what must hold after a death there, for each mistake
//! which check notices it. A safeguard that can be taken away without a test noticing is not known to be one.

pub(crate) use kind::{crash, mistake};

#[cfg(all(feature = "failpoints", debug_assertions))]
mod kind {
    #![expect(clippy::disallowed_methods, reason = "these two variables are a test's, not a person's, and are no settings")]

    use std::{
        env,
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    /// `NAME:HITS`: where to die, and the how-manieth time that is reached.
    static CRASH: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let at = env::var("QUELL_CRASH_AT").ok()?;
        let (name, hits) = at.split_once(':').unwrap_or((&at, "1"));
        Some((name.to_owned(), hits.parse().unwrap_or(1)))
    });

    static MISTAKE: LazyLock<Option<String>> = LazyLock::new(|| env::var("QUELL_MISTAKE").ok());

    static HITS: AtomicU32 = AtomicU32::new(0);

    /// The program dies here if a test asked for it: at once, with nothing tidied up, as by `kill -9`.
    pub(crate) fn crash(name: &str) {
        if let Some((at, hits)) = &*CRASH
            && at == name
            && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *hits
        {
            std::process::abort();
        }
    }

    /// Whether a test asked for this mistake.
    pub(crate) fn mistake(name: &str) -> bool {
        MISTAKE.as_deref() == Some(name)
    }
}

#[cfg(not(all(feature = "failpoints", debug_assertions)))]
mod kind {
    #[inline(always)]
    pub(crate) const fn crash(_name: &str) {}

    #[inline(always)]
    pub(crate) const fn mistake(_name: &str) -> bool {
        false
    }
}
