use super::*;
use serde_json::{Value, json};

fn entry(subject: &str, outcome: &str, at: &str, plan: &str, evidence: &Value) -> Entry {
    serde_json::from_value(json!({
        "id": format!("t1/{subject}/{at}"), "tenant": "t1", "subscription": "acme", "uid": "u", "operation": 1,
        "subject": subject, "item": "", "outcome": outcome, "plan": plan, "application": "mail", "version": "mail-1",
        "blueprint": "standard", "startedAt": null, "endedAt": at.parse::<Timestamp>().unwrap().as_second(),
        "machineSeconds": 0, "peopleSeconds": 0, "attempts": 0, "actor": "tenantry", "evidence": evidence.to_string(),
    }))
    .unwrap()
}

fn share(pool: &str, key: Option<&str>, cpu: &str, memory: &str) -> Value {
    json!({"pool": pool, "priceKey": key, "amounts": {"cpu": cpu, "memory": memory, "disk": "0", "pods": "0"}})
}

fn costs(of: &Value) -> Costs {
    Costs {
        issuers: [("orderly".to_owned(), serde_json::from_value(of.clone()).unwrap())].into(),
        accounts: [("acme".to_owned(), "orderly".to_owned()), ("bolt".to_owned(), "gone".to_owned())].into(),
    }
}

fn document(lines: &[Value]) -> Document {
    let party = json!({"name": "A", "country": "CH"});
    serde_json::from_value(json!({
        "number": "INV-001-001", "kind": "Invoice", "typeCode": 380, "issued": "2026-12-01", "currency": "EUR",
        "account": "acme", "seller": party, "buyer": party, "lines": lines, "taxes": [], "net": "0.00", "tax": "0.00",
        "gross": "0.00", "drawn": "0.00", "surplus": "0.00", "payable": "0.00",
    }))
    .unwrap()
}

fn line(tenant: &str, terms: &str, net: &str) -> Value {
    json!({
        "entry": 1, "subscription": tenant, "name": "acme", "charge": "base", "kind": "Recurring", "effect": "Charge",
        "from": "2026-12-01T00:00:00", "to": "2027-01-01T00:00:00", "quantity": "1", "terms": terms, "amount": net,
        "reduction": "0.00", "net": net, "taxCategory": "S", "taxPercent": "10",
    })
}

#[test]
fn a_tenant_costs_what_it_had_and_used_and_pays_what_its_lines_say() {
    let entries = [
        entry("Operation", "Began", "2026-11-20T00:00:00Z", "silver", &json!({})),
        entry(
            "Servers",
            "Obtained",
            "2026-11-20T00:00:00Z",
            "silver",
            &share("hall", Some("standard"), "2", "4Gi"),
        ),
        // Half an hour of the next one's: there is no gap, and no time twice.
        entry("Servers", "Changed", "2026-12-02T10:30:00Z", "silver", &share("side", None, "1", "1Gi")),
        entry("PlanChange", "TookEffect", "2026-12-03T00:00:00Z", "gold", &json!({})),
        entry("Servers", "Released", "2026-12-03T01:00:00Z", "gold", &share("side", None, "1", "1Gi")),
    ];
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let counted = Counted { hours: [(at("2026-12-03T05:00:00Z"), 2_500)].into(), is_told: true };
    let meters = BTreeMap::from([("messages".to_owned(), counted)]);
    let documents =
        [document(&[line("t1", "silver@0123456789", "31.00"), line("t2", "gold@0123456789", "9.00")])];
    let known = Known {
        tenant: "t1",
        entries: &entries,
        meters: &meters,
        documents: &documents,
        zone: &TimeZone::UTC,
        between: [at("2026-12-02T00:00:00Z"), at("2026-12-04T00:00:00Z")],
    };
    let time = Time { from: "2026-12-02".parse().unwrap(), to: "2026-12-04".parse().unwrap() };
    let costs = costs(&json!([
        {"servers": {"key": "standard", "coreHour": "0.10", "gibibyteHour": "0.01"}, "currency": "EUR"},
        {"servers": {"key": "side", "coreHour": "0.50"}, "currency": "EUR"},
        {"meter": {"application": "mail", "name": "messages", "per": "1000", "cost": "0.4"}, "currency": "EUR"},
    ]));
    let shares = of_tenant(&known, &costs.of(Some("acme")).unwrap(), time).unwrap();
    let [gold, silver] = shares.as_slice() else { panic!("{shares:?}") };
    let euro = Currency::parse("currency", "EUR").unwrap();
    let cpu = |servers: &str| Resource::Cpu { servers: servers.to_owned() };
    let memory = |servers: &str| Resource::Memory { servers: servers.to_owned() };
    let mails = Resource::Meter { application: "mail".to_owned(), meter: "messages".to_owned() };
    // 10.5 hours of 2 cores and 4 GiB, then 13.5 of one and one; in the hour of the next plan one more.
    assert_eq!(silver.used[&cpu("standard")], i128::from(CORE_HOUR) * 21);
    assert_eq!(silver.used[&memory("standard")], i128::from(GIBIBYTE_HOUR) * 42);
    assert_eq!(silver.used[&cpu("side")] * 2, i128::from(CORE_HOUR) * 27);
    assert_eq!(silver.costs[&(cpu("standard"), euro)], 210);
    assert_eq!(silver.costs[&(memory("standard"), euro)], 42);
    assert_eq!(silver.costs[&(cpu("side"), euro)], 675);
    assert_eq!(gold.costs, BTreeMap::from([((cpu("side"), euro), 50), ((mails, euro), 100)]));
    assert_eq!(gold.unpriced.iter().collect::<Vec<_>>(), [&memory("side")]);
    // Two of 31 days, and nothing of what others pay.
    assert_eq!((silver.sold[&euro], gold.sold.len()), (200, 0));
}

#[test]
fn who_sells_says_what_units_cost_and_what_is_wrong_with_it() {
    let good =
        json!([{"servers": {"key": "a", "coreHour": "1"}, "currency": "EUR", "validFrom": "2027-01-01"}]);
    let two = Costs {
        issuers: [("x".to_owned(), Vec::new()), ("y".to_owned(), Vec::new())].into(),
        ..costs(&good)
    };
    assert_eq!(costs(&good).of(Some("acme")).unwrap().len(), 1);
    // Nobody pays, or who sold is not known any more: the only seller is meant, if there is one.
    assert_eq!(costs(&good).of(None).unwrap().len(), 1);
    assert_eq!((two.of(None).unwrap().len(), costs(&good).of(Some("bolt")).unwrap().len()), (0, 0));
    for (cost, field) in [
        (json!({"servers": {"key": "a", "coreHour": "1"}, "currency": "XYZ"}), "costs[0].currency"),
        (
            json!({"servers": {"key": "a", "coreHour": "1"}, "currency": "EUR", "validFrom": "2027-02-30"}),
            "costs[0].validFrom",
        ),
        (
            json!({"meter": {"application": "m", "name": "a", "per": "0", "cost": "1"}, "currency": "EUR"}),
            "costs[0].meter.per",
        ),
    ] {
        assert_eq!(costs(&json!([cost])).of(Some("acme")).unwrap_err().field, field);
    }
}
