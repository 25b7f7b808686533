//! A run over one account and one boundary: draft, close, finalise. Pure: the store writes what comes of it, and the clock says when.
//!
//! The moment of a run is its boundary and never the wall clock, so a run that is late gives what it would have given in time, and
//! one that is repeated gives nothing. History is closed: what was due by an earlier boundary is posted only if something was
//! told since. Any other difference there has no reason that the log knows, and the account is parked for a person.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use num_traits::Zero as _;

use crate::breaker;
use crate::calendar::{Interval, Unit};
use crate::catalogue::{Catalogue, PriceList};
use crate::coupon::Coupon;
use crate::diff::diff;
use crate::document::{Document, Making};
use crate::event::{Event, Usage};
use crate::exact::whole;
use crate::history::{Closing, Fact, Happening, History};
use crate::invoice::{Draft, Reduced, Source, Terms, draft};
use crate::ledger::{Effect, Entry, Posting};
use crate::line::{Kind, Line};
use crate::lines::{anchor, lines};
use crate::money::round_minor;
use crate::profile::TENANTRY;
use crate::refusal::Refusal;

/// Version of the rules that this code computes by. It grows when the same facts would come to other lines, so that what
/// earlier versions closed is known to be theirs.
pub const RULES: u32 = 1;

/// How far ahead a boundary is looked for, the near ones first because they cost least.
const AHEAD: [Interval; 4] = [
    Interval::of(1, Unit::Month),
    Interval::of(3, Unit::Month),
    Interval::of(13, Unit::Month),
    Interval::of(61, Unit::Month),
];
/// Postings of one charge at one boundary: the rest of the old terms given back, that of the new ones, and the next period.
const POSTINGS_OF_A_CHARGE: usize = 3;
/// Boundaries that a preview looks at until one has something to charge: a year of months and what comes between.
const BOUNDARIES_OF_A_PREVIEW: usize = 24;

/// What meters counted, in the order in which it was told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted<'a> {
    /// All of it.
    pub usage: &'a [Usage],
    /// How many of these records the run before knew.
    pub known: usize,
}

/// The next boundary of an account: where something falls due that no run has closed, or where something was told that may change
/// what was closed. None where nothing will ever be due as things are.
///
/// # Errors
/// The facts cannot be charged.
pub fn next_boundary(history: &History) -> Result<Option<DateTime>, Refusal> {
    Ok(next(history)?.map(|(boundary, _)| boundary))
}

/// When an account is looked at next, and at which boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// The boundary, by the account's clock. It is the moment of the run, however late that is.
    pub boundary: DateTime,
    /// When it may be closed: at the boundary, or where a period with usage ends there, so much later as is agreed, because the last
    /// hours of the period are told after it.
    pub at: Timestamp,
}

/// The next boundary of an account, and when it may be closed.
///
/// # Errors
/// The facts cannot be charged.
pub fn next_due(history: &History) -> Result<Option<Due>, Refusal> {
    let Some((boundary, has_usage)) = next(history)? else { return Ok(None) };
    let at = instant(&history.catalogue()?, boundary)?;
    let wait = if has_usage { history.agreement()?.collection_delay } else { 0 };
    let at = at.saturating_add(SignedDuration::from_secs(i64::from(wait))).unwrap_or(Timestamp::MAX);
    Ok(Some(Due { boundary, at }))
}

/// The next boundary, and whether a period with usage ends there.
fn next(history: &History) -> Result<Option<(DateTime, bool)>, Refusal> {
    let catalogue = history.catalogue()?;
    let closed = history.closed();
    let after = |at: DateTime| closed.is_none_or(|closed| at > closed);
    let told = history.told().earliest.map(|at| catalogue.local(at));
    let told = told.map(|at| closed.map_or(at, |closed| at.max(closed)));
    let first = history.events().iter().map(|event| catalogue.local(event.at)).min();
    let Some(base) = closed.or(first) else { return Ok(None) };
    let mut next = told;
    let mut has_usage = false;
    for ahead in AHEAD {
        let until = ahead.step(base, 1)?;
        let all = lines(history.events(), &catalogue, &[], until)?;
        let due = all.iter().map(|line| line.due).filter(|due| after(*due)).min();
        next = [next, due].into_iter().flatten().min();
        let ends_here = |line: &Line| line.key.kind == Kind::Usage && Some(line.due) == next;
        has_usage = all.iter().any(ends_here);
        if next.is_some_and(|next| next <= until) {
            break;
        }
    }
    Ok(next.map(|next| (next, has_usage)))
}

/// An instant of the account's calendar.
///
/// # Errors
/// It lies outside the calendar.
pub fn instant(catalogue: &Catalogue, at: DateTime) -> Result<Timestamp, Refusal> {
    catalogue
        .zone
        .to_timestamp(at)
        .map_err(|_| Refusal::new("date", format!("{at} is outside the calendar"), "check the dates"))
}

/// What a run at a boundary closes.
///
/// # Errors
/// The facts cannot be charged; a breaker is hit; or a closed period would change although nothing was told. Nothing may be posted
/// then, and the account is parked until something is told or a person accepts what was found.
pub fn run(history: &History, counted: Counted<'_>, boundary: DateTime) -> Result<Closing, Refusal> {
    Runner { history, counted, boundary, is_final: true }.closing()
}

/// What is supposed for a preview: nothing of it is known to have happened.
#[derive(Clone, Debug, Default)]
pub struct Supposed {
    /// Price lists that the account may not have yet.
    pub lists: Vec<PriceList>,
    /// What happens, each told at the instant at which it takes effect, as it would be.
    pub happenings: Vec<Happening>,
    /// The documents up to the first one at or after this instant are wanted; the next one only without it.
    pub until: Option<Timestamp>,
}

/// The next document of an account if these things happened, without a number. None where nothing comes to be charged.
///
/// # Errors
/// The facts cannot be charged.
pub fn preview(
    history: &History,
    counted: Counted<'_>,
    happenings: Vec<Happening>,
) -> Result<Option<Document>, Refusal> {
    let supposed = Supposed { happenings, ..Supposed::default() };
    Ok(foresee(history, counted, supposed)?.into_iter().next())
}

/// The documents that an account would come to, without numbers, the next one first.
///
/// # Errors
/// The facts, or what is supposed, cannot be charged.
pub fn foresee(
    history: &History,
    counted: Counted<'_>,
    supposed: Supposed,
) -> Result<Vec<Document>, Refusal> {
    let Supposed { lists, mut happenings, until } = supposed;
    let mut ahead = history.clone();
    for list in lists.into_iter().filter(|list| !history.has_list(&list.id)) {
        ahead.apply(Fact::Priced(list));
    }
    let catalogue = ahead.catalogue()?;
    happenings.sort_by_key(|happening| happening.event.at);
    let mut happenings = happenings.into_iter().peekable();
    let mut documents = Vec::new();
    for _ in 0..BOUNDARIES_OF_A_PREVIEW {
        let mut next = next_boundary(&ahead)?;
        let next_at = next;
        while let Some(mut happening) =
            happenings.next_if(|one| next_at.is_none_or(|next| catalogue.local(one.event.at) <= next))
        {
            happening.event.id = ahead.next_event();
            ahead.apply(Fact::Happened(happening));
            next = next_boundary(&ahead)?;
        }
        let Some(boundary) = next else { break };
        let closing = Runner { history: &ahead, counted, boundary, is_final: false }.closing()?;
        let is_reached = until.is_none_or(|until| boundary >= catalogue.local(until));
        documents.extend(closing.document.clone());
        if is_reached && !documents.is_empty() {
            break;
        }
        ahead.apply(Fact::Closed(Box::new(closing)));
    }
    Ok(documents)
}

/// Refuses an event that the account could not be charged by, before it is written down for ever.
///
/// # Errors
/// What is wrong with it.
pub fn check(history: &History) -> Result<(), Refusal> {
    let catalogue = history.catalogue()?;
    let latest = history.events().iter().map(|event| catalogue.local(event.at)).max();
    match latest {
        Some(latest) => lines(history.events(), &catalogue, &[], latest).map(drop),
        None => Ok(()),
    }
}

struct Runner<'a> {
    history: &'a History,
    counted: Counted<'a>,
    boundary: DateTime,
    is_final: bool,
}

impl Runner<'_> {
    fn closing(&self) -> Result<Closing, Refusal> {
        let Self { history, counted, boundary, .. } = *self;
        let catalogue = history.catalogue()?;
        let agreement = history.agreement()?;
        let all = lines(history.events(), &catalogue, counted.usage, boundary)?;
        let postings = diff(&all, history.ledger(), &TENANTRY)?;
        if !history.told().accepted {
            self.check_closed(&all)?;
            breaker::check(&postings, history.ledger(), boundaries(&catalogue))?;
        }
        let charges = postings.iter().any(|posting| posting.amount.minor != 0);
        let first_anchor = match history.anchor() {
            None if charges => anchor(history.events(), &catalogue)?,
            _ => None,
        };
        let at = instant(&catalogue, boundary)?;
        let balance = history.balance_at(at);
        let rates = agreement.rates_on(boundary.date());
        let coupons: Vec<Coupon> = agreement.coupons.clone();
        let draft = draft(
            &postings,
            &Terms {
                currency: agreement.account.currency,
                profile: TENANTRY,
                rates: &rates,
                coupons: &coupons,
                maximum: None,
                service_credits: &[],
                credited: &BTreeSet::new(),
                reduced: history.reduced(),
                balance,
                wallet: 0,
            },
        )?;
        let entries = history.ledger().numbered(postings);
        let making = Making { history, agreement, entries: &entries, boundary, is_final: self.is_final };
        let document = making.document(&draft)?;
        Ok(Closing {
            boundary,
            at,
            rules: RULES,
            anchor: first_anchor,
            usage: sums(counted),
            reduced: self.reduced(&draft, &entries)?,
            balance: balance + draft.settlement.change(),
            entries,
            document,
        })
    }

    /// What was due by an earlier boundary may change only if something was told since. It is compared by itself: beside new
    /// charges a difference in old ones could hide, because a new charge takes what rounding left.
    fn check_closed(&self, all: &[Line]) -> Result<(), Refusal> {
        let Some(closed) = self.history.closed() else { return Ok(()) };
        let told = self.history.told();
        // Which applications are held together concerns every subscription of the account.
        let is_shared = !self.history.agreement()?.bundles.is_empty() && !told.subscriptions.is_empty();
        if is_shared || told.agreement {
            return Ok(());
        }
        let counted: BTreeSet<&str> = self
            .counted
            .usage
            .iter()
            .skip(self.counted.known)
            .map(|usage| usage.subscription.as_str())
            .collect();
        let is_told =
            |subscription: &str| told.subscriptions.contains(subscription) || counted.contains(subscription);
        let old: Vec<Line> = all.iter().filter(|line| line.due <= closed).cloned().collect();
        let changes = diff(&old, self.history.ledger(), &TENANTRY)?;
        let unexplained =
            |posting: &&Posting| posting.amount.minor != 0 && !is_told(&posting.key.subscription);
        match changes.iter().find(unexplained) {
            None => Ok(()),
            Some(posting) => Err(Refusal::new(
                format!("subscriptions[{}]", posting.key.subscription),
                format!(
                    "{} of {} from {} would change by {}, which was closed, and nothing was told that explains it",
                    posting.key.charge, posting.key.terms, posting.key.period.from, posting.amount
                ),
                "compare the event log with the ledger; a person may accept the difference, and then it is posted",
            )),
        }
    }

    /// What coupons took off entries, where this document changes it.
    fn reduced(&self, draft: &Draft, entries: &[Entry]) -> Result<BTreeMap<u64, Reduced>, Refusal> {
        let mut changed = BTreeMap::new();
        for line in &draft.lines {
            let Source::Posting(posting) = &line.source else { continue };
            if posting.effect == Effect::Charge {
                let reduction = round_minor(&(&line.coupons + &line.capped))?;
                let entry = entries.iter().find(|entry| entry.posting == **posting);
                if let Some(entry) = entry.filter(|_| reduction != 0) {
                    let amount = posting.amount.minor;
                    changed.insert(entry.id, Reduced { amount, reduction, returned: 0 });
                }
                continue;
            }
            let kept = &line.net - whole(posting.amount.minor);
            if let Some(id) = posting.refers_to.filter(|_| !kept.is_zero())
                && let Some(known) = self.history.reduced().get(&id)
            {
                let entry = changed.entry(id).or_insert(*known);
                entry.returned += round_minor(&kept)?;
            }
        }
        Ok(changed)
    }
}

impl History {
    /// The number of the next event.
    #[must_use]
    pub fn next_event(&self) -> u64 {
        self.events().iter().map(|event: &Event| event.id).max().map_or(1, |last| last + 1)
    }
}

/// How many times as many lines as usual a subscription may come to at one boundary, because its price list has so many charges.
fn boundaries(catalogue: &Catalogue) -> usize {
    let charges = catalogue.lists.values().map(|list| list.charges.len()).max().unwrap_or(0);
    (charges * POSTINGS_OF_A_CHARGE).div_ceil(breaker::LINES_OF_A_RUN).max(1)
}

/// What meters counted that no run knew before.
fn sums(counted: Counted<'_>) -> BTreeMap<String, String> {
    let mut sums: BTreeMap<(&str, &str), i128> = BTreeMap::new();
    for usage in counted.usage.iter().skip(counted.known) {
        *sums.entry((&usage.subscription, &usage.meter)).or_default() += i128::from(usage.quantity);
    }
    sums.into_iter()
        .map(|((subscription, meter), sum)| (format!("{subscription}/{meter}"), sum.to_string()))
        .collect()
}
