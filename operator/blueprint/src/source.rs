//! Where the fields and templates of a definition stand in its author's files; pure.

use crate::problem::Position;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};
use std::collections::BTreeMap;

/// Places of a definition's fields and templates. Fields are named by JSON pointers into the object, such as
/// `/spec/items/3/when`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceMap {
    file: String,
    fields: BTreeMap<String, Position>,
    keys: BTreeMap<String, Position>,
    texts: BTreeMap<String, Text>,
}

/// Where a text of a definition, such as a template, stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    /// In a file of its own.
    File(String),
    /// In the definition's file: the place of its first character, and the column every later line begins at.
    Inline(Position, u32),
}

// === impl SourceMap ===

impl SourceMap {
    /// A definition without files, such as one read from the API server. Findings name it, and templates by name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { file: name.into(), ..Self::default() }
    }

    /// Reads the places of all fields from a YAML document. What cannot be read has no place.
    #[must_use]
    pub fn of_document(file: impl Into<String>, document: &str) -> Self {
        let mut map = Self::named(file);
        let mut walk = Walk { lines: document.lines().collect(), frames: Vec::new(), map: &mut map };
        for (event, span) in Parser::new_from_str(document).map_while(Result::ok) {
            walk.event(&event, place(&span.start));
        }
        map
    }

    /// The file of the definition.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Says that the text at a pointer was read from a file of its own.
    pub(crate) fn set_file(&mut self, pointer: &str, file: &str) {
        self.texts.insert(pointer.to_owned(), Text::File(file.to_owned()));
    }

    /// The place of a field, or of the nearest one around it.
    #[must_use]
    pub fn field(&self, pointer: &str) -> (&str, Position) {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.fields.get(pointer) {
                return (&self.file, *position);
            }
            match pointer.rsplit_once('/') {
                Some((around, _)) => pointer = around,
                None => return (&self.file, Position::START),
            }
        }
    }

    /// The place of a field's own name, or of the field where it has none.
    pub(crate) fn key(&self, pointer: &str) -> (&str, Position) {
        match self.keys.get(pointer) {
            Some(position) => (&self.file, *position),
            None => self.field(pointer),
        }
    }

    /// The place of a position inside the text at a pointer. Where the text has no place, it is named by `origin`.
    #[must_use]
    pub fn text<'a>(&'a self, pointer: &str, at: Position, origin: &'a str) -> (&'a str, Position) {
        match self.texts.get(pointer) {
            Some(Text::File(file)) => (file, at),
            Some(Text::Inline(start, _)) if at.line == 1 => {
                (&self.file, Position { line: start.line, column: start.column + at.column - 1 })
            }
            Some(Text::Inline(start, column)) => {
                (&self.file, Position { line: start.line + at.line - 1, column: column + at.column - 1 })
            }
            None => (origin, at),
        }
    }
}

fn place(marker: &serde_saphyr::granit_parser::Marker) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
}

/// An open collection: the key or the index of the value that comes next.
enum Frame {
    Map(Option<String>),
    List(usize),
}

struct Walk<'a, 'b> {
    lines: Vec<&'a str>,
    frames: Vec<Frame>,
    map: &'b mut SourceMap,
}

// === impl Walk ===

impl Walk<'_, '_> {
    fn event(&mut self, event: &Event<'_>, at: Position) {
        match event {
            Event::Scalar(text, style, ..) => {
                if let Some(Frame::Map(key @ None)) = self.frames.last_mut() {
                    *key = Some(text.to_string());
                    // The key's place stands for the field until its value gives a better one.
                    let pointer = self.pointer();
                    self.map.keys.insert(pointer.clone(), at);
                    self.map.fields.insert(pointer, at);
                    return;
                }
                let pointer = self.pointer();
                let (start, column) = self.text_place(*style, at);
                self.map.texts.insert(pointer.clone(), Text::Inline(start, column));
                self.map.fields.insert(pointer, at);
                self.done();
            }
            Event::SequenceStart(..) => {
                self.open(at);
                self.frames.push(Frame::List(0));
            }
            Event::MappingStart(..) => {
                self.open(at);
                self.frames.push(Frame::Map(None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.frames.pop();
                self.done();
            }
            Event::Alias(_) => self.done(),
            _ => {}
        }
    }

    /// A collection has the place of its key, which reads better than that of its first child; items of lists have
    /// their own.
    fn open(&mut self, at: Position) {
        let pointer = self.pointer();
        self.map.fields.entry(pointer).or_insert(at);
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for frame in &self.frames {
            match frame {
                Frame::Map(Some(key)) => {
                    pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
                }
                Frame::Map(None) => {}
                Frame::List(index) => pointer.push_str(&format!("/{index}")),
            }
        }
        pointer
    }

    fn done(&mut self) {
        match self.frames.last_mut() {
            Some(Frame::Map(key)) => *key = None,
            Some(Frame::List(index)) => *index += 1,
            None => {}
        }
    }

    /// Where the characters of a scalar begin, and where its later lines do.
    fn text_place(&self, style: ScalarStyle, at: Position) -> (Position, u32) {
        let quote = u32::from(matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted));
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            let start = Position { line: at.line, column: at.column + quote };
            return (start, start.column);
        }
        // A block begins on the line after its indicator; blank lines at its head belong to it.
        let index = usize::try_from(at.line).unwrap_or_default();
        let header = self.lines.get(index.saturating_sub(1)).copied().unwrap_or_default();
        let indicator = header.trim_end().rsplit([' ', '\t']).next().unwrap_or_default();
        let first = if indicator.starts_with(['|', '>']) { at.line + 1 } else { at.line };
        let body = self.lines.iter().skip(usize::try_from(first.saturating_sub(1)).unwrap_or_default());
        let indent = body
            .map(|line| line.len() - line.trim_start().len())
            .find(|indent| *indent > 0)
            .unwrap_or_default();
        let column = u32::try_from(indent).unwrap_or_default() + 1;
        (Position { line: first, column }, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "kind: Blueprint
spec:
  items:
    - name: network
      when: \"a.b\"
      manifests:
        - name: x.yaml
          template: |
            a: 1
            b: {{ nope }}
    - {name: other, dependsOn: [network, nowhere]}
";

    fn at(line: u32, column: u32) -> Position {
        Position { line, column }
    }

    #[test]
    fn fields_have_places() {
        let map = SourceMap::of_document("b.yaml", DOCUMENT);
        assert_eq!(map.field("/spec/items/0/name"), ("b.yaml", at(4, 13)));
        assert_eq!(map.field("/spec/items/1/dependsOn/1"), ("b.yaml", at(11, 42)));
        assert_eq!(map.field("/spec/items/1"), ("b.yaml", at(11, 7)));
        assert_eq!(map.field("/spec/items/0/manifests"), ("b.yaml", at(6, 7)));
        assert_eq!(map.field("/spec/items/0/nothing/here"), ("b.yaml", at(4, 7)));
    }

    #[test]
    fn texts_have_places_inside() {
        let mut map = SourceMap::of_document("b.yaml", DOCUMENT);
        let pointer = "/spec/items/0/manifests/0/template";
        assert_eq!(map.text(pointer, at(1, 1), "o"), ("b.yaml", at(9, 13)));
        assert_eq!(map.text(pointer, at(2, 7), "o"), ("b.yaml", at(10, 19)));
        assert_eq!(map.text("/spec/items/0/when", at(1, 3), "o"), ("b.yaml", at(5, 16)));
        assert_eq!(map.text("/elsewhere", at(7, 7), "o"), ("o", at(7, 7)));
        map.set_file(pointer, "x.yaml.tera");
        assert_eq!(map.text(pointer, at(2, 7), "o"), ("x.yaml.tera", at(2, 7)));
    }
}
