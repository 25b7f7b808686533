//! Documents that the ledger itself made of random histories, in every form: no rule of EN 16931 finds anything in one, its XML reads
//! back as what was written, and the rows of FOCUS add up to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on ends here"
)]

mod focus;
mod made;
mod pages;
mod standard;
