//! Documents: what is taken off, taxed, drawn and left to pay, in the order that the rules fix.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::date;
use num_traits::ToPrimitive as _;
use serde_json::json;
use tenantry_ledger::coupon::{Coupon, Off, Target};
use tenantry_ledger::exact::{Decimal, to_text};
use tenantry_ledger::invoice::{
    CreditedMonth, DocumentKind, Draft, Maximum, Reduced, ServiceCredit, Terms, draft,
};
use tenantry_ledger::ladder::{Ladder, Rung, Unpaid};
use tenantry_ledger::ledger::{Effect, Posting};
use tenantry_ledger::line::{Kind, LineKey};
use tenantry_ledger::money::{Currency, Money};
use tenantry_ledger::profile::TENANTRY;
use tenantry_ledger::series::Series;
use tenantry_ledger::service_credit::{Schedule, Step};
use tenantry_ledger::tax::{Rate, Rates};
use tenantry_ledger::timing::{Direction, Rule, When, effective, when};

use crate::shop::{Shop, list, monthly, on};

fn decimal(text: &str) -> Decimal {
    Decimal::parse("number", text).unwrap()
}

fn rates() -> Rates {
    [("", "0"), ("low", "10"), ("standard", "20")]
        .map(|(name, percent)| {
            (name.to_owned(), Rate { category: "S".to_owned(), percent: decimal(percent), reason: None })
        })
        .into()
}

fn posting(charge: &str, kind: Kind, minor: i64, tax: &str) -> Posting {
    let period = tenantry_ledger::calendar::Period::new(on("2025-01-01"), on("2025-02-01"));
    Posting {
        key: LineKey {
            subscription: charge.chars().next().unwrap().to_string(),
            kind,
            charge: charge.to_owned(),
            terms: String::new(),
            period,
        },
        effect: if minor < 0 { Effect::Credit } else { Effect::Charge },
        revision: 0,
        refers_to: None,
        amount: Money { minor, currency: Currency::parse("currency", "EUR").unwrap() },
        quantity: "1".to_owned(),
        tax: tax.to_owned(),
    }
}

fn amount(name: &str, minor: i64, target: Target) -> Coupon {
    Coupon { name: name.to_owned(), off: Off::Amount(minor), target }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

static RATES: std::sync::OnceLock<Rates> = std::sync::OnceLock::new();

/// A document with nothing beside its postings, changed by the test.
fn document<'a>(
    postings: &[Posting],
    change: impl Fn(&mut Terms<'a>),
) -> Result<Draft, tenantry_ledger::refusal::Refusal> {
    let mut terms = Terms {
        currency: Currency::parse("currency", "EUR").unwrap(),
        profile: TENANTRY,
        rates: RATES.get_or_init(rates),
        coupons: &[],
        maximum: None,
        service_credits: &[],
        credited: const { &BTreeSet::new() },
        reduced: const { &BTreeMap::new() },
        balance: 0,
        wallet: 0,
    };
    change(&mut terms);
    draft(postings, &terms)
}

fn nets(draft: &Draft) -> Vec<i64> {
    draft.lines.iter().map(|line| line.net.to_integer().to_i64().unwrap()).collect()
}

#[test]
fn everything_is_taken_off_in_its_turn() {
    let coupons = vec![
        amount("everything", 1_000, Target::All),
        amount("storage", 500, Target::Charges(names(&["storage"]))),
        Coupon { name: "tenth".to_owned(), off: Off::Percent(decimal("10")), target: Target::All },
    ];
    let credit = ServiceCredit {
        of: CreditedMonth {
            subscription: "b".to_owned(),
            service: "erp".to_owned(),
            month: date(2024, 12, 1),
        },
        amount: 300,
        tax: "standard".to_owned(),
    };
    let credits = [credit];
    let draft = document(
        &[
            posting("base", Kind::Recurring, 10_000, "standard"),
            posting("storage", Kind::Usage, 2_000, "low"),
            posting("commitment", Kind::TrueUp, 4_000, "standard"),
        ],
        |terms| {
            terms.coupons = &coupons;
            terms.maximum = Some(Maximum { amount: 9_000, before: 500 });
            terms.service_credits = &credits;
            terms.balance = 2_000;
            terms.wallet = 1_500;
        },
    )
    .unwrap();
    // 10 % leave 9000 and 1800; 5.00 for storage leave 1300; 10.00 over both leave 8126 and 1174; 85.00 are the most, so 8.00
    // of the storage fall. The minimum is filled up without a discount.
    assert_eq!(nets(&draft), [8_126, 374, 4_000, -300]);
    assert_eq!(draft.net, 12_200);
    assert_eq!(
        draft.taxes.iter().map(|total| (total.base, total.tax)).collect::<Vec<_>>(),
        [(374, 37), (11_826, 2_365)]
    );
    assert_eq!((draft.tax, draft.gross), (2_402, 14_602));
    let settled = draft.settlement;
    assert_eq!((settled.drawn, settled.wallet, settled.payable), (2_000, 1_500, 11_102));
    assert_eq!(draft.kind, DocumentKind::Invoice);
}

#[test]
fn tax_is_rounded_per_category_and_coupons_are_whole_cents() {
    let fees = [1_000, 2_000, 3_000, 4_000];
    let postings: Vec<Posting> = ["a", "b"]
        .into_iter()
        .flat_map(|plan| fees.iter().enumerate().map(move |(place, minor)| (plan, place, *minor)))
        .map(|(plan, place, minor)| {
            posting(
                &format!("{plan}{place}"),
                Kind::Usage,
                minor,
                if place == 1 { "standard" } else { "low" },
            )
        })
        .collect();
    let coupons = [
        amount("two meters", 2_000, Target::Charges(names(&["a0", "a1"]))),
        amount("one plan", 1_000, Target::Subscriptions(names(&["b"]))),
        amount("all", 500, Target::All),
    ];
    let draft = document(&postings, |terms| terms.coupons = &coupons).unwrap();
    assert_eq!((draft.net, draft.tax, draft.gross), (16_500, 1_890, 18_390));
    assert!(draft.lines.iter().all(|line| line.net.is_integer()));
    assert_eq!(nets(&draft).iter().sum::<i64>(), 16_500);
}

#[test]
fn more_given_back_than_charged_is_a_credit_note_that_the_next_invoice_draws_on() {
    let back = [
        posting("base", Kind::Recurring, -5_000, "standard"),
        posting("base", Kind::Recurring, 1_000, "standard"),
    ];
    let draft = document(&back, |_| {}).unwrap();
    assert_eq!((draft.kind, draft.net, draft.tax), (DocumentKind::CreditNote, -4_000, -800));
    assert_eq!((draft.settlement.surplus, draft.settlement.payable), (4_800, 0));
    let next =
        document(&[posting("base", Kind::Recurring, 3_000, "standard")], |terms| terms.balance = 4_800)
            .unwrap();
    assert_eq!(
        (next.settlement.drawn, next.settlement.payable, next.settlement.change()),
        (3_600, 0, -3_600)
    );
}

#[test]
fn what_a_coupon_paid_for_is_not_given_back() {
    let mut credit = posting("base", Kind::Recurring, -5_000, "standard");
    credit.refers_to = Some(7);
    let reduced = BTreeMap::from([(7, Reduced { amount: 10_000, reduction: 4_000, returned: 0 })]);
    let draft = document(&[credit.clone()], |terms| terms.reduced = &reduced).unwrap();
    assert_eq!(nets(&draft), [-3_000]);
    let rest = BTreeMap::from([(7, Reduced { amount: 10_000, reduction: 4_000, returned: 3_500 })]);
    let draft = document(&[credit], |terms| terms.reduced = &rest).unwrap();
    assert_eq!(nets(&draft), [-4_500]);
}

#[test]
fn service_credits_come_once_and_are_taxed() {
    let of =
        CreditedMonth { subscription: "b".to_owned(), service: "erp".to_owned(), month: date(2025, 1, 1) };
    let credit = ServiceCredit { of: of.clone(), amount: 1_000, tax: "standard".to_owned() };
    let twice = [credit.clone(), credit.clone()];
    let base = [posting("base", Kind::Recurring, 10_000, "standard")];
    let draft = document(&base, |terms| terms.service_credits = &twice[..1]).unwrap();
    assert_eq!((draft.net, draft.tax), (9_000, 1_800));
    let refusal = document(&base, |terms| terms.service_credits = &twice).unwrap_err();
    assert_eq!(refusal.reason, "the month was credited before");
    let before = BTreeSet::from([of]);
    let refusal = document(&base, |terms| {
        terms.service_credits = &twice[..1];
        terms.credited = &before;
    });
    assert_eq!(refusal.unwrap_err().field, "serviceCredits[b/erp/2025-01-01]");
    let unknown = document(&[posting("base", Kind::Recurring, 1, "exotic")], |_| {}).unwrap_err();
    assert_eq!(unknown.reason, "the issuer has no rate \"exotic\"");
}

#[test]
fn schedules_of_service_credits() {
    let step = |uptime: &str, credit: &str| Step { uptime: decimal(uptime), credit: decimal(credit) };
    let schedule = Schedule::new(vec![step("99.9", "0"), step("99", "10"), step("0", "100")]).unwrap();
    for (uptime, minor) in [("100", 0), ("99.9", 0), ("99.899", 1_001), ("99", 1_001), ("98.999", 10_005)] {
        assert_eq!(schedule.amount(decimal(uptime).value(), 10_005).unwrap(), minor, "{uptime}");
    }
    assert_eq!(Schedule::new(vec![step("99", "10"), step("99.9", "0")]).unwrap_err().field, "schedule");
    assert_eq!(Schedule::new(vec![step("99", "10")]).unwrap_err().reason, "some months reach no step");
}

#[test]
fn the_dunning_ladder_remembers_nothing() {
    let rung = |state: &str, days| Rung {
        state: state.to_owned(),
        days: Some(days),
        invoices: None,
        total: Some(1_000),
    };
    let ladder = Ladder::new(vec![rung("Warned", 30), rung("ReadOnly", 40), rung("Suspended", 50)]).unwrap();
    let (old, new) =
        (Unpaid { due: date(2025, 1, 1), open: 5_000 }, Unpaid { due: date(2025, 2, 1), open: 5_000 });
    let standing = |unpaid: &[Unpaid], day: i8, month: i8| {
        ladder.standing(unpaid, date(2025, month, day)).unwrap().map(|rung| rung.state.clone())
    };
    assert_eq!(standing(&[old, new], 30, 1), None);
    assert_eq!(standing(&[old, new], 31, 1).as_deref(), Some("Warned"));
    assert_eq!(standing(&[old, new], 10, 2).as_deref(), Some("ReadOnly"));
    assert_eq!(standing(&[old, new], 20, 2).as_deref(), Some("Suspended"));
    assert_eq!(standing(&[Unpaid { open: 0, ..old }, new], 20, 2), None);
    assert_eq!(standing(&[Unpaid { open: 999, ..old }], 20, 2), None);
    assert_eq!(
        Ladder::new(vec![rung("Warned", 30), rung("ReadOnly", 30)]).unwrap_err().field,
        "dunning[1].days"
    );
}

#[test]
fn upgrades_act_at_once_and_downgrades_at_the_end_of_the_term() {
    let rules = [
        Rule {
            from: Some("gold".to_owned()),
            to: Some("free".to_owned()),
            in_trial: None,
            when: Some(When::Refused),
        },
        Rule { in_trial: Some(true), when: Some(When::Immediate), ..Rule::default() },
    ];
    assert_eq!(when(&rules, "gold", "free", true, Direction::Downgrade), When::Refused);
    assert_eq!(when(&rules, "gold", "silver", true, Direction::Downgrade), When::Immediate);
    assert_eq!(when(&rules, "gold", "silver", false, Direction::Downgrade), When::EndOfTerm);
    assert_eq!(when(&[], "silver", "gold", false, Direction::Upgrade), When::Immediate);
    let (asked, through) = (on("2025-01-10"), on("2025-02-01"));
    assert_eq!(effective(When::EndOfTerm, asked, Some(through)), Some(through));
    assert_eq!(effective(When::EndOfTerm, asked, None), Some(asked));
    assert_eq!(effective(When::Refused, asked, Some(through)), None);
}

#[test]
fn currencies_without_cents_and_with_mills() {
    for (code, price, wanted) in [("JPY", "1000", "484"), ("KWD", "1.000", "0.484"), ("EUR", "10.00", "4.84")]
    {
        let mut shop = Shop::new(vec![{
            let mut list = list("silver", &[monthly("base", price)]);
            list["currency"] = json!(code);
            list
        }]);
        shop.account["currency"] = json!(code);
        shop.starts("one", "2025-01-17", "erp", "silver");
        let amount = shop.preview("2025-01-17").unwrap()[0].amount;
        assert_eq!(to_text(&amount.currency.major(amount.minor), amount.currency.decimals()), wanted);
    }
}

#[test]
fn drafts_have_no_number() {
    let series = Series { prefix: "T".to_owned(), account: 12 };
    assert_eq!((series.number(1), series.number(1_000)), ("T-012-001".to_owned(), "T-012-1000".to_owned()));
    assert_eq!(series.draft(), "T-DRAFT");
}
