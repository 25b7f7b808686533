use super::*;
use crate::fixtures::{blueprint, definitions, order, plan, resolved, selected, subscription, version};
use std::collections::BTreeSet;
use tenantry_crds::blueprint::AllowList;
use tenantry_crds::plan::Role;

type Change = fn(&mut TenantSubscriptionSpec);

fn problems(change: Change) -> Vec<(String, &'static str)> {
    let mut spec = subscription();
    change(&mut spec);
    let found = resolved(&spec, &definitions()).unwrap_err();
    for problem in &found {
        assert!(problem.message.contains(';'), "no remedy in: {problem}");
        assert!(problem.reason.chars().all(|c| c.is_ascii_alphabetic()), "{problem:?}");
    }
    found.into_iter().map(|problem| (problem.field, problem.reason)).collect()
}

#[test]
fn a_good_order_has_its_values_in_one_form() {
    let order = order();
    assert_eq!(order.namespace.as_str(), "tenant-acme");
    assert_eq!(order.hosts[0].as_str(), "erp.acme.example");
    assert_eq!(order.parameters, json!({"edition": "trade", "language": "en"}));
    assert_eq!(order.allow_from[0].to_string(), "203.0.113.0/24");
    assert_eq!(order.endpoints()[0].url, "https://erp.acme.example");
    assert_eq!(order.recorded_hosts, ["erp.acme.example", "*.shop.acme.example"]);
    assert_eq!(order.digest.len(), 32);
}

#[test]
fn each_bad_field_is_named() {
    let table: [(Change, &str, &str); 14] = [
        (|s| s.users[1].name = "ada".to_owned(), "spec.users[1].name", "UserRepeated"),
        (|s| s.users[1].email = "ADA@acme.example".to_owned(), "spec.users[1].email", "UserRepeated"),
        (|s| s.users[1].roles = vec![Role::Viewer], "spec.users[1].roles[0]", "RoleNotInPlan"),
        (|s| s.users[1].roles = vec![Role::User, Role::User], "spec.users[1].roles[1]", "RoleRepeated"),
        (|s| s.network.hosts[0] = "a_b.example".to_owned(), "spec.network.hosts[0]", "HostInvalid"),
        (|s| s.network.hosts[1] = "erp.ACME.example".to_owned(), "spec.network.hosts[1]", "HostRepeated"),
        (
            |s| s.network.allow_from[0] = "203.0.113.7/24".to_owned(),
            "spec.network.allowFrom[0]",
            "AddressRangeInvalid",
        ),
        (|s| s.parameters = json!({}), "spec.parameters.edition", "ParameterInvalid"),
        (|s| s.parameters = json!({"edition": "gold"}), "spec.parameters.edition", "ParameterInvalid"),
        (|s| s.parameters["colour"] = json!("red"), "spec.parameters.colour", "ParameterInvalid"),
        (|s| s.parameters["language"] = json!(5), "spec.parameters.language", "ParameterInvalid"),
        (
            |s| s.application_ref.version = "4.2.0".to_owned(),
            "spec.applicationRef.version",
            "VersionOfAnotherApplication",
        ),
        (
            |s| s.application_ref.name = "crm".to_owned(),
            "spec.applicationRef.version",
            "VersionOfAnotherApplication",
        ),
        (
            |s| {
                let more = (0..2).map(|n| User {
                    name: format!("x{n}"),
                    email: format!("x{n}@a.example"),
                    ..User::default()
                });
                s.users.extend(more.map(|user| User { roles: vec![Role::User], ..user }))
            },
            "spec.users",
            "TooManyUsers",
        ),
    ];
    for (change, field, reason) in table {
        assert_eq!(problems(change), [(field.to_owned(), reason)]);
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let found = problems(|s| {
        s.parameters = json!({"colour": "red"});
        s.network.hosts = vec!["x".to_owned(), "-.example".to_owned()];
        s.network.allow_from = vec!["nonsense".to_owned()];
    });
    assert_eq!(found.len(), 5);
}

#[test]
fn names_that_cannot_name_a_namespace_are_refused() {
    let definitions = definitions();
    for name in ["a.b", "", "Acme", &"a".repeat(51)] {
        let spec = subscription();
        let id = TenantId::from_random([1; 10]);
        let claims = Claims::default();
        let input = OrderInput {
            name,
            uid: "u",
            spec: &spec,
            definitions: &definitions,
            tenant_id: &id,
            claims: &claims,
            recorded_hosts: &[],
        };
        let found = resolve(&input).unwrap_err();
        assert_eq!((found[0].field.as_str(), found[0].reason), ("metadata.name", "NameInvalid"), "{name}");
    }
}

#[test]
fn a_host_that_somebody_else_holds_is_refused_without_saying_by_whom() {
    let mut claims = Claims::default();
    claims.set("u-other-secret", &["*.acme.example".to_owned()], &[]);
    let (spec, definitions) = (subscription(), definitions());
    let id = TenantId::from_random([1; 10]);
    let input = OrderInput {
        name: "acme",
        uid: "u-1",
        spec: &spec,
        definitions: &definitions,
        tenant_id: &id,
        claims: &claims,
        recorded_hosts: &[],
    };
    let found = resolve(&input).unwrap_err();
    assert_eq!(found.iter().map(|p| p.reason).collect::<Vec<_>>(), ["HostTaken", "HostTaken"]);
    assert!(found.iter().all(|p| !p.message.contains("other-secret") && !p.message.contains("*.acme")));
}

#[test]
fn a_tenant_cannot_record_more_hosts_than_a_status_holds() {
    let recorded: Vec<String> = (0..63).map(|n| format!("h{n}.acme.example")).collect();
    let (spec, definitions, claims) = (subscription(), definitions(), Claims::default());
    let id = TenantId::from_random([1; 10]);
    let input = OrderInput {
        name: "acme",
        uid: "u-1",
        spec: &spec,
        definitions: &definitions,
        tenant_id: &id,
        claims: &claims,
        recorded_hosts: &recorded,
    };
    assert_eq!(resolve(&input).unwrap_err()[0].reason, "TooManyHosts");
    let fewer = OrderInput { recorded_hosts: &recorded[1..], ..input };
    assert_eq!(resolve(&fewer).unwrap().recorded_hosts.len(), 64);
}

#[test]
fn an_allow_list_that_nothing_enforces_is_refused_with_the_setting() {
    for (allow_list, balancers, part) in [
        (AllowList::None, 1, Some("settings.gateway.allowList of blueprint ground is None")),
        (AllowList::LoadBalancerSourceRanges, 0, Some("plan gold has none")),
        (AllowList::LoadBalancerSourceRanges, 1, None),
        (AllowList::EnvoySecurityPolicy, 0, None),
    ] {
        let (mut blueprint, mut plan) = (blueprint(), plan());
        blueprint.settings.gateway.allow_list = allow_list;
        plan.network.load_balancers = balancers;
        let definitions = Definitions {
            blueprint: selected("ground", blueprint),
            plan: selected("gold", plan),
            ..definitions()
        };
        match (resolved(&subscription(), &definitions), part) {
            (Ok(_), None) => {}
            (Err(found), Some(part)) => {
                assert_eq!(
                    (found[0].field.as_str(), found[0].reason),
                    ("spec.network.allowFrom", "AllowListNotEnforced")
                );
                assert!(found[0].message.contains(part), "{}", found[0]);
            }
            (answer, _) => panic!("{allow_list:?}: {answer:?}"),
        }
        let mut open = subscription();
        open.network.allow_from.clear();
        assert!(resolved(&open, &definitions).is_ok());
    }
}

#[test]
fn the_effective_spec_is_the_order_in_its_validated_form() {
    let mut wanted = subscription();
    wanted.parameters["language"] = json!("en");
    wanted.network.hosts[0] = "erp.acme.example".to_owned();
    assert_eq!(order().effective_spec(), wanted);
    let again = resolved(&order().effective_spec(), &definitions()).unwrap();
    assert_eq!((again.effective_spec(), again.digest), (wanted, order().digest));
}

#[test]
fn the_digest_follows_everything_that_renders_and_nothing_else() {
    let digest = |change: Change| {
        let mut spec = subscription();
        change(&mut spec);
        resolved(&spec, &definitions()).unwrap().digest
    };
    let same = digest(|_| {});
    assert_eq!(same, digest(|s| s.deletion_protection = false));
    assert_eq!(same, digest(|s| s.deletion_policy = DeletionPolicy::Delete));
    assert_eq!(same, digest(|s| s.network.hosts[0] = "erp.acme.EXAMPLE".to_owned()));
    assert_eq!(same, digest(|s| s.parameters["language"] = json!("en")));
    let changes: [Change; 5] = [
        |s| s.parameters["language"] = json!("de"),
        |s| s.users[0].email = "new@acme.example".to_owned(),
        |s| s.network.hosts[0] = "www.acme.example".to_owned(),
        |s| s.contacts[0].name = "Someone".to_owned(),
        |s| s.go_live.not_before = None,
    ];
    let different: BTreeSet<String> = changes.into_iter().map(digest).chain([same]).collect();
    assert_eq!(different.len(), 6);
}

#[test]
fn a_wildcard_alone_is_no_address_for_a_browser() {
    let mut spec = subscription();
    spec.network.hosts = vec!["*.acme.example".to_owned()];
    assert!(resolved(&spec, &definitions()).unwrap().endpoints().is_empty());
    spec.network.hosts.push("www.acme.example".to_owned());
    assert_eq!(resolved(&spec, &definitions()).unwrap().endpoints()[0].url, "https://www.acme.example");
}

#[test]
fn a_broken_schema_is_the_providers_problem_and_says_so() {
    let mut application = crate::fixtures::application();
    application.parameters_schema = json!({"type": "nonsense"});
    let definitions = Definitions { application: selected("erp", application), ..definitions() };
    let found = resolved(&subscription(), &definitions).unwrap_err();
    assert_eq!((found[0].field.as_str(), found[0].reason), ("spec.parameters", "SchemaInvalid"));
    assert!(found[0].message.contains("of application erp"), "{}", found[0]);
}

#[test]
fn what_templates_loop_over_is_bounded_and_so_is_the_whole() {
    let mut application = crate::fixtures::application();
    application.parameters_schema = json!({"type": "object", "properties": {"a": {}}});
    let definitions = Definitions { application: selected("erp", application), ..definitions() };
    let refused = |parameters| {
        let spec = TenantSubscriptionSpec { parameters, ..subscription() };
        resolved(&spec, &definitions).err().map(|found| (found[0].field.clone(), found[0].reason))
    };
    assert_eq!(refused(json!({"a": vec![0; 1000]})), None);
    let long = refused(json!({"a": [{"b": vec![0; 1001]}]}));
    assert_eq!(long, Some(("spec.parameters.a[0].b".to_owned(), "ParameterInvalid")));
    let large = refused(json!({"a": "x".repeat(384 * 1024)}));
    assert_eq!(large, Some(("spec".to_owned(), "OrderTooLarge")));
}

#[test]
fn a_version_that_only_looks_right_by_its_name_is_refused() {
    let mut foreign = version();
    foreign.application_ref.name = "erp-4.2".to_owned();
    foreign.version = "1".to_owned();
    let definitions = Definitions { version: selected("erp-4.2.1", foreign), ..definitions() };
    assert_eq!(resolved(&subscription(), &definitions).unwrap_err()[0].reason, "VersionOfAnotherApplication");
}
