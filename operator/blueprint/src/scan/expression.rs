//! Expressions of templates as a small tree with places; pure.
//!
//! Only what the static check needs is kept: which paths are read, which filters are applied, and what the result
//! can be. Operator precedence is the engine's, as far as it decides what a filter applies to: a filter binds tighter
//! than any binary operator.

use super::ScanError;
use super::lexer::{Kind, Lexeme};

/// One expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    /// What it is.
    pub(crate) node: Node,
    /// Byte offset in the template.
    pub(crate) offset: usize,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A variable.
    Variable(String),
    /// A field of a value.
    Field(Box<Expr>, String),
    /// An element of a value, by an index or a key.
    Element(Box<Expr>, Box<Expr>),
    /// A part of a list or text.
    Slice(Box<Expr>, Vec<Expr>),
    /// A string literal.
    Text(String),
    /// A number literal.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `none`.
    Nothing,
    /// A filter with its arguments.
    Filter(Box<Expr>, String, Vec<(String, Expr)>),
    /// A test (`is defined`): always a boolean.
    Test(Box<Expr>, Vec<Expr>),
    /// A function call.
    Call(String, Vec<(String, Expr)>),
    /// A binary operator.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `not` or a minus.
    Unary(bool, Box<Expr>),
    /// `a if condition else b`: condition first.
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    /// A list literal.
    List(Vec<Expr>),
    /// A map literal, with the values only.
    Map(Vec<(String, Expr)>),
    /// `[value for key, name in list if condition]`.
    Comprehension {
        /// The names the loop binds.
        names: Vec<String>,
        /// What is iterated.
        target: Box<Expr>,
        /// The value and the condition, both inside the loop.
        inner: Vec<Expr>,
    },
}

/// Parses all lexemes as one expression. `end` is the offset to name when they end too early.
pub(crate) fn parse(lexemes: &[Lexeme<'_>], end: usize) -> Result<Expr, ScanError> {
    let mut parser = Parser { lexemes, at: 0, end, depth: 0, steps: 0 };
    let expr = parser.expression(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'a, 'b> {
    lexemes: &'b [Lexeme<'a>],
    at: usize,
    end: usize,
    depth: usize,
    /// Operators, fields and elements so far: how deep the tree can be on its left side.
    steps: usize,
}

/// The engine stops at 40 as well; this reader must not overflow its stack on what the engine refuses later.
const MAX_DEPTH: usize = 48;
/// The engine stops at 256 operators in one expression.
const MAX_STEPS: usize = 300;

// === impl Parser ===

impl<'a> Parser<'a, '_> {
    fn peek(&self) -> Option<&Kind<'a>> {
        self.lexemes.get(self.at).map(|lexeme| &lexeme.kind)
    }

    fn offset(&self) -> usize {
        self.lexemes.get(self.at).map_or(self.end, |lexeme| lexeme.offset)
    }

    fn unexpected(&self) -> ScanError {
        ScanError::new(
            self.offset(),
            "the expression is not understood from here on",
            "check its operators and brackets",
        )
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Kind::Op(found)) if *found == op)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Kind::Ident(found)) if *found == word)
    }

    fn take_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect_op(&mut self, op: &str) -> Result<(), ScanError> {
        if self.take_op(op) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_name(&mut self) -> Result<String, ScanError> {
        match self.peek() {
            Some(Kind::Ident(name)) => {
                let name = (*name).to_owned();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn expression(&mut self, minimum: u8) -> Result<Expr, ScanError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ScanError::new(self.offset(), "the expression is nested too deeply", "split it"));
        }
        let mut left = self.operand()?;
        loop {
            if self.is_op("[") || self.is_op("?[") {
                left = self.element(left)?;
                continue;
            }
            let Some((operator, binding)) = self.operator() else { break };
            if binding < minimum {
                break;
            }
            left = self.combine(left, operator, binding)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The operator at this place with its binding power. Nothing is taken yet.
    fn operator(&self) -> Option<(&'static str, u8)> {
        Some(match self.peek()? {
            Kind::Ident("if") => ("if", 0),
            Kind::Ident("or") => ("or", 1),
            Kind::Ident("and") => ("and", 3),
            Kind::Ident("not") => ("not in", 5),
            Kind::Ident("in") => ("in", 5),
            Kind::Ident("is") => ("is", 5),
            Kind::Op(op @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => (op, 7),
            Kind::Op(op @ ("+" | "-")) => (op, 11),
            Kind::Op(op @ ("*" | "/" | "//" | "%" | "~")) => (op, 13),
            Kind::Op("**") => ("**", 15),
            Kind::Op("|") => ("|", 17),
            _ => return None,
        })
    }

    /// Counts one more level on the left side of the tree.
    fn step(&mut self) -> Result<(), ScanError> {
        self.steps += 1;
        if self.steps <= MAX_STEPS {
            return Ok(());
        }
        Err(ScanError::new(self.offset(), "the expression is too long", "split it"))
    }

    fn combine(&mut self, left: Expr, operator: &'static str, binding: u8) -> Result<Expr, ScanError> {
        self.step()?;
        let offset = left.offset;
        self.at += 1;
        let node = match operator {
            "if" => {
                let condition = self.expression(0)?;
                if !self.take_word("else") {
                    return Err(self.unexpected());
                }
                let otherwise = self.expression(0)?;
                Node::Choice(Box::new(condition), Box::new(left), Box::new(otherwise))
            }
            "is" => {
                self.take_word("not");
                self.expect_name()?;
                let arguments = if self.is_op("(") { self.arguments()? } else { Vec::new() };
                Node::Test(Box::new(left), arguments.into_iter().map(|(_, value)| value).collect())
            }
            "|" => {
                let name = self.expect_name()?;
                let arguments = if self.is_op("(") { self.arguments()? } else { Vec::new() };
                Node::Filter(Box::new(left), name, arguments)
            }
            "not in" if !self.take_word("in") => return Err(self.unexpected()),
            _ => {
                // `**` is the one operator that groups to the right.
                let right = self.expression(if operator == "**" { binding } else { binding + 1 })?;
                Node::Binary(operator, Box::new(left), Box::new(right))
            }
        };
        Ok(Expr { node, offset })
    }

    fn operand(&mut self) -> Result<Expr, ScanError> {
        let offset = self.offset();
        let Some(kind) = self.peek().cloned() else { return Err(self.unexpected()) };
        self.at += 1;
        let node = match kind {
            Kind::Str(text) => Node::Text(text),
            Kind::Number(_) => Node::Number,
            Kind::Ident("true" | "True" | "false" | "False") => Node::Boolean,
            Kind::Ident("none" | "None" | "null") => Node::Nothing,
            Kind::Ident("not") => Node::Unary(true, Box::new(self.expression(5)?)),
            Kind::Op("-") => Node::Unary(false, Box::new(self.expression(20)?)),
            Kind::Op("(") => {
                let inner = self.expression(0)?;
                self.expect_op(")")?;
                inner.node
            }
            Kind::Op("[") => self.list()?,
            Kind::Op("{") => self.map()?,
            Kind::Ident(name) => return self.chain(name, offset),
            Kind::Op(_) => {
                self.at -= 1;
                return Err(self.unexpected());
            }
        };
        Ok(Expr { node, offset })
    }

    /// A variable with its fields, or a function call.
    fn chain(&mut self, name: &str, offset: usize) -> Result<Expr, ScanError> {
        if self.is_op("(") {
            return Ok(Expr { node: Node::Call(name.to_owned(), self.arguments()?), offset });
        }
        let mut expr = Expr { node: Node::Variable(name.to_owned()), offset };
        loop {
            if self.take_op(".") || self.take_op("?.") {
                self.step()?;
                let offset = self.offset();
                let field = self.expect_name()?;
                expr = Expr { node: Node::Field(Box::new(expr), field), offset };
            } else if self.is_op("[") || self.is_op("?[") {
                expr = self.element(expr)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn element(&mut self, of: Expr) -> Result<Expr, ScanError> {
        self.step()?;
        self.at += 1;
        let offset = self.offset();
        let mut parts = Vec::new();
        let mut slice = false;
        while !self.take_op("]") {
            if self.take_op(":") {
                slice = true;
            } else {
                parts.push(self.expression(0)?);
                if !self.is_op(":") && !self.is_op("]") {
                    return Err(self.unexpected());
                }
            }
        }
        let of = Box::new(of);
        let node = match (slice, parts.len()) {
            (false, 1) => match parts.pop() {
                Some(index) => Node::Element(of, Box::new(index)),
                None => return Err(self.unexpected()),
            },
            (true, _) => Node::Slice(of, parts),
            (false, _) => return Err(self.unexpected()),
        };
        Ok(Expr { node, offset })
    }

    fn arguments(&mut self) -> Result<Vec<(String, Expr)>, ScanError> {
        self.expect_op("(")?;
        let mut out = Vec::new();
        while !self.take_op(")") {
            let name = self.expect_name()?;
            self.expect_op("=")?;
            out.push((name, self.expression(0)?));
            if !self.take_op(",") && !self.is_op(")") {
                return Err(self.unexpected());
            }
        }
        Ok(out)
    }

    fn list(&mut self) -> Result<Node, ScanError> {
        let mut items = Vec::new();
        while !self.take_op("]") {
            self.take_op("...");
            items.push(self.expression(0)?);
            if items.len() == 1 && self.take_word("for") {
                return self.comprehension(items);
            }
            if !self.take_op(",") && !self.is_op("]") {
                return Err(self.unexpected());
            }
        }
        Ok(Node::List(items))
    }

    fn comprehension(&mut self, mut inner: Vec<Expr>) -> Result<Node, ScanError> {
        let mut names = vec![self.expect_name()?];
        if self.take_op(",") {
            names.push(self.expect_name()?);
        }
        if !self.take_word("in") {
            return Err(self.unexpected());
        }
        // Binding power 1: the condition's `if` belongs to the comprehension, not to the target.
        let target = Box::new(self.expression(1)?);
        if self.take_word("if") {
            inner.push(self.expression(1)?);
        }
        self.expect_op("]")?;
        Ok(Node::Comprehension { names, target, inner })
    }

    fn map(&mut self) -> Result<Node, ScanError> {
        let mut entries = Vec::new();
        while !self.take_op("}") {
            if self.take_op("...") {
                entries.push((String::new(), self.expression(0)?));
            } else {
                let key = match self.peek().cloned() {
                    Some(Kind::Str(key)) => key,
                    Some(Kind::Number(key) | Kind::Ident(key)) => key.to_owned(),
                    _ => return Err(self.unexpected()),
                };
                self.at += 1;
                self.expect_op(":")?;
                entries.push((key, self.expression(0)?));
            }
            if !self.take_op(",") && !self.is_op("}") {
                return Err(self.unexpected());
            }
        }
        Ok(Node::Map(entries))
    }
}

impl Expr {
    /// Calls `visit` for this expression and every one inside it.
    pub(crate) fn walk(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(self);
        match &self.node {
            Node::Variable(_) | Node::Text(_) | Node::Number | Node::Boolean | Node::Nothing => {}
            Node::Field(inner, _) | Node::Unary(_, inner) => inner.walk(visit),
            Node::Element(a, b) | Node::Binary(_, a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            Node::Slice(of, parts) | Node::Test(of, parts) => {
                of.walk(visit);
                parts.iter().for_each(|part| part.walk(visit));
            }
            Node::Filter(of, _, arguments) => {
                of.walk(visit);
                arguments.iter().for_each(|(_, value)| value.walk(visit));
            }
            Node::Call(_, arguments) | Node::Map(arguments) => {
                arguments.iter().for_each(|(_, value)| value.walk(visit));
            }
            Node::Choice(a, b, c) => [a, b, c].into_iter().for_each(|part| part.walk(visit)),
            Node::List(items) => items.iter().for_each(|item| item.walk(visit)),
            Node::Comprehension { target, inner, .. } => {
                target.walk(visit);
                inner.iter().for_each(|part| part.walk(visit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::{Piece, pieces};
    use super::*;

    fn expr(source: &str) -> Expr {
        let text = format!("{{{{ {source} }}}}");
        match pieces(&text).unwrap().pop() {
            Some(Piece::Print { lexemes, .. }) => parse(&lexemes, text.len()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn filters_bind_tighter_than_operators() {
        let Node::Binary("~", left, right) = expr("a ~ b | json").node else { panic!("not a concatenation") };
        assert!(matches!(left.node, Node::Variable(_)));
        assert!(matches!(right.node, Node::Filter(..)));
        assert!(matches!(expr("(a ~ b) | json").node, Node::Filter(..)));
        assert!(matches!(expr("a == b | lower and not c").node, Node::Binary("and", ..)));
    }

    #[test]
    fn everything_the_engine_parses_is_parsed() {
        for source in [
            "a.b?.c[0][\"d\"][1:2][:-1]",
            "a is defined and b is not starting_with(pat=\"x\")",
            "x if a else y",
            "[1, ...a, 'b']",
            "{\"a\": 1, ...b}",
            "[x.name for x in order.users if x.name != 'a']",
            "[v for k, v in plan]",
            "range(end=3)",
            "a not in [1, 2]",
            "-a ** 2 // 3 % 2",
            "a | default(value=\"x\", boolean=true) | upper",
            "loop.index",
        ] {
            let mut tera = tera::Tera::new();
            let body = format!("{{% for i in a %}}{{{{ {source} }}}}{{% endfor %}}");
            tera.add_raw_template("t", &body).unwrap_or_else(|error| panic!("{source}: {error}"));
            expr(source);
        }
    }

    #[test]
    fn long_and_deep_expressions_are_refused_before_they_cost_anything() {
        for source in [
            "a ~ ".repeat(20_000) + "a",
            "a".to_owned() + &".a".repeat(20_000),
            "(".repeat(5_000),
            "not ".repeat(5_000),
        ] {
            let text = format!("{{{{ {source} }}}}");
            let Some(Piece::Print { lexemes, .. }) = pieces(&text).unwrap().pop() else { panic!("no print") };
            assert!(parse(&lexemes, text.len()).is_err());
        }
    }

    proptest::proptest! {
        /// Whatever expression the engine understands is understood here, or the author could not use it.
        #[test]
        fn the_engine_understands_no_more(parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", "b", ".c", "?.d", "[0]", "[a]", "[1:]", "[:2]", "[::2]", "?[0]", "'s'", "1", "2.5", "true", "none", "not",
                "and", "or", "in", "not in", "is defined", "is not odd", "is divisible_by(divisor=2)", "if", "else", "~", "+", "-",
                "*", "**", "//", "%", "==", "!=", "<", ">=", "|", "| upper", "| default(value=1)", "(", ")", "[", "]", ",", "{",
                "}", "'k': ", "...", "for x in a", "for k, v in b", "range(end=2)", "x", "if b",
            ]), 1..9)
        ) {
            let source = format!("{{{{ {} }}}}", parts.join(" "));
            let mut tera = tera::Tera::new();
            if tera.add_raw_template("t", &source).is_err() {
                return Ok(());
            }
            let Some(Piece::Print { lexemes, .. }) = pieces(&source).unwrap().pop() else { panic!("no print") };
            proptest::prop_assert!(parse(&lexemes, source.len()).is_ok(), "{}", source);
        }
    }
}
