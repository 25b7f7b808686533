//! Runs over an account, told as a store tells them: facts in order, and boundary by boundary.

use serde_json::{Value, json};
use tenantry_ledger::document::Document;
use tenantry_ledger::event::Usage;
use tenantry_ledger::history::{Acceptance, Fact, History, chained};
use tenantry_ledger::invoice::DocumentKind;
use tenantry_ledger::run::{Counted, Supposed, check, foresee, next_boundary, preview, run};

use crate::book::{Book, agreement, read_agreement};
use crate::shop::{list, monthly, on, said};

fn gold() -> Value {
    let mut gold = list("gold", &[monthly("base", "249.00")]);
    gold["phases"] = json!([{"length": {"unit": "Day", "count": 14}, "discount": "100"}]);
    gold
}

#[test]
fn a_trial_ends_and_months_follow_from_that_day_on() {
    let mut book = Book::new(&[gold()]);
    book.starts("2025-01-10", "gold");
    assert_eq!(
        book.catch_up("2025-03-31"),
        [
            "2025-01-10: nothing",
            "2025-01-24: INV-003-001 298.80 298.80",
            "2025-02-24: INV-003-002 298.80 298.80",
            "2025-03-24: INV-003-003 298.80 298.80",
        ]
    );
    assert_eq!(book.history.anchor(), Some(on("2025-01-24").date()));
    assert_eq!(book.history.closed(), Some(on("2025-03-24")));
    assert_eq!(next_boundary(&book.history).unwrap(), Some(on("2025-04-24")));
    let document = book.last_document();
    assert_eq!((document.due, document.type_code), (Some(on("2025-04-23").date()), 380));
    assert_eq!((document.net.as_str(), document.tax.as_str()), ("249.00", "49.80"));
    assert_eq!(
        (document.seller.name.as_str(), document.buyer.country.as_str()),
        ("Orderly Hosting AG", "DE")
    );
    let line = &document.lines[0];
    assert_eq!((line.name.as_str(), line.subscription.as_str(), line.entry), ("acme", "t1", 3));
    assert_eq!(book.catch_up("2025-03-31"), Vec::<String>::new(), "running twice changes nothing");
}

#[test]
fn an_upgrade_is_billed_on_its_day_and_an_end_gives_back() {
    let mut book =
        Book::new(&[list("silver", &[monthly("base", "99.00")]), list("gold", &[monthly("base", "249.00")])]);
    book.starts("2025-01-01", "silver");
    assert_eq!(book.catch_up("2025-01-31"), ["2025-01-01: INV-003-001 118.80 118.80"]);
    book.happens("2025-01-16", json!({"type": "ChangePlan", "priceList": "gold"}));
    assert_eq!(book.catch_up("2025-01-31"), ["2025-01-16: INV-003-002 92.90 92.90"]);
    let lines: Vec<_> = book.last_document().lines.iter().collect();
    assert_eq!((lines[0].net.as_str(), lines[0].quantity.as_str()), ("-51.10", "-1"));
    assert_eq!(lines[0].corrects.as_deref(), Some("INV-003-001"));
    assert_eq!((lines[1].net.as_str(), lines[1].corrects.as_deref()), ("128.52", None));
    book.happens("2025-01-21", json!({"type": "Cancel"}));
    assert_eq!(book.catch_up("2025-01-31"), ["2025-01-21: CN-003-001 -106.03 0.00"]);
    assert_eq!(book.last_document().type_code, 381);
    assert_eq!((book.last_document().surplus.as_str(), book.history.balance()), ("106.03", 10_603));
    assert_eq!(next_boundary(&book.history).unwrap(), None);
    assert_eq!(book.history.numbered(DocumentKind::Invoice), 2);
    assert!(!book.history.is_running("t1"));
}

#[test]
fn what_is_told_on_a_boundary_that_is_closed_is_billed_at_it() {
    let mut book = Book::new(&[list("silver", &[monthly("base", "31.00")])]);
    book.starts("2025-01-01", "silver");
    book.catch_up("2025-01-01");
    book.happens("2025-01-01", json!({"type": "Extra", "name": "training", "price": "100.00"}));
    assert_eq!(book.catch_up("2025-01-01"), ["2025-01-01: INV-003-002 120.00 120.00"]);
}

#[test]
fn a_difference_in_closed_history_parks_the_account_until_somebody_accepts_it() {
    let mut book = Book::new(&[list("silver", &[monthly("base", "31.00")])]);
    book.starts("2025-01-01", "silver");
    book.catch_up("2025-02-28");
    // As if this program computed otherwise than the one that closed January and February.
    let mut forged = History::new(3);
    for fact in &book.facts {
        forged.apply(match fact {
            Fact::Priced(list) => {
                let mut list = serde_json::to_value(list).unwrap();
                list["charges"][0]["price"]["price"] = json!("62.00");
                Fact::Priced(serde_json::from_value(list).unwrap())
            }
            fact => fact.clone(),
        });
    }
    book.history = forged;
    let march = on("2025-03-01");
    assert_eq!(next_boundary(&book.history).unwrap(), Some(march));
    let refusal = book.run(march).unwrap_err();
    assert!(refusal.field.contains("subscriptions[t1]"), "{refusal}");
    assert!(refusal.reason.contains("which was closed, and nothing was told"), "{refusal}");
    book.tell(Fact::Accepted(Acceptance { by: "jane".to_owned(), reason: "agreed by phone".to_owned() }));
    let closing = book.run(march).unwrap();
    let posted: Vec<_> = closing.entries.iter().map(|entry| said(&entry.posting)).collect();
    assert_eq!(posted.last().unwrap(), "t1 base 2025-03-01..2025-04-01 124.00 EUR");
}

#[test]
fn a_price_list_of_many_charges_is_no_accident() {
    let charges: Vec<Value> = (0..24).map(|number| monthly(&format!("part-{number:02}"), "1.00")).collect();
    let mut book = Book::new(&[list("platinum", &charges)]);
    book.starts("2025-01-01", "platinum");
    assert_eq!(book.catch_up("2025-01-01"), ["2025-01-01: INV-003-001 28.80 28.80"]);
}

#[test]
fn a_coupon_is_given_back_in_the_share_in_which_its_charge_is() {
    let mut with_coupon = agreement();
    with_coupon["coupons"] = json!([{"name": "welcome", "off": {"Percent": "50"}, "target": "All"}]);
    let mut book = Book::under(with_coupon, &[list("silver", &[monthly("base", "31.00")])]);
    book.starts("2025-01-01", "silver");
    assert_eq!(book.catch_up("2025-01-01"), ["2025-01-01: INV-003-001 18.60 18.60"]);
    assert_eq!(book.last_document().lines[0].reduction, "15.50");
    book.happens("2025-01-11", json!({"type": "Cancel"}));
    assert_eq!(book.catch_up("2025-01-11"), ["2025-01-11: CN-003-001 -12.60 0.00"]);
    assert_eq!(book.history.reduced()[&1].returned, 1_050);
}

#[test]
fn a_preview_is_the_same_computation_without_a_number() {
    let mut book = Book::new(&[gold()]);
    let start = json!({"type": "Start", "application": "erp", "priceList": "gold"});
    let happening = book.happening("2025-01-10", start);
    let shown = preview(&book.history, book.counted(), vec![happening.clone()]).unwrap().unwrap();
    assert_eq!((shown.number.as_str(), shown.issued), ("INV-DRAFT", on("2025-01-24").date()));
    assert_eq!(preview(&book.history, book.counted(), Vec::new()).unwrap(), None, "nothing happened");
    book.tell(Fact::Happened(happening));
    book.catch_up("2025-01-24");
    let real = Document { number: shown.number.clone(), ..book.last_document().clone() };
    assert_eq!(shown, real);
}

#[test]
fn what_is_supposed_for_later_is_told_in_its_time() {
    let lists = [list("silver", &[monthly("base", "31.00")])];
    let mut book = Book::new(&lists);
    book.starts("2025-01-01", "silver");
    book.catch_up("2025-01-01");
    let change = json!({"type": "ChangePlan", "priceList": "bronze"});
    let happening = book.happening("2025-02-15", change);
    let before = book.history.clone();
    let supposed = Supposed {
        lists: vec![serde_json::from_value(list("bronze", &[monthly("base", "28.00")])).unwrap()],
        until: Some(happening.event.at),
        happenings: vec![happening],
    };
    let shown = foresee(&book.history, book.counted(), supposed.clone()).unwrap();
    let said: Vec<String> = shown
        .iter()
        .map(|document| format!("{} {} {}", document.issued, document.net, document.lines.len()))
        .collect();
    // 14 of 28 days at 31.00 are given back and charged at 28.00.
    assert_eq!(said, ["2025-02-01 31.00 1", "2025-02-15 -1.50 2"]);
    assert_eq!(book.history, before, "nothing happened");
    let unknown = Supposed { lists: Vec::new(), ..supposed };
    assert_eq!(foresee(&book.history, book.counted(), unknown).unwrap_err().field, "priceList");
}

fn count(at: &str, received: &str) -> Usage {
    let usage =
        json!({"subscription": "t1", "meter": "storage", "at": at, "quantity": 100, "received": received});
    serde_json::from_value(usage).unwrap()
}

#[test]
fn usage_told_late_is_billed_with_its_own_dates_at_the_next_boundary() {
    let storage = json!({
        "name": "storage", "type": "Usage", "meter": "storage", "interval": {"unit": "Month", "count": 1},
        "aggregation": "Sum", "price": {"model": "PerUnit", "price": "0.10"},
    });
    let mut book = Book::new(&[list("silver", &[monthly("base", "31.00"), storage])]);
    book.starts("2025-01-01", "silver");
    book.usage.push(count("2025-01-05T00:00:00Z", "2025-01-05T01:00:00Z"));
    assert_eq!(
        book.catch_up("2025-02-01"),
        ["2025-01-01: INV-003-001 37.20 37.20", "2025-02-01: INV-003-002 49.20 49.20"]
    );
    book.usage.push(count("2025-01-06T00:00:00Z", "2025-02-03T01:00:00Z"));
    assert_eq!(book.catch_up("2025-03-01"), ["2025-03-01: INV-003-003 49.20 49.20"]);
    let late = &book.last_document().lines;
    let late: Vec<_> =
        late.iter().map(|line| (line.charge.as_str(), line.from.date(), line.net.as_str())).collect();
    assert!(late.contains(&("storage", on("2025-01-01").date(), "10.00")), "{late:?}");
}

#[test]
fn a_hash_depends_on_every_fact_and_on_nothing_else() {
    let told = || {
        let mut book = Book::new(&[gold()]);
        book.starts("2025-01-10", "gold");
        book.catch_up("2025-03-31");
        book
    };
    let (one, mut other) = (told(), told());
    assert_eq!(one.hash(), other.hash());
    other.happens("2025-03-31", json!({"type": "Pause"}));
    assert_ne!(one.hash(), other.hash());
    let mut forged = told();
    let Some(Fact::Closed(closing)) = forged.facts.last_mut() else { panic!("the last fact is a run") };
    closing.balance += 1;
    assert_ne!(one.hash(), forged.hash());
    assert_ne!(chained("ab", "c", "d"), chained("a", "bc", "d"));
}

#[test]
fn what_no_account_can_be_billed_by_is_refused() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str, &str); 7] = [
        (|agreement| agreement["account"]["timeZone"] = json!("Europe/Zuerich"), "account.timeZone", "IANA"),
        (|agreement| agreement["series"]["creditNote"] = json!("INV"), "series.creditNote", "another prefix"),
        (|agreement| agreement["series"]["invoice"] = json!(""), "series.invoice", "a prefix"),
        (|agreement| agreement["rates"][0]["percent"] = json!("120"), "rates[].percent", "0 to 100"),
        (
            |agreement| {
                let rate = agreement["rates"][0].clone();
                agreement["rates"].as_array_mut().unwrap().push(rate);
            },
            "rates[].from",
            "keep one",
        ),
        (
            |agreement| {
                agreement["coupons"] = json!([{"name": "x", "off": {"Amount": -5}, "target": "All"}]);
            },
            "coupons[x].amount",
            "zero or more",
        ),
        (
            |agreement| {
                agreement["bundles"] = json!([{"name": "x", "applications": [], "percent": "5"}]);
            },
            "bundles[x].applications",
            "name the applications",
        ),
    ];
    for (edit, field, remedy) in cases {
        let mut edited = agreement();
        edit(&mut edited);
        let refusal = read_agreement(edited).check().unwrap_err();
        assert_eq!(refusal.field, field, "{refusal}");
        assert!(refusal.remedy.contains(remedy), "{refusal}");
    }
    let before = read_agreement(agreement());
    for (edit, field) in [
        (json!({"id": "acme", "currency": "CHF", "timeZone": "Europe/Zurich"}), "account.currency"),
        (json!({"id": "acme", "currency": "EUR", "timeZone": "UTC"}), "account.timeZone"),
    ] {
        let mut edited = agreement();
        edited["account"] = edit;
        assert_eq!(read_agreement(edited).follows(&before).unwrap_err().field, field);
    }
}

#[test]
fn an_event_that_cannot_be_charged_is_refused_before_it_is_kept() {
    let mut book = Book::new(&[list("silver", &[monthly("base", "31.00")])]);
    book.happens("2025-01-01", json!({"type": "ChangePlan", "priceList": "silver"}));
    assert_eq!(check(&book.history).unwrap_err().reason, "the subscription is not running");
    let mut book = Book::new(&[]);
    book.starts("2025-01-01", "gold");
    assert_eq!(check(&book.history).unwrap_err().field, "priceList");
    assert!(run(&History::new(1), Counted::default(), on("2025-01-01")).is_err(), "nothing was agreed");
    assert!(Fact::read("Whatever", "{}").unwrap_err().reason.contains("knows no such fact"));
    assert!(Fact::read("Priced", "{}").unwrap_err().remedy.contains("restore the database"));
}

#[test]
fn tax_rates_hold_from_their_date_on() {
    let mut dated = agreement();
    dated["rates"] = json!([
        {"name": "", "category": "S", "percent": "20"},
        {"name": "", "from": "2025-02-01", "category": "S", "percent": "21"},
    ]);
    let mut book = Book::under(dated, &[list("silver", &[monthly("base", "100.00")])]);
    book.starts("2025-01-01", "silver");
    assert_eq!(
        book.catch_up("2025-02-28"),
        ["2025-01-01: INV-003-001 120.00 120.00", "2025-02-01: INV-003-002 121.00 121.00"]
    );
}
