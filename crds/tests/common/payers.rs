//! Who sells and who pays.

use super::*;

/// Who sells, who pays, and what stays as it is.
pub(super) fn payers() -> Vec<Case> {
    let issuer = || base("InvoiceIssuer");
    let account = || base("BillingAccount");
    let order = |billing: Value| with(base("TenantSubscription"), "/spec/billing", billing);
    let paid = || order(json!({"accountRef": {"name": "acme"}}));
    let latest = "2026-12-01T00:00:00Z";
    let sinks = |sinks: Value| with(issuer(), "/spec/sinks", sinks);
    let paying = |sources: Value, dunning: Value| {
        with(with(issuer(), "/spec/paymentSources", sources), "/spec/dunning", dunning)
    };
    let coupons = |coupons: Value| with(account(), "/spec/coupons", coupons);
    let costs = |costs: Value| with(issuer(), "/spec/costs", costs);
    const COST: &str = "a cost is that of servers or of what a meter counts";
    const COUPON: &str = "a coupon takes off a percentage or an amount";
    let named = |length: usize| with(account(), "/metadata/name", json!("n".repeat(length)));
    vec![
        accepted("an issuer", issuer()),
        accepted("an account", account()),
        accepted(
            "bundles",
            with(
                issuer(),
                "/spec/bundles",
                json!([{"name": "office", "applications": ["erp", "mail"], "percent": "10"}]),
            ),
        ),
        accepted(
            "sinks",
            sinks(json!([
                {"name": "drop", "folder": {"path": "/srv/invoices", "forms": ["Json", "Ubl"]}},
                {"name": "erp", "webhook": {"url": "https://erp.example.org/in"}},
            ])),
        ),
        refused("a sink of no kind", sinks(json!([{"name": "a"}])), "a sink is of one kind"),
        refused(
            "a sink of two kinds",
            sinks(
                json!([{"name": "a", "stripe": {"url": "https://a.example"}, "killBill": {"url": "https://b.example"}}]),
            ),
            "a sink is of one kind",
        ),
        accepted("who tells of payments", paying(json!(["bank"]), json!([]))),
        accepted(
            "a ladder",
            paying(
                json!(["bank"]),
                json!([{"stage": "Reminder", "days": 7}, {"stage": "Suspended", "total": "100.00"}]),
            ),
        ),
        refused(
            "a ladder of whom nobody tells payments",
            with(issuer(), "/spec/dunning", json!([{"stage": "Reminder", "days": 7}])),
            "who is not told of payments cannot say what is unpaid",
        ),
        refused(
            "a rung that everybody stands on",
            paying(json!(["bank"]), json!([{"stage": "Warning"}])),
            "everybody would stand on a rung without a condition",
        ),
        accepted("a day to collect usage", with(issuer(), "/spec/collectionDelay", json!("24h"))),
        accepted("no time to collect usage", with(issuer(), "/spec/collectionDelay", json!("0s"))),
        refused(
            "more than a day to collect usage",
            with(issuer(), "/spec/collectionDelay", json!("24h1s")),
            "documents would wait for more than a day",
        ),
        accepted(
            "costs",
            costs(json!([
                {"servers": {"key": "standard", "coreHour": "0.0140", "gibibyteHour": "0.0021"}, "currency": "EUR"},
                {"servers": {"key": "standard", "coreHour": "0.0150"}, "currency": "EUR", "validFrom": "2027-01-01"},
                {"meter": {"application": "mail", "name": "messages", "per": "1000", "cost": "0.4"}, "currency": "EUR"},
            ])),
        ),
        refused("a cost of nothing", costs(json!([{"currency": "EUR"}])), COST),
        refused(
            "a cost of both",
            costs(json!([{
                "currency": "EUR", "servers": {"key": "a", "coreHour": "1"},
                "meter": {"application": "mail", "name": "messages", "cost": "1"},
            }])),
            COST,
        ),
        refused(
            "servers that cost nothing",
            costs(json!([{"currency": "EUR", "servers": {"key": "a"}}])),
            "a share of servers costs by its cores or by its memory",
        ),
        accepted(
            "coupons",
            coupons(
                json!([{"name": "a", "amount": "50.00"}, {"name": "b", "percent": "15", "charges": ["seats"]}]),
            ),
        ),
        refused("a coupon of both", coupons(json!([{"name": "a", "amount": "1", "percent": "1"}])), COUPON),
        refused("a coupon of nothing", coupons(json!([{"name": "a"}])), COUPON),
        accepted("longest name of an account", named(63)),
        refused("name of an account too long", named(64), "metadata.name must be at most 63 characters"),
        refused(
            "one series for everything",
            with(issuer(), "/spec/series/creditNotes", json!("INV")),
            "credit notes need numbers of their own",
        ),
        change(
            "another address",
            issuer(),
            with(issuer(), "/spec/address", json!(["Bahnhofstrasse 2", "8000 Zürich"])),
            None,
        ),
        change(
            "another series",
            issuer(),
            with(issuer(), "/spec/series/invoices", json!("RE")),
            Some("series never change"),
        ),
        change("another company", account(), with(account(), "/spec/company", json!("Acme GmbH")), None),
        change(
            "another issuer",
            account(),
            with(account(), "/spec/issuerRef/name", json!("other")),
            Some("an account stays with its issuer"),
        ),
        change(
            "another currency",
            account(),
            with(account(), "/spec/currency", json!("CHF")),
            Some("the currency of an account cannot change"),
        ),
        change(
            "another time zone",
            account(),
            with(account(), "/spec/timeZone", json!("UTC")),
            Some("the time zone of an account cannot change"),
        ),
        accepted("a record", base("BillingRecord")),
        change(
            "a record of another amount",
            base("BillingRecord"),
            with(base("BillingRecord"), "/spec/net", json!("0.00")),
            Some("what was billed does not change"),
        ),
        accepted("an order with an account", paid()),
        accepted("from a day on", order(json!({"accountRef": {"name": "acme"}, "startNoLaterThan": latest}))),
        refused(
            "from the sign-up and from a day on",
            order(json!({"accountRef": {"name": "acme"}, "startOn": "SignUp", "startNoLaterThan": latest})),
            "charges that begin with the sign-up need no latest time",
        ),
        change("an account later", base("TenantSubscription"), paid(), None),
        change(
            "another account",
            paid(),
            order(json!({"accountRef": {"name": "other"}})),
            Some("a subscription stays with the account that pays for it"),
        ),
    ]
}
