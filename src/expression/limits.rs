//! What one evaluation may use: operations, time, memory, and how long, how many and how deep its values may be.
//!
//! The engine counts operations and the size of each value; time, the sum of all variables and their depth are watched here. What is used
//! up stays used up: a script that catches the error fails again at its next operation.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rhai::{Dynamic, Engine, EvalAltResult, Position};

/// Enough for a loop over every resource of an alert; over in about 20 ms.
pub const MOST_OPERATIONS: u64 = 100_000;

/// Several times what the operations take, so that a busy machine does not fail a sound script.
pub const LONGEST_TIME: Duration = Duration::from_millis(100);

/// A page of text, in bytes. Longer ones are programs, and belong into `lib`.
pub const LONGEST_EXPRESSION: usize = 16 * 1024;

/// A long program, in bytes; compiling it takes some milliseconds, which nothing can interrupt.
pub const LONGEST_SCRIPT: usize = 64 * 1024;

/// As long as the longest message that an adapter takes, in bytes, so that a long text in an alert cannot make its playbook fail.
pub const LONGEST_TEXT: usize = 1024 * 1024;

/// Above what Microsoft lists for one alert. Rhai counts a whole collection at each change, so a large limit is slow.
pub const MOST_ITEMS: usize = 4_096;

/// All variables of a script or of one call of a function together, in bytes: a few of the longest texts.
pub const MOST_MEMORY: usize = 4 * 1024 * 1024;

/// Lists in lists. JSON of people is a tenth as deep; thousands would overflow the stack of whoever reads them.
pub const DEEPEST_VALUE: usize = 64;

/// Functions that call functions. The engine uses the stack of its thread for each.
pub const MOST_CALLS: usize = 16;

/// More would be a list.
pub const MOST_VARIABLES: usize = 256;

/// In one file of `lib`.
pub const MOST_FUNCTIONS: usize = 64;

/// Parentheses in parentheses and blocks in blocks.
pub const DEEPEST_EXPRESSION: usize = 32;

/// The same inside of functions, of which many are on the stack at once.
pub const DEEPEST_EXPRESSION_IN_FUNCTION: usize = 16;

/// Looking at the clock takes about as long as an operation, and a call of a function may take a millisecond.
const OPERATIONS_BETWEEN_LOOKS: u64 = 16;

/// Between two weighings of large variables; small ones are weighed at each use.
const MOST_USES_UNWEIGHED: usize = 16;

/// The evaluation under way on a thread.
#[derive(Clone, Copy)]
pub(super) struct Evaluation {
    now: Timestamp,
    deadline: Instant,
    /// How many names the caller gave. They are constants, and were made before.
    names: usize,
    /// Uses of variables until the next weighing.
    unweighed: usize,
    excess: Option<Excess>,
}

#[derive(Clone, Copy)]
enum Excess {
    Time,
    Memory,
    Depth,
}

thread_local! {
    // The engine is shared by all evaluations and rhai hands nothing of the caller to a function, so this travels beside the call.
    static UNDER_WAY: Cell<Option<Evaluation>> = const { Cell::new(None) };
}

impl Evaluation {
    /// Does some work as one evaluation, for which it is `now` and which may read a number of names.
    pub(super) fn run<T>(now: Timestamp, names: usize, work: impl FnOnce() -> T) -> T {
        UNDER_WAY.set(Some(Self { now, deadline: Instant::now() + LONGEST_TIME, names, unweighed: 0, excess: None }));
        let result = work();
        UNDER_WAY.set(None);
        result
    }

    /// The moment of the evaluation under way on this thread.
    pub(super) fn now() -> Timestamp {
        UNDER_WAY.get().map_or(Timestamp::UNIX_EPOCH, |it| it.now)
    }

    fn look_at_the_clock(&mut self) {
        if self.excess.is_none() && Instant::now() > self.deadline {
            self.excess = Some(Excess::Time);
        }
    }

    fn weigh(&mut self, scope: &rhai::Scope<'_>) {
        if self.unweighed > 0 {
            self.unweighed -= 1;
            return;
        }
        let mut weight = Weight::default();
        let depth_is_right = scope
            .iter_raw()
            .zip((0..scope.len()).rev())
            .filter(|((_, is_constant, _), at)| !is_constant || *at >= self.names)
            .all(|((_, _, value), _)| weight.add(value, DEEPEST_VALUE));
        if !depth_is_right {
            self.excess = Some(Excess::Depth);
        } else if weight.bytes > MOST_MEMORY {
            self.excess = Some(Excess::Memory);
        }
        self.unweighed = (weight.values / 64).min(MOST_USES_UNWEIGHED);
    }
}

impl Excess {
    fn sentence(self) -> String {
        match self {
            Self::Time => format!("takes longer than {} ms", LONGEST_TIME.as_millis()),
            Self::Memory => format!("needs more than {} MiB for its variables", MOST_MEMORY / 1024 / 1024),
            Self::Depth => format!("makes a value that is deeper than {DEEPEST_VALUE} lists or maps"),
        }
    }
}

#[derive(Default)]
struct Weight {
    bytes: usize,
    values: usize,
}

impl Weight {
    /// Adds a value and what is in it. False when it is too deep; one that is too heavy is not read to its end.
    fn add(&mut self, value: &Dynamic, room: usize) -> bool {
        self.values += 1;
        self.bytes += size_of::<Dynamic>();
        if self.bytes > MOST_MEMORY {
            return true;
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            self.bytes += text.len();
        } else if let Ok(items) = value.as_array_ref() {
            return room > 0 && items.iter().all(|item| self.add(item, room - 1));
        } else if let Ok(map) = value.as_map_ref() {
            return room > 0
                && map.iter().all(|(key, item)| {
                    self.bytes += size_of_val(key) + key.len();
                    self.add(item, room - 1)
                });
        } else if let Ok(bytes) = value.as_blob_ref() {
            self.bytes += bytes.len();
        }
        true
    }
}

/// Sets the limits of an engine.
#[expect(deprecated, reason = "`on_var` is not: rhai marks so what may change between versions, and the tests would tell")]
pub(super) fn apply(engine: &mut Engine) {
    engine.set_max_operations(MOST_OPERATIONS);
    engine.set_max_call_levels(MOST_CALLS);
    engine.set_max_expr_depths(DEEPEST_EXPRESSION, DEEPEST_EXPRESSION_IN_FUNCTION);
    engine.set_max_string_size(LONGEST_TEXT);
    engine.set_max_array_size(MOST_ITEMS);
    engine.set_max_map_size(MOST_ITEMS);
    engine.set_max_variables(MOST_VARIABLES);
    engine.set_max_functions(MOST_FUNCTIONS);
    engine.on_progress(|operations| {
        let mut evaluation = UNDER_WAY.get()?;
        if operations.is_multiple_of(OPERATIONS_BETWEEN_LOOKS) {
            evaluation.look_at_the_clock();
            UNDER_WAY.set(Some(evaluation));
        }
        evaluation.excess.map(|it| it.sentence().into())
    });
    // The engine does not look at what `map[key] = value` and `list[i] = value` make of a variable. Each use of one comes by here.
    engine.on_var(|_name, _index, context| {
        let Some(mut evaluation) = UNDER_WAY.get() else { return Ok(None) };
        evaluation.weigh(context.scope());
        UNDER_WAY.set(Some(evaluation));
        match evaluation.excess {
            Some(excess) => Err(EvalAltResult::ErrorTerminated(excess.sentence().into(), Position::NONE).into()),
            None => Ok(None),
        }
    });
}
