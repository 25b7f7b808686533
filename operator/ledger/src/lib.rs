//! Prices, events and usage to lines, and lines to what a ledger is still to get. Needs no client, no database and no clock.
//!
//! The reconcile of money is the reconcile of objects: [`lines::lines`] computes everything that the event log implies up to a
//! moment, as if nothing had been invoiced yet, and [`diff::diff`] compares that with what was posted. So posting twice posts
//! nothing, an event told late corrects what it changes and nothing else, and a preview is the same call with events that
//! have not happened. The rules are in `docs/billing.md`.
//!
//! # Whoever stores it
//! This crate computes; a store keeps, and a controller decides when. What they need of each other comes to this:
//!
//! ```text
//! store.snapshot(account)                  -> Snapshot { account, price lists, bundles, events, usage, ledger, coupons,
//!                                             rates, reductions, balance, wallet, closed until }
//! store.append(events or usage, idempotency key)
//! store.commit(fence, Run { account, boundary, postings, draft, next due }) -> numbers, or "somebody was faster"
//!
//! run(snapshot, boundary) -> Run           pure: lines, diff, breaker, draft
//! ```
//!
//! They meet in these places.
//!
//! - *Input.* A store keeps [`event::Event`]s, [`event::Usage`] and every [`catalogue::PriceList`] an event refers to, in full,
//!   as JSON, append-only. For one account it reads them in one snapshot and makes a [`catalogue::Catalogue`], which is where
//!   anything that cannot be charged is refused.
//! - *The anchor.* With the first charge the store writes [`lines::anchor`] into the account. Without a fixed one, an event told
//!   late could move the boundaries of what was posted; the ledger would still add up, but in pieces nobody wants to read.
//! - *A run* is for one account and one boundary: the moment is the boundary, never the wall clock, so that a run that was late
//!   gives what it would have given in time. It locks the account, reads, calls `lines`, `diff` and [`breaker::check`], makes
//!   an [`invoice::draft`], and writes postings, document, number, balance and outbox in one transaction that also asks
//!   whether the writer is still the one. After a crash anywhere, the next run computes the same difference.
//! - *Natural key.* ([`line::LineKey`], effect, revision) of a [`ledger::Posting`] is unique in the store, as text:
//!   two writers that computed the same difference cannot both post it.
//! - *Numbers.* A document gets one from its series' counter row when it is final, in the same transaction, and
//!   [`series::Series`] writes it. A draft has none.
//! - *Closed periods.* A store that closes a period keeps its boundaries, lines and price list. It passes postings on only if
//!   their period is open, or if an event or a record of usage was told after the close; any other difference in a closed period
//!   parks the account.
//! - *Reductions.* What coupons and a maximum took off a posting ([`invoice::DocumentLine`]) is kept beside it, and comes back as
//!   [`invoice::Reduced`] when a later credit refers to it.
//! - *Verifying* replays: the same calls from an empty [`ledger::Ledger`], boundary by boundary, must give the same postings.
//! - *When next.* The earliest `due` after now of `lines` computed one interval ahead is the account's next boundary.

pub mod balance;
pub mod breaker;
pub mod calendar;
pub mod catalogue;
pub mod commitment;
pub mod coupon;
pub mod diff;
pub mod dunning;
pub mod event;
pub mod exact;
pub mod invoice;
pub mod ledger;
pub mod line;
pub mod lines;
pub mod metered;
pub mod money;
pub mod price;
pub mod profile;
pub mod refusal;
pub mod series;
pub mod service_credit;
pub mod tax;
mod timeline;
pub mod timing;
