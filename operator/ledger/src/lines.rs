//! Everything that an event log implies up to a moment, as if nothing had been invoiced yet. Pure.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use num_traits::Zero as _;

use crate::calendar::Period;
use crate::catalogue::{Catalogue, Charge, ChargeKind, Timing};
use crate::commitment;
use crate::event::{Event, Unused, Usage};
use crate::exact::{Exact, shown, whole};
use crate::line::{Kind, Line, LineKey};
use crate::metered;
use crate::money::{Money, percent};
use crate::price::Price;
use crate::refusal::Refusal;
use crate::timeline::{State, Timeline, timelines};

/// Every line that the events and the usage imply up to `as_of`, sorted by its key.
///
/// Recurring lines in advance are due at their period's begin, everything else at the end of what it is for. An event that
/// takes effect after `as_of` already counts: a subscription whose end is known is charged up to it.
///
/// # Errors
/// An event or a record that cannot be charged; then there are no lines at all.
pub fn lines(
    events: &[Event],
    catalogue: &Catalogue,
    usage: &[Usage],
    as_of: DateTime,
) -> Result<Vec<Line>, Refusal> {
    let mut lines = Vec::new();
    for line in &timelines(events, catalogue)? {
        let from = lines.len();
        let run = Run { catalogue, line, as_of };
        for stretch in run.stretches()? {
            run.recurring(&stretch, &mut lines)?;
        }
        run.sold_once(&mut lines)?;
        metered::lines(&run, usage, &mut lines)?;
        commitment::lines(&run, &mut lines, from)?;
    }
    lines.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(lines)
}

/// The date from which the account's periods count: the one it has, or the first day on which something recurring costs money,
/// which is the end of a trial. Whoever posts the first charge writes it into the account, so that an event told late cannot move
/// the boundaries of periods that were posted.
///
/// # Errors
/// An event that cannot be charged.
pub fn anchor(events: &[Event], catalogue: &Catalogue) -> Result<Option<Date>, Refusal> {
    let first = timelines(events, catalogue)?.into_iter().map(|line| line.anchor.date()).min();
    Ok(catalogue.account.anchor.or(first))
}

/// What computing one subscription's lines needs.
pub(crate) struct Run<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) line: &'a Timeline<'a>,
    pub(crate) as_of: DateTime,
}

/// What an exact amount becomes.
pub(crate) struct Owed<'a> {
    pub(crate) kind: Kind,
    pub(crate) charge: &'a str,
    pub(crate) terms: String,
    pub(crate) period: Period,
    pub(crate) list: &'a Exact,
    pub(crate) net: &'a Exact,
    /// What it would be without a promotion.
    pub(crate) unpromoted: &'a Exact,
    pub(crate) quantity: &'a Exact,
    pub(crate) tax: &'a str,
    pub(crate) due: DateTime,
}

/// A stretch in which nothing changes that one charge depends on.
struct Stretch<'a> {
    charge: &'a Charge,
    period: Period,
    state: &'a State<'a>,
    quantity: Exact,
    terms: String,
    /// What discounts leave of the price.
    share: Exact,
    last: bool,
}

impl<'a> Run<'a> {
    /// The stretches of every recurring charge. What changes for one charge does not cut the lines of another.
    fn stretches(&self) -> Result<Vec<Stretch<'a>>, Refusal> {
        let mut stretches: Vec<Stretch<'a>> = Vec::new();
        // Where the latest stretch of each charge is.
        let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
        let end = self.line.segments.last().map(|segment| segment.period.to);
        for segment in self.line.segments.iter().filter(|segment| segment.state.charged) {
            let state = &segment.state;
            for charge in &state.list.charges {
                let ChargeKind::Recurring { unit, included, .. } = &charge.kind else { continue };
                let ordered = unit.as_deref().map_or_else(
                    || whole(1),
                    |unit| {
                        state
                            .quantities
                            .get(unit)
                            .map_or_else(Exact::zero, |quantity| quantity.value().clone())
                    },
                );
                let quantity = (ordered - included.value()).max(Exact::zero());
                let (share, discounts) = self.discounts(state);
                let (_, promoted) = self.price(state, charge)?;
                let terms = format!(
                    "{}{} × {}{discounts}",
                    state.terms(),
                    state.promoted(promoted),
                    shown(&quantity)
                );
                let last = Some(segment.period.to) == end;
                let before = latest.get(charge.name.as_str()).and_then(|place| stretches.get_mut(*place));
                match before {
                    Some(before)
                        if before.period.to == segment.period.from
                            && before.terms == terms
                            && before.state.anchor_day == state.anchor_day =>
                    {
                        before.period.to = segment.period.to;
                        before.last = last;
                    }
                    _ => {
                        latest.insert(&charge.name, stretches.len());
                        stretches.push(Stretch {
                            charge,
                            period: segment.period,
                            state,
                            quantity,
                            terms,
                            share,
                            last,
                        });
                    }
                }
            }
        }
        Ok(stretches)
    }

    fn recurring(&self, stretch: &Stretch<'_>, into: &mut Vec<Line>) -> Result<(), Refusal> {
        let ChargeKind::Recurring { interval, timing, .. } = &stretch.charge.kind else { return Ok(()) };
        let (price, _) = self.price(stretch.state, stretch.charge)?;
        let net = price.amount(&stretch.quantity) * &stretch.share;
        let list = stretch.state.own_price(stretch.charge).amount(&stretch.quantity);
        let unpromoted = &list * &stretch.share;
        if net.is_zero() && unpromoted.is_zero() {
            return Ok(());
        }
        let begun = stretch.period.from;
        let cycle = self.catalogue.cycle(self.line.anchor, stretch.state.anchor_day, begun, *interval);
        for k in cycle.index(begun)?.. {
            let enclosing = cycle.period(k)?;
            let Some(mut part) = enclosing.common(&stretch.period) else { break };
            if self.keeps_unused(stretch, part, *timing) {
                part.to = enclosing.to;
            }
            let due = match timing {
                Timing::Advance => part.from,
                Timing::Arrears => part.to,
            };
            if due > self.as_of {
                break;
            }
            let profile = self.catalogue.profile;
            let ratio = profile.ratio(part, profile.whole_of(part, enclosing, *interval)?);
            // Mostly there is neither discount nor promotion, and big fractions are what computing lines costs.
            let share = &net * &ratio;
            let same = |amount: &Exact| if *amount == net { share.clone() } else { amount * &ratio };
            let owed = Owed {
                kind: Kind::Recurring,
                charge: &stretch.charge.name,
                terms: stretch.terms.clone(),
                period: part,
                list: &same(&list),
                net: &share,
                unpromoted: &same(&unpromoted),
                quantity: &stretch.quantity,
                tax: &stretch.charge.tax,
                due,
            };
            into.push(self.owe(&owed)?);
        }
        Ok(())
    }

    /// Whether the rest of a period paid in advance stays charged although the subscription ended in it.
    fn keeps_unused(&self, stretch: &Stretch<'_>, part: Period, timing: Timing) -> bool {
        stretch.last
            && timing == Timing::Advance
            && part.to == stretch.period.to
            && self.line.ended.is_some_and(|ended| ended.unused == Unused::Keep)
    }

    /// The price of a charge in a state, and whether a promotion gave it.
    pub(crate) fn price<'s>(
        &'s self,
        state: &State<'s>,
        charge: &'s Charge,
    ) -> Result<(&'s Price, bool), Refusal> {
        if let Some((promotion, _)) = state.promotion {
            let cheaper = self.catalogue.list(&promotion.at_prices_of)?;
            if let Some(cheaper) = cheaper.charges.iter().find(|other| other.name == charge.name) {
                return Ok((&cheaper.price, true));
            }
        }
        Ok((state.own_price(charge), false))
    }

    /// The share of a price that the chained discounts leave, and how they read.
    fn discounts(&self, state: &State<'_>) -> (Exact, String) {
        let phase = state.phase_discount().into_iter().cloned();
        let bundles = state.bundles.iter().filter_map(|index| self.catalogue.bundles.get(*index));
        let mut share = whole(1);
        let mut text = String::new();
        for discount in phase.chain(bundles.map(|bundle| bundle.percent.clone())) {
            share *= whole(1) - percent(&discount);
            text.push_str(&format!(" -{discount}%"));
        }
        (share, text)
    }

    /// What is due once: the one-time charges of each price list when the subscription first has it, and extras.
    fn sold_once(&self, into: &mut Vec<Line>) -> Result<(), Refusal> {
        let mut seen = Vec::new();
        for segment in &self.line.segments {
            let at = segment.period.from;
            for charge in
                segment.state.list.charges.iter().filter(|charge| charge.kind == ChargeKind::OneTime)
            {
                if at > self.as_of || seen.contains(&charge.name.as_str()) {
                    continue;
                }
                seen.push(charge.name.as_str());
                let amount = charge.price.amount(&whole(1));
                self.once(&charge.name, segment.state.list.id.clone(), at, &amount, &charge.tax, into)?;
            }
        }
        for (event, at) in &self.line.extras {
            if let crate::event::Change::Extra { name, price, tax } = &event.change
                && *at <= self.as_of
            {
                self.once(name, format!("event {}", event.id), *at, price.value(), tax, into)?;
            }
        }
        Ok(())
    }

    fn once(
        &self,
        name: &str,
        terms: String,
        at: DateTime,
        amount: &Exact,
        tax: &str,
        into: &mut Vec<Line>,
    ) -> Result<(), Refusal> {
        let period = Period::new(at, at);
        let one = whole(1);
        let owed = Owed {
            kind: Kind::OneTime,
            charge: name,
            terms,
            period,
            list: amount,
            net: amount,
            unpromoted: amount,
            quantity: &one,
            tax,
            due: at,
        };
        into.push(self.owe(&owed)?);
        Ok(())
    }

    /// Rounds, once.
    pub(crate) fn owe(&self, owed: &Owed<'_>) -> Result<Line, Refusal> {
        let currency = self.catalogue.account.currency;
        let money = |minor: i64| Money { minor, currency };
        let net = currency.round(owed.net)?;
        let list = if owed.list == owed.net { net } else { currency.round(owed.list)? };
        let granted =
            if owed.unpromoted <= owed.net { 0 } else { currency.round(&(owed.unpromoted - owed.net))? };
        Ok(Line {
            key: LineKey {
                subscription: self.line.subscription.to_owned(),
                kind: owed.kind,
                charge: owed.charge.to_owned(),
                terms: owed.terms.clone(),
                period: owed.period,
            },
            list: money(list),
            net: money(net),
            granted,
            quantity: shown(owed.quantity),
            tax: owed.tax.to_owned(),
            due: owed.due,
        })
    }
}

impl<'a> State<'a> {
    /// The price of the list itself, or of its phase.
    pub(crate) fn own_price<'s>(&self, charge: &'s Charge) -> &'s Price
    where
        'a: 's,
    {
        let phase = self.phase.and_then(|index| self.list.phases.get(index));
        phase.and_then(|phase| phase.prices.get(&charge.name)).unwrap_or(&charge.price)
    }

    /// How the terms of a line begin.
    pub(crate) fn terms(&self) -> String {
        self.phase
            .map_or_else(|| self.list.id.clone(), |phase| format!("{} phase {}", self.list.id, phase + 1))
    }

    /// How a promotion reads in the terms of a line.
    pub(crate) fn promoted(&self, promoted: bool) -> String {
        self.promotion
            .filter(|_| promoted)
            .map_or_else(String::new, |(promotion, _)| format!(" {}", promotion.name))
    }
}
