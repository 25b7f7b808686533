//! Statements with many rows. Needs a connection.

use sqlx::{AnyConnection, AssertSqlSafe};

/// Values of one statement. SQLite takes 32,766, PostgreSQL twice as many, but SQLite looks for the name of each value, such as `$7`,
/// among all before it, so what a statement costs grows with the square of this.
const VALUES: usize = 300;

/// A value of a row.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Integer(i64),
    MaybeInteger(Option<i64>),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::MaybeInteger(value)
    }
}

impl From<&str> for Value {
    /// PostgreSQL refuses the character NUL, and what is refused would be tried for ever.
    fn from(value: &str) -> Self {
        Self::Text(value.replace('\0', "\u{fffd}"))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        value.as_str().into()
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

/// Inserts rows of so many columns.
pub(crate) async fn insert<const WIDTH: usize>(
    connection: &mut AnyConnection,
    table: &str,
    columns: [&str; WIDTH],
    rows: Vec<[Value; WIDTH]>,
) -> Result<(), sqlx::Error> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let part: Vec<_> = rows.by_ref().take(VALUES / WIDTH).collect();
        let places: Vec<String> = (0..part.len())
            .map(|row| {
                let places: Vec<String> =
                    (1..=WIDTH).map(|column| format!("${}", row * WIDTH + column)).collect();
                format!("({})", places.join(", "))
            })
            .collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES {}", columns.join(", "), places.join(", "));
        // Its text depends on the number of rows: kept statements would crowd out others.
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(part.len() == 1);
        for value in part.into_iter().flatten() {
            query = match value {
                Value::Integer(value) => query.bind(value),
                Value::MaybeInteger(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
