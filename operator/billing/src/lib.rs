//! The SQL store of the ledger: accounts and their logs of facts, what runs closed, numbered documents. Needs a database and a
//! runtime; the time comes in as a parameter.
//!
//! `tenantry_ledger` computes and knows no database; this crate keeps what it computes, in the database of the journal and under
//! its fence. An account is its log. A fact, once kept, is never changed (triggers refuse it) and carries the hash of all before it;
//! what else is kept of it, postings and documents, is there to be found and counted, and can be read off the log again.
//!
//! # Writing
//! Whoever writes has read the account's log, computed, and gives what he computed together with the place where the log ended: one
//! transaction asks the fence whether he may write at all, moves the log's end on from that very place, and inserts everything
//! or nothing. Where somebody was faster nothing is written, and it is computed anew. So neither a crash nor a race can post
//! twice, leave a gap in the numbers, or number a document that is not there.
//!
//! # Running
//! [`Books::run`] closes what fell due: account by account, boundary by boundary, each with the boundary as its moment. What an
//! account cannot be charged by parks it and nobody else.
//!
//! # Usage
//! [`Books::take_in`] keeps events, each once, and what does not count beside them; [`Books::roll_up`] tells the ledger of the hours
//! that are over. Of hours that nobody could measure yet [`Books::note_missing`] keeps the reason. [`Books::aside`] has page by page
//! what does not count.
//!
//! # Payments
//! [`Books::pay`] keeps what is told of payments: each once, however often and in whatever order.
//!
//! # Proof
//! [`Books::verify`] recomputes the hashes, every run of the running version's rules, the sums of every document and the
//! numbers of every series.

mod aside;
mod batch;
mod books;
mod deliveries;
mod dunning;
mod error;
mod hourly;
mod intake;
mod missing;
mod outbox;
mod payments;
mod roll_up;
mod runner;
mod tell;
mod usage;
mod verify;

pub use aside::{Cursor, KeptAside, PAGE as ASIDE_PAGE, Page as AsidePage, Wanted as AsideWanted};
pub use books::{Books, Loaded, Standing};
pub use deliveries::{Delivery, Settled, State};
pub use dunning::Dunned;
pub use error::BooksError;
pub use hourly::Hourly;
pub use intake::{Heard, Subject, Told as UsageTold, Who};
pub use missing::{Measured, MissingHour};
pub use outbox::{RECORDS, Told};
pub use payments::Recorded;
pub use runner::{AsOf, Summary};
pub use tell::Telling;
pub use usage::Batch;
pub use verify::{Fault, Verdict};
