//! Follows the values of a template through its expressions against the schema of the context; pure.

use super::finding::Note;
use crate::scan::expression::{Expr, Node as Expression};
use crate::scan::tree::{For, Node};
use crate::schema::{ContextSchema, OUTPUTS, Shape, merge};
use crate::suggest;
use crate::template::TARGETS;
use std::collections::BTreeMap;

/// What one printed expression is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Print {
    pub(super) shape: Shape,
    /// The last thing done to it is a target filter.
    pub(super) targeted: bool,
}

/// Every printed expression by the offset of its braces, and what is wrong with the expressions.
pub(super) struct Types {
    pub(super) prints: BTreeMap<usize, Print>,
    pub(super) notes: Vec<Note>,
}

/// Follows all values of a template.
pub(super) fn follow(nodes: &[Node<'_>], schema: &ContextSchema) -> Types {
    let mut follower = Follower {
        scopes: vec![schema.roots().clone()],
        types: Types { prints: BTreeMap::new(), notes: Vec::new() },
    };
    follower.nodes(nodes);
    follower.types
}

struct Follower {
    /// Known names, innermost scope last.
    scopes: Vec<BTreeMap<String, Shape>>,
    types: Types,
}

const FREE: Shape = Shape::Text { restricted: false };
/// Text whose characters are the author's, or digits.
const SAFE: Shape = Shape::Text { restricted: true };

// === impl Follower ===

impl Follower {
    fn nodes(&mut self, nodes: &[Node<'_>]) {
        for node in nodes {
            match node {
                Node::Text(..) | Node::Jump => {}
                Node::Print(expr, offset) => self.print(expr, *offset),
                Node::If(branches) => {
                    for (test, body) in branches {
                        test.iter().for_each(|test| drop(self.infer(test)));
                        self.nodes(body);
                    }
                }
                Node::For(repeat) => self.repeat(repeat),
                Node::Set(name, value) => {
                    let shape = self.infer(value);
                    self.scopes
                        .last_mut()
                        .into_iter()
                        .for_each(|scope| drop(scope.insert(name.clone(), shape.clone())));
                }
            }
        }
    }

    fn print(&mut self, expr: &Expr, offset: usize) {
        let shape = self.infer(expr);
        let targeted =
            matches!(&expr.node, Expression::Filter(_, name, _) if TARGETS.contains(&name.as_str()));
        if let Some(what) = collection(&shape) {
            self.error(
                expr,
                format!("the whole {what} is printed as one text"),
                "loop over it, or print it with `| json` or `| yaml`",
            );
        }
        self.types.prints.insert(offset, Print { shape, targeted });
    }

    fn repeat(&mut self, repeat: &For<'_>) {
        let target = self.infer(&repeat.target);
        let scope = self.loop_scope(&repeat.names, &repeat.target, target);
        let fields = [
            ("index", Shape::Integer),
            ("index0", Shape::Integer),
            ("length", Shape::Integer),
            ("first", Shape::Boolean),
            ("last", Shape::Boolean),
        ];
        let counter =
            Shape::Object(fields.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect());
        self.scopes.push(scope);
        self.scopes
            .last_mut()
            .into_iter()
            .for_each(|scope| drop(scope.insert("loop".to_owned(), counter.clone())));
        self.nodes(&repeat.body);
        self.scopes.pop();
        self.nodes(&repeat.otherwise);
    }

    /// Names a loop binds, with what they hold.
    fn loop_scope(&mut self, names: &[String], target: &Expr, shape: Shape) -> BTreeMap<String, Shape> {
        let (key, value) = match shape {
            Shape::List(item) => (Shape::Integer, *item),
            Shape::Map(item) => (FREE, *item),
            Shape::Object(fields) => (SAFE, fields.into_values().reduce(merge).unwrap_or(Shape::Any)),
            Shape::Any => (Shape::Any, Shape::Any),
            Shape::Text { .. } | Shape::Integer | Shape::Number | Shape::Boolean => {
                self.error(
                    target,
                    "the loop does not run over a list",
                    "name a list or an object of the context",
                );
                (Shape::Any, Shape::Any)
            }
        };
        match names {
            [name] => BTreeMap::from([(name.clone(), value)]),
            [first, second] => BTreeMap::from([(first.clone(), key), (second.clone(), value)]),
            _ => BTreeMap::new(),
        }
    }

    fn error(&mut self, expr: &Expr, message: impl Into<String>, hint: impl Into<String>) {
        self.types.notes.push(Note::error(expr.offset, message, hint));
    }

    fn infer(&mut self, expr: &Expr) -> Shape {
        match &expr.node {
            Expression::Variable(name) => self.variable(expr, name),
            Expression::Field(of, name) => {
                let of = self.infer(of);
                self.field(expr, of, name)
            }
            Expression::Element(of, index) => {
                let of = self.infer(of);
                if let (Shape::Object(_), Expression::Text(name)) = (&of, &index.node) {
                    return self.field(index, of, name);
                }
                self.infer(index);
                item_of(of)
            }
            Expression::Slice(of, parts) => {
                parts.iter().for_each(|part| drop(self.infer(part)));
                self.infer(of)
            }
            Expression::Text(_) => SAFE,
            Expression::Number => Shape::Number,
            Expression::Boolean => Shape::Boolean,
            Expression::Nothing => Shape::Any,
            Expression::Test(of, arguments) => {
                self.infer(of);
                arguments.iter().for_each(|argument| drop(self.infer(argument)));
                Shape::Boolean
            }
            Expression::Filter(of, name, arguments) => self.filter(of, name, arguments),
            Expression::Call(_, arguments) => {
                arguments.iter().for_each(|(_, argument)| drop(self.infer(argument)));
                Shape::List(Box::new(Shape::Integer))
            }
            Expression::Unary(not, of) => {
                self.infer(of);
                if *not { Shape::Boolean } else { Shape::Number }
            }
            Expression::Binary(operator, left, right) => {
                let (left, right) = (self.infer(left), self.infer(right));
                binary(operator, &left, &right)
            }
            _ => self.infer_compound(expr),
        }
    }

    /// Expressions made of several others.
    fn infer_compound(&mut self, expr: &Expr) -> Shape {
        match &expr.node {
            Expression::Choice(condition, then, otherwise) => {
                self.infer(condition);
                let then = self.infer(then);
                merge(then, self.infer(otherwise))
            }
            Expression::List(items) => {
                let items: Vec<Shape> = items.iter().map(|item| self.infer(item)).collect();
                Shape::List(Box::new(items.into_iter().reduce(merge).unwrap_or(Shape::Any)))
            }
            Expression::Map(entries) => {
                Shape::Object(entries.iter().map(|(name, value)| (name.clone(), self.infer(value))).collect())
            }
            Expression::Comprehension { names, target, inner } => {
                let shape = self.infer(target);
                let scope = self.loop_scope(names, target, shape);
                self.scopes.push(scope);
                let shapes: Vec<Shape> = inner.iter().map(|part| self.infer(part)).collect();
                self.scopes.pop();
                Shape::List(Box::new(shapes.into_iter().next().unwrap_or(Shape::Any)))
            }
            _ => Shape::Any,
        }
    }

    fn variable(&mut self, expr: &Expr, name: &str) -> Shape {
        if let Some(shape) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            return shape.clone();
        }
        let known = self.scopes.iter().flat_map(|scope| scope.keys()).map(String::as_str);
        let hint = did_you_mean(name, known, "variables");
        self.error(expr, format!("there is no variable `{name}`"), hint);
        Shape::Any
    }

    fn field(&mut self, expr: &Expr, of: Shape, name: &str) -> Shape {
        let fields = match of {
            Shape::Object(fields) => fields,
            Shape::Map(item) => return *item,
            Shape::Any => return Shape::Any,
            _ => {
                self.error(
                    expr,
                    format!("there is no field `{name}` here"),
                    "the value before it is not an object",
                );
                return Shape::Any;
            }
        };
        match fields.get(name) {
            Some(shape) => shape.clone(),
            None => {
                let is_output = |name: &str| OUTPUTS.contains(&name);
                let hint = if is_output(name) && fields.keys().all(|field| is_output(field)) {
                    "every item that runs this job has to wait for the job that finds it: add that item to dependsOn".to_owned()
                } else {
                    did_you_mean(name, fields.keys().map(String::as_str), "fields")
                };
                self.error(expr, format!("there is no field `{name}` here"), hint);
                Shape::Any
            }
        }
    }

    fn filter(&mut self, of: &Expr, name: &str, arguments: &[(String, Expr)]) -> Shape {
        let of = self.infer(of);
        let mut given = BTreeMap::new();
        for (argument, value) in arguments {
            given.insert(argument.as_str(), self.infer(value));
        }
        match name {
            "length" | "wordcount" | "int" => Shape::Integer,
            "float" | "abs" | "round" => Shape::Number,
            "first" | "last" | "nth" | "get" => item_of(of),
            "sort" | "unique" | "reverse" => of,
            "default" => given.remove("value").map_or(of.clone(), |value| merge(of, value)),
            "str" | "text" => Shape::Text { restricted: harmless(&of) },
            "upper" | "lower" | "trim" | "trim_start" | "trim_end" | "capitalize" | "title" => of,
            "split" => Shape::List(Box::new(of)),
            "keys" => Shape::List(Box::new(FREE)),
            "values" => match of {
                Shape::Map(item) => Shape::List(item),
                Shape::Object(fields) => {
                    Shape::List(Box::new(fields.into_values().reduce(merge).unwrap_or(Shape::Any)))
                }
                _ => Shape::List(Box::new(Shape::Any)),
            },
            "join" => {
                let separator = given.get("sep").is_none_or(harmless);
                Shape::Text { restricted: separator && harmless(&item_of(of)) }
            }
            "replace" => Shape::Text { restricted: harmless(&of) && given.get("to").is_some_and(harmless) },
            "pairs" | "group_by" => Shape::Any,
            _ => FREE,
        }
    }
}

/// Whether a value may stand inside a longer text as it is.
pub(super) fn harmless(shape: &Shape) -> bool {
    matches!(shape, Shape::Text { restricted: true } | Shape::Integer | Shape::Number | Shape::Boolean)
}

fn collection(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::List(_) => Some("list"),
        Shape::Object(_) | Shape::Map(_) => Some("object"),
        _ => None,
    }
}

fn item_of(shape: Shape) -> Shape {
    match shape {
        Shape::List(item) | Shape::Map(item) => *item,
        Shape::Text { restricted } => Shape::Text { restricted },
        _ => Shape::Any,
    }
}

fn binary(operator: &str, left: &Shape, right: &Shape) -> Shape {
    match operator {
        "~" => Shape::Text { restricted: harmless(left) && harmless(right) },
        "+" | "-" | "*" | "/" | "//" | "%" | "**" => Shape::Number,
        _ => Shape::Boolean,
    }
}

fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone, what: &str) -> String {
    match suggest::nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{what} are {}", known.collect::<Vec<_>>().join(", ")),
    }
}
