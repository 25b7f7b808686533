use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn parsed(windows: Value) -> Result<Windows, Vec<Problem>> {
    Windows::of(&serde_json::from_value::<Vec<MaintenanceWindow>>(windows).unwrap())
}

fn windows(windows: Value) -> Windows {
    parsed(windows).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next opening, next closing and whether it is open, with `-` for never.
fn look(windows: &Windows, now: &str) -> (bool, String, String) {
    let text = |moment: Option<Timestamp>| moment.map_or_else(|| "-".to_owned(), |moment| moment.to_string());
    (windows.is_open(at(now)), text(windows.opens(at(now))), text(windows.closes(at(now))))
}

fn looked(open: bool, opens: &str, closes: &str) -> (bool, String, String) {
    (open, opens.to_owned(), closes.to_owned())
}

#[test]
fn who_says_nothing_may_be_worked_on_at_any_time() {
    let none = Windows::default();
    assert!(none.is_empty());
    assert_eq!(look(&none, "2026-11-28T10:00:00Z"), looked(true, "2026-11-28T10:00:00Z", "-"));
    assert_eq!(none.opens_again(at("2026-11-28T10:00:00Z")), None);
}

#[test]
fn a_window_is_open_from_its_begin_until_right_before_its_end() {
    // 2026-11-28 is a Saturday.
    let saturdays =
        windows(json!([{"schedule": "0 22 * * SAT", "duration": "4h", "timeZone": "Europe/Berlin"}]));
    for (now, expected) in [
        ("2026-11-28T20:59:59Z", looked(false, "2026-11-28T21:00:00Z", "2026-11-28T20:59:59Z")),
        ("2026-11-28T21:00:00Z", looked(true, "2026-11-28T21:00:00Z", "2026-11-29T01:00:00Z")),
        ("2026-11-29T00:59:59Z", looked(true, "2026-11-29T00:59:59Z", "2026-11-29T01:00:00Z")),
        ("2026-11-29T01:00:00Z", looked(false, "2026-12-05T21:00:00Z", "2026-11-29T01:00:00Z")),
        // In summer the same hour of Berlin is another one of UTC.
        ("2026-07-01T00:00:00Z", looked(false, "2026-07-04T20:00:00Z", "2026-07-01T00:00:00Z")),
    ] {
        assert_eq!(look(&saturdays, now), expected, "{now}");
    }
    assert_eq!(saturdays.opens_again(at("2026-11-28T21:30:00Z")), Some(at("2026-12-05T21:00:00Z")));
}

#[test]
fn what_is_denied_is_denied_whatever_allows_it() {
    let nights = json!({"schedule": "0 1 * * *", "duration": "3h"});
    let december = json!({"kind": "Deny", "schedule": "0 0 20-31 12 *", "duration": "24h"});
    let end = json!({"kind": "Deny", "schedule": "30 2 * * *", "duration": "1m"});
    let both = windows(json!([nights, december, end]));
    for (now, expected) in [
        ("2026-12-19T02:00:00Z", looked(true, "2026-12-19T02:00:00Z", "2026-12-19T02:30:00Z")),
        ("2026-12-19T02:30:30Z", looked(false, "2026-12-19T02:31:00Z", "2026-12-19T02:30:30Z")),
        ("2026-12-19T05:00:00Z", looked(false, "2027-01-01T01:00:00Z", "2026-12-19T05:00:00Z")),
        ("2026-12-24T02:00:00Z", looked(false, "2027-01-01T01:00:00Z", "2026-12-24T02:00:00Z")),
    ] {
        assert_eq!(look(&both, now), expected, "{now}");
    }
    let office = windows(json!([{"kind": "Deny", "schedule": "0 8 * * MON-FRI", "duration": "9h"}]));
    assert_eq!(
        look(&office, "2026-11-27T10:00:00Z"),
        looked(false, "2026-11-27T17:00:00Z", "2026-11-27T10:00:00Z")
    );
    assert_eq!(
        look(&office, "2026-11-28T10:00:00Z"),
        looked(true, "2026-11-28T10:00:00Z", "2026-11-30T08:00:00Z")
    );
}

#[test]
fn a_change_of_the_clocks_neither_loses_a_window_nor_doubles_it() {
    let daily = |schedule: &str| {
        windows(json!([{"schedule": schedule, "duration": "30m", "timeZone": "Europe/Berlin"}]))
    };
    // On 2026-03-29 there is no time from 02:00 to 03:00, on 2026-10-25 there are two of them.
    let half_past_two = daily("30 2 * * *");
    assert_eq!(half_past_two.opens(at("2026-03-28T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(half_past_two.opens(at("2026-03-29T01:30:00Z")), Some(at("2026-03-30T00:30:00Z")));
    assert_eq!(half_past_two.opens(at("2026-10-24T12:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
    assert_eq!(half_past_two.opens(at("2026-10-25T01:10:00Z")), Some(at("2026-10-26T01:30:00Z")));
    // Every minute of that night is covered all the same.
    let always = daily("* * * * *");
    assert_eq!(always.closes(at("2026-10-24T12:00:00Z")), Some(at("2026-10-25T01:29:00Z")));
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_field() {
    let of = |window: Value| {
        let problems = parsed(json!([{"schedule": "0 1 * * *", "duration": "1h"}, window])).unwrap_err();
        let texts: Vec<String> = problems.iter().map(|p| format!("{} {}", p.field, p.reason)).collect();
        (texts.join(" | "), Problem::list(&problems))
    };
    for (window, field, remedy) in [
        (json!({"schedule": "every night", "duration": "1h"}), "schedule", "such as 0 22 * * SAT"),
        (json!({"schedule": "0 25 * * *", "duration": "1h"}), "schedule", "such as 0 22 * * SAT"),
        (json!({"schedule": "0 1 * * * Europe/Berlin", "duration": "1h"}), "schedule", "in timeZone"),
        (json!({"schedule": "0 1 30 2 *", "duration": "1h"}), "schedule", "never comes"),
        (json!({"schedule": "0 1 * * *", "duration": "a night"}), "duration", "90s"),
        (json!({"schedule": "0 1 * * *", "duration": "59s"}), "duration", "one minute to seven days"),
        (json!({"schedule": "0 1 * * *", "duration": "169h"}), "duration", "one minute to seven days"),
        (
            json!({"schedule": "0 1 * * *", "duration": "1h", "timeZone": "Berlin"}),
            "timeZone",
            "Europe/Berlin",
        ),
    ] {
        let (found, message) = of(window.clone());
        assert_eq!(found, format!("spec.maintenanceWindows[1].{field} MaintenanceWindowInvalid"), "{window}");
        assert!(message.contains(remedy), "{message}");
    }
    for never in [
        json!([{"kind": "Deny", "schedule": "0 0 * * *", "duration": "24h"}]),
        json!([{"schedule": "0 1 * * *", "duration": "1h"}, {"kind": "Deny", "schedule": "0 0 * * *", "duration": "3h"}]),
    ] {
        let problems = parsed(never).unwrap_err();
        assert_eq!(
            (problems[0].field.as_str(), problems[0].reason),
            ("spec.maintenanceWindows", "MaintenanceNeverAllowed")
        );
    }
}

prop_compose! {
    fn window()(
        deny in any::<bool>(),
        minute in 0_u8..60,
        hour in 0_u8..24,
        day in prop::sample::select(vec!["*", "MON", "SAT,SUN", "TUE-THU"]),
        minutes in 1_u32..3000,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
    ) -> Value {
        let kind = if deny { "Deny" } else { "Allow" };
        json!({"kind": kind, "schedule": format!("{minute} {hour} * * {day}"), "duration": format!("{minutes}m"), "timeZone": zone})
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Edges are what asking minute after minute would find.
    #[test]
    fn edges_are_where_the_answer_changes(
        all in prop::collection::vec(window(), 0..4),
        // Around both changes of the clocks in these zones.
        start in prop::sample::select(vec![1_772_900_000_i64, 1_774_700_000, 1_792_800_000, 1_793_400_000]),
        shift in 0_i64..2000,
    ) {
        let Ok(windows) = parsed(Value::Array(all)) else { return Ok(()) };
        let now = Timestamp::from_second((start + shift * 60) / 60 * 60).unwrap();
        let minute = |count: i64| now + SignedDuration::from_mins(count);
        let first = |open: bool| (0..3 * 24 * 60).map(minute).find(|at| windows.is_open(*at) == open);
        for (edge, brute) in [(windows.opens(now), first(true)), (windows.closes(now), first(false))] {
            match brute {
                Some(_) => prop_assert_eq!(edge, brute),
                None => prop_assert!(edge.is_none_or(|edge| edge >= minute(3 * 24 * 60))),
            }
        }
    }
}
