//! The ranges of numbers that rows want. Those that a number lies in are found without asking each: a tree, laid out in a list.

use std::collections::BTreeMap;

use super::{
    key::one_zero,
    layer::{Bucket, Draft, Rests},
};
use crate::playbook::clause::Bound;

/// Numbers between two limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    floor: Step,
    ceiling: Step,
}

/// A number's place in the order of all. Between two numbers there is one more, for limits that leave their number out.
type Step = i128;

/// Ranges by their floors. The one in the middle stands for all: left of it are those with lower floors, right of it those with higher ones, and each
/// half is laid out in the same way.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges(Vec<Node>);

#[derive(Debug, Clone)]
struct Node {
    range: Range,
    bucket: Bucket,
    /// The highest ceiling of the ranges that it stands for.
    top: Step,
}

impl Range {
    pub(super) fn new(bound: Bound, limit: f64) -> Self {
        let (at, all) = (step(limit), Self { floor: Step::MIN, ceiling: Step::MAX });
        match bound {
            Bound::Above => Self { floor: at + 1, ..all },
            Bound::AtLeast => Self { floor: at, ..all },
            Bound::Below => Self { ceiling: at - 1, ..all },
            Bound::AtMost => Self { ceiling: at, ..all },
        }
    }

    /// Both limits, where one is a floor and the other a ceiling.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        let is_half = |it: Self| (it.floor == Step::MIN) != (it.ceiling == Step::MAX);
        let are_opposite = is_half(self) && is_half(other) && (self.floor == Step::MIN) != (other.floor == Step::MIN);
        are_opposite.then(|| Self { floor: self.floor.max(other.floor), ceiling: self.ceiling.min(other.ceiling) })
    }
}

fn step(number: f64) -> Step {
    let bits = one_zero(number).to_bits().cast_signed();
    // As floats are ordered by their bits: those below zero are in reverse.
    let order = if bits < 0 { bits ^ i64::MAX } else { bits };
    Step::from(order) * 2
}

impl Ranges {
    pub(super) fn new(drafts: BTreeMap<Range, Vec<Draft<'_>>>, layers: usize, rests: &mut Rests) -> Self {
        let nodes =
            drafts.into_iter().map(|(range, drafts)| Node { range, bucket: Bucket::new(drafts, layers, rests), top: range.ceiling });
        let mut nodes: Vec<Node> = nodes.collect();
        raise(&mut nodes);
        Self(nodes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rows with a floor below the greatest of some numbers and a ceiling above the least: of several numbers, each limit may fit another.
    pub(super) fn find<'t>(&'t self, least: f64, greatest: f64, found: &mut impl FnMut(&'t Bucket)) {
        find(&self.0, step(least), step(greatest), found);
    }
}

/// Sets the tops, and returns the highest.
fn raise(nodes: &mut [Node]) -> Option<Step> {
    let (left, rest) = nodes.split_at_mut(nodes.len() / 2);
    let (middle, right) = rest.split_first_mut()?;
    middle.top = [raise(left), raise(right)].into_iter().flatten().fold(middle.range.ceiling, Step::max);
    Some(middle.top)
}

fn find<'t>(nodes: &'t [Node], least: Step, greatest: Step, found: &mut impl FnMut(&'t Bucket)) {
    let (left, rest) = nodes.split_at(nodes.len() / 2);
    let Some((middle, right)) = rest.split_first().filter(|(middle, _)| least <= middle.top) else { return };
    find(left, least, greatest, found);
    if middle.range.floor > greatest {
        return;
    }
    if least <= middle.range.ceiling {
        found(&middle.bucket);
    }
    find(right, least, greatest, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_as_they_are_compared() {
        let numbers =
            [f64::NEG_INFINITY, -1e300, -2.0, -1.0, -f64::MIN_POSITIVE, 0.0, f64::MIN_POSITIVE, 0.5, 1.0, 2.0, 1e300, f64::INFINITY];
        for (left, right) in numbers.iter().flat_map(|left| numbers.iter().map(move |right| (*left, *right))) {
            assert_eq!(step(left).cmp(&step(right)), left.partial_cmp(&right).unwrap(), "{left} {right}");
            for bound in [Bound::Above, Bound::AtLeast, Bound::Below, Bound::AtMost] {
                let range = Range::new(bound, right);
                let is_in = (range.floor..=range.ceiling).contains(&step(left));
                assert_eq!(is_in, bound.holds(left, right), "{left} {bound:?} {right}");
            }
        }
        assert_eq!(step(-0.0), step(0.0));
    }

    #[test]
    fn only_a_floor_and_a_ceiling_are_a_range() {
        let [above, least, below, most] = [Bound::Above, Bound::AtLeast, Bound::Below, Bound::AtMost].map(|bound| Range::new(bound, 1.0));
        assert_eq!(above.and(below), below.and(above));
        assert_eq!(least.and(most).map(|it| it.floor == it.ceiling), Some(true));
        assert_eq!([above.and(least), below.and(most), least.and(most).and_then(|it| it.and(above))], [None; 3]);
    }
}
