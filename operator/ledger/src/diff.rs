//! What a ledger is still to get: the difference between the lines that are implied and those already posted. Pure.
//!
//! A ledger is only ever added to. Time that was charged and is no longer owed becomes a credit that refers to its charge; time
//! that is owed and was not charged becomes a charge. After what is returned has been posted, the difference is empty.

use std::collections::BTreeMap;

use crate::calendar::Period;
use crate::exact::{fraction, whole};
use crate::ledger::{Effect, Entry, Ledger, Posting};
use crate::line::{Kind, Line, LineKey};
use crate::money::{Money, round_minor, split, sum};
use crate::profile::{CreditShare, Profile};
use crate::refusal::Refusal;

/// What is to be posted so that the ledger says what the lines say: credits first, then charges, each in order of its key.
///
/// # Errors
/// An amount has more than 64 bits.
pub fn diff(lines: &[Line], ledger: &Ledger, profile: &Profile) -> Result<Vec<Posting>, Refusal> {
    let mut groups: BTreeMap<Group<'_>, (Vec<&Line>, Vec<Charged<'_>>)> = BTreeMap::new();
    for line in lines {
        groups.entry(Group::of(&line.key)).or_default().0.push(line);
    }
    let mut corrections: BTreeMap<u64, Vec<&Entry>> = BTreeMap::new();
    for entry in ledger.entries() {
        if let Some(id) = entry.posting.refers_to {
            corrections.entry(id).or_default().push(entry);
        }
    }
    let none = Vec::new();
    for entry in ledger.entries().iter().filter(|entry| entry.posting.effect == Effect::Charge) {
        let charged = Charged::new(entry, corrections.get(&entry.id).unwrap_or(&none))?;
        groups.entry(Group::of(&entry.posting.key)).or_default().1.push(charged);
    }
    let mut postings = Vec::new();
    for (group, (owed, charged)) in &groups {
        if group.kind == Kind::Recurring {
            by_time(owed, charged, profile, &mut postings)?;
        } else {
            by_amount(owed, charged, &mut postings)?;
        }
    }
    postings.retain(|posting| posting.effect == Effect::Charge || posting.amount.minor != 0);
    postings.sort_by(|one, other| {
        let rank = |posting: &Posting| posting.effect == Effect::Charge;
        rank(one).cmp(&rank(other)).then_with(|| one.key.cmp(&other.key))
    });
    number(&mut postings, ledger);
    Ok(postings)
}

/// Lines that can stand for each other. Recurring ones are compared by the time they cover, the others by their amount, so
/// those have their period here as well.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    subscription: &'a str,
    kind: Kind,
    charge: &'a str,
    terms: &'a str,
    period: Option<Period>,
}

impl<'a> Group<'a> {
    fn of(key: &'a LineKey) -> Self {
        Self {
            subscription: &key.subscription,
            kind: key.kind,
            charge: &key.charge,
            terms: &key.terms,
            period: (key.kind != Kind::Recurring).then_some(key.period),
        }
    }
}

/// A charge in the ledger and what is left of it.
struct Charged<'a> {
    entry: &'a Entry,
    /// The time that was not given back.
    covers: Vec<Period>,
    /// The amount less credits. What a person gave back is not missing here, so it is not charged again.
    stands: i64,
    /// The amount less credits and adjustments, beyond which nothing can be given back.
    left: i64,
}

impl<'a> Charged<'a> {
    fn new(entry: &'a Entry, corrections: &[&Entry]) -> Result<Self, Refusal> {
        let credits = || corrections.iter().filter(|correction| correction.posting.effect == Effect::Credit);
        let credited: Vec<Period> = credits().map(|credit| credit.posting.key.period).collect();
        let amount = entry.posting.amount.minor;
        Ok(Self {
            entry,
            covers: match entry.posting.key.period {
                none if none.is_empty() => Vec::new(),
                period => period.without(&credited),
            },
            stands: sum(credits().map(|credit| credit.posting.amount.minor).chain([amount]))?,
            left: sum(corrections.iter().map(|correction| correction.posting.amount.minor).chain([amount]))?,
        })
    }

    /// The share of the charge that a stretch of it stands for.
    fn share(&self, part: Period, profile: &Profile) -> Result<i64, Refusal> {
        let posting = &self.entry.posting;
        round_minor(&(whole(posting.amount.minor) * profile.ratio(part, posting.key.period)))
    }

    fn credit(&self, period: Period, amount: i64) -> Posting {
        let posting = &self.entry.posting;
        Posting {
            key: LineKey { period, ..posting.key.clone() },
            effect: Effect::Credit,
            revision: 0,
            refers_to: Some(self.entry.id),
            amount: Money { minor: -amount, ..posting.amount },
            quantity: posting.quantity.clone(),
            tax: posting.tax.clone(),
        }
    }
}

/// Recurring charges: what time is covered and should not be, and the other way round.
fn by_time(
    owed: &[&Line],
    charged: &[Charged<'_>],
    profile: &Profile,
    into: &mut Vec<Posting>,
) -> Result<(), Refusal> {
    let due: Vec<Period> = owed.iter().map(|line| line.key.period).collect();
    let mut covered: Vec<Covered> = owed.iter().map(|_| Covered::default()).collect();
    let mut left = Vec::new();
    let mut stays = 0;
    for charge in charged {
        let unused: Vec<Period> = charge.covers.iter().flat_map(|part| part.without(&due)).collect();
        let (amounts, used) = credits(charge, owed, &unused, profile)?;
        left.push(sum([charge.left, -sum(amounts.iter().copied())?])?);
        into.extend(unused.iter().zip(amounts).map(|(part, amount)| charge.credit(*part, amount)));
        assign(charge, used, owed, &mut covered, profile)?;
        stays = sum([stays, used])?;
    }
    let charges = into.len();
    for (line, covered) in owed.iter().zip(covered) {
        let missing = line.key.period.without(&covered.parts);
        if missing.is_empty() {
            continue;
        }
        let rest = sum([line.net.minor, -covered.amount])?.max(0);
        for (part, amount) in missing.iter().zip(split(rest, &lengths(&missing, profile))?) {
            stays = sum([stays, amount])?;
            into.push(self::charge(line, *part, amount));
        }
    }
    if profile.credit == CreditShare::Remainder {
        let wanted = sum(owed.iter().map(|line| line.net.minor))?;
        settle(sum([wanted, -stays])?, owed, charged, &left, charges, into);
    }
    Ok(())
}

/// Posts what rounding left between the lines and the ledger. Parts of a charge are rounded where the boundaries of periods
/// moved under it, and the sum must not know. It is a matter of minor units: a new charge takes them, otherwise they are posted
/// for no time at all.
fn settle(
    rest: i64,
    owed: &[&Line],
    charged: &[Charged<'_>],
    left: &[i64],
    charges: usize,
    into: &mut Vec<Posting>,
) {
    let new = into.get_mut(charges..).and_then(<[Posting]>::last_mut);
    if let Some(new) = new.filter(|new| new.amount.minor >= -rest) {
        new.amount.minor += rest;
    } else if let Some(line) = owed.last().filter(|_| rest > 0) {
        let end = line.key.period.to;
        into.push(charge(line, Period::new(end, end), rest));
    } else {
        let mut surplus = -rest;
        for (charge, left) in charged.iter().zip(left).rev() {
            let amount = surplus.clamp(0, (*left).max(0));
            surplus = surplus.saturating_sub(amount);
            let end = charge.entry.posting.key.period.to;
            into.push(charge.credit(Period::new(end, end), amount));
        }
    }
}

/// What charges cover of a line, and what for.
#[derive(Default)]
struct Covered {
    parts: Vec<Period>,
    amount: i64,
}

/// Spreads what stays of a charge over the lines that it covers: each gets its own amount where it is covered whole, or its
/// share, and the last one what is left.
fn assign(
    charge: &Charged<'_>,
    stays: i64,
    owed: &[&Line],
    covered: &mut [Covered],
    profile: &Profile,
) -> Result<(), Refusal> {
    let mut left = stays;
    let mut last = None;
    for (place, (line, covered)) in owed.iter().zip(covered.iter_mut()).enumerate() {
        let period = line.key.period;
        let parts: Vec<Period> = charge.covers.iter().filter_map(|part| part.common(&period)).collect();
        if parts.is_empty() {
            continue;
        }
        let worth = match parts.as_slice() {
            [part] if *part == period => line.net.minor,
            parts => {
                sum(parts.iter().map(|part| charge.share(*part, profile)).collect::<Result<Vec<_>, _>>()?)?
            }
        };
        covered.amount = sum([covered.amount, worth])?;
        covered.parts.extend(parts);
        left = sum([left, -worth])?;
        last = Some(place);
    }
    if let Some(covered) = last.and_then(|place| covered.get_mut(place)) {
        covered.amount = sum([covered.amount, left])?;
    }
    Ok(())
}

/// What each unused part of a charge is credited with, never more together than is left of the charge; and what the used part
/// is worth. An adjustment by hand lowers the first and not the second, because it is not charged again.
fn credits(
    charge: &Charged<'_>,
    owed: &[&Line],
    unused: &[Period],
    profile: &Profile,
) -> Result<(Vec<i64>, i64), Refusal> {
    if unused.is_empty() {
        // A charge of which all time was given back stands for nothing, whatever an adjustment left of it.
        let gone = charge.covers.is_empty() && !charge.entry.posting.key.period.is_empty();
        return Ok((Vec::new(), if gone { 0 } else { charge.stands }));
    }
    if profile.credit == CreditShare::Proportional {
        let mut left = charge.left;
        let mut stays = charge.stands;
        let mut amounts = Vec::new();
        for part in unused {
            let amount = charge.share(*part, profile)?.clamp(0, left.max(0));
            left -= amount;
            stays -= amount;
            amounts.push(amount);
        }
        return Ok((amounts, stays));
    }
    let mut used = 0;
    for kept in charge.covers.iter().flat_map(|part| part.without(unused)) {
        let same = owed.iter().find(|line| line.key.period == kept);
        let worth = match same {
            Some(line) => line.net.minor,
            None => charge.share(kept, profile)?,
        };
        used = sum([used, worth])?;
    }
    let used = used.min(charge.stands);
    let credit = sum([charge.stands, -used])?.clamp(0, charge.left.max(0));
    Ok((split(credit, &lengths(unused, profile))?, used))
}

fn lengths(parts: &[Period], profile: &Profile) -> Vec<crate::exact::Exact> {
    parts.iter().map(|part| fraction(profile.length(*part).max(1), 1)).collect()
}

fn charge(line: &Line, period: Period, amount: i64) -> Posting {
    Posting {
        key: LineKey { period, ..line.key.clone() },
        effect: Effect::Charge,
        revision: 0,
        refers_to: None,
        amount: Money { minor: amount, ..line.net },
        quantity: line.quantity.clone(),
        tax: line.tax.clone(),
    }
}

/// Everything else: the amount of one line against what was posted for it. A higher amount is a further charge with the old
/// period's dates; a lower one is credited, latest charge first.
fn by_amount(owed: &[&Line], charged: &[Charged<'_>], into: &mut Vec<Posting>) -> Result<(), Refusal> {
    let wanted = sum(owed.iter().map(|line| line.net.minor))?;
    let stands = sum(charged.iter().map(|charge| charge.stands))?;
    if let Some(line) = owed.first()
        && (charged.is_empty() || wanted > stands)
    {
        into.push(charge(line, line.key.period, sum([wanted, -stands])?));
        return Ok(());
    }
    let mut surplus = sum([stands, -wanted])?;
    for charge in charged.iter().rev() {
        let amount = surplus.clamp(0, charge.stands.min(charge.left).max(0));
        surplus -= amount;
        into.push(charge.credit(charge.entry.posting.key.period, amount));
    }
    Ok(())
}

/// Gives each posting the revision that makes its natural key unique.
fn number(postings: &mut [Posting], ledger: &Ledger) {
    let mut seen: BTreeMap<(LineKey, bool), u32> = BTreeMap::new();
    for entry in ledger.entries() {
        *seen.entry((entry.posting.key.clone(), entry.posting.effect == Effect::Charge)).or_default() += 1;
    }
    for posting in postings {
        let next = seen.entry((posting.key.clone(), posting.effect == Effect::Charge)).or_default();
        posting.revision = *next;
        *next += 1;
    }
}
