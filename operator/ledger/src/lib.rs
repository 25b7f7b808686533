//! Prices, events and usage to lines, and lines to what a ledger is still to get. Needs no client, no database and no clock.
//!
//! The reconcile of money is the reconcile of objects: [`lines::lines`] computes everything that the event log implies up to a
//! moment, as if nothing had been invoiced yet, and [`diff::diff`] compares that with what was posted. So posting twice posts
//! nothing, an event told late corrects what it changes and nothing else, and a preview is the same call with events that
//! have not happened. The rules are in `docs/billing.md`.
//!
//! # Whoever stores it
//! This crate computes; a store keeps, and a controller decides when. An account is its log of [`history::Fact`]s, each chained to
//! the one before by a hash, and [`history::History`] is the log folded. They meet in these places.
//!
//! - *Facts.* What was agreed ([`agreement::Agreement`]), every [`catalogue::PriceList`] an event refers to, in full, every event, and
//!   what each run closed. Before one is kept, [`run::check`] refuses what could not be charged for ever after.
//! - *A run* is for one account and one boundary: the moment is the boundary, never the wall clock, so that a run that was late
//!   gives what it would have given in time. [`run::run`] computes lines, difference, breaker and document from the folded log, and
//!   the store writes what comes of it in one transaction that also asks whether the writer is still the one, and whether the
//!   log is still as it was read. After a crash anywhere, the next run computes the same difference.
//! - *The anchor.* The first run that charges writes [`lines::anchor`] down. Without a fixed one, an event told late could move the
//!   boundaries of what was posted; the ledger would still add up, but in pieces nobody wants to read.
//! - *Natural key.* ([`line::LineKey`], effect, revision) of a [`ledger::Posting`] is unique in the store, as text.
//! - *Numbers.* A document gets one when it is final, in the same transaction in which its series' counter row moves on, and
//!   [`series::Series`] writes it. A draft has none.
//! - *Closed periods.* What an earlier boundary closed changes only if an event or usage was told since; any other difference parks
//!   the account until a person accepts it.
//! - *Payments* are facts ([`payment::Payment`]), each once by what its provider calls it. What is open is a function of their set
//!   ([`payment::allocate`]), and a run draws what was received by its boundary.
//! - *Dunning* ([`dunning::decide`]) says from the log what follows from unpaid invoices on a day; each notice is a fact.
//! - *Verifying* replays: every [`history::Closing`] of the running [`run::RULES`] must come out again from the facts before it.
//! - *Costs* of the seller ([`margin::shares`]) are no facts: they are compared with what was sold, and never with what is owed.
//! - *When next.* [`run::next_due`] is where something falls due that no run has closed, and when it may be: where usage is charged, a
//!   while later, so that the last hours of the period count.

pub mod agreement;
pub mod balance;
pub mod breaker;
pub mod calendar;
pub mod catalogue;
pub mod commitment;
pub mod coupon;
pub mod diff;
pub mod document;
pub mod dunning;
pub mod event;
pub mod exact;
pub mod history;
pub mod invoice;
pub mod ladder;
pub mod ledger;
pub mod line;
pub mod lines;
pub mod margin;
pub mod metered;
pub mod money;
pub mod payment;
pub mod price;
pub mod profile;
pub mod refusal;
pub mod run;
pub mod series;
pub mod service_credit;
pub mod tax;
mod timeline;
pub mod timing;
