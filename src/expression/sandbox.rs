//! The closed engine: what a script may use and how much of it, and the compilation of expressions.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use rhai::{
    AST, Dynamic, Engine, OptimizationLevel,
    packages::{
        ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage, LogicPackage,
        MoreStringPackage, Package,
    },
};
use serde_json::Value;

use super::{ExpressionError, Scope, Tables, Template, comparison, convert::from_dynamic, functions, scope};

/// Enough for a loop over every resource of an alert; over in about 20 ms.
pub(super) const MOST_OPERATIONS: u64 = 100_000;

/// Several times what the operations take, so that a busy machine does not fail a sound script.
pub(super) const LONGEST: Duration = Duration::from_millis(100);

/// A page of text. Longer ones are programs, and belong into `lib`.
const LONGEST_TEXT: usize = 16 * 1024;

/// As long as the longest message that an adapter takes, so that a long text in an alert cannot make its playbook fail.
const LONGEST_STRING: usize = 1024 * 1024;

/// Above what Microsoft lists for one alert. Rhai counts a whole collection at each change, so a large limit is slow.
const MOST_ITEMS: usize = 4_096;

/// What reaches outside its text: code made at run time and pointers to functions.
const DISABLED: &[&str] = &["eval", "Fn", "call", "curry", "is_def_fn", "is_def_var", "import", "export", "print", "debug"];

/// The functions of the packages below that need no pointer to a function, as rhai 1.27 names them: it lists them only to those who use its
/// unstable interface.
const RHAI: &str = "\
    E PI abs acos acosh append asin asinh atan atanh bits bytes ceiling chars chop clear contains cos cosh crop end ends_with exp \
    extract floor fraction get hypot index_of insert int is_empty is_even is_exclusive is_finite is_inclusive is_infinite is_nan \
    is_odd is_zero keys len ln log make_lower make_upper max min mixin order order_desc pad parse_float parse_int pop push range \
    remove replace reverse round set shift sign sin sinh sort sort_desc splice split split_rev sqrt start starts_with sub_string tan \
    tanh to_binary to_blob to_chars to_debug to_degrees to_float to_hex to_int to_json to_lower to_octal to_radians to_string to_upper \
    trim truncate type_of values";

/// Compiles expressions, and holds the functions and tables that they use. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox(Arc<Inside>);

struct Inside {
    engine: Engine,
    /// The functions of `lib`, in front of each expression.
    library: AST,
    tables: Arc<Tables>,
}

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    sandbox: Sandbox,
    ast: Arc<AST>,
    text: Arc<str>,
    is_negated: bool,
}

impl Sandbox {
    /// A sandbox without lookup tables.
    pub fn new() -> Self {
        Self::with_tables(Tables::default())
    }

    /// A sandbox whose `lookup` reads these tables.
    pub fn with_tables(tables: Tables) -> Self {
        let tables = Arc::new(tables);
        Self(Arc::new(Inside { engine: engine(&tables), library: AST::empty(), tables }))
    }

    /// The same sandbox with the functions that a text defines, for all expressions.
    ///
    /// # Errors
    /// Says what is wrong in the text and where; anything in it but functions is wrong.
    pub fn with_functions(self, text: &str) -> Result<Self, ExpressionError> {
        let tables = Arc::clone(&self.0.tables);
        let engine = engine(&tables);
        let ast = guarded(|| engine.compile(text).map_err(|error| ExpressionError::from_parse(&error, text, &[])))?;
        if has_statements(&ast) {
            return Err(ExpressionError::new("only functions may stand here: `fn name(a, b) { … }`"));
        }
        Ok(Self(Arc::new(Inside { engine, library: self.0.library.merge(&ast), tables })))
    }

    /// The same functions over other tables: those that are given take the place of those of the same name.
    #[must_use]
    pub fn with_other_tables(&self, tables: Tables) -> Self {
        let mut all = Tables::clone(&self.0.tables);
        all.replace(tables);
        let tables = Arc::new(all);
        Self(Arc::new(Inside { engine: engine(&tables), library: self.0.library.clone(), tables }))
    }

    /// The names of the functions that expressions can call: rhai's, ours, and those that [`Sandbox::with_functions`] added.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        let ours = functions::FUNCTIONS.iter().map(|(name, _)| *name);
        self.0.library.iter_functions().map(|it| it.name).chain(ours).chain(RHAI.split(' '))
    }

    /// Whether expressions can call a function of that name.
    pub fn has_function(&self, name: &str) -> bool {
        self.functions().any(|it| it == name)
    }

    /// The names of the lookup tables.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.0.tables.names()
    }

    /// Compiles a bare expression that may read the given names.
    ///
    /// # Errors
    /// Says what is wrong in the text and where.
    pub fn expression(&self, text: &str, names: &[&str]) -> Result<Expression, ExpressionError> {
        if text.len() > LONGEST_TEXT {
            return Err(ExpressionError::new(format!("the expression is longer than {LONGEST_TEXT} bytes")));
        }
        if text.trim().is_empty() {
            return Err(ExpressionError::new("the expression is empty"));
        }
        let mut visible = rhai::Scope::new();
        for name in names {
            visible.push_constant_dynamic(*name, Dynamic::UNIT);
        }
        let compile = || self.0.engine.compile_expression_with_scope(&visible, text);
        let ast = guarded(|| compile().map_err(|error| ExpressionError::from_parse(&error, text, names)))?;
        Ok(Expression { sandbox: self.clone(), ast: Arc::new(self.0.library.merge(&ast)), text: text.into(), is_negated: false })
    }

    /// Compiles a text in which `${ }` holds expressions.
    ///
    /// # Errors
    /// Says what is wrong in the text and where.
    pub fn template(&self, text: &str, names: &[&str]) -> Result<Template, ExpressionError> {
        Template::compile(self, text, names)
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("tables", &self.0.tables.names().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Expression {
    /// The value, which must be true or false.
    ///
    /// # Errors
    /// Says what went wrong and where in the text; any other value than true or false is wrong.
    pub fn boolean(&self, scope: &mut Scope) -> Result<bool, ExpressionError> {
        let value = self.evaluate(scope)?;
        let value = value.as_bool().map(|it| it != self.is_negated);
        value.map_err(|kind| ExpressionError::new(format!("a condition must be true or false, and this is a {kind}")))
    }

    /// The value.
    ///
    /// # Errors
    /// Says what went wrong and where in the text.
    pub fn value(&self, scope: &mut Scope) -> Result<Value, ExpressionError> {
        from_dynamic(&self.evaluate(scope)?).map_err(ExpressionError::new)
    }

    /// The condition that is true where this one is false. Only [`Expression::boolean`] differs, and the text that is shown.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self { text: format!("!({})", self.text).into(), is_negated: !self.is_negated, ..self.clone() }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn evaluate(&self, scope: &mut Scope) -> Result<Dynamic, ExpressionError> {
        let engine = &self.sandbox.0.engine;
        let result = guarded(|| Ok(scope.lend(|values| engine.eval_ast_with_scope::<Dynamic>(values, &self.ast))))?;
        result.map_err(|error| ExpressionError::from_evaluation(&error, &self.text, scope))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// A fault in the engine is the fault of one expression, not of the process.
fn guarded<T>(work: impl FnOnce() -> Result<T, ExpressionError>) -> Result<T, ExpressionError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| Err(ExpressionError::new("the script engine failed on this expression")))
}

/// Whether something would be executed: an engine that gives up at the first operation tells.
fn has_statements(ast: &AST) -> bool {
    let mut probe = Engine::new_raw();
    probe.on_progress(|_operations| Some(Dynamic::UNIT));
    probe.eval_ast::<Dynamic>(ast).is_err()
}

fn engine(tables: &Arc<Tables>) -> Engine {
    let mut engine = Engine::new_raw();
    // The packages without `sleep`, `timestamp`, files and function pointers.
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);

    engine.set_optimization_level(OptimizationLevel::None);
    // The fast operators would not ask our comparisons.
    engine.set_fast_operators(false);
    engine.set_strict_variables(true);
    engine.set_fail_on_invalid_map_property(true);
    engine.set_allow_anonymous_fn(false);
    for symbol in DISABLED {
        engine.disable_symbol(*symbol);
    }

    engine.set_max_operations(MOST_OPERATIONS);
    engine.set_max_call_levels(16);
    engine.set_max_expr_depths(32, 16);
    engine.set_max_string_size(LONGEST_STRING);
    engine.set_max_array_size(MOST_ITEMS);
    engine.set_max_map_size(MOST_ITEMS);
    engine.set_max_variables(256);
    engine.set_max_functions(64);
    // Looking at the clock takes as long as an operation, and no short expression needs it.
    engine.on_progress(|operations| (operations.is_multiple_of(256) && scope::is_overdue()).then_some(Dynamic::UNIT));

    comparison::register(&mut engine);
    functions::register(&mut engine, tables);
    engine
}
