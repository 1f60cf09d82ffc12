//! The closed engine: what a script may use and how much of it, and the compilation of expressions.

use std::{fmt, sync::Arc};

use rhai::{
    AST, Dynamic, Engine, OptimizationLevel,
    packages::{
        ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage, LogicPackage,
        MoreStringPackage, Package,
    },
};

use super::{
    Expression, ExpressionError, Script, Tables, Template, comparison, functions, limits,
    program::{Kind, compile},
    template::Secrets,
};

/// What reaches outside its text: code made at run time and pointers to functions. `this` would pass by the limits of variables.
const DISABLED: &[&str] = &["eval", "Fn", "call", "curry", "is_def_fn", "is_def_var", "import", "export", "print", "debug", "this"];

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
        let ast = compile(&engine, text, &[], Kind::Library)?;
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
        let ours = functions::FUNCTIONS.iter().map(|it| it.name);
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
        Expression::compile(self, text, names)
    }

    /// Compiles a script: statements that may read the given names and change variables of their own.
    ///
    /// # Errors
    /// Says what is wrong in the text and where.
    pub fn script(&self, text: &str, names: &[&str]) -> Result<Script, ExpressionError> {
        Script::compile(self, text, names)
    }

    /// Compiles a text in which `${ }` holds expressions.
    ///
    /// # Errors
    /// Says what is wrong in the text and where.
    pub fn template(&self, text: &str, names: &[&str]) -> Result<Template, ExpressionError> {
        Template::compile(self, text, names, Secrets::Refused)
    }

    /// The same, where `${ secret("name") }` may stand for a secret.
    ///
    /// # Errors
    /// Says what is wrong in the text and where.
    pub fn template_with_secrets(&self, text: &str, names: &[&str]) -> Result<Template, ExpressionError> {
        Template::compile(self, text, names, Secrets::Taken)
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(super) fn library(&self) -> &AST {
        &self.0.library
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

    limits::apply(&mut engine);
    comparison::register(&mut engine);
    functions::register(&mut engine, tables);
    engine
}
