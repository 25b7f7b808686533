//! Renders a template without values, branch by branch, and reads the result as YAML with places; pure.
//!
//! What no example order reaches is reached here: variant n takes the n-th branch of every condition, and one more
//! variant leaves every loop out. Printed expressions become placeholders, so it shows where in a scalar each one
//! stands. A template must be YAML in every variant.

use super::finding::Note;
use super::types::{Print, harmless};
use crate::scan::tree::Node;
use crate::token;
use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Tag};
use std::collections::{BTreeMap, BTreeSet};

/// Checks every variant of a template.
pub(super) fn check(nodes: &[Node<'_>], prints: &BTreeMap<usize, Print>) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for variant in variants(nodes) {
        for note in Reader::read(&variant, prints) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

/// Every object that a template may give, with placeholders where values stand.
pub(super) fn sketches(nodes: &[Node<'_>]) -> Vec<Value> {
    let objects = |variant: Symbolic| serde_saphyr::from_multiple::<Value>(&variant.text).unwrap_or_default();
    variants(nodes).flat_map(objects).filter(Value::is_object).collect()
}

fn variants(nodes: &[Node<'_>]) -> impl Iterator<Item = Symbolic> {
    (0..branches(nodes)).map(|branch| (branch, true)).chain([(0, false)]).map(move |(branch, loops)| {
        let mut text = Symbolic { branch, loops, text: String::new(), spots: Vec::new() };
        text.nodes(nodes);
        text
    })
}

/// The largest number of branches of any condition, counting the one that is not written.
fn branches(nodes: &[Node<'_>]) -> usize {
    let inner = |node: &Node<'_>| match node {
        Node::If(all) => {
            let unwritten = usize::from(all.iter().all(|(test, _)| test.is_some()));
            let deepest = all.iter().map(|(_, body)| branches(body)).max().unwrap_or_default();
            deepest.max(all.len() + unwritten)
        }
        Node::For(repeat) => branches(&repeat.body).max(branches(&repeat.otherwise)),
        _ => 1,
    };
    nodes.iter().map(inner).max().unwrap_or(1)
}

/// One variant: its text, and where each stretch of it came from.
struct Symbolic {
    branch: usize,
    loops: bool,
    text: String,
    /// Offset in the text, offset in the template, and whether it is a placeholder.
    spots: Vec<(usize, usize, bool)>,
}

// === impl Symbolic ===

impl Symbolic {
    fn nodes(&mut self, nodes: &[Node<'_>]) {
        for node in nodes {
            match node {
                Node::Text(text, offset) => {
                    self.spots.push((self.text.len(), *offset, false));
                    self.text.push_str(text);
                }
                Node::Print(_, offset) => {
                    self.spots.push((self.text.len(), *offset, true));
                    self.text.push_str(&format!("{}{offset}{}", token::OPEN, token::CLOSE));
                }
                Node::If(branches) => {
                    let last = branches.len().saturating_sub(1);
                    let complete = branches.last().is_some_and(|(test, _)| test.is_none());
                    let chosen = if complete { self.branch.min(last) } else { self.branch };
                    branches.get(chosen).into_iter().for_each(|(_, body)| self.nodes(body));
                }
                Node::For(repeat) => self.nodes(if self.loops { &repeat.body } else { &repeat.otherwise }),
                Node::Set(..) | Node::Jump => {}
            }
        }
    }

    /// The place in the template of a byte of the text.
    fn origin(&self, at: usize) -> usize {
        let spot = self.spots.iter().take_while(|(start, _, _)| *start <= at).last();
        spot.map_or(
            0,
            |(start, offset, placeholder)| if *placeholder { *offset } else { offset + (at - start) },
        )
    }
}

/// One open collection.
enum Frame {
    Map { keys: BTreeSet<String>, key: Option<String> },
    List,
}

struct Reader<'a> {
    prints: &'a BTreeMap<usize, Print>,
    frames: Vec<Frame>,
    documents: usize,
    notes: Vec<Note>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn read(text: &Symbolic, prints: &'a BTreeMap<usize, Print>) -> Vec<Note> {
        let mut reader = Self { prints, frames: Vec::new(), documents: 0, notes: Vec::new() };
        for event in Parser::new_from_str(&text.text) {
            match event {
                Ok((event, span)) => {
                    let at = span.start.byte_offset().unwrap_or_default();
                    reader.event(&event, text.origin(at));
                }
                Err(error) => {
                    let at = error.marker().byte_offset().unwrap_or_default();
                    let message = format!("the template is not YAML: {}", error.info());
                    let hint =
                        "check indentation and quoting; every branch of a template must be YAML on its own";
                    reader.notes.push(Note::error(text.origin(at), message, hint));
                    break;
                }
            }
        }
        reader.notes
    }

    fn event(&mut self, event: &Event<'_>, at: usize) {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.error(
                        at,
                        "the template holds a second YAML document",
                        "write a list: begin each object with `- `",
                    );
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.node(at, *anchor, tag.as_deref());
                self.scalar(text, *style, tag.as_deref(), at);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.node(at, *anchor, tag.as_deref());
                self.open(at, Frame::List);
            }
            Event::MappingStart(_, anchor, tag) => {
                self.node(at, *anchor, tag.as_deref());
                self.open(at, Frame::Map { keys: BTreeSet::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.frames.pop();
                self.done();
            }
            Event::Alias(_) => {
                self.error(at, "the template uses an alias", "write the value again");
                self.done();
            }
            _ => {}
        }
    }

    fn error(&mut self, at: usize, message: impl Into<String>, hint: &str) {
        self.notes.push(Note::error(at, message, hint));
    }

    fn node(&mut self, at: usize, anchor: usize, tag: Option<&Tag>) {
        if anchor != 0 {
            self.error(at, "the template uses an anchor", "write the value where it is needed");
        }
        if tag.is_some() {
            self.error(
                at,
                "the value carries a YAML tag, which changes its type",
                "remove the tag; quote what shall be a string",
            );
        }
    }

    fn open(&mut self, at: usize, frame: Frame) {
        if self.at_key() {
            self.error(at, "a key is a collection", "write a plain key");
        }
        self.frames.push(frame);
    }

    /// Whether the next node is a key.
    fn at_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Map { key: None, .. }))
    }

    /// A value is complete: the next node of a map is a key again.
    fn done(&mut self) {
        if let Some(Frame::Map { key, .. }) = self.frames.last_mut() {
            *key = None;
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: usize) {
        let placeholders = placeholders(text);
        if self.at_key() {
            self.key(text, &placeholders, at);
            return;
        }
        if !placeholders.is_empty() && self.literal_place() {
            let hint = "write it out; an interpolated value may not decide what an object is";
            self.error(at, "an interpolated value stands in apiVersion, kind or metadata.namespace", hint);
        }
        let whole = placeholders.len() == 1 && text.starts_with(token::OPEN) && text.ends_with(token::CLOSE);
        if !whole {
            placeholders.iter().for_each(|print| self.inside_text(*print));
        }
        if style == ScalarStyle::Plain && tag.is_none() && placeholders.is_empty() {
            self.notes.extend(retyped(text, at));
        }
        if self.frames.is_empty() && !text.is_empty() {
            self.error(at, "the template is a single value", "write an object, or a list of objects");
        }
        self.done();
    }

    fn key(&mut self, text: &str, placeholders: &[usize], at: usize) {
        for print in placeholders {
            let number = self.prints.get(print).is_some_and(|print| {
                harmless(&print.shape) && !matches!(print.shape, crate::schema::Shape::Text { .. })
            });
            if !number {
                let hint = "keys are the author's words; put the value into a value, or number the keys with loop.index";
                self.error(*print, "an interpolated text is used as a key", hint);
            }
        }
        if text == "<<" {
            self.error(at, "the template uses a merge key", "write the fields out");
        }
        if let Some(Frame::Map { keys, key }) = self.frames.last_mut() {
            *key = Some(text.to_owned());
            if !keys.insert(text.to_owned()) && placeholders.is_empty() {
                self.error(
                    at,
                    format!("the key `{}` is there twice", crate::problem::cut(text)),
                    "remove one",
                );
            }
        }
    }

    /// Whether the value here decides what or whose the object is.
    fn literal_place(&self) -> bool {
        let skip = usize::from(matches!(self.frames.first(), Some(Frame::List)));
        let path: Vec<Option<&str>> = self
            .frames
            .iter()
            .skip(skip)
            .map(|frame| match frame {
                Frame::Map { key, .. } => key.as_deref(),
                Frame::List => None,
            })
            .collect();
        matches!(path.as_slice(), [Some("apiVersion" | "kind")] | [Some("metadata"), Some("namespace")])
    }

    /// A printed expression that is only a part of its scalar.
    fn inside_text(&mut self, print: usize) {
        let Some(found) = self.prints.get(&print) else { return };
        if found.targeted || harmless(&found.shape) {
            return;
        }
        let hint = "say who reads it: `| json`, `| yaml`, `| html`, `| promql`, `| shell`, or `| text` for people only; or restrict the value by a pattern in its schema";
        self.error(print, "a value that may hold any character stands inside a longer text", hint);
    }
}

/// The offsets of the printed expressions in a scalar.
fn placeholders(text: &str) -> Vec<usize> {
    let between = |rest: &str| rest.split_once(token::CLOSE).and_then(|(offset, _)| offset.parse().ok());
    text.split(token::OPEN).skip(1).filter_map(between).collect()
}

/// Plain literals that are not what they look like.
fn retyped(text: &str, at: usize) -> Option<Note> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let radix = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|prefix| digits.starts_with(prefix));
    let exponent = number && digits.parse::<f64>().is_ok() && digits.contains(['e', 'E']);
    if number && (radix || exponent) {
        return Some(Note::error(
            at,
            "the literal is a number to YAML and loses its spelling",
            "quote it when it is a string; write it in plain digits when it is a number",
        ));
    }
    let underscored = number
        && digits.contains('_')
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '.'));
    let zeros =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    let sexagesimal =
        number && digits.contains(':') && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    let word = matches!(text.to_ascii_lowercase().as_str(), "yes" | "no" | "on" | "off" | "y" | "n");
    let infinite = matches!(digits.to_ascii_lowercase().as_str(), ".inf" | ".nan");
    if underscored || zeros || sexagesimal || word || infinite {
        return Some(Note::warning(
            at,
            "readers of YAML disagree about the type of this literal",
            "quote it when it is a string; write true, false or plain digits otherwise",
        ));
    }
    None
}
