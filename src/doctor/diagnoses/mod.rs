//! What can be found, in words: each has a code that stays, how bad it is, what it is, and what to do, in both languages.
//!
//! - [`local`]: settings, journal, bus, playbooks, channels. [`sign_in`]: reaching Microsoft and getting a token. [`rights`]: what a token
//!   is allowed.

pub(super) mod local;
pub(super) mod rights;
pub(super) mod sign_in;

use crate::news::Language;

/// Every diagnosis there is.
pub const ALL: &[&[&Diagnosis]] = &[local::ALL, sign_in::ALL, rights::ALL];

/// Something that can be found.
#[derive(Debug)]
pub struct Diagnosis {
    /// What machines and the documentation call it.
    pub code: &'static str,
    /// How bad it is.
    pub grade: Grade,
    english: Words,
    korean: Words,
}

/// A diagnosis in one language.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// What it is.
    pub what: &'static str,
    /// What to do; empty where there is nothing to do.
    pub advice: &'static str,
}

/// How bad something is, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, and somebody should look at it.
    Warning,
    /// It could not be looked at: somebody does not answer.
    Unreachable,
    /// It does not work until a person does something.
    Fault,
}

impl Diagnosis {
    /// Its words in a language.
    pub fn words(&self, language: Language) -> Words {
        match language {
            Language::En => self.english,
            Language::Ko => self.korean,
        }
    }
}

impl Grade {
    /// Its word for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Unreachable => "unreachable",
            Self::Fault => "fault",
        }
    }
}

type Pair = (&'static str, &'static str);

const fn words(grade: Grade, code: &'static str, english: Pair, korean: Pair) -> Diagnosis {
    Diagnosis { code, grade, english: Words { what: english.0, advice: english.1 }, korean: Words { what: korean.0, advice: korean.1 } }
}

const fn good(code: &'static str, english: &'static str, korean: &'static str) -> Diagnosis {
    words(Grade::Good, code, (english, ""), (korean, ""))
}

const fn warning(code: &'static str, english: Pair, korean: Pair) -> Diagnosis {
    words(Grade::Warning, code, english, korean)
}

const fn unreachable(code: &'static str, english: Pair, korean: Pair) -> Diagnosis {
    words(Grade::Unreachable, code, english, korean)
}

const fn fault(code: &'static str, english: Pair, korean: Pair) -> Diagnosis {
    words(Grade::Fault, code, english, korean)
}

/// Makes a constant of each and the list of all, so that none can be left out of it.
macro_rules! diagnoses {
    ($($name:ident = $make:ident($($part:expr),+ $(,)?);)+) => {
        $(pub(in crate::doctor) const $name: super::Diagnosis = super::$make($($part),+);)+
        pub(super) const ALL: &[&super::Diagnosis] = &[$(&$name),+];
    };
}
use diagnoses;
