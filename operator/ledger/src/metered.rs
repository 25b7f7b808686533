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

/// Counts of one meter by local time, each with the time at which it was told.
type Counts = BTreeMap<DateTime, Vec<(i64, DateTime)>>;

/// The usage lines of one subscription. A period without usage gives a line of nothing: it was rated, and is not rated again.
pub(crate) fn lines(run: &Run<'_>, usage: &[Usage], into: &mut Vec<Line>) -> Result<(), Refusal> {
    let meters = counts(run, usage)?;
    let nothing = Counts::new();
    // What was charged earlier in a period under the same terms: tiers go on where it stopped.
    let mut earlier: BTreeMap<(String, String, DateTime), i128> = BTreeMap::new();
    let stretches = stretches(run);
    for (index, segment) in stretches.iter().enumerate() {
        let last = index + 1 == stretches.len();
        for charge in &segment.state.list.charges {
            let ChargeKind::Usage { meter, interval, .. } = &charge.kind else { continue };
            let counts = meters.get(meter.as_str()).unwrap_or(&nothing);
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

fn counts<'a>(run: &Run<'_>, usage: &'a [Usage]) -> Result<BTreeMap<&'a str, Counts>, Refusal> {
    let mut meters: BTreeMap<&str, Counts> = BTreeMap::new();
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
        let local = |at: Timestamp| run.catalogue.zone.to_datetime(at);
        let counts = meters.entry(&record.meter).or_default();
        counts.entry(local(record.at)).or_default().push((record.quantity, local(record.received)));
    }
    Ok(meters)
}

/// Whether a count is not too late to be charged.
fn counts_still(
    look_back: LookBack,
    cycle: &Cycle,
    at: DateTime,
    received: DateTime,
) -> Result<bool, Refusal> {
    Ok(match look_back {
        LookBack::Days(days) => days_between(at, received) <= days,
        LookBack::Periods(periods) => at >= cycle.boundary(cycle.index(received)? - periods)?,
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
    counts: &Counts,
    earlier: &mut BTreeMap<(String, String, DateTime), i128>,
    into: &mut Vec<Line>,
) -> Result<(), Refusal> {
    let ChargeKind::Usage { aggregation, per, rounding, included, meter, .. } = &charge.kind else {
        return Ok(());
    };
    let mut hours = Vec::new();
    for (at, records) in counts.range(part.from..part.to) {
        let mut hour: i128 = 0;
        for (quantity, received) in records {
            if counts_still(run.catalogue.profile.look_back, cycle, *at, *received)? {
                hour += i128::from(*quantity);
            }
        }
        if hour < 0 {
            return Err(Refusal::new(
                format!("usage[{meter} at {at}]"),
                format!("corrections leave {hour}"),
                "correct by no more than was counted",
            ));
        }
        hours.push(hour);
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
            let already = earlier.entry((charge.name.clone(), terms.clone(), enclosing.from)).or_default();
            let before = priced(&whole(*already));
            *already += counted;
            let after = priced(&whole(*already));
            (before.clone(), after - before, whole(1))
        }
        // A level, not a flow: a part of the period costs its share.
        Aggregation::Max => {
            (whole(0), priced(&whole(hours.iter().max().copied().unwrap_or(0))), run.share(part, enclosing))
        }
        Aggregation::Last => {
            (whole(0), priced(&whole(hours.last().copied().unwrap_or(0))), run.share(part, enclosing))
        }
    };
    let net = price.rate(&before, &quantity).amount * &share;
    let list = state.own_price(charge).rate(&before, &quantity).amount * &share;
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
        let (at, received) =
            (catalogue.zone.to_datetime(record.at), catalogue.zone.to_datetime(record.received));
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
                counted |= counts_still(catalogue.profile.look_back, &cycle, at, received)?;
            }
        }
        if asked && !counted {
            late.push(record);
        }
    }
    Ok(late)
}
