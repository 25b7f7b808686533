//! Tables: rows of CSV, what identifies them, and the checksum over them. Needs nothing.

use crate::names::Name;
use crate::sums::{Sha256, sha256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bucket in which each table has a key that says which bucket holds its rows now.
pub(crate) const TABLES: &str = "tables";

/// One row: its values by column.
pub(crate) type Row = BTreeMap<String, String>;

/// A table that is in use, as it is kept in the bucket [`TABLES`]. Writing it is the cut-over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Table {
    /// Bucket of the rows.
    pub(crate) bucket: Name,
    /// Columns in the order of the source.
    pub(crate) columns: Vec<String>,
    /// How many rows there are.
    pub(crate) rows: usize,
    /// Checksum over all rows, see [`checksum`].
    pub(crate) checksum: String,
}

/// What a source holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Columns in their order.
    pub(crate) columns: Vec<String>,
    /// Rows by key, each as the bytes that are stored.
    pub(crate) rows: BTreeMap<Name, Vec<u8>>,
    /// What is wrong, with the line and the remedy. Empty when all rows are usable.
    pub(crate) problems: Vec<String>,
}

/// Reads CSV with a header (RFC 4180, UTF-8). Each row is identified by its value in `key_column`.
pub(crate) fn read_csv(bytes: &[u8], key_column: &str) -> Source {
    let mut source = Source::default();
    let mut reader = csv::Reader::from_reader(bytes);
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            source
                .problems
                .push(format!("the header cannot be read: {error}; save the file as CSV in UTF-8"));
            return source;
        }
    };
    source.columns = header.iter().map(str::to_owned).collect();
    for (at, column) in source.columns.iter().enumerate() {
        if source.columns.iter().take(at).any(|earlier| earlier == column) {
            source.problems.push(format!("the header has the column {column:?} twice; rename one"));
        }
    }
    if !source.columns.iter().any(|column| column == key_column) {
        let columns = source.columns.join(", ");
        source
            .problems
            .push(format!("the header has no column {key_column:?} but {columns}; name the right one"));
    }
    if !source.problems.is_empty() {
        return source;
    }
    for record in reader.into_records() {
        if let Err(problem) = source.add(record, key_column) {
            source.problems.push(problem);
        }
    }
    source
}

/// A row as it is stored: JSON with the columns in the order of their names.
pub(crate) fn stored(row: &Row) -> Vec<u8> {
    serde_json::to_vec(row).unwrap_or_default()
}

/// The checksum of a table: SHA-256 over one line for each row, in the order of their keys: the SHA-256 of the stored row in
/// hexadecimal, two spaces, the key, a line feed.
pub(crate) fn checksum<'a>(rows: impl IntoIterator<Item = (&'a Name, &'a Vec<u8>)>) -> String {
    let mut sum = Sha256::default();
    for (key, row) in rows {
        sum.update(format!("{}  {key}\n", sha256(row)).as_bytes());
    }
    sum.finish()
}

/// What differs between the rows that were wanted and those that were found, by key.
pub(crate) fn differences(wanted: &BTreeMap<Name, Vec<u8>>, found: &BTreeMap<Name, Vec<u8>>) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, row) in wanted {
        match found.get(key) {
            None => lines.push(format!("{key}: is missing in the store")),
            Some(other) if other != row => lines.push(format!("{key}: is another row in the store")),
            Some(_) => {}
        }
    }
    lines.extend(
        found
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .map(|key| format!("{key}: is not in the source")),
    );
    lines
}

// === impl Source ===

impl Source {
    fn add(&mut self, record: csv::Result<csv::StringRecord>, key_column: &str) -> Result<(), String> {
        let record = record.map_err(|error| match error.kind() {
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.as_ref().map_or(0, csv::Position::line);
                format!(
                    "line {line}: {len} values instead of {expected_len}; put values with commas into quotes"
                )
            }
            _ => format!("{error}; save the file as CSV in UTF-8"),
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let row: Row = self.columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
        let key = row.get(key_column).map(String::as_str).unwrap_or_default();
        let key: Name = key.parse().map_err(|error| format!("line {line}, column {key_column}: {error}"))?;
        if self.rows.contains_key(&key) {
            return Err(format!(
                "line {line}, column {key_column}: {key} is there already; each row needs its own"
            ));
        }
        self.rows.insert(key, stored(&row));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(values: &[(&str, &str)]) -> Row {
        values.iter().map(|(column, value)| ((*column).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let source = read_csv("id,name\r\nC-2,\nC-1,\"Çelik, \"\"A\"\"\"\n".as_bytes(), "id");
        assert_eq!(source.problems, [""; 0]);
        assert_eq!(source.columns, ["id", "name"]);
        let rows: Vec<Row> = source.rows.values().map(|row| serde_json::from_slice(row).unwrap()).collect();
        assert_eq!(
            rows,
            [row(&[("id", "C-1"), ("name", "Çelik, \"A\"")]), row(&[("id", "C-2"), ("name", "")])]
        );
        assert_eq!(
            source.rows.values().next().unwrap(),
            "{\"id\":\"C-1\",\"name\":\"Çelik, \\\"A\\\"\"}".as_bytes()
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_line_and_remedy() {
        let cases: [(&[u8], &str); 7] = [
            (b"number,name\n1,a\n", "has no column \"id\" but number, name"),
            (b"id,name,name\n1,a,b\n", "the column \"name\" twice"),
            (b"id,name\n1,a\n2,b,c\n", "line 3: 3 values instead of 2"),
            (b"id,name\n1,a\n1,b\n", "line 3, column id: 1 is there already"),
            (b"id,name\n,a\n", "line 2, column id: the name \"\" is not usable"),
            (b"id,name\n../x,a\n", "line 2, column id: the name \"../x\" is not usable"),
            (b"id,name\n1,\xff\n", "UTF-8"),
        ];
        for (bytes, part) in cases {
            let problems = read_csv(bytes, "id").problems;
            assert!(matches!(problems.as_slice(), [one] if one.contains(part)), "{problems:?}, not {part}");
        }
    }

    #[test]
    fn the_checksum_is_what_its_documentation_says() {
        let source = read_csv(b"id\nb\na\n", "id");
        let lines = format!("{}  a\n{}  b\n", sha256(br#"{"id":"a"}"#), sha256(br#"{"id":"b"}"#));
        assert_eq!(checksum(&source.rows), sha256(lines.as_bytes()));
    }

    #[test]
    fn differences_name_the_key() {
        let wanted = read_csv(b"id,v\na,1\nb,1\nc,1\n", "id").rows;
        let found = read_csv(b"id,v\nb,2\nc,1\nd,1\n", "id").rows;
        let lines =
            ["a: is missing in the store", "b: is another row in the store", "d: is not in the source"];
        assert_eq!(differences(&wanted, &found), lines);
        assert_eq!(differences(&wanted, &wanted), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_survives(values in prop::collection::vec((any::<String>(), any::<String>()), 0..20)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["one", "id", "two"]).unwrap();
            for (at, (one, two)) in values.iter().enumerate() {
                writer.write_record([one, &format!("k{at}"), two]).unwrap();
            }
            let source = read_csv(&writer.into_inner().unwrap(), "id");
            prop_assert_eq!(&source.problems, &Vec::<String>::new());
            for (at, (one, two)) in values.iter().enumerate() {
                let key = format!("k{at}");
                let wanted = row(&[("one", one), ("id", &key), ("two", two)]);
                let stored: Row = serde_json::from_slice(&source.rows[&key.parse().unwrap()]).unwrap();
                prop_assert_eq!(stored, wanted);
            }
        }
    }
}
