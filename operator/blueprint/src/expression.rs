//! CEL expressions: whether an item applies (`when`) and whether an object is ready (`readyWhen`); pure.
//!
//! Only the standard functions exist: no clock, no I/O, no extension. The cost is bounded by the length of the
//! expression, the depth of its loops, and the size of what it reads.

use crate::problem::{Position, cut};
use crate::schema::{ContextSchema, Shape};
use crate::suggest;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, Program};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Longest expression, in bytes; the schemas of the kinds have the same bound.
const LENGTH_LIMIT: usize = 1024;
/// Loops inside loops. With two, a thousand users mean a million steps at most.
const LOOP_LIMIT: usize = 2;

/// Functions of the standard library that take part in expressions by name. Operators have names that no person can
/// write, and macros such as `has` are gone once an expression is compiled.
const FUNCTIONS: [&str; 29] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "dyn",
    "type",
    "duration",
    "timestamp",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "optional.of",
    "optional.none",
    "orValue",
    "hasValue",
];

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    source: String,
    program: Arc<Program>,
    env: Arc<Env>,
}

/// Variables in the form expressions read. Built once for an order, used for all its expressions.
#[derive(Clone, Debug)]
pub struct Variables(Vec<(String, cel::Value)>);

/// Why an expression cannot be used or has no result. No message holds a value that was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The text is not an expression.
    #[error("the expression is not valid at {position}: {message}")]
    Syntax {
        /// Where in the expression.
        position: Position,
        /// What the parser expected, or what is not available.
        message: String,
    },
    /// The expression is too long or its loops are nested too deeply.
    #[error("the expression is too large: {0}")]
    TooLarge(&'static str),
    /// The expression reads a path that is not there.
    #[error("the expression reads `{0}`, which is not there; guard it with has()")]
    Missing(String),
    /// The result is not true or false.
    #[error("the expression gives a value of type {0}; it must give true or false")]
    NotBoolean(&'static str),
    /// The result is not a number that something can be sized by.
    #[error("the expression gives {0}; it must give a number of zero or more")]
    NotNumber(&'static str),
    /// The values do not fit the operators.
    #[error("the expression has no result: {0}")]
    Failed(&'static str),
}

/// A path that an expression reads and the context does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPath {
    /// Where in the expression.
    pub position: Position,
    /// The path as far as it is unknown.
    pub path: String,
    /// The nearest known name, if one is near.
    pub suggestion: Option<String>,
}

// === impl Expression ===

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When the text is not CEL, calls a function that does not exist, or is too large.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > LENGTH_LIMIT {
            return Err(ExpressionError::TooLarge("it is longer than 1024 bytes; shorten it"));
        }
        let env = Arc::new(Env::stdlib());
        let program = env.compile(source).map_err(|errors| syntax(&errors))?;
        let expression = Self { source: source.to_owned(), program: Arc::new(program), env };
        expression.check_functions()?;
        if loops(expression.program.expression()) > LOOP_LIMIT {
            return Err(ExpressionError::TooLarge("more than two loops are nested; flatten them"));
        }
        Ok(expression)
    }

    /// The text it was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates to true or false.
    ///
    /// # Errors
    /// When a path is missing, the values do not fit the operators, or the result is something else.
    pub fn evaluate(&self, variables: &Variables) -> Result<bool, ExpressionError> {
        match self.value(variables)? {
            cel::Value::Bool(result) => Ok(result),
            other => Err(ExpressionError::NotBoolean(type_name(&other))),
        }
    }

    fn value(&self, variables: &Variables) -> Result<cel::Value, ExpressionError> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        for (name, value) in &variables.0 {
            context.add_variable_from_value(name.as_str(), value.clone());
        }
        self.program.execute(&context).map_err(|error| failure(&error))
    }

    /// Evaluates to a number of zero or more.
    ///
    /// # Errors
    /// When a path is missing, the values do not fit the operators, or the result is something else.
    pub fn number(&self, variables: &Variables) -> Result<f64, ExpressionError> {
        #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
        let number = match self.value(variables)? {
            cel::Value::Int(whole) => whole as f64,
            cel::Value::UInt(whole) => whole as f64,
            cel::Value::Float(number) => number,
            other => return Err(ExpressionError::NotNumber(type_name(&other))),
        };
        if number.is_finite() && number >= 0.0 {
            Ok(number)
        } else {
            Err(ExpressionError::NotNumber("a negative or endless number"))
        }
    }

    /// Whether an object is ready. A path that is not there yet, such as a status nobody wrote, means not ready.
    ///
    /// # Errors
    /// When the expression cannot be evaluated for another reason.
    pub fn ready(&self, object: &Value) -> Result<bool, ExpressionError> {
        match self.evaluate(&Variables::object(object)) {
            Err(ExpressionError::Missing(_)) => Ok(false),
            result => result,
        }
    }

    /// Paths the expression reads and the context does not have. Names bound by loops inside are known.
    #[must_use]
    pub fn unknown_paths(&self, schema: &ContextSchema) -> Vec<UnknownPath> {
        let mut out = Vec::new();
        let mut bound = Vec::new();
        let root = Shape::Object(schema.roots().clone());
        self.check(self.program.expression(), &root, &mut bound, &mut out);
        out
    }

    fn check_functions(&self) -> Result<(), ExpressionError> {
        let references = self.program.references();
        let written = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        let unknown =
            references.functions().into_iter().filter(written).find(|name| !FUNCTIONS.contains(name));
        match unknown {
            None => Ok(()),
            Some(name) => Err(ExpressionError::Syntax {
                position: self.source.find(name).map_or(Position::START, |at| Position::at(&self.source, at)),
                message: cut(&format!("the function `{name}` does not exist")),
            }),
        }
    }

    fn check(&self, expr: &IdedExpr, root: &Shape, bound: &mut Vec<String>, out: &mut Vec<UnknownPath>) {
        match &expr.expr {
            Expr::Ident(_) | Expr::Select(_) => {
                if let Err(unknown) = self.shape_of(expr, root, bound, out) {
                    out.push(unknown);
                }
            }
            Expr::Comprehension(comprehension) => {
                self.check(&comprehension.iter_range, root, bound, out);
                self.check(&comprehension.accu_init, root, bound, out);
                let before = bound.len();
                bound.push(comprehension.iter_var.clone());
                bound.push(comprehension.accu_var.clone());
                bound.extend(comprehension.iter_var2.clone());
                for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
                    self.check(part, root, bound, out);
                }
                bound.truncate(before);
            }
            Expr::Call(call) => {
                call.target.iter().for_each(|target| self.check(target, root, bound, out));
                call.args.iter().for_each(|argument| self.check(argument, root, bound, out));
            }
            Expr::List(list) => list.elements.iter().for_each(|item| self.check(item, root, bound, out)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.check(&entry.key, root, bound, out);
                    self.check(&entry.value, root, bound, out);
                }
                EntryExpr::StructField(field) => self.check(&field.value, root, bound, out),
            }),
            Expr::Unspecified | Expr::Literal(_) | Expr::Struct(_) => {}
        }
    }

    /// The shape a chain of selections ends at; `None` where the schema does not say.
    fn shape_of(
        &self,
        expr: &IdedExpr,
        root: &Shape,
        bound: &mut Vec<String>,
        out: &mut Vec<UnknownPath>,
    ) -> Result<Option<Shape>, UnknownPath> {
        let (of, name, path) = match &expr.expr {
            Expr::Ident(name) if bound.contains(name) || FUNCTIONS.contains(&name.as_str()) => {
                return Ok(None);
            }
            Expr::Ident(name) => (Some(root.clone()), name, name.clone()),
            Expr::Select(select) => {
                let of = self.shape_of(&select.operand, root, bound, out)?;
                (of, &select.field, select.field.clone())
            }
            _ => {
                self.check(expr, root, bound, out);
                return Ok(None);
            }
        };
        let Some(Shape::Object(fields)) = of else { return Ok(None) };
        match fields.get(name) {
            Some(shape) => Ok(Some(shape.clone())),
            None => Err(UnknownPath {
                position: self.position(expr),
                path,
                suggestion: suggest::nearest(name, fields.keys().map(String::as_str)),
            }),
        }
    }

    fn position(&self, expr: &IdedExpr) -> Position {
        let start = self.program.source_info().offset_for(expr.id).map_or(0, |(start, _)| start);
        let start = usize::try_from(start).unwrap_or_default();
        // A selection is placed at its dot; its field is what a reader looks for.
        let dot = matches!(expr.expr, Expr::Select(_))
            && self.source.get(start..).is_some_and(|rest| rest.starts_with('.'));
        Position::at(&self.source, start + usize::from(dot))
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

// === impl Variables ===

impl Variables {
    /// The variables of an order: each field of the context.
    #[must_use]
    pub fn new(context: &Value) -> Self {
        let fields = context.as_object().into_iter().flatten();
        Self(fields.map(|(name, value)| (name.clone(), convert(value))).collect())
    }

    /// The same with another value of one variable.
    #[must_use]
    pub(crate) fn with(&self, name: &str, value: &Value) -> Self {
        let mut variables: Vec<_> = self.0.iter().filter(|(known, _)| known != name).cloned().collect();
        variables.push((name.to_owned(), convert(value)));
        Self(variables)
    }

    /// The one variable of a readiness expression.
    #[must_use]
    pub fn object(object: &Value) -> Self {
        Self(vec![("object".to_owned(), convert(object))])
    }
}

/// Whole numbers become CEL's `int`, so that they compare with literals; CEL keeps unsigned and signed apart.
fn convert(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => cel::Value::Int(whole),
            None => cel::Value::Float(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(convert).collect())),
        Value::Object(fields) => {
            let entry = |(name, value): (&String, &Value)| (Key::from(name.clone()), convert(value));
            cel::Value::Map(Map { map: Arc::new(fields.iter().map(entry).collect::<HashMap<_, _>>()) })
        }
    }
}

fn syntax(errors: &cel::ParseErrors) -> ExpressionError {
    let Some(first) = errors.errors.first() else { return ExpressionError::Failed("it cannot be parsed") };
    let number = |value: isize| u32::try_from(value).unwrap_or_default().max(1);
    ExpressionError::Syntax {
        position: Position { line: number(first.pos.0), column: number(first.pos.1) },
        message: cut(first.msg.lines().next().unwrap_or_default()),
    }
}

/// The kind of a failure. The library's messages print the values they met, so none of them is passed on but the
/// names of keys and variables, which the author wrote.
fn failure(error: &ExecutionError) -> ExpressionError {
    match error {
        ExecutionError::NoSuchKey(name) | ExecutionError::UndeclaredReference(name) => {
            ExpressionError::Missing(cut(name))
        }
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::NotSupportedAsMethod { .. }
        | ExecutionError::UnsupportedBinaryOperator(..) => {
            ExpressionError::Failed("an operator or function does not fit the types of its values")
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            ExpressionError::Failed("it divides by zero")
        }
        ExecutionError::IndexOutOfBounds(_) => {
            ExpressionError::Failed("an index is beyond the end of its list")
        }
        _ => ExpressionError::Failed("a function refused its values"),
    }
}

fn type_name(value: &cel::Value) -> &'static str {
    match value {
        cel::Value::List(_) => "list",
        cel::Value::Map(_) => "map",
        cel::Value::Int(_) | cel::Value::UInt(_) => "int",
        cel::Value::Float(_) => "double",
        cel::Value::String(_) => "string",
        cel::Value::Null => "null",
        cel::Value::Bool(_) => "true or false",
        _ => "other",
    }
}

fn loops(expr: &IdedExpr) -> usize {
    let deepest = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(loops).max().unwrap_or_default();
    match &expr.expr {
        Expr::Comprehension(inner) => {
            let parts =
                [&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result];
            1 + deepest(&mut parts.into_iter())
        }
        Expr::Call(call) => deepest(&mut call.args.iter().chain(call.target.as_deref())),
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Select(select) => loops(&select.operand),
        Expr::Map(map) => deepest(&mut map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            EntryExpr::StructField(field) => vec![&field.value],
        })),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn when(source: &str, context: &Value) -> Result<bool, ExpressionError> {
        Expression::compile(source)?.evaluate(&Variables::new(context))
    }

    #[test]
    fn orders_decide() {
        let context = json!({"order": {"users": [{"name": "ada", "roles": ["administrator"]}], "network": {"hosts": []}},
            "plan": {"network": {"loadBalancers": 2}, "monitoring": {"mode": "RealTime"}}, "parameters": {"ratio": 1.5}});
        for (source, expected) in [
            ("plan.network.loadBalancers > 0", true),
            ("order.network.hosts.size() > 0", false),
            ("order.users.exists(u, 'administrator' in u.roles)", true),
            ("plan.monitoring.mode == 'Historical'", false),
            ("parameters.ratio > 1.0", true),
            ("has(order.users[0].email)", false),
            ("order.users[0].name.matches('^a.a$')", true),
        ] {
            assert_eq!(when(source, &context), Ok(expected), "{source}");
        }
    }

    #[test]
    fn readiness_waits_for_what_is_not_there() {
        let ready = Expression::compile(
            "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
        )
        .unwrap();
        assert_eq!(ready.ready(&json!({"kind": "X"})), Ok(false));
        assert_eq!(ready.ready(&json!({"status": {"conditions": []}})), Ok(false));
        assert_eq!(
            ready.ready(&json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})),
            Ok(true)
        );
    }

    #[test]
    fn errors_name_the_place_and_no_value() {
        let context = json!({"order": {"name": "TOPSECRET", "list": ["TOPSECRET"]}});
        for source in [
            "order.name > 1",
            "order.name + 'x'",
            "order.list[7] == 'a'",
            "int(order.name) == 1",
            "order.nope == 1",
            "1 / 0 == 1",
        ] {
            let error = when(source, &context).unwrap_err();
            assert!(!error.to_string().contains("TOPSECRET"), "{source}: {error}");
        }
        let error = Expression::compile("order.name ==\n  && true").unwrap_err();
        assert!(
            matches!(&error, ExpressionError::Syntax { position, .. } if position.line == 2),
            "{error:?}"
        );
        let error = Expression::compile("now() > timestamp('2026-01-01T00:00:00Z')").unwrap_err();
        assert!(error.to_string().contains("`now` does not exist"), "{error}");
    }

    #[test]
    fn cost_is_bounded() {
        let deep = "[1].all(a, [1].all(b, [1].all(c, true)))";
        assert!(matches!(Expression::compile(deep), Err(ExpressionError::TooLarge(_))));
        assert!(Expression::compile("[1].all(a, [1].all(b, true))").is_ok());
        assert!(matches!(Expression::compile(&"a".repeat(2000)), Err(ExpressionError::TooLarge(_))));
    }

    #[test]
    fn unknown_paths_are_found_with_a_suggestion() {
        let schema = ContextSchema::new(None);
        let unknown = |source: &str| Expression::compile(source).unwrap().unknown_paths(&schema);
        assert_eq!(unknown("plan.network.loadBalancers > 0 && order.users.all(u, u.name != '')"), []);
        let found = unknown("true && plan.netwrk.loadBalancers > 0");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "netwrk");
        assert_eq!(found[0].suggestion.as_deref(), Some("network"));
        assert_eq!(unknown("ordr.users.size() > 0")[0].suggestion.as_deref(), Some("order"));
        assert_eq!(unknown("has(order.nope)").len(), 1);
    }

    #[test]
    fn expressions_are_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Expression>();
        shared::<Variables>();
    }
}
