//! Splits template text into plain text, printed expressions and tags, and expressions into lexemes; pure.

use super::ScanError;
use crate::token;

/// One piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece<'a> {
    /// Plain text, after the trimming that neighbouring tags ask for.
    Text {
        /// The text.
        text: &'a str,
        /// Byte offset of the text in the template.
        offset: usize,
    },
    /// `{{ expression }}`.
    Print {
        /// What is printed.
        lexemes: Vec<Lexeme<'a>>,
        /// Byte offset of the opening braces.
        offset: usize,
    },
    /// `{% name ... %}`.
    Tag {
        /// The tag with its name first.
        lexemes: Vec<Lexeme<'a>>,
        /// Byte offset of the opening brace.
        offset: usize,
    },
}

/// One lexeme of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lexeme<'a> {
    /// What it is.
    pub(crate) kind: Kind<'a>,
    /// Byte offset in the template.
    pub(crate) offset: usize,
}

/// What a lexeme is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind<'a> {
    /// A name or keyword.
    Ident(&'a str),
    /// A string literal, unescaped.
    Str(String),
    /// A number literal.
    Number(&'a str),
    /// An operator or bracket.
    Op(&'static str),
}

/// Operators, longer ones first so that the first match is the right one.
const OPERATORS: [&str; 30] = [
    "...", "//", "**", "==", "!=", ">=", "<=", "</", "?.", "?[", "+", "-", "*", "/", "%", "!", ".", ",", ":",
    "~", "|", "=", ">", "<", "(", ")", "[", "]", "{", "}",
];

/// Splits a template into pieces, trimmed as the engine trims them.
pub(crate) fn pieces(source: &str) -> Result<Vec<Piece<'_>>, ScanError> {
    if let Some(offset) = source.find([token::OPEN, token::CLOSE]) {
        return Err(ScanError::new(
            offset,
            "the template holds a character that is reserved for interpolated values",
            "remove it",
        ));
    }
    let mut lexer = Lexer { source, at: 0, trim_next: false, out: Vec::new() };
    while lexer.at < source.len() {
        lexer.step()?;
    }
    Ok(lexer.out)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    /// The last tag, print or comment closed with a dash: leading blanks of the next text go.
    trim_next: bool,
    out: Vec<Piece<'a>>,
}

// === impl Lexer ===

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn step(&mut self) -> Result<(), ScanError> {
        let rest = self.rest();
        if rest.starts_with("{{") {
            let offset = self.at;
            let lexemes = self.inside("}}")?;
            self.out.push(Piece::Print { lexemes, offset });
        } else if rest.starts_with("{%") {
            if !self.raw()? {
                let offset = self.at;
                let lexemes = self.inside("%}")?;
                self.out.push(Piece::Tag { lexemes, offset });
            }
        } else if rest.starts_with("{#") {
            let open = if rest.starts_with("{#-") { 3 } else { 2 };
            let body = rest.get(open..).unwrap_or_default();
            let end = body
                .find("#}")
                .ok_or_else(|| ScanError::new(self.at, "the comment is not closed", "close it with `#}`"))?;
            // A comment without a dash lets the trimming of the piece before it pass through.
            self.trim_next |= body.get(..end).is_some_and(|body| body.ends_with('-'));
            self.at += open + end + 2;
        } else {
            let end = rest
                .match_indices('{')
                .map(|(at, _)| at)
                .find(|at| rest.get(at + 1..).is_some_and(|next| next.starts_with(['{', '%', '#'])))
                .unwrap_or(rest.len());
            let text = rest.get(..end).unwrap_or_default();
            self.at += end;
            self.text(text, self.at - end);
        }
        Ok(())
    }

    /// Keeps a text, trimmed as the pieces before and after it ask.
    fn text(&mut self, text: &'a str, offset: usize) {
        let (mut text, mut offset) = (text, offset);
        if self.trim_next {
            let trimmed = text.trim_start();
            offset += text.len() - trimmed.len();
            text = trimmed;
        }
        self.trim_next = false;
        let next = self.rest();
        if ["{{-", "{%-", "{#-"].iter().any(|open| next.starts_with(open)) {
            text = text.trim_end();
        }
        if !text.is_empty() {
            self.out.push(Piece::Text { text, offset });
        }
    }

    /// Takes a `raw` block, whose inside is text. Gives false when the tag here is another one.
    fn raw(&mut self) -> Result<bool, ScanError> {
        let Some((open, trim_start)) = tag_named(self.rest(), "raw") else { return Ok(false) };
        let body_start = self.at + open;
        let body = self.source.get(body_start..).unwrap_or_default();
        for (at, _) in body.match_indices("{%") {
            let Some((close, trim_after)) = body.get(at..).and_then(|tag| tag_named(tag, "endraw")) else {
                continue;
            };
            let mut text = body.get(..at).unwrap_or_default();
            let mut offset = body_start;
            if trim_start {
                let trimmed = text.trim_start();
                offset += text.len() - trimmed.len();
                text = trimmed;
            }
            if body.get(at + 2..).is_some_and(|tag| tag.starts_with('-')) {
                text = text.trim_end();
            }
            self.at = body_start + at + close;
            self.text(text, offset);
            self.trim_next = trim_after;
            return Ok(true);
        }
        Err(ScanError::new(self.at, "the raw block is not closed", "close it with `{% endraw %}`"))
    }

    /// Takes everything up to the closing delimiter as lexemes.
    fn inside(&mut self, close: &str) -> Result<Vec<Lexeme<'a>>, ScanError> {
        let open = self.at;
        self.at += 2;
        if self.rest().starts_with('-') {
            self.at += 1;
        }
        let mut lexemes = Vec::new();
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
            self.at += rest.len() - trimmed.len();
            if trimmed.is_empty() {
                return Err(ScanError::new(
                    open,
                    "the expression is not closed",
                    "close it with `}}` or `%}`",
                ));
            }
            let dashed = trimmed.strip_prefix('-').is_some_and(|rest| rest.starts_with(close));
            if dashed || trimmed.starts_with(close) {
                self.at += close.len() + usize::from(dashed);
                self.trim_next = dashed;
                return Ok(lexemes);
            }
            lexemes.push(self.lexeme(trimmed)?);
        }
    }

    fn lexeme(&mut self, rest: &'a str) -> Result<Lexeme<'a>, ScanError> {
        let offset = self.at;
        let first = rest.chars().next().unwrap_or_default();
        let (kind, length) = if matches!(first, '"' | '\'' | '`') {
            string(rest, first, offset)?
        } else if first.is_ascii_digit() {
            let length = number(rest);
            (Kind::Number(rest.get(..length).unwrap_or_default()), length)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Kind::Ident(rest.get(..length).unwrap_or_default()), length)
        } else {
            let op = OPERATORS.iter().find(|op| rest.starts_with(**op)).ok_or_else(|| {
                ScanError::new(offset, "there is a character that no expression can hold", "remove it")
            })?;
            (Kind::Op(op), op.len())
        };
        self.at += length;
        Ok(Lexeme { kind, offset })
    }
}

/// Whether `text` starts with the tag `name` alone; gives its length and whether it closes with a dash.
fn tag_named(text: &str, name: &str) -> Option<(usize, bool)> {
    let blank = |c: char| c.is_ascii_whitespace();
    let rest = text.strip_prefix("{%")?;
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start_matches(blank);
    let rest = rest.strip_prefix(name)?.trim_start_matches(blank);
    let (rest, dashed) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    let rest = rest.strip_prefix("%}")?;
    Some((text.len() - rest.len(), dashed))
}

fn number(rest: &str) -> usize {
    let mut point = false;
    rest.find(|c: char| {
        if c == '.' && !point {
            point = true;
            return false;
        }
        !c.is_ascii_digit()
    })
    .unwrap_or(rest.len())
}

fn string(rest: &str, quote: char, offset: usize) -> Result<(Kind<'_>, usize), ScanError> {
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Ok((Kind::Str(value), at + quote.len_utf8()));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        match characters.next().map(|(_, escaped)| escaped) {
            Some('n') => value.push('\n'),
            Some('t') => value.push('\t'),
            Some('r') => value.push('\r'),
            Some(escaped) => value.push(escaped),
            None => break,
        }
    }
    Err(ScanError::new(offset, "the string is not closed", "close it with the quote that opened it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> String {
        pieces(source)
            .unwrap()
            .into_iter()
            .map(|piece| match piece {
                Piece::Text { text, offset } => {
                    assert_eq!(source.get(offset..offset + text.len()), Some(text), "offsets name the text");
                    text.to_owned()
                }
                Piece::Print { .. } => "<p>".to_owned(),
                Piece::Tag { .. } => "<t>".to_owned(),
            })
            .collect()
    }

    /// The engine is the authority on trimming; this reader must cut the same blanks.
    #[test]
    fn trimming_follows_the_engine() {
        for source in [
            "a  {{- x -}}  b",
            "a {{ x }} b",
            "a\n{%- if x -%}\n b \n{%- endif %}\n c",
            "a {#- note -#} b",
            "a {# note #} b",
            "{% raw %} {{ kept }} {% endraw %}",
            "a {%- raw -%} {{ kept }} {%- endraw -%} b",
            "{ {a} {{ x }}}",
            "a {# one -#} {# two #} b",
        ] {
            let mut tera = tera::Tera::new();
            tera.add_raw_template("t", source).unwrap();
            let mut context = tera::Context::new();
            context.insert("x", "<p>");
            let engine = tera.render("t", &context).unwrap();
            assert_eq!(texts(source).replace("<t>", ""), engine, "{source}");
        }
    }

    #[test]
    fn lexemes_carry_their_offsets() {
        let source = r#"{{ order.users["a\"b"] | default(value=1.5) }}"#;
        let Some(Piece::Print { lexemes, .. }) = pieces(source).unwrap().pop() else { panic!("no print") };
        let kinds: Vec<_> = lexemes.iter().map(|lexeme| lexeme.kind.clone()).collect();
        assert!(kinds.contains(&Kind::Str("a\"b".to_owned())));
        assert!(kinds.contains(&Kind::Number("1.5")));
        for lexeme in &lexemes {
            if let Kind::Ident(name) = lexeme.kind {
                assert!(source[lexeme.offset..].starts_with(name));
            }
        }
    }

    #[test]
    fn open_ends_and_markers_are_refused() {
        for source in ["{{ a", "{% if", "{# a", "{% raw %}", "{{ 'a }}", "a \u{E9A0} b", "{{ § }}"] {
            assert!(pieces(source).is_err(), "{source}");
        }
    }

    proptest::proptest! {
        /// Any mix of pieces is cut as the engine cuts it, or refused by both.
        #[test]
        fn mixtures_are_cut_as_the_engine_cuts_them(parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", " ", "\n", "  b\n", "{", "}", "{{ x }}", "{{- x }}", "{{ x -}}", "{{-x-}}", "{# c #}", "{#- c -#}",
                "{# }} -#}", "{% raw %}", "{%- raw -%}", "{% endraw %}", "{%- endraw -%}", "{{ x | default(value='}}') }}", "{% if x %}",
                "{%- if x -%}", "{% endif %}", "{%- endif -%}", "%}", "}}", "#}",
            ]), 0..12)
        ) {
            let source = parts.concat();
            let mut tera = tera::Tera::new();
            if tera.add_raw_template("t", &source).is_err() {
                return Ok(());
            }
            let mut context = tera::Context::new();
            context.insert("x", "<p>");
            let Ok(engine) = tera.render("t", &context) else { return Ok(()) };
            let ours = texts(&source).replace("<t>", "");
            proptest::prop_assert_eq!(ours, engine);
        }
    }
}
