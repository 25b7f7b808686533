//! Promises of a customer: a minimum that fees are filled up to, and what leaving a promotion early costs. Pure.

use jiff::civil::DateTime;
use num_traits::Zero as _;

use crate::calendar::{Interval, Period};
use crate::catalogue::EarlyEnd;
use crate::exact::{Exact, shown, whole};
use crate::line::{Kind, Line};
use crate::lines::{Owed, Run};
use crate::money::{percent, sum};
use crate::profile::Profile;
use crate::refusal::Refusal;
use crate::timeline::{Granted, State};

/// What is missing from a minimum; never negative.
#[must_use]
pub fn true_up(minimum: &Exact, fees: &Exact) -> Exact {
    (minimum - fees).max(Exact::zero())
}

/// The share of what was granted that an early end costs: as much of it as the term has left.
#[must_use]
pub fn claw_back(profile: &Profile, granted: &Exact, policy: &Exact, term: Period, ended: DateTime) -> Exact {
    granted * policy * profile.ratio(Period::new(ended.clamp(term.from, term.to), term.to), term)
}

/// A minimum and the stretch of time in which it is promised.
struct Minimum<'a> {
    name: &'a str,
    terms: String,
    amount: &'a Exact,
    interval: Interval,
    early_end: EarlyEnd,
    tax: &'a str,
    stretch: Period,
    anchor_day: Option<i8>,
    /// Whether the stretch's end is the subscription's.
    ends: bool,
}

/// Fills up what the subscription's lines, those from `from` on, do not reach, and claws back.
pub(crate) fn lines(run: &Run<'_>, into: &mut Vec<Line>, from: usize) -> Result<(), Refusal> {
    for minimum in minimums(run) {
        fill_up(run, &minimum, into, from)?;
    }
    for granted in &run.line.promotions {
        for stretch in promised(run, granted) {
            let promotion = granted.promotion;
            let minimum = Minimum {
                name: &promotion.name,
                terms: format!("at least {}", promotion.minimum),
                amount: promotion.minimum.value(),
                interval: promotion.interval,
                early_end: EarlyEnd::Prorate,
                tax: &promotion.tax,
                stretch,
                anchor_day: anchor_day(run, stretch),
                ends: false,
            };
            fill_up(run, &minimum, into, from)?;
        }
        if let Some(ended) = granted.ended.filter(|ended| *ended <= run.as_of) {
            claw(run, granted, ended, into, from)?;
        }
    }
    Ok(())
}

/// The commitments of the price lists, each over the charged time in which its list was in force. Who tries something has promised
/// nothing yet, so a trial is no such time.
fn minimums<'a>(run: &Run<'a>) -> Vec<Minimum<'a>> {
    let mut minimums: Vec<Minimum<'a>> = Vec::new();
    let mut list = None;
    let promises = |state: &State<'_>| state.charged && !state.is_free();
    for segment in run.line.segments.iter().filter(|segment| promises(&segment.state)) {
        let Some(commitment) = &segment.state.list.commitment else { continue };
        let same = list == Some(segment.state.list.id.as_str());
        list = Some(segment.state.list.id.as_str());
        match minimums.last_mut() {
            Some(last)
                if same
                    && last.stretch.to == segment.period.from
                    && last.anchor_day == segment.state.anchor_day =>
            {
                last.stretch.to = segment.period.to;
            }
            _ => minimums.push(Minimum {
                name: "commitment",
                terms: format!("{} at least {}", segment.state.list.id, commitment.amount),
                amount: commitment.amount.value(),
                interval: commitment.interval,
                early_end: commitment.early_end,
                tax: &commitment.tax,
                stretch: segment.period,
                anchor_day: segment.state.anchor_day,
                ends: false,
            }),
        }
    }
    let end = run.line.segments.last().map(|segment| segment.period.to);
    if let Some(last) = minimums.last_mut() {
        last.ends = run.line.ended.is_some() && Some(last.stretch.to) == end;
    }
    minimums
}

/// The charged time within a promotion.
fn promised(run: &Run<'_>, granted: &Granted<'_>) -> Vec<Period> {
    let whole_term = Period::new(granted.from, granted.ended.unwrap_or(granted.term_end));
    let mut stretches: Vec<Period> = Vec::new();
    for segment in run.line.segments.iter().filter(|segment| segment.state.charged) {
        let Some(part) = segment.period.common(&whole_term) else { continue };
        match stretches.last_mut() {
            Some(last) if last.to == part.from => last.to = part.to,
            _ => stretches.push(part),
        }
    }
    stretches
}

fn anchor_day(run: &Run<'_>, stretch: Period) -> Option<i8> {
    run.line
        .segments
        .iter()
        .find(|segment| segment.period.contains(stretch.from))
        .and_then(|found| found.state.anchor_day)
}

fn fill_up(run: &Run<'_>, minimum: &Minimum<'_>, into: &mut Vec<Line>, from: usize) -> Result<(), Refusal> {
    let cycle =
        run.catalogue.cycle(run.line.anchor, minimum.anchor_day, minimum.stretch.from, minimum.interval);
    let mut k = cycle.index(minimum.stretch.from)?;
    loop {
        let enclosing = cycle.period(k)?;
        k += 1;
        let Some(part) = enclosing.common(&minimum.stretch).filter(|part| part.to <= run.as_of) else {
            return Ok(());
        };
        let profile = run.catalogue.profile;
        let ratio = if minimum.early_end == EarlyEnd::Full && minimum.ends && part.to == minimum.stretch.to {
            whole(1)
        } else {
            profile.ratio(part, profile.whole_of(part, enclosing, minimum.interval)?)
        };
        let fees = fees(run, part, into.get(from..).unwrap_or_default());
        let missing = true_up(&(minimum.amount * ratio), &fees);
        if missing.is_zero() {
            continue;
        }
        let owed = Owed {
            kind: Kind::TrueUp,
            charge: minimum.name,
            terms: minimum.terms.clone(),
            period: part,
            list: &missing,
            net: &missing,
            unpromoted: &missing,
            quantity: &whole(1),
            tax: minimum.tax,
            due: part.to,
        };
        into.push(run.owe(&owed)?);
    }
}

/// The fees of a period: what was due at the end of something counts where it was due, and what was paid ahead for longer
/// counts with its share. So a minimum never changes when a later fee falls due.
fn fees(run: &Run<'_>, within: Period, lines: &[Line]) -> Exact {
    let currency = run.catalogue.account.currency;
    let mut fees = Exact::zero();
    for line in lines {
        let period = line.key.period;
        let net = currency.major(line.net.minor);
        if period.is_empty() {
            if within.contains(period.from) {
                fees += net;
            }
        } else if line.due == period.to {
            if within.from < line.due && line.due <= within.to {
                fees += net;
            }
        } else if let Some(common) = period.common(&within) {
            let profile = &run.catalogue.profile;
            fees += net * crate::exact::fraction(profile.length(common), profile.length(period));
        }
    }
    fees
}

fn claw(
    run: &Run<'_>,
    granted: &Granted<'_>,
    ended: DateTime,
    into: &mut Vec<Line>,
    from: usize,
) -> Result<(), Refusal> {
    let term = Period::new(granted.from, granted.term_end);
    let served = Period::new(granted.from, ended);
    let lines = into.get(from..).unwrap_or_default();
    let total =
        sum(lines.iter().filter(|line| line.key.period.common(&served).is_some()).map(|line| line.granted))?;
    let total = run.catalogue.account.currency.major(total);
    let amount =
        claw_back(&run.catalogue.profile, &total, &percent(&granted.promotion.claw_back), term, ended);
    if amount.is_zero() {
        return Ok(());
    }
    let promotion = granted.promotion;
    let owed = Owed {
        kind: Kind::ClawBack,
        charge: &promotion.name,
        terms: format!("{}% of {} granted, left early", promotion.claw_back, shown(&total)),
        period: Period::new(ended, ended),
        list: &amount,
        net: &amount,
        unpromoted: &amount,
        quantity: &whole(1),
        tax: &promotion.tax,
        due: ended,
    };
    into.push(run.owe(&owed)?);
    Ok(())
}
