//! The control structure of a template, and the rules every template keeps; pure.
//!
//! Compiling a template means passing through here, so a template that breaks a rule is never rendered. The rules
//! keep interpolated values inert (no capturing, no `safe`), keep a template on its own (no includes), and bound
//! what it can cost (loop depth, growth of captured text).

use super::ScanError;
use super::expression::{self, Expr, Node as Expression};
use super::lexer::{Kind, Lexeme, Piece, pieces};

/// One node of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node<'a> {
    /// Plain text and its byte offset.
    Text(&'a str, usize),
    /// A printed expression and the byte offset of its opening braces.
    Print(Expr, usize),
    /// A condition: each branch with its test; the `else` branch has none.
    If(Vec<(Option<Expr>, Vec<Node<'a>>)>),
    /// A loop.
    For(For<'a>),
    /// An assignment.
    Set(String, Expr),
    /// `break` or `continue`.
    Jump,
}

/// A loop of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct For<'a> {
    /// The names it binds: the value, or the key and the value.
    pub(crate) names: Vec<String>,
    /// What is iterated.
    pub(crate) target: Expr,
    /// What is repeated.
    pub(crate) body: Vec<Node<'a>>,
    /// What stands for an empty list.
    pub(crate) otherwise: Vec<Node<'a>>,
}

/// Loops inside loops, comprehensions included. No list of an order has more than a thousand entries, so two loops are a
/// million steps: well under a second. The engine itself bounds neither time nor the number of steps.
const MAX_LOOP_DEPTH: usize = 2;

/// Branches of one condition. The static check reads a template once for each.
const MAX_BRANCHES: usize = 32;

/// Tags that are refused, with the reason and what to use instead.
const FORBIDDEN_TAGS: [(&str, &str); 7] = [
    ("include", "a template stands alone; write the text here"),
    ("extends", "a template stands alone; write the text here"),
    ("import", "a template stands alone; write the text here"),
    ("block", "a template stands alone; write the text here"),
    ("component", "a template stands alone; write the text here"),
    ("filter", "apply the filter to each value: {{ value | filter }}"),
    ("set_global", "use {% set name = value %}"),
];

/// Parses a template and holds it to the rules.
pub(crate) fn parse(source: &str) -> Result<Vec<Node<'_>>, ScanError> {
    let pieces = pieces(source)?;
    let mut parser = Parser { pieces: &pieces, at: 0, end: source.len(), loops: 0, assigned: Vec::new() };
    let (nodes, closing) = parser.nodes(0)?;
    match closing {
        None => Ok(nodes),
        Some((tag, offset)) => Err(ScanError::new(
            offset,
            format!("there is nothing that `{tag}` could close"),
            "remove the tag or open its block",
        )),
    }
}

struct Parser<'a, 'b> {
    pieces: &'b [Piece<'a>],
    at: usize,
    end: usize,
    loops: usize,
    /// Names assigned so far. An assignment may read neither another one nor itself, so text cannot
    /// double from line to line or from turn to turn of a loop.
    assigned: Vec<String>,
}

type Closing<'a> = Option<(&'a str, usize)>;

// === impl Parser ===

impl<'a, 'b> Parser<'a, 'b> {
    /// Nodes up to the tag that closes or continues the block they are in; that tag is still to be taken.
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node<'a>>, Closing<'a>), ScanError> {
        let mut out = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            match piece {
                Piece::Text { text, offset } => {
                    self.at += 1;
                    out.push(Node::Text(text, *offset));
                }
                Piece::Print { lexemes, offset } => {
                    self.at += 1;
                    let expr = self.expression(lexemes, *offset)?;
                    out.push(Node::Print(expr, *offset));
                }
                Piece::Tag { lexemes, offset } => {
                    let name = tag_name(lexemes, *offset)?;
                    if name.starts_with("end") || name == "else" || name == "elif" {
                        return Ok((out, Some((name, *offset))));
                    }
                    if depth > 40 {
                        return Err(ScanError::new(
                            *offset,
                            "blocks are nested too deeply",
                            "split the template",
                        ));
                    }
                    self.at += 1;
                    out.push(self.tag(name, lexemes, *offset, depth)?);
                }
            }
        }
        Ok((out, None))
    }

    fn tag(
        &mut self,
        name: &str,
        lexemes: &[Lexeme<'a>],
        offset: usize,
        depth: usize,
    ) -> Result<Node<'a>, ScanError> {
        if let Some((_, instead)) = FORBIDDEN_TAGS.iter().find(|(tag, _)| *tag == name) {
            return Err(ScanError::new(offset, format!("the tag `{name}` is not available"), instead));
        }
        let rest = lexemes.get(1..).unwrap_or_default();
        match name {
            "if" => self.branches(rest, offset, depth),
            "for" => self.repeat(rest, offset, depth),
            "set" => self.assignment(rest, offset),
            "break" | "continue" => Ok(Node::Jump),
            _ => Err(ScanError::new(
                offset,
                format!("the tag `{name}` is not known"),
                "use if, for, set, break, continue or raw",
            )),
        }
    }

    fn branches(&mut self, test: &[Lexeme<'a>], offset: usize, depth: usize) -> Result<Node<'a>, ScanError> {
        let mut test = Some(self.expression(test, offset)?);
        let mut branches = Vec::new();
        loop {
            let (body, closing) = self.nodes(depth + 1)?;
            branches.push((test.take(), body));
            if branches.len() > MAX_BRANCHES {
                let message = format!("the condition has more than {MAX_BRANCHES} branches");
                return Err(ScanError::new(offset, message, "split the template"));
            }
            let (lexemes, at) = self.take_closing(closing, offset, "endif")?;
            match tag_name(lexemes, at)? {
                "elif" => test = Some(self.expression(lexemes.get(1..).unwrap_or_default(), at)?),
                "else" => {}
                "endif" => return Ok(Node::If(branches)),
                _ => return Err(unclosed(offset, "endif")),
            }
        }
    }

    fn repeat(&mut self, head: &[Lexeme<'a>], offset: usize, depth: usize) -> Result<Node<'a>, ScanError> {
        let split = head.iter().position(|lexeme| lexeme.kind == Kind::Ident("in")).ok_or_else(|| {
            ScanError::new(offset, "the loop does not say what it runs over", "write `for x in list`")
        })?;
        let names: Vec<String> = head
            .iter()
            .take(split)
            .filter_map(|lexeme| match lexeme.kind {
                Kind::Ident(name) => Some(name.to_owned()),
                _ => None,
            })
            .collect();
        let target = self.expression(head.get(split + 1..).unwrap_or_default(), offset)?;
        self.loops += 1;
        self.bound_loops(self.loops, offset)?;
        let (body, mut closing) = self.nodes(depth + 1)?;
        self.loops -= 1;
        let mut otherwise = Vec::new();
        if closing.is_some_and(|(tag, _)| tag == "else") {
            self.at += 1;
            (otherwise, closing) = self.nodes(depth + 1)?;
        }
        match self.take_closing(closing, offset, "endfor")? {
            (lexemes, at) if tag_name(lexemes, at)? == "endfor" => {
                Ok(Node::For(For { names, target, body, otherwise }))
            }
            _ => Err(unclosed(offset, "endfor")),
        }
    }

    fn assignment(&mut self, rest: &[Lexeme<'a>], offset: usize) -> Result<Node<'a>, ScanError> {
        let (Some(Kind::Ident(name)), Some(Kind::Op("="))) =
            (rest.first().map(|lexeme| &lexeme.kind), rest.get(1).map(|lexeme| &lexeme.kind))
        else {
            return Err(ScanError::new(
                offset,
                "a block cannot be captured into a variable",
                "write {% set name = value %}",
            ));
        };
        let value = self.expression(rest.get(2..).unwrap_or_default(), offset)?;
        self.assigned.push((*name).to_owned());
        let mut grows = None;
        value.walk(&mut |expr| {
            if let Expression::Variable(read) = &expr.node
                && self.assigned.contains(read)
            {
                grows = Some(expr.offset);
            }
        });
        if let Some(offset) = grows {
            return Err(ScanError::new(
                offset,
                "an assigned value cannot be used in another assignment",
                "write the whole expression in one assignment",
            ));
        }
        Ok(Node::Set((*name).to_owned(), value))
    }

    /// Parses an expression and refuses what no template may use.
    fn expression(&self, lexemes: &[Lexeme<'a>], offset: usize) -> Result<Expr, ScanError> {
        let end = lexemes.last().map_or(offset, |last| last.offset);
        let expr = expression::parse(lexemes, end)?;
        let mut refused = None;
        let mut depth = 0;
        expr.walk(&mut |part| {
            if let Expression::Comprehension { .. } = part.node {
                depth += 1;
            }
            refused = refused.take().or_else(|| forbidden(part));
        });
        if depth > 0 {
            self.bound_loops(self.loops + depth, offset)?;
        }
        refused.map_or(Ok(expr), Err)
    }

    fn bound_loops(&self, depth: usize, offset: usize) -> Result<(), ScanError> {
        if depth <= MAX_LOOP_DEPTH {
            return Ok(());
        }
        Err(ScanError::new(
            offset,
            format!("more than {MAX_LOOP_DEPTH} loops are nested"),
            "split the template or flatten the loops",
        ))
    }

    fn take_closing(
        &mut self,
        closing: Closing<'a>,
        opened: usize,
        expected: &'static str,
    ) -> Result<(&'b [Lexeme<'a>], usize), ScanError> {
        let pieces: &'b [Piece<'a>] = self.pieces;
        match (closing, pieces.get(self.at)) {
            (Some(_), Some(Piece::Tag { lexemes, offset })) => {
                self.at += 1;
                Ok((lexemes, *offset))
            }
            _ => Err(unclosed(opened.min(self.end), expected)),
        }
    }
}

fn forbidden(expr: &Expr) -> Option<ScanError> {
    let (message, hint) = match &expr.node {
        Expression::Filter(_, name, _) if name == "safe" || name == "escape" => (
            format!("the filter `{name}` is not available"),
            "interpolated values are inert and need no escaping; remove the filter",
        ),
        Expression::Variable(name) if name.starts_with("__tera") => {
            (format!("the variable `{name}` is not available"), "name the value you need")
        }
        Expression::Call(name, _) if name != "range" => {
            (format!("the function `{name}` is not available"), "the only function is range")
        }
        _ => return None,
    };
    Some(ScanError::new(expr.offset, message, hint))
}

fn unclosed(opened: usize, expected: &str) -> ScanError {
    ScanError::new(opened, format!("the block is not closed by `{expected}`"), "add the closing tag")
}

fn tag_name<'a>(lexemes: &[Lexeme<'a>], offset: usize) -> Result<&'a str, ScanError> {
    match lexemes.first().map(|lexeme| &lexeme.kind) {
        Some(Kind::Ident(name)) => Ok(name),
        _ => Err(ScanError::new(offset, "the tag has no name", "use if, for, set, break, continue or raw")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_nest() {
        let nodes = parse("{% for u in order.users %}{% if u.name %}a{% elif x %}b{% else %}c{% endif %}{% else %}none{% endfor %}").unwrap();
        let Some(Node::For(repeat)) = nodes.first() else { panic!("{nodes:?}") };
        assert_eq!(repeat.names, ["u"]);
        assert!(matches!(repeat.body.first(), Some(Node::If(branches)) if branches.len() == 3));
        assert_eq!(repeat.otherwise.len(), 1);
    }

    #[test]
    fn refused_with_the_place_and_the_remedy() {
        for (source, offset, message) in [
            ("a{% include \"x\" %}", 1, "include"),
            ("{% filter upper %}a{% endfilter %}", 0, "filter"),
            ("{% set q %}a{% endset %}", 0, "captured"),
            ("{{ a | safe }}", 3, "safe"),
            ("{{ a | lower | escape }}", 3, "escape"),
            ("{{ __tera_context }}", 3, "__tera_context"),
            ("{% set_global a = 1 %}", 0, "set_global"),
            ("{{ throw(message='a') }}", 3, "throw"),
            ("{% set a = x %}{% set b = a ~ a %}", 30, "another assignment"),
            ("{% set a = a ~ a %}", 15, "another assignment"),
            ("{% if a %}b", 0, "endif"),
            ("b{% endif %}", 1, "endif"),
            (
                "{% for a in b %}{% for c in d %}{% for e in f %}{% endfor %}{% endfor %}{% endfor %}",
                32,
                "nested",
            ),
            ("{{ [a for a in [b for b in [c for c in x]]] }}", 0, "nested"),
        ] {
            let error = parse(source).unwrap_err();
            assert_eq!(error.offset, offset, "{source}: {error:?}");
            assert!(error.message.contains(message), "{source}: {error:?}");
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn conditions_have_a_bounded_number_of_branches() {
        let source = format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}x".repeat(100));
        assert!(parse(&source).unwrap_err().message.contains("branches"));
    }

    proptest::proptest! {
        /// Whatever an author types is either understood or refused with a place inside the text.
        #[test]
        fn no_text_is_too_strange(source in "([{}%#\\-| .a-z0-9\"'=(),\\[\\]~:]|\\{\\{ |\\}\\}|\\{% if a %\\}|\\{% endif %\\}|\\{% for x in a %\\}|\\{% endfor %\\}|\n){0,60}") {
            if let Err(error) = parse(&source) {
                proptest::prop_assert!(error.offset <= source.len());
            }
        }

        /// What the engine compiles and this reader lets pass has no construction that the rules forbid.
        #[test]
        fn what_passes_here_renders_inert(tag in "filter upper|set a|include \"b\"|raw|block x|set_global a = 1", trim in "-?", space in " {0,2}") {
            let source = format!("{{%{trim}{space}{tag}{space}{trim}%}}x{{{{ v }}}}{{% endraw %}}");
            let passes = parse(&source).is_ok();
            proptest::prop_assert_eq!(passes, tag == "raw");
        }
    }
}
