//! The texts of which every match of a regular expression holds one. A text with none of them need not be searched.

use std::collections::BTreeSet;

use regex_syntax::hir::{Hir, HirKind, literal::Extractor};

/// More texts than these would be looked for longer than they spare.
const MOST: usize = 16;

/// So many parts of a sequence are taken together. Texts get no better after a dozen letters.
const WINDOW: usize = 12;

/// So far into a sequence, and so deep into groups, is looked. Patterns made to be long must not make this slow.
const MOST_STARTS: usize = 32;
const MOST_GROUPS: usize = 6;

/// One of these, in whatever case its ASCII letters are, is in every text that the pattern is found in. Empty where there are no such texts, or
/// too many to be of use.
pub(super) fn required(pattern: &str) -> Vec<String> {
    regex_syntax::parse(pattern).ok().and_then(|hir| best(&hir, MOST_GROUPS)).unwrap_or_default().into_iter().collect()
}

fn best(hir: &Hir, groups: usize) -> Option<BTreeSet<String>> {
    let inside = || groups.checked_sub(1);
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => beginnings(hir),
        HirKind::Repetition(it) if it.min > 0 => better(beginnings(hir), best(&it.sub, inside()?)),
        HirKind::Capture(it) => best(&it.sub, inside()?),
        HirKind::Alternation(parts) => {
            let mut all = BTreeSet::new();
            for part in parts {
                all.extend(best(part, inside()?)?);
                if all.len() > MOST {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let starts = (0..parts.len().min(MOST_STARTS)).filter_map(|start| parts.get(start..));
            let together =
                starts.map(|rest| beginnings(&Hir::concat(rest.iter().take(WINDOW).cloned().collect()))).reduce(better).flatten();
            let Some(inside) = inside() else { return together };
            parts.iter().take(MOST_STARTS).map(|part| best(part, inside)).fold(together, better)
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

/// The texts that a match begins with.
fn beginnings(hir: &Hir) -> Option<BTreeSet<String>> {
    let found = Extractor::new().extract(hir);
    // A text may end in the middle of a character; what is before that is there as well.
    let whole = |bytes: &[u8]| bytes.utf8_chunks().next().map(|it| it.valid().to_ascii_lowercase()).unwrap_or_default();
    let texts: BTreeSet<String> = found.literals()?.iter().map(|it| whole(it.as_bytes())).collect();
    let is_useful = (1..=MOST).contains(&texts.len()) && texts.iter().all(|it| !it.is_empty());
    is_useful.then_some(texts)
}

/// Long texts are in fewer places than short ones, and few in fewer than many.
fn better(left: Option<BTreeSet<String>>, right: Option<BTreeSet<String>>) -> Option<BTreeSet<String>> {
    let (Some(one), Some(other)) = (&left, &right) else { return left.or(right) };
    let worth = |texts: &BTreeSet<String>| (texts.iter().map(String::len).min(), std::cmp::Reverse(texts.len()));
    if worth(other) > worth(one) { right } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_holds_one_of_the_texts() {
        for (pattern, texts) in [
            ("miner", vec!["miner"]),
            ("^vm-042-[a-z]+$", vec!["vm-042-"]),
            ("[0-9]+-miner-[a-z]+", vec!["-miner-"]),
            ("(?i)Xmrig", vec!["xmrig"]),
            ("(?i)mining pool", vec!["mining p"]),
            ("xmrig|(coin|hash)miner|[0-9]+ monero", vec![" monero", "coinminer", "hashminer", "xmrig"]),
            (r"\bcoin\b", vec!["coin"]),
            (".*(-pool)+.*", vec!["-pool"]),
            ("a?bc*", vec!["b"]),
            ("[ab]", vec!["a", "b"]),
            // Nothing must be there, or too much might be.
            ("", vec![]),
            ("(miner)?", vec![]),
            ("miner|", vec![]),
            ("^[a-z]{4}$", vec![]),
            (r"\d+", vec![]),
        ] {
            assert_eq!(required(pattern), texts, "{pattern}");
        }
    }

    #[test]
    fn what_takes_long_to_look_at_is_not_looked_at() {
        let begun = std::time::Instant::now();
        let deep = format!("{}{}{}", "(a|x(".repeat(100), "[a-z]|b[0-9]".repeat(2_000), "))".repeat(100));
        required(&deep);
        required(&"[a-z]".repeat(10_000));
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
