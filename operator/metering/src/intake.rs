//! What becomes of an event: it counts in an hour, it was told before, or it is kept aside; pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_ledger::refusal::Refusal;

use crate::cloud_event::{CloudEvent, Received};
use crate::hours::{end_of, hour_of};

/// The type of events that are usage.
pub const TYPE: &str = "io.tenantry.usage.v1";
/// How far ahead of our clock somebody else's may be.
pub const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How long after an hour its events are waited for, before the ledger is told.
pub const WAIT: SignedDuration = SignedDuration::from_mins(5);
/// How late something may be told, from the begin of its hour: 35 days by the calendar of any account, also of one whose clocks were
/// put forward by an hour meanwhile.
pub const LATEST: SignedDuration = SignedDuration::from_hours(35 * 24 - 1);
/// The most of one event: whole numbers up to here mean the same in every JSON (RFC 7493).
pub const LARGEST: i64 = (1 << 53) - 1;

/// A meter that an application declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// What it counts.
    pub unit: String,
    /// Whether its numbers come from events.
    pub is_told: bool,
}

/// The meters of an application, by name.
pub type Meters = BTreeMap<String, Meter>;

/// Who told something. Ids of one never stand in the way of the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reporter {
    /// The tenant's own application.
    Tenant,
    /// Somebody whom the provider lets report for others.
    Provider,
}

impl Reporter {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tenant => "Tenant",
            Self::Provider => "Provider",
        }
    }
}

/// What an event says that can be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The meter.
    pub meter: String,
    /// What it counts.
    pub unit: String,
    /// When it happened.
    pub at: Timestamp,
    /// How much, in the meter's unit.
    pub quantity: i64,
}

/// Why an event is kept aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// It is no CloudEvent.
    NotAnEvent,
    /// It is an event of another type.
    OtherType,
    /// Nobody is known whom it is about.
    UnknownSubject,
    /// The application has no such meter.
    ForeignMeter,
    /// The meter's numbers do not come from events.
    NotTold,
    /// It counts something else than the meter.
    OtherUnit,
    /// It says no number of things.
    BadQuantity,
    /// It does not say when.
    BadTime,
    /// It happens later than now.
    Future,
    /// It happened too long ago.
    TooOld,
    /// Another event of this id was told before.
    Conflicting,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 11] = [
        Self::NotAnEvent,
        Self::OtherType,
        Self::UnknownSubject,
        Self::ForeignMeter,
        Self::NotTold,
        Self::OtherUnit,
        Self::BadQuantity,
        Self::BadTime,
        Self::Future,
        Self::TooOld,
        Self::Conflicting,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAnEvent => "NotAnEvent",
            Self::OtherType => "OtherType",
            Self::UnknownSubject => "UnknownSubject",
            Self::ForeignMeter => "ForeignMeter",
            Self::NotTold => "NotTold",
            Self::OtherUnit => "OtherUnit",
            Self::BadQuantity => "BadQuantity",
            Self::BadTime => "BadTime",
            Self::Future => "Future",
            Self::TooOld => "TooOld",
            Self::Conflicting => "Conflicting",
        }
    }
}

/// An event that is kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Why.
    pub cause: Cause,
    /// The field, what is wrong with it and what would be right.
    pub refusal: Refusal,
}

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Accepted {
        /// What it says.
        count: Count,
        /// Whether its hour was over, and waited for, when it was told.
        is_late: bool,
    },
    /// It was told before and counts once.
    Duplicate,
    /// It does not count.
    Quarantined(Aside),
}

/// What becomes of an event that was received at `received`, when `before` is what was counted under its id already.
#[must_use]
pub fn judge(event: &CloudEvent, meters: &Meters, before: Option<&Count>, received: Timestamp) -> Verdict {
    let judged = count(event, meters).and_then(|count| match before {
        Some(before) if *before == count => Ok(Verdict::Duplicate),
        Some(before) => Err(aside(
            Cause::Conflicting,
            "id",
            format!("it was told before with {} of {} at {}", before.quantity, before.meter, before.at),
            "give each event an id of its own, and never change what was told",
        )),
        None => in_time(count, received),
    });
    judged.unwrap_or_else(Verdict::Quarantined)
}

/// What is kept aside because it is no event.
#[must_use]
pub fn not_an_event(refusal: Refusal) -> Aside {
    Aside { cause: Cause::NotAnEvent, refusal }
}

/// What is kept aside because nobody is known whom it is about.
#[must_use]
pub fn unknown_subject(subject: Option<&str>) -> Aside {
    let reason = match subject {
        Some(subject) => format!("there is no subscription {subject:?} with a tenant"),
        None => "it does not say whom it is about".to_owned(),
    };
    aside(
        Cause::UnknownSubject,
        "subject",
        reason,
        "write the name of the subscription, as kubectl get tsub shows it",
    )
}

/// By what an event that is kept aside is known, however often it is told.
#[must_use]
pub fn digest(received: &Received) -> String {
    blake3::hash(received.text.as_bytes()).to_hex().to_string()
}

fn count(event: &CloudEvent, meters: &Meters) -> Result<Count, Aside> {
    if event.kind != TYPE {
        let reason = format!("{:?} is no usage", event.kind);
        return Err(aside(Cause::OtherType, "type", reason, format!("write {TYPE}")));
    }
    let text = |field: &str| event.data.get(field).and_then(Value::as_str);
    let name = text("meter").unwrap_or_default();
    let Some(meter) = meters.get(name) else {
        let known: Vec<&str> =
            meters.iter().filter(|(_, meter)| meter.is_told).map(|(name, _)| name.as_str()).collect();
        let remedy = match known.is_empty() {
            true => "let the provider declare it in spec.meters of the HostedApplication".to_owned(),
            false => format!("write one of {}, or let the provider declare it", known.join(", ")),
        };
        return Err(aside(
            Cause::ForeignMeter,
            "data.meter",
            format!("the application has no meter {name:?}"),
            remedy,
        ));
    };
    if !meter.is_told {
        let reason = format!("{name} is measured by the provider");
        return Err(aside(
            Cause::NotTold,
            "data.meter",
            reason,
            "tell nothing of it; no event stands in for it",
        ));
    }
    if text("unit") != Some(meter.unit.as_str()) {
        let told = event.data.get("unit").cloned().unwrap_or_default();
        let reason = format!("{name} counts {} and this is {told}", meter.unit);
        return Err(aside(
            Cause::OtherUnit,
            "data.unit",
            reason,
            format!("convert it, and write {}", meter.unit),
        ));
    }
    let told = event.data.get("quantity").cloned().unwrap_or_default();
    let quantity = told.as_i64().filter(|quantity| (0..=LARGEST).contains(quantity)).ok_or_else(|| {
        let reason = format!("{told} is no number of things");
        aside(
            Cause::BadQuantity,
            "data.quantity",
            reason,
            format!("write a whole number from 0 to {LARGEST}"),
        )
    })?;
    let at = event.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok()).ok_or_else(|| {
        let reason = match &event.time {
            Some(time) => format!("{time:?} is no instant"),
            None => "it does not say when it happened".to_owned(),
        };
        aside(Cause::BadTime, "time", reason, "write an instant such as 2026-12-01T10:20:30Z")
    })?;
    Ok(Count { meter: name.to_owned(), unit: meter.unit.clone(), at, quantity })
}

fn in_time(count: Count, received: Timestamp) -> Result<Verdict, Aside> {
    if count.at.duration_since(received) > AHEAD {
        let reason = format!("{} has not come; it was received at {received}", count.at);
        let remedy = "set the clock of who tells it, and tell it again when it has happened";
        return Err(aside(Cause::Future, "time", reason, remedy));
    }
    // The ledger counts from the begin of the hour, so this does as well.
    if received.duration_since(hour_of(count.at)) > LATEST {
        let reason = format!("{} is more than 35 days before {received}, when it was received", count.at);
        let remedy = "tell usage within 35 days; the provider may correct an invoice by hand";
        return Err(aside(Cause::TooOld, "time", reason, remedy));
    }
    let is_late = end_of(count.at).saturating_add(WAIT).unwrap_or(Timestamp::MAX) <= received;
    Ok(Verdict::Accepted { count, is_late })
}

fn aside(cause: Cause, field: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Aside {
    Aside { cause, refusal: Refusal::new(field, reason, remedy) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn meters() -> Meters {
        let meter = |unit: &str, is_told| Meter { unit: unit.to_owned(), is_told };
        Meters::from([
            ("calls".to_owned(), meter("Request", true)),
            ("cpu".to_owned(), meter("MillicoreSecond", false)),
        ])
    }

    fn event(time: &str, data: Value) -> CloudEvent {
        CloudEvent {
            id: "a-1".to_owned(),
            source: "web".to_owned(),
            kind: TYPE.to_owned(),
            subject: None,
            time: Some(time.to_owned()),
            data,
        }
    }

    fn calls(quantity: Value) -> Value {
        json!({"meter": "calls", "quantity": quantity, "unit": "Request", "tenant": "somebody-else"})
    }

    /// `late`, `on time`, `duplicate`, or the cause.
    fn said(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Accepted { is_late: true, .. } => "late".to_owned(),
            Verdict::Accepted { .. } => "on time".to_owned(),
            Verdict::Duplicate => "duplicate".to_owned(),
            Verdict::Quarantined(aside) => {
                let Refusal { field, reason, remedy } = &aside.refusal;
                assert!(!field.is_empty() && !reason.is_empty() && !remedy.is_empty(), "{aside:?}");
                aside.cause.name().to_owned()
            }
        }
    }

    #[test]
    fn an_event_counts_while_it_is_known_when_it_happened() {
        let now = at("2026-12-01T10:30:00Z");
        for (time, outcome) in [
            ("2026-12-01T10:30:00Z", "on time"),
            ("2026-12-01T10:35:00Z", "on time"),
            ("2026-12-01T10:35:00.000000001Z", "Future"),
            ("2026-12-01T12:20:00+02:00", "on time"),
            ("2026-12-01T09:59:59Z", "late"),
            ("2026-10-27T12:00:00Z", "late"),
            ("2026-10-27T11:59:59Z", "TooOld"),
            ("2026-10-27T09:00:00Z", "TooOld"),
            ("9999-12-30T22:00:00Z", "Future"),
            ("-009999-01-02T01:59:59Z", "TooOld"),
            ("yesterday", "BadTime"),
            ("2026-12-01T10:30:00", "BadTime"),
        ] {
            let verdict = judge(&event(time, calls(json!(1))), &meters(), None, now);
            assert_eq!(said(&verdict), outcome, "{time}");
        }
        // The hour that has just ended is waited for.
        let verdict =
            |now: &str| judge(&event("2026-12-01T09:59:59Z", calls(json!(1))), &meters(), None, at(now));
        assert_eq!(said(&verdict("2026-12-01T10:04:59Z")), "on time");
        assert_eq!(said(&verdict("2026-12-01T10:05:00Z")), "late");
    }

    #[test]
    fn what_does_not_count_is_kept_aside_with_its_cause() {
        let now = "2026-12-01T10:30:00Z";
        let with = |field: &str, value: Value| {
            let mut data = calls(json!(1));
            data[field] = value;
            data
        };
        for (data, outcome) in [
            (calls(json!(0)), "on time"),
            (calls(json!(LARGEST)), "on time"),
            (calls(json!(LARGEST + 1)), "BadQuantity"),
            (calls(json!(-1)), "BadQuantity"),
            (calls(json!(1.5)), "BadQuantity"),
            (calls(json!(2.0)), "BadQuantity"),
            (calls(json!("1")), "BadQuantity"),
            (calls(Value::Null), "BadQuantity"),
            (with("meter", json!("mails")), "ForeignMeter"),
            (with("meter", json!(5)), "ForeignMeter"),
            (with("meter", json!("cpu")), "NotTold"),
            (with("unit", json!("Byte")), "OtherUnit"),
            (with("unit", Value::Null), "OtherUnit"),
            (json!("nothing"), "ForeignMeter"),
        ] {
            let verdict = judge(&event(now, data.clone()), &meters(), None, at(now));
            assert_eq!(said(&verdict), outcome, "{data}");
        }
        let other = CloudEvent { kind: "com.example.other".to_owned(), ..event(now, calls(json!(1))) };
        assert_eq!(said(&judge(&other, &meters(), None, at(now))), "OtherType");
        let timeless = CloudEvent { time: None, ..event(now, calls(json!(1))) };
        assert_eq!(said(&judge(&timeless, &meters(), None, at(now))), "BadTime");
        assert_eq!(unknown_subject(None).cause, Cause::UnknownSubject);
        assert_eq!(Cause::ALL.map(Cause::name).len(), 11);
    }

    #[test]
    fn an_id_means_one_event_for_ever() {
        let time = "2026-12-01T10:20:00Z";
        let before =
            Count { meter: "calls".to_owned(), unit: "Request".to_owned(), at: at(time), quantity: 7 };
        let judged = |quantity: i64, now: &str| {
            said(&judge(&event(time, calls(json!(quantity))), &meters(), Some(&before), at(now)))
        };
        assert_eq!(judged(7, "2026-12-01T10:30:00Z"), "duplicate");
        assert_eq!(judged(7, "2027-12-01T10:30:00Z"), "duplicate", "however late");
        assert_eq!(judged(8, "2026-12-01T10:30:00Z"), "Conflicting");
    }
}
