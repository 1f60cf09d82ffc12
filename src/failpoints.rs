//! Places at which a test lets the program die, and mistakes that a test lets it make.
//!
//! Both are compiled into what tests run and into nothing else: without the feature `failpoints`, or in an optimised build, the functions are
//! empty. What is named here is proven by `tests/integration/crash`: for each place what must hold after a death there, for each mistake
//! which check notices it. A safeguard that can be taken away without a test noticing is not known to be one.

pub(crate) use kind::{crash, mistake, sooner};

#[cfg(all(feature = "failpoints", debug_assertions))]
mod kind {
    #![expect(clippy::disallowed_methods, reason = "these variables are a test's, not a person's, and are no settings")]

    use std::{
        env,
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    use jiff::SignedDuration;

    /// `NAME:HITS`: where to die, and the how-manieth time that is reached.
    static CRASH: LazyLock<Option<Place>> = LazyLock::new(|| Place::of("QUELL_CRASH_AT"));

    /// The same for where to stand still until a test lets it go on.
    static STAND_STILL: LazyLock<Option<Place>> = LazyLock::new(|| Place::of("QUELL_STAND_STILL_AT"));

    static MISTAKE: LazyLock<Option<String>> = LazyLock::new(|| env::var("QUELL_MISTAKE").ok());

    /// In milliseconds.
    static SOONER: LazyLock<Option<i64>> = LazyLock::new(|| env::var("QUELL_SOONER").ok()?.parse().ok());

    struct Place {
        name: String,
        hits: u32,
        seen: AtomicU32,
    }

    impl Place {
        fn of(variable: &str) -> Option<Self> {
            let at = env::var(variable).ok()?;
            let (name, hits) = at.split_once(':').unwrap_or((&at, "1"));
            Some(Self { name: name.to_owned(), hits: hits.parse().unwrap_or(1), seen: AtomicU32::new(0) })
        }

        fn is_reached(&self, name: &str) -> bool {
            self.name == name && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.hits
        }
    }

    /// The program dies here if a test asked for it: at once, with nothing tidied up, as by `kill -9`. Or all of it stands still, as a machine
    /// that is suspended does.
    pub(crate) fn crash(name: &str) {
        if CRASH.as_ref().is_some_and(|place| place.is_reached(name)) {
            std::process::abort();
        }
        if STAND_STILL.as_ref().is_some_and(|place| place.is_reached(name)) {
            drop(std::process::Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status());
        }
    }

    /// A wait for the other side, or a shorter one if a test asked for that, whose other side has done at once what it ever does.
    pub(crate) fn sooner(span: SignedDuration) -> SignedDuration {
        SOONER.map_or(span, |most| span.min(SignedDuration::from_millis(most)))
    }

    /// Whether a test asked for this mistake.
    pub(crate) fn mistake(name: &str) -> bool {
        MISTAKE.as_deref() == Some(name)
    }
}

#[cfg(not(all(feature = "failpoints", debug_assertions)))]
mod kind {
    use jiff::SignedDuration;

    #[inline(always)]
    pub(crate) const fn crash(_name: &str) {}

    #[inline(always)]
    pub(crate) const fn sooner(span: SignedDuration) -> SignedDuration {
        span
    }

    #[inline(always)]
    pub(crate) const fn mistake(_name: &str) -> bool {
        false
    }
}
