use serde_json::json;

use super::*;
use crate::hall::TAINT;
use crate::hall::tests::marked;
use crate::oracle::testing::Story;

/// Tenants that have these nodes, by their UIDs, in the pool of whole servers; those without share.
fn pool(tenancy: &str, held: &[(&str, &[&str])], left: &[(&str, &str)], cleaned: &[(&str, &str)]) -> Value {
    let node = |uid: &&str| json!({"name": format!("n-{uid}"), "uid": uid});
    let share = |(tenant, nodes): &(&str, &[&str])| {
        json!({"tenant": format!("t-{tenant}"), "subscription": tenant, "uid": "s1",
            "amounts": {"cpu": "2", "memory": "4Gi", "disk": "10Gi", "pods": "10"},
            "nodes": nodes.iter().map(node).collect::<Vec<_>>()})
    };
    let gone = |(tenant, uid): &(&str, &str)| json!({"node": format!("n-{uid}"), "uid": uid, "tenant": format!("t-{tenant}")});
    let word = |(tenant, uid): &(&str, &str)| json!({"node": format!("n-{uid}"), "tenant": format!("t-{tenant}"), "by": "ada"});
    json!({"spec": {"class": "hall", "tenancy": tenancy, "cleaned": cleaned.iter().map(word).collect::<Vec<_>>()},
        "status": {"reservations": held.iter().map(share).collect::<Vec<_>>(),
            "quarantined": left.iter().map(gone).collect::<Vec<_>>()}})
}

fn own(held: &[(&str, &[&str])], left: &[(&str, &str)], cleaned: &[(&str, &str)]) -> (Key, Value) {
    (Key::new(POOLS, "", "hall-own"), pool("Dedicated", held, left, cleaned))
}

fn shared(tenants: &[&str]) -> (Key, Value) {
    let held: Vec<(&str, &[&str])> = tenants.iter().map(|tenant| (*tenant, &[][..])).collect();
    (Key::new(POOLS, "", "hall-shared"), pool("Shared", &held, &[], &[]))
}

fn node(uid: &str, label: Option<&str>, taint: Option<&str>) -> (Key, Value) {
    let mut node = marked(uid, label, taint);
    node["status"] =
        json!({"allocatable": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "20Gi", "pods": "20"}});
    (Key::new(NODES, "", &format!("n-{uid}")), node)
}

fn mine(uid: &str) -> (Key, Value) {
    node(uid, Some("t-acme"), Some("t-acme"))
}

fn pod(tenant: &str, on: Option<&str>) -> (Key, Value) {
    let mut pod = json!({"spec": {}, "status": {"phase": "Running"}});
    if let Some(on) = on {
        pod["spec"]["nodeName"] = json!(format!("n-{on}"));
    }
    (Key::new("pods", &format!("tenant-{tenant}"), "web"), pod)
}

/// What happens one after the other to two tenants, acme of whom has its plan on the hall. `-` is a deletion.
fn story(steps: &[(char, (Key, Value))]) -> Story {
    let base = |resource: &str, name: &str, object: Value| (Key::new(resource, "", name), object);
    let mut story = Story::of("acme");
    let first =
        story.clone().record().before.values().next().map(|object| (**object).clone()).unwrap_or_default();
    let mut ordered = first;
    ordered["spec"]["planRef"] = json!({"name": "hall-own"});
    let bases = [
        base(SUBSCRIPTIONS, "acme", ordered),
        base(PLANS, "hall-own", json!({"spec": {"servers": {"class": "hall"}}})),
        base(
            "namespaces",
            "tenant-acme",
            json!({"metadata": {"labels": {"tenantry.io/tenant-id": "t-acme"}}}),
        ),
        base(
            "namespaces",
            "tenant-bolt",
            json!({"metadata": {"labels": {"tenantry.io/tenant-id": "t-bolt"}}}),
        ),
    ];
    for (key, object) in bases {
        story = story.with(Sort::Changed, key, object);
    }
    for (sort, (key, object)) in steps.iter().cloned() {
        let sort = match sort {
            '+' => Sort::Created,
            '-' => Sort::Deleted,
            _ => Sort::Changed,
        };
        story = story.with(sort, key, object);
    }
    story
}

fn found(steps: &[(char, (Key, Value))]) -> Vec<String> {
    one_tenant_a_server(&story(steps).record()).into_iter().map(|finding| finding.what).collect()
}

#[test]
fn a_server_is_given_used_left_cleaned_and_given_on_in_that_order() {
    let life = [
        ('~', own(&[], &[], &[])),
        ('~', node("1", None, Some("free"))),
        ('~', own(&[("acme", &["1"])], &[], &[])),
        ('~', mine("1")),
        ('+', pod("acme", Some("1"))),
        ('-', pod("acme", Some("1"))),
        ('~', own(&[], &[("acme", "1")], &[])),
        ('~', node("1", None, Some("quarantined"))),
        ('~', own(&[], &[("acme", "1")], &[("acme", "1")])),
        ('~', own(&[], &[], &[("acme", "1")])),
        ('~', node("1", None, Some("enrolling"))),
        ('~', node("1", None, Some("free"))),
        ('~', own(&[("bolt", &["1"])], &[], &[("acme", "1")])),
        ('~', node("1", Some("t-bolt"), Some("t-bolt"))),
        ('~', pod("bolt", Some("1"))),
    ];
    assert_eq!(found(&life), Vec::<String>::new());
    // Without any of these steps it is wrong: the record, the pod's end, quarantine, the word, the next record.
    for (left_out, what) in [
        (2, "to whom no record gives it"),
        (5, "was given back while web was on n-1"),
        (8, "before anybody cleaned it"),
        (12, "to whom no record gives it"),
        (13, "is on n-1, which is free"),
    ] {
        let steps: Vec<_> =
            life.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, step)| step.clone()).collect();
        // What is said of the cleaning stands in the records that follow as well.
        let steps: Vec<_> = match left_out {
            8 => steps
                .into_iter()
                .map(|(sort, (key, mut object))| {
                    if key.resource == POOLS {
                        object["spec"]["cleaned"] = json!([]);
                    }
                    (sort, (key, object))
                })
                .collect(),
            _ => steps,
        };
        let told = found(&steps);
        assert!(told.iter().any(|one| one.contains(what)), "without {left_out}: {told:?}");
    }
}

#[test]
fn a_server_of_two_tenants_is_found() {
    let given = |steps: &[(char, (Key, Value))], what: &str| {
        let told = found(steps);
        assert!(told.iter().any(|one| one.contains(what)), "{what}: {told:?}");
    };
    given(&[('~', own(&[("acme", &["1"]), ("bolt", &["1"])], &[], &[]))], "is given to t-bolt and t-acme");
    given(&[('~', own(&[("acme", &["1"]), ("acme", &["2"])], &[], &[]))], "has two shares");
    let mut torn = mine("1");
    torn.1["spec"]["taints"] = json!([{"key": TAINT, "value": "t-bolt", "effect": "NoSchedule"}]);
    given(
        &[('~', own(&[("acme", &["1"])], &[], &[])), ('~', torn)],
        "labelled for t-acme and tainted for Some(\"t-bolt\")",
    );
    given(
        &[('~', own(&[("acme", &["1"])], &[], &[])), ('~', mine("1")), ('~', pod("bolt", Some("1")))],
        "web of t-bolt is on n-1, which is t-acme",
    );
    given(&[('~', node("1", None, Some("free"))), ('~', pod("bolt", Some("1")))], "which is free");
    given(&[('~', own(&[("acme", &["2"])], &[], &[])), ('~', mine("1"))], "to whom no record gives it");
    let unseen = [('~', node("1", None, Some("enrolling"))), ('~', pod("bolt", Some("1")))];
    assert_eq!(found(&unseen), Vec::<String>::new(), "that is why it is looked at");
}

#[test]
fn who_shares_is_on_record_before_it_starts_until_it_has_left_and_within_what_there_is() {
    let both = [('~', node("1", None, None)), ('~', shared(&["acme", "bolt"]))];
    assert_eq!(found(&both), Vec::<String>::new());
    let three = found(&[('~', node("1", None, None)), ('~', shared(&["acme", "bolt", "cork"]))]);
    assert!(three.iter().any(|one| one.contains("hall-shared promises 6 of cpu and has 4")), "{three:?}");
    let no_record = found(&[('~', shared(&[])), ('+', pod("acme", None))]);
    assert!(no_record.iter().any(|one| one.contains("before there was a share")), "{no_record:?}");
    assert_eq!(found(&[('+', pod("acme", None))]), Vec::<String>::new(), "nobody accounts for its class");
    let left = |gone: bool| {
        let mut steps = both.to_vec();
        steps.push(('+', pod("acme", Some("1"))));
        if gone {
            steps.push(('-', pod("acme", Some("1"))));
        }
        steps.push(('~', shared(&["bolt"])));
        found(&steps)
    };
    assert_eq!(left(true), Vec::<String>::new());
    assert!(
        left(false).iter().any(|one| one.contains("given back while web was on n-1")),
        "{:?}",
        left(false)
    );
}

#[test]
fn what_stays_behind_is_found() {
    let leaks = |steps: &[(char, (Key, Value))], told: Option<&str>| {
        let mut story = story(steps);
        if let Some(pool) = told {
            let key = Key::new(SUBSCRIPTIONS, "", "acme");
            let mut subscription =
                story.clone().record().after().get(&key).map(|found| (**found).clone()).unwrap_or_default();
            subscription["status"]["servers"] = json!({"pool": pool});
            story = story.with(Sort::Changed, key, subscription);
        }
        nothing_leaks(&story.record()).into_iter().map(|finding| finding.what).collect::<Vec<_>>()
    };
    let has = [('~', own(&[("acme", &["1"])], &[], &[])), ('~', mine("1"))];
    assert_eq!(leaks(&has, Some("hall-own")), Vec::<String>::new());
    assert!(leaks(&has, None).iter().any(|one| one.contains("is told of None")));
    assert!(leaks(&has, Some("hall-shared")).iter().any(|one| one.contains("hall-shared")));
    let of_nobody = leaks(&[('~', own(&[("bolt", &["1"])], &[], &[]))], None);
    assert!(
        of_nobody.iter().any(|one| one.contains("the share of bolt in hall-own is nobody's")),
        "{of_nobody:?}"
    );
    let unlabelled = leaks(&[('~', own(&[], &[], &[])), ('~', mine("1"))], None);
    assert!(unlabelled.iter().any(|one| one.contains("stays labelled")), "{unlabelled:?}");
    let twice = leaks(
        &[('~', own(&[("acme", &["1"])], &[], &[])), ('~', mine("1")), ('~', shared(&["acme"]))],
        Some("hall-own"),
    );
    assert!(twice.iter().any(|one| one.contains("hall-shared")), "{twice:?}");
    let mut waits = own(&[], &[], &[]);
    waits.1["status"]["waiting"] = json!([{"tenant": "t-bolt", "subscription": "bolt", "uid": "s9"}]);
    assert!(leaks(&[('~', waits)], None).iter().any(|one| one.contains("and is gone")));
}
