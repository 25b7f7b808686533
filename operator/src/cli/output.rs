//! The forms in which commands print; pure.

use clap::ValueEnum;

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
