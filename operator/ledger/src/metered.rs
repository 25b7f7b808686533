//! Usage: what meters counted in a period, converted, rounded and priced. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use num_traits::Zero as _;

use crate::calendar::{Cycle, Period, days_between};
use crate::catalogue::{Aggregation, Catalogue, Charge, ChargeKind, UnitRounding};
use crate::event::{Event, FinalUsage, Usage};
use crate::exact::{Exact, whole};
use crate::line::{Kind, Line};
use crate::lines::{Owed, Run};
use crate::profile::LookBack;
use crate::refusal::Refusal;
use crate::timeline::{Segment, timelines};

/// One count: when, how much, when it was told.
type Count = (Timestamp, i64, Timestamp);

/// What was counted earlier in a period, by charge, terms and the period's begin.
type Earlier = BTreeMap<(String, String, DateTime), i128>;

/// A day, as the clock measures it.
const DAY: i64 = 24 * 60 * 60;

/// The usage lines of one subscription. A period without usage gives a line of nothing: it was rated, and is not rated again.
pub(crate) fn lines(run: &Run<'_>, usage: &[Usage], into: &mut Vec<Line>) -> Result<(), Refusal> {
    let meters = counts(run, usage)?;
    // What was charged earlier in a period under the same terms: tiers go on where it stopped.
    let mut earlier = Earlier::new();
    let stretches = stretches(run);
    for (index, segment) in stretches.iter().enumerate() {
        let last = index + 1 == stretches.len();
        for charge in &segment.state.list.charges {
            let ChargeKind::Usage { meter, interval, .. } = &charge.kind else { continue };
            let counts = meters.get(meter.as_str()).map_or(&[][..], Vec::as_slice);
            let cycle = run.catalogue.cycle(
                run.line.anchor,
                segment.state.anchor_day,
                segment.period.from,
                *interval,
            );
            let mut k = cycle.index(segment.period.from)?;
            loop {
                let enclosing = cycle.period(k)?;
                k += 1;
                let Some(part) = enclosing.common(&segment.period).filter(|part| part.to <= run.as_of) else {
                    break;
                };
                let skipped = last
                    && part.to == segment.period.to
                    && run.line.ended.is_some_and(|ended| ended.usage == FinalUsage::Skip);
                if skipped {
                    continue;
                }
                rate(run, segment, charge, &cycle, part, enclosing, counts, &mut earlier, into)?;
            }
        }
    }
    Ok(())
}

/// The charged stretches, joined where only something changed that usage does not depend on.
fn stretches<'a>(run: &Run<'a>) -> Vec<Segment<'a>> {
    let mut stretches: Vec<Segment<'a>> = Vec::new();
    for segment in run.line.segments.iter().filter(|segment| segment.state.charged) {
        match stretches.last_mut() {
            Some(last)
                if last.period.to == segment.period.from
                    && last.state.list.id == segment.state.list.id
                    && last.state.phase == segment.state.phase
                    && last.state.promotion == segment.state.promotion
                    && last.state.anchor_day == segment.state.anchor_day =>
            {
                last.period.to = segment.period.to;
            }
            _ => stretches.push(segment.clone()),
        }
    }
    stretches
}

/// The counts of each meter in order of time. A month has thousands of them, so they keep their instants, and periods are
/// turned into instants instead.
fn counts<'a>(run: &Run<'_>, usage: &'a [Usage]) -> Result<BTreeMap<&'a str, Vec<Count>>, Refusal> {
    let mut meters: BTreeMap<&str, Vec<Count>> = BTreeMap::new();
    for (index, record) in
        usage.iter().enumerate().filter(|(_, record)| record.subscription == run.line.subscription)
    {
        if record.quantity < 0 && record.revision == 0 {
            return Err(Refusal::new(
                format!("usage[{index}].quantity"),
                format!("{} of {} is negative", record.quantity, record.meter),
                "send zero or more; only a correction, revision 1 or later, may be negative",
            ));
        }
        meters.entry(&record.meter).or_default().push((record.at, record.quantity, record.received));
    }
    for counts in meters.values_mut() {
        counts.sort_by_key(|(at, ..)| *at);
    }
    Ok(meters)
}

/// The counts within a stretch of local time.
fn within<'c>(catalogue: &Catalogue, counts: &'c [Count], part: Period) -> Result<&'c [Count], Refusal> {
    let instant = |at: DateTime| {
        catalogue
            .zone
            .to_timestamp(at)
            .map_err(|_| Refusal::new("date", "outside the calendar", "check the dates"))
    };
    let (from, to) = (instant(part.from)?, instant(part.to)?);
    let first = counts.partition_point(|(at, ..)| *at < from);
    let end = counts.partition_point(|(at, ..)| *at < to);
    Ok(counts.get(first..end).unwrap_or_default())
}

/// Whether a count is not too late to be charged.
fn counts_still(
    catalogue: &Catalogue,
    cycle: &Cycle,
    at: Timestamp,
    received: Timestamp,
) -> Result<bool, Refusal> {
    let local = |instant: Timestamp| catalogue.zone.to_datetime(instant);
    Ok(match catalogue.profile.look_back {
        // Most counts are told within the hour, and need no calendar.
        LookBack::Days(days) if received.as_second() - at.as_second() < (i64::from(days) - 1) * DAY => true,
        LookBack::Days(days) => days_between(local(at), local(received)) <= days,
        LookBack::Periods(periods) => local(at) >= cycle.boundary(cycle.index(local(received))? - periods)?,
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "one period of one charge has that many sides, and they are used here only"
)]
fn rate(
    run: &Run<'_>,
    segment: &Segment<'_>,
    charge: &Charge,
    cycle: &Cycle,
    part: Period,
    enclosing: Period,
    counts: &[Count],
    earlier: &mut Earlier,
    into: &mut Vec<Line>,
) -> Result<(), Refusal> {
    let ChargeKind::Usage { aggregation, per, rounding, included, meter, .. } = &charge.kind else {
        return Ok(());
    };
    let mut hours: Vec<i128> = Vec::new();
    for hour in within(run.catalogue, counts, part)?.chunk_by(|one, other| one.0 == other.0) {
        let mut counted: i128 = 0;
        for (at, quantity, received) in hour {
            if counts_still(run.catalogue, cycle, *at, *received)? {
                counted += i128::from(*quantity);
            }
        }
        if counted < 0 {
            let at = hour.first().map(|(at, ..)| at.to_string()).unwrap_or_default();
            return Err(Refusal::new(
                format!("usage[{meter} at {at}]"),
                format!("corrections leave {counted}"),
                "correct by no more than was counted",
            ));
        }
        hours.push(counted);
    }
    let priced = |raw: &Exact| {
        let units = raw / per.value();
        let units = match rounding {
            UnitRounding::Exact => units,
            UnitRounding::Up => units.ceil(),
            UnitRounding::Nearest => units.round(),
        };
        (units - included.value()).max(Exact::zero())
    };
    let state = &segment.state;
    let (price, promoted) = run.price(state, charge)?;
    let terms = format!("{}{}", state.terms(), state.promoted(promoted));
    let (before, quantity, share) = match aggregation {
        Aggregation::Sum => {
            let counted: i128 = hours.iter().sum();
            let key = (charge.name.clone(), terms.clone(), enclosing.from);
            let already = earlier.get(&key).copied();
            let total = already.unwrap_or(0) + counted;
            earlier.insert(key, total);
            let before = already.map(|already| priced(&whole(already)));
            let after = priced(&whole(total));
            let quantity = after - before.clone().unwrap_or_default();
            (before, quantity, whole(1))
        }
        // A level, not a flow: a part of the period costs its share.
        Aggregation::Max => {
            (None, priced(&whole(hours.iter().max().copied().unwrap_or(0))), run.share(part, enclosing))
        }
        Aggregation::Last => {
            (None, priced(&whole(hours.last().copied().unwrap_or(0))), run.share(part, enclosing))
        }
    };
    let net = price.rate(before.as_ref(), &quantity).amount * &share;
    let list = if promoted {
        state.own_price(charge).rate(before.as_ref(), &quantity).amount * &share
    } else {
        net.clone()
    };
    let owed = Owed {
        kind: Kind::Usage,
        charge: &charge.name,
        terms,
        period: part,
        list: &list,
        net: &net,
        unpromoted: &list,
        quantity: &quantity,
        tax: &charge.tax,
        due: part.to,
    };
    into.push(run.owe(&owed)?);
    Ok(())
}

impl Run<'_> {
    fn share(&self, part: Period, enclosing: Period) -> Exact {
        self.catalogue.profile.ratio(part, enclosing)
    }
}

/// The records that no line counts because they were told too late, to be kept and shown and never dropped.
///
/// # Errors
/// The event log cannot be charged at all.
pub fn quarantined<'u>(
    events: &[Event],
    catalogue: &Catalogue,
    usage: &'u [Usage],
) -> Result<Vec<&'u Usage>, Refusal> {
    let lines = timelines(events, catalogue)?;
    let mut late = Vec::new();
    for record in usage {
        let at = catalogue.zone.to_datetime(record.at);
        let line = lines.iter().find(|line| line.subscription == record.subscription);
        let here = line
            .and_then(|line| Some((line, line.segments.iter().find(|segment| segment.period.contains(at))?)));
        let Some((line, segment)) = here else { continue };
        let mut asked = false;
        let mut counted = false;
        for charge in &segment.state.list.charges {
            let ChargeKind::Usage { meter, interval, .. } = &charge.kind else { continue };
            if *meter == record.meter {
                let cycle =
                    catalogue.cycle(line.anchor, segment.state.anchor_day, segment.period.from, *interval);
                asked = true;
                counted |= counts_still(catalogue, &cycle, record.at, record.received)?;
            }
        }
        if asked && !counted {
            late.push(record);
        }
    }
    Ok(late)
}
