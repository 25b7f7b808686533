//! Finds the line of a template that a line of its result came from; used only when something failed; pure.
//!
//! The template is rendered once more with a line mark before the first visible character of each of its lines. Such
//! a mark never stands beside a blank that a neighbouring tag trims, so the marked result has the same lines.

use super::{Values, engine};
use crate::problem::Position;
use crate::scan::lexer::{Piece, pieces};
use crate::token;

/// Marks a line: followed by its number and [`token::CLOSE`].
const MARK: char = '\u{E9A2}';

/// The place in the template for a place in its result. Without a place, or when the template cannot be marked, the
/// start of the template.
pub(super) fn rendered(source: &str, values: &Values, at: Option<Position>) -> Position {
    at.and_then(|at| line_of(source, values, at.line).map(|line| place(source, line, at)))
        .unwrap_or(Position::START)
}

fn line_of(source: &str, values: &Values, wanted: u32) -> Option<u32> {
    let mut tera = engine();
    tera.add_raw_template("marked", &marked(source)?).ok()?;
    let text = tera.render("marked", &values.0).ok()?;
    let mut line = 0;
    for rendered in text.lines().take(usize::try_from(wanted).ok()?) {
        let mark = rendered
            .split_once(MARK)
            .and_then(|(_, rest)| rest.split_once(token::CLOSE))
            .and_then(|(number, _)| number.parse::<u32>().ok());
        // A line that consists of expressions alone carries no mark: it follows the line before it.
        line = mark.unwrap_or(line + 1);
    }
    (line > 0).then_some(line)
}

fn marked(source: &str) -> Option<String> {
    let mut out = String::with_capacity(source.len() * 2);
    let mut copied = 0;
    for piece in pieces(source).ok()? {
        let Piece::Text { text, offset } = piece else { continue };
        let mut at = offset;
        for line in text.split_inclusive('\n') {
            if let Some(visible) = line.find(|c: char| !c.is_whitespace()) {
                let mark = at + visible;
                out.push_str(source.get(copied..mark)?);
                out.push_str(&format!("{MARK}{}{}", Position::at(source, mark).line, token::CLOSE));
                copied = mark;
            }
            at += line.len();
        }
    }
    out.push_str(source.get(copied..)?);
    Some(out)
}

/// The column is the result's where the line holds no expression, and the first visible character otherwise.
fn place(source: &str, line: u32, at: Position) -> Position {
    let text = usize::try_from(line).ok().and_then(|line| source.lines().nth(line.saturating_sub(1)));
    let text = text.unwrap_or_default();
    let indent = text.chars().take_while(|c| c.is_whitespace()).count();
    let column = if text.contains("{{") || text.contains("{%") {
        u32::try_from(indent).unwrap_or_default().saturating_add(1)
    } else {
        at.column
    };
    Position { line, column }
}
