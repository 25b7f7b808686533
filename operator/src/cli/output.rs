//! The forms in which commands print; no client.

use clap::ValueEnum;
use serde::Serialize;

/// How to print something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns.
    Table,
    /// The columns, and more of what there is.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

// === impl Format ===

impl Format {
    /// Prints a value, or the table that is made of it; `table` is told whether it is the wide one.
    pub(super) fn print<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce(bool) -> String,
    ) -> anyhow::Result<()> {
        match self {
            Self::Table => print!("{}", table(false)),
            Self::Wide => print!("{}", table(true)),
            Self::Json => println!("{}", serde_json::to_string_pretty(value)?),
            Self::Yaml => print!("{}", serde_saphyr::to_string(value)?),
        }
        Ok(())
    }
}
