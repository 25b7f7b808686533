//! Document numbers: one series per account, numbered when a document is final. Pure: the counter is the store's.

/// Writes a number of an account's series, and what a draft shows in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    /// What every number of the issuer begins with.
    pub prefix: String,
    /// The account's place among the issuer's accounts, from one on.
    pub account: u32,
}

impl Series {
    /// The number of the `n`th final document, from one on.
    #[must_use]
    pub fn number(&self, n: u32) -> String {
        format!("{}-{:03}-{n:03}", self.prefix, self.account)
    }

    /// What a draft shows: it has no number, so that throwing it away leaves no gap.
    #[must_use]
    pub fn draft(&self) -> String {
        format!("{}-DRAFT", self.prefix)
    }
}
