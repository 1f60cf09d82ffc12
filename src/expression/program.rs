//! What was compiled: an expression, which is one value, and a script, which is several statements and the value of the last.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rhai::{AST, Dynamic, Engine};
use serde_json::Value;

use super::{ExpressionError, Sandbox, Scope, convert::from_dynamic, limits, masks, names};

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    program: Program,
    is_negated: bool,
}

/// A compiled script.
#[derive(Clone)]
pub struct Script(Program);

/// What a text is, which says what may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value.
    Expression,
    /// Statements.
    Script,
    /// Functions for all.
    Library,
}

impl Expression {
    pub(super) fn compile(sandbox: &Sandbox, text: &str, names: &[&str]) -> Result<Self, ExpressionError> {
        let program = Program::compile(sandbox, text, names, Kind::Expression)?;
        Ok(Self { program, is_negated: false })
    }

    /// The value, which must be true or false.
    ///
    /// # Errors
    /// Says what went wrong and where in the text; any other value than true or false is wrong.
    pub fn boolean(&self, scope: &mut Scope) -> Result<bool, ExpressionError> {
        let value = self.program.evaluate(scope)?;
        let value = value.as_bool().map(|it| it != self.is_negated);
        value.map_err(|kind| ExpressionError::new(format!("a condition must be true or false, and this is a {kind}")))
    }

    /// The value.
    ///
    /// # Errors
    /// Says what went wrong and where in the text.
    pub fn value(&self, scope: &mut Scope) -> Result<Value, ExpressionError> {
        self.program.value(scope)
    }

    /// The condition that is true where this one is false. Only [`Expression::boolean`] differs, and the text that is shown.
    #[must_use]
    pub fn negated(&self) -> Self {
        let program = Program { text: format!("!({})", self.program.text).into(), ..self.program.clone() };
        Self { program, is_negated: !self.is_negated }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.program.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.program.text).finish()
    }
}

impl Script {
    pub(super) fn compile(sandbox: &Sandbox, text: &str, names: &[&str]) -> Result<Self, ExpressionError> {
        for (name, start) in names::declarations(text) {
            if names.contains(&name.as_str()) {
                let message = format!("`{name}` is a name that Quell gives; take another for a variable");
                return Err(ExpressionError::at_offset(message, text, start));
            }
        }
        if let Some(start) = names::first(text, "fn") {
            let message = "a script defines no functions; write them in a file of `lib`, where all scripts find them";
            return Err(ExpressionError::at_offset(message, text, start));
        }
        Program::compile(sandbox, text, names, Kind::Script).map(Self)
    }

    /// The value of the last statement: nothing (`null`) where it has none, such as a loop.
    ///
    /// # Errors
    /// Says what went wrong and where in the text.
    pub fn value(&self, scope: &mut Scope) -> Result<Value, ExpressionError> {
        self.0.value(scope)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Script").field(&self.0.text).finish()
    }
}

#[derive(Clone)]
struct Program {
    sandbox: Sandbox,
    ast: Arc<AST>,
    text: Arc<str>,
    kind: Kind,
}

impl Program {
    fn compile(sandbox: &Sandbox, text: &str, names: &[&str], kind: Kind) -> Result<Self, ExpressionError> {
        let ast = compile(sandbox.engine(), text, names, kind)?;
        Ok(Self { sandbox: sandbox.clone(), ast: Arc::new(sandbox.library().merge(&ast)), text: text.into(), kind })
    }

    fn value(&self, scope: &mut Scope) -> Result<Value, ExpressionError> {
        from_dynamic(&self.evaluate(scope)?).map_err(ExpressionError::new)
    }

    fn evaluate(&self, scope: &mut Scope) -> Result<Dynamic, ExpressionError> {
        let engine = self.sandbox.engine();
        let result = guarded(self.kind, || Ok(scope.lend(|values| engine.eval_ast_with_scope::<Dynamic>(values, &self.ast))))?;
        result.map_err(|error| ExpressionError::from_evaluation(&error, &self.text, scope, self.kind))
    }
}

/// Compiles a text that may read the given names.
pub(super) fn compile(engine: &Engine, text: &str, names: &[&str], kind: Kind) -> Result<AST, ExpressionError> {
    if text.len() > kind.longest() {
        return Err(ExpressionError::new(format!("{kind} is longer than {} KiB", kind.longest() / 1024)));
    }
    if text.trim().is_empty() && kind != Kind::Library {
        return Err(ExpressionError::new(format!("{kind} is empty")));
    }
    if let Some(start) = names::first_call(text, masks::FUNCTION) {
        return Err(ExpressionError::at_offset(masks::MISPLACED, text, start));
    }
    if let Some((number, start)) = names::whole_numbers(text).find(|(number, _)| number.parse::<i64>().is_err()) {
        let message = format!("`{number}` is too large for a whole number; write it as a text");
        return Err(ExpressionError::at_offset(message, text, start));
    }
    let mut visible = rhai::Scope::new();
    for name in names {
        visible.push_constant_dynamic(*name, Dynamic::UNIT);
    }
    let parsed = guarded(kind, || match kind {
        Kind::Expression => Ok(engine.compile_expression_with_scope(&visible, text)),
        Kind::Script | Kind::Library => Ok(engine.compile_with_scope(&visible, text)),
    })?;
    parsed.map_err(|error| ExpressionError::from_parse(&error, text, names, kind))
}

/// A fault in the engine is the fault of one text, not of the process.
fn guarded<T>(kind: Kind, work: impl FnOnce() -> Result<T, ExpressionError>) -> Result<T, ExpressionError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| Err(ExpressionError::new(format!("the script engine failed: {kind}"))))
}

impl Kind {
    const fn longest(self) -> usize {
        match self {
            Self::Expression => limits::LONGEST_EXPRESSION,
            Self::Script | Self::Library => limits::LONGEST_SCRIPT,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expression => "the expression",
            Self::Script => "the script",
            Self::Library => "the file of functions",
        })
    }
}
