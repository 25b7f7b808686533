//! From an event log to stretches of time in which nothing changes: which prices, how many, charged or not. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::DateTime;
use num_traits::Zero as _;

use crate::calendar::{Cycle, Interval, Period, next_day};
use crate::catalogue::{Alignment, Catalogue, PriceList};
use crate::event::{Change, Event, FinalUsage, Promotion, Unused};
use crate::exact::{Decimal, Exact, whole};
use crate::profile::{Anchoring, LastDay, Measure};
use crate::refusal::Refusal;

/// What is true of a subscription at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State<'a> {
    pub(crate) application: &'a str,
    pub(crate) list: &'a PriceList,
    pub(crate) quantities: BTreeMap<&'a str, &'a Decimal>,
    pub(crate) charged: bool,
    pub(crate) anchor_day: Option<i8>,
    pub(crate) promotion: Option<(&'a Promotion, DateTime)>,
    /// The phase of the price list, none once all are over.
    pub(crate) phase: Option<usize>,
    /// The bundles that apply, by their place in the catalogue.
    pub(crate) bundles: Vec<usize>,
}

/// A stretch in which nothing changes. The last one of a subscription that goes on ends at [`forever`].
#[derive(Clone, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) period: Period,
    pub(crate) state: State<'a>,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(crate) struct Timeline<'a> {
    pub(crate) subscription: &'a str,
    pub(crate) started: DateTime,
    pub(crate) segments: Vec<Segment<'a>>,
    pub(crate) ended: Option<Ended>,
    pub(crate) extras: Vec<(&'a Event, DateTime)>,
    pub(crate) promotions: Vec<Granted<'a>>,
    pub(crate) anchor: DateTime,
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) unused: Unused,
    pub(crate) usage: FinalUsage,
}

/// A promotion and when it ended early, if it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted<'a> {
    pub(crate) promotion: &'a Promotion,
    pub(crate) from: DateTime,
    pub(crate) term_end: DateTime,
    pub(crate) ended: Option<DateTime>,
}

/// The end of what has no end yet.
pub(crate) const fn forever() -> DateTime {
    DateTime::MAX
}

impl Catalogue {
    /// The local moment that counts for an instant: the day, or the second where seconds are measured.
    pub(crate) fn local(&self, at: Timestamp) -> DateTime {
        let local = self.zone.to_datetime(at);
        if self.profile.measure == Measure::Seconds { local } else { local.date().into() }
    }

    /// The moment at which something that ends at an instant is no longer charged.
    fn local_end(&self, at: Timestamp) -> Result<DateTime, Refusal> {
        let local = self.local(at);
        match self.profile.last_day {
            LastDay::Free => Ok(local),
            LastDay::Charged => Ok(next_day(local.date())?.into()),
        }
    }

    /// The boundaries of a recurrence for charges that began at `begun`.
    pub(crate) fn cycle(
        &self,
        anchor: DateTime,
        day: Option<i8>,
        begun: DateTime,
        interval: Interval,
    ) -> Cycle {
        match (self.profile.anchoring, interval.months()) {
            (Anchoring::DayOfMonth, Some(_)) => Cycle::on_day(begun, day.unwrap_or(anchor.day()), interval),
            (_, Some(_)) => Cycle::on_day(anchor, day.unwrap_or(anchor.day()), interval),
            (_, None) => Cycle::new(anchor, interval),
        }
    }
}

/// The timelines of every subscription of the log.
pub(crate) fn timelines<'a>(
    events: &'a [Event],
    catalogue: &'a Catalogue,
) -> Result<Vec<Timeline<'a>>, Refusal> {
    let mut ids = BTreeSet::new();
    let mut by_subscription: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if !ids.insert(event.id) {
            return Err(Refusal::new(
                format!("events[{}]", event.id),
                "there are two of it",
                "give each event a number of its own",
            ));
        }
        by_subscription.entry(&event.subscription).or_default().push(event);
    }
    let mut timelines = by_subscription
        .into_iter()
        .map(|(name, mut log)| {
            log.sort_by_key(|event| (event.at, event.id));
            timeline(name, &log, catalogue)
        })
        .collect::<Result<Vec<_>, _>>()?;
    apply_bundles(&mut timelines, catalogue);
    set_anchors(&mut timelines, catalogue);
    Ok(timelines)
}

fn timeline<'a>(name: &'a str, log: &[&'a Event], catalogue: &'a Catalogue) -> Result<Timeline<'a>, Refusal> {
    let mut line = Timeline {
        subscription: name,
        started: DateTime::MIN,
        segments: Vec::new(),
        ended: None,
        extras: Vec::new(),
        promotions: Vec::new(),
        anchor: DateTime::MIN,
    };
    let mut now: Option<(DateTime, State<'a>)> = None;
    for event in log {
        let refuse =
            |reason: &str, remedy: &str| Err(Refusal::new(format!("events[{}]", event.id), reason, remedy));
        let at = catalogue.local(event.at);
        if let Change::Start { application, price_list, quantities } = &event.change {
            if now.is_some() || line.ended.is_some() {
                return refuse("the subscription was started before", "start another subscription");
            }
            for (unit, quantity) in quantities {
                quantity.not_negative(&format!("events[{}].quantities[{unit}]", event.id))?;
            }
            line.started = at;
            let state = State {
                application,
                list: catalogue.list(price_list)?,
                quantities: quantities.iter().map(|(unit, quantity)| (unit.as_str(), quantity)).collect(),
                charged: true,
                anchor_day: None,
                promotion: None,
                phase: None,
                bundles: Vec::new(),
            };
            now = Some((at, state));
            continue;
        }
        let Some((since, state)) = now.take() else {
            return refuse(
                "the subscription is not running",
                "write its start first, and nothing after its end",
            );
        };
        if let Change::Cancel { unused, usage } = &event.change {
            let end = catalogue.local_end(event.at)?;
            end_promotion(&mut line, end);
            push(&mut line, Period::new(since, end), &state)?;
            line.ended = Some(Ended { unused: *unused, usage: *usage });
            continue;
        }
        let next = changed(&mut line, &state, event, at, catalogue)?;
        push(&mut line, Period::new(since, at), &state)?;
        now = Some((at.max(since), next));
    }
    if let Some((since, state)) = now {
        push(&mut line, Period::new(since, forever()), &state)?;
    }
    Ok(line)
}

/// What is true after an event that is neither start nor end.
fn changed<'a>(
    line: &mut Timeline<'a>,
    state: &State<'a>,
    event: &'a Event,
    at: DateTime,
    catalogue: &'a Catalogue,
) -> Result<State<'a>, Refusal> {
    let mut next = state.clone();
    match &event.change {
        Change::Start { .. } | Change::Cancel { .. } => {}
        Change::ChangePlan { price_list } => next.list = catalogue.list(price_list)?,
        Change::SetQuantity { unit, quantity } => {
            quantity.not_negative(&format!("events[{}].quantity", event.id))?;
            next.quantities.insert(unit, quantity);
        }
        Change::Pause => next.charged = false,
        Change::Suspend { charged } => next.charged = *charged,
        Change::Resume => next.charged = true,
        Change::MoveAnchor { day } if (1..=31).contains(day) => next.anchor_day = Some(*day),
        Change::MoveAnchor { .. } => {
            return Err(Refusal::new(
                format!("events[{}]", event.id),
                "no month has that day",
                "write 1 to 31",
            ));
        }
        Change::Extra { price, .. } => {
            catalogue.account.currency.price(&format!("events[{}].price", event.id), price)?;
            line.extras.push((event, at));
        }
        Change::Promote(promotion) => {
            check_promotion(promotion, catalogue)
                .map_err(|refusal| refusal.within(&format!("events[{}]", event.id)))?;
            end_promotion(line, at);
            let term_end = promotion.term.step(at, 1)?;
            line.promotions.push(Granted { promotion, from: at, term_end, ended: None });
            next.promotion = Some((promotion, term_end));
        }
        Change::EndPromotion => {
            end_promotion(line, at);
            next.promotion = None;
        }
    }
    Ok(next)
}

fn check_promotion(promotion: &Promotion, catalogue: &Catalogue) -> Result<(), Refusal> {
    catalogue.list(&promotion.at_prices_of)?;
    catalogue.account.currency.price("minimum", &promotion.minimum)?;
    crate::catalogue::percentage("clawBack", &promotion.claw_back)?;
    promotion.interval.check("interval")?;
    promotion.term.check("term")
}

fn end_promotion(line: &mut Timeline<'_>, at: DateTime) {
    if let Some(granted) = line.promotions.last_mut()
        && granted.ended.is_none()
        && at < granted.term_end
    {
        granted.ended = Some(at);
    }
}

/// Adds a stretch, cut where a phase or a promotion's term ends. Phases count from the subscription's start, so a change of
/// plan within a trial does not begin a new one.
fn push<'a>(line: &mut Timeline<'a>, period: Period, state: &State<'a>) -> Result<(), Refusal> {
    let mut cuts = Vec::new();
    let mut end = line.started;
    for (index, phase) in state.list.phases.iter().enumerate() {
        let begin = end;
        end = phase.length.step(begin, 1)?;
        cuts.push((Period::new(begin, end), Some(index)));
    }
    cuts.push((Period::new(end, forever()), None));
    for (within, phase) in cuts {
        let Some(part) = period.common(&within) else { continue };
        let term = state.promotion.map_or(part.to, |(_, term_end)| term_end.clamp(part.from, part.to));
        for (piece, promoted) in [(Period::new(part.from, term), true), (Period::new(term, part.to), false)] {
            let mut state = State { phase, ..state.clone() };
            if !promoted {
                state.promotion = None;
            }
            append(&mut line.segments, piece, state);
        }
    }
    Ok(())
}

/// Adds a stretch, as part of the one before where nothing changed.
fn append<'a>(segments: &mut Vec<Segment<'a>>, period: Period, state: State<'a>) {
    if period.is_empty() {
        return;
    }
    match segments.last_mut() {
        Some(last) if last.period.to == period.from && last.state == state => last.period.to = period.to,
        _ => segments.push(Segment { period, state }),
    }
}

/// Cuts every stretch where the set of applications that the account holds changes a bundle that touches it.
fn apply_bundles(timelines: &mut [Timeline<'_>], catalogue: &Catalogue) {
    if catalogue.bundles.is_empty() {
        return;
    }
    let held: Vec<(Period, String)> = timelines
        .iter()
        .flat_map(|line| &line.segments)
        .filter(|segment| segment.state.charged)
        .map(|segment| (segment.period, segment.state.application.to_owned()))
        .collect();
    let moments: BTreeSet<DateTime> = held.iter().flat_map(|(period, _)| [period.from, period.to]).collect();
    for line in timelines {
        for segment in std::mem::take(&mut line.segments) {
            let mut from = segment.period.from;
            let inside =
                moments.iter().copied().filter(|at| *at > segment.period.from && *at < segment.period.to);
            for to in inside.chain([segment.period.to]) {
                let bundles = catalogue.bundles.iter().enumerate().filter(|(_, bundle)| {
                    bundle.applications.contains(segment.state.application)
                        && bundle.applications.iter().all(|wanted| {
                            held.iter()
                                .any(|(period, application)| application == wanted && period.contains(from))
                        })
                });
                let state =
                    State { bundles: bundles.map(|(index, _)| index).collect(), ..segment.state.clone() };
                append(&mut line.segments, Period::new(from, to), state);
                from = to;
            }
        }
    }
}

/// The anchor of each subscription: the account's date, or the first day that something recurring costs money.
fn set_anchors(timelines: &mut [Timeline<'_>], catalogue: &Catalogue) {
    let own = |line: &Timeline<'_>| {
        let paid = line.segments.iter().find(|segment| segment.state.charged && !segment.state.is_free());
        paid.map_or(line.started, |segment| segment.period.from)
    };
    let first = timelines.iter().map(own).min().unwrap_or(DateTime::MIN);
    let shared = catalogue.account.anchor.map_or(first, DateTime::from);
    for line in timelines {
        line.anchor = match catalogue.account.alignment {
            Alignment::Account => shared,
            Alignment::Subscription => own(line),
        };
    }
}

impl State<'_> {
    /// The share of recurring prices that the phase leaves.
    pub(crate) fn phase_discount(&self) -> Option<&Decimal> {
        let phase = self.phase.and_then(|index| self.list.phases.get(index))?;
        (!phase.discount.value().is_zero()).then_some(&phase.discount)
    }

    /// Whether the phase makes everything recurring free.
    pub(crate) fn is_free(&self) -> bool {
        let free: Exact = whole(100);
        self.phase_discount().is_some_and(|discount| *discount.value() == free)
    }
}
