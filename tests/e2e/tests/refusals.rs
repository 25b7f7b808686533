//! Orders that cannot be carried out, on a real API server: each is refused with its field and the remedy, nothing is
//! made for it, and correcting it is enough.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tenantry_crds::{ServicePlan, TenantSubscription};
use tenantry_e2e::holdings::labelled;
use tenantry_e2e::orders::{erp, mail, with};
use tenantry_e2e::traffic::{line, mark, writes_in};
use tenantry_e2e::wait::{is_live, refusal};
use tenantry_e2e::{Setup, World, wait, world};

/// An order that is refused.
struct Case {
    order: Value,
    reason: &'static str,
    /// What the message has to say: every wrong field, and what to do.
    says: &'static [&'static str],
    /// What makes it right, as a merge patch of the order.
    correction: Value,
}

// === impl Case ===

impl Case {
    fn name(&self) -> &str {
        self.order["metadata"]["name"].as_str().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_carried_out_is_refused_and_made_good_by_correcting_it() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.apply_all(&[plan("copper", "Draft"), plan("bronze", "Published")]).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.definitions_accepted().await.unwrap();
    a_retired_plan_goes_on_for_who_has_it(&world).await;
    bad_orders(&world).await;
    a_definition_that_comes_later(&world).await;
    twins(&world).await;
    a_refused_order_keeps_no_host(&world).await;
    names(&world).await;
    unicode(&world).await;
}

/// The smallest plan of the examples under another name.
fn plan(name: &str, lifecycle: &str) -> Value {
    let plans = world::definitions().unwrap();
    let silver = plans.into_iter().find(|plan| plan["metadata"]["name"] == "silver").unwrap();
    with(with(silver, "metadata.name", json!(name)), "spec.lifecycle", json!(lifecycle))
}

async fn refused(world: &World, name: &str) -> TenantSubscription {
    world.until(name, |subscription| refusal(subscription).is_some()).await.unwrap()
}

/// No namespace, no finalizer, no identity, and no object of any kind that names the subscription.
async fn nothing_is_made(world: &World, refused: &TenantSubscription) {
    let name = refused.metadata.name.as_deref().unwrap();
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    assert!(namespaces.get_opt(&format!("tenant-{name}")).await.unwrap().is_none(), "{name} has a namespace");
    assert_eq!(refused.metadata.finalizers, None, "{name}");
    let status = refused.status.as_ref().unwrap();
    assert_eq!((&status.tenant, &status.inventory, &status.hosts), (&None, &None, &Vec::new()), "{name}");
    let found = labelled(&world.client, &format!("tenantry.io/subscription={name}")).await.unwrap();
    assert!(found.is_empty(), "{name} has {found:?}");
}

/// A retired plan cannot be ordered; a tenant that has it is repaired, and changed on the customer's wish.
async fn a_retired_plan_goes_on_for_who_has_it(world: &World) {
    let on_bronze = |order| with(order, "spec.planRef.name", json!("bronze"));
    world.apply_all(&[on_bronze(mail("veteran"))]).await.unwrap();
    world.until("veteran", is_live).await.unwrap();
    world.apply_all(&[plan("bronze", "Retired")]).await.unwrap();
    wait::definition::<ServicePlan>(&world.client, "bronze", true).await.unwrap();

    world.apply_all(&[on_bronze(mail("latecomer"))]).await.unwrap();
    let latecomer = refused(world, "latecomer").await;
    let (reason, message) = refusal(&latecomer).unwrap();
    assert_eq!(reason, "PlanRetired");
    assert!(message.contains("spec.planRef.name") && message.contains("choose a published one"), "{message}");
    nothing_is_made(world, &latecomer).await;

    let services: Api<Service> = wait::namespaced(&world.client, "tenant-veteran");
    let uid = services.get("mail").await.unwrap().metadata.uid;
    services.delete("mail", &DeleteParams::default()).await.unwrap();
    wait::until(services, "mail", |found| found.is_some_and(|found| found.metadata.uid != uid))
        .await
        .unwrap();
    world.patch("veteran", json!({"spec": {"network": {"hosts": ["mail.veteran.example"]}}})).await.unwrap();
    let veteran = world.until("veteran", is_live).await.unwrap();
    let accepted = wait::condition(&veteran, "Accepted").unwrap();
    assert!(accepted.message.contains("service plan bronze is retired"), "{}", accepted.message);
    world.patch("latecomer", json!({"spec": {"planRef": {"name": "silver"}}})).await.unwrap();
    world.until("latecomer", is_live).await.unwrap();
}

fn cases() -> Vec<Case> {
    let people: Vec<Value> = (0..11)
        .map(|n| json!({"name": format!("p{n}"), "email": format!("p{n}@crowd.example"), "roles": ["user"]}))
        .collect();
    let nonsense = json!({"domain": "Not A Domain", "mailboxGiB": "many", "colour": "red"});
    let viewer = json!([{"name": "vi", "email": "vi@roles.example", "roles": ["user", "viewer"]}]);
    vec![
        Case {
            order: with(mail("no-version"), "spec.applicationRef.version", json!("9.9.9")),
            reason: "VersionNotFound",
            says: &[
                "spec.applicationRef.version: there is no application version mail-9.9.9",
                "correct the reference",
            ],
            correction: json!({"applicationRef": {"version": "1.8.0"}}),
        },
        Case {
            order: with(mail("draft-plan"), "spec.planRef.name", json!("copper")),
            reason: "PlanNotPublished",
            says: &["spec.planRef.name: service plan copper is a draft", "choose a published one"],
            correction: json!({"planRef": {"name": "silver"}}),
        },
        Case {
            order: with(mail("parameters"), "spec.parameters", nonsense),
            reason: "ParameterInvalid",
            says: &["spec.parameters.domain: ", "spec.parameters.mailboxGiB: ", "spec.parameters.colour: "],
            correction: json!({"parameters": {"domain": "good.example", "mailboxGiB": 5, "colour": null}}),
        },
        Case {
            order: with(mail("no-domain"), "spec.parameters", json!({"mailboxGiB": 0})),
            reason: "ParameterInvalid",
            says: &["spec.parameters.domain: ", "spec.parameters.mailboxGiB: "],
            correction: json!({"parameters": {"domain": "good.example", "mailboxGiB": 5}}),
        },
        Case {
            order: with(mail("crowd"), "spec.users", json!(people)),
            reason: "TooManyUsers",
            says: &["spec.users: names 11 people and plan silver covers 10", "choose a larger plan"],
            correction: json!({"planRef": {"name": "gold"}}),
        },
        Case {
            order: with(mail("roles"), "spec.users", viewer),
            reason: "RoleNotInPlan",
            says: &[
                "spec.users[0].roles[1]: plan silver has no role viewer",
                "choose from administrator, user",
            ],
            correction: json!({"users": [{"name": "vi", "email": "vi@roles.example", "roles": ["user"]}]}),
        },
        Case {
            order: with(mail("big-box"), "spec.parameters.mailboxGiB", json!(200)),
            reason: "QuotaTooSmall",
            says: &["spec.planRef.name: ", "200Gi"],
            correction: json!({"planRef": {"name": "gold"}}),
        },
        Case {
            order: with(mail("bad-host"), "spec.network.hosts", json!(["a_b.bad-host.example", "192.0.2.7"])),
            reason: "HostInvalid",
            says: &[
                "spec.network.hosts[0]: is not a host name",
                "spec.network.hosts[1]: is an address",
                "write",
            ],
            correction: json!({"network": {"hosts": ["ab.bad-host.example"]}}),
        },
    ]
}

/// Refused with every wrong field and the remedy, nothing made, and the correction leads to Live in the same process.
async fn bad_orders(world: &World) {
    let cases = cases();
    let orders: Vec<Value> = cases.iter().map(|case| case.order.clone()).collect();
    world.apply_all(&orders).await.unwrap();
    for case in &cases {
        let refused = refused(world, case.name()).await;
        let (reason, message) = refusal(&refused).unwrap();
        assert_eq!(reason, case.reason, "{message}");
        for part in case.says {
            assert!(message.contains(part), "{} does not say {part:?}: {message}", case.name());
        }
        nothing_is_made(world, &refused).await;
        world.patch(case.name(), json!({"spec": case.correction})).await.unwrap();
    }
    for case in &cases {
        world.until(case.name(), is_live).await.unwrap();
    }
}

/// What an order refers to may come after it, as objects of one commit do, or be published after it.
async fn a_definition_that_comes_later(world: &World) {
    let on = |name, plan| with(mail(name), "spec.planRef.name", json!(plan));
    world.apply_all(&[on("early", "tin"), on("waiting", "copper")]).await.unwrap();
    let early = refused(world, "early").await;
    assert_eq!(refusal(&early).unwrap().0, "PlanNotFound");
    assert!(refusal(&early).unwrap().1.contains("spec.planRef.name: there is no service plan tin"));
    assert!(wait::condition(&early, "Stalled").is_none(), "it may resolve itself");
    nothing_is_made(world, &early).await;
    refused(world, "waiting").await;
    // One after the other: each is enough on its own.
    for (definition, subscription) in [("copper", "waiting"), ("tin", "early")] {
        world.apply_all(&[plan(definition, "Published")]).await.unwrap();
        world.until(subscription, is_live).await.unwrap();
    }
}

/// Two customers ask for one host at the same time: one gets it, the other learns that it is taken and not by whom, and
/// goes on by itself when the first leaves.
async fn twins(world: &World) {
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    let wants = |name, hosts: Value| {
        let order = with(mail(name), "spec.network.hosts", hosts);
        serde_json::from_value::<TenantSubscription>(order).unwrap()
    };
    let names = ["castor", "pollux"];
    // One in another spelling, the other with all names under it: they overlap all the same.
    let orders =
        [wants("castor", json!(["mail.GEMINI.example"])), wants("pollux", json!(["*.gemini.example"]))];
    let parameters = PostParams::default();
    let (one, other) = tokio::join!(
        subscriptions.create(&parameters, &orders[0]),
        subscriptions.create(&parameters, &orders[1])
    );
    one.unwrap();
    other.unwrap();
    let mut accepted = Vec::new();
    for name in names {
        let judged =
            world.until(name, |s| refusal(s).is_some() || wait::is_true(s, "Accepted")).await.unwrap();
        if wait::is_true(&judged, "Accepted") {
            accepted.push(name);
        }
    }
    let [winner] = accepted[..] else { panic!("exactly one gets the host, not {accepted:?}") };
    let loser = if winner == names[0] { names[1] } else { names[0] };
    let winning = world.until(winner, is_live).await.unwrap();
    let losing = refused(world, loser).await;
    let (reason, message) = refusal(&losing).unwrap();
    assert_eq!(reason, "HostTaken");
    assert!(
        message.starts_with("spec.network.hosts[0]: belongs to somebody else; choose another"),
        "{message}"
    );
    let told = serde_json::to_string(&losing.status).unwrap();
    let status = winning.status.as_ref().unwrap();
    let tenant = status.tenant.as_ref().unwrap();
    for secret in [winner, winning.metadata.uid.as_deref().unwrap(), &tenant.id, &status.hosts[0]] {
        assert!(!told.contains(secret), "{loser} learns {secret}: {told}");
    }
    nothing_is_made(world, &losing).await;

    subscriptions.delete(winner, &DeleteParams::default()).await.unwrap();
    let live = world.until(loser, is_live).await.unwrap();
    assert_eq!(live.metadata.generation, losing.metadata.generation, "nobody edited it");
    wait::gone(subscriptions, winner).await.unwrap();
}

/// An order that is refused for another reason does not keep its host from somebody else.
async fn a_refused_order_keeps_no_host(world: &World) {
    let wanted = json!(["wanted.example"]);
    let big = with(mail("greedy"), "spec.parameters.mailboxGiB", json!(200));
    world.apply_all(&[with(big, "spec.network.hosts", wanted.clone())]).await.unwrap();
    assert_eq!(refusal(&refused(world, "greedy").await).unwrap().0, "QuotaTooSmall");
    world.apply_all(&[with(mail("modest"), "spec.network.hosts", wanted)]).await.unwrap();
    world.until("modest", is_live).await.unwrap();
    world.patch("greedy", json!({"spec": {"planRef": {"name": "gold"}}})).await.unwrap();
    assert_eq!(refusal(&refused(world, "greedy").await).unwrap().0, "HostTaken");
}

/// A name that cannot name a namespace is refused by the API server, with the remedy.
async fn names(world: &World) {
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    let long = "n".repeat(51);
    let cases = [
        (long.as_str(), "metadata.name must be at most 50 characters", "choose a shorter name"),
        ("with.dot", "metadata.name must not contain a dot", "use dashes"),
    ];
    for (name, why, remedy) in cases {
        let order = serde_json::from_value(mail(name)).unwrap();
        let refused = subscriptions.create(&PostParams::default(), &order).await.unwrap_err().to_string();
        assert!(refused.contains(why) && refused.contains(remedy), "{refused}");
        assert!(subscriptions.get_opt(name).await.unwrap().is_none());
    }
    let longest = "n".repeat(50);
    world.apply_all(&[with(mail(&longest), "spec.parameters.domain", json!("long.example"))]).await.unwrap();
    world.until(&longest, is_live).await.unwrap();
}

/// Letters of four scripts, a letter in two parts, an emoji of several characters, a mark that turns the direction of
/// writing, and everything that means something to YAML, JSON, a shell or a template.
const COMPANY: &str = "Ünïcode & Søn 株式会社 \u{202b}שלום\u{202c} e\u{301} 👩\u{200d}🚀 {{ 7 * 7 }} {% if %} \"q\" 'a' \\n $(id) #: - |";

/// Whatever language a customer writes arrives byte for byte, and host names as the network spells them.
async fn unicode(world: &World) {
    let people = json!([
        {"name": "zoe", "displayName": COMPANY, "email": "zoë@корвус.example", "roles": ["administrator"]},
        {"name": "kenji", "displayName": "烏丸 健二", "email": "烏丸@corvus.example", "roles": ["user", "viewer"]},
    ]);
    let contacts = json!([{"role": "Technical", "name": "Łukasz Żuraw", "email": "łukasz@żuraw.example"}]);
    let worded = |order: Value| {
        let order = with(order, "spec.organization.name", json!(COMPANY));
        with(order, "spec.contacts", contacts.clone())
    };
    let books = with(worded(erp("unicode-erp")), "spec.users", people.clone());
    let books = with(books, "spec.network.hosts", json!(["erp.ÇELIK.example", "faß.example"]));
    let letters = with(worded(mail("unicode-mail")), "spec.parameters.greeting", json!(COMPANY));
    world.apply_all(&[books, letters]).await.unwrap();
    for name in ["unicode-erp", "unicode-mail"] {
        let live = world.until(name, is_live).await.unwrap();
        assert_eq!(live.spec.organization.name, COMPANY);
    }
    let configs: Api<ConfigMap> = wait::namespaced(&world.client, "tenant-unicode-erp");
    let data = configs.get("erp-settings").await.unwrap().data.unwrap();
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(json(&data["erp.json"])["company"]["name"], COMPANY);
    let found = json(&data["people.json"]);
    for (at, person) in people.as_array().unwrap().iter().enumerate() {
        assert_eq!((&found[at]["name"], &found[at]["email"]), (&person["displayName"], &person["email"]));
    }
    let welcome = format!("Welcome to Orderly ERP, {COMPANY}!\nYour plan is Gold.\n");
    assert_eq!(data["welcome.txt"], welcome);
    let dashboard = configs.get("dashboard").await.unwrap().data.unwrap();
    assert_eq!(json(&dashboard["dashboard.json"])["title"], COMPANY);

    let configs: Api<ConfigMap> = wait::namespaced(&world.client, "tenant-unicode-mail");
    let settings = json(&configs.get("mail-settings").await.unwrap().data.unwrap()["settings.json"]);
    assert_eq!(settings["company"], COMPANY);
    assert_eq!(settings["greeting"], COMPANY);
    assert_eq!(settings["postmaster"], contacts[0]["email"]);
    hosts_as_the_network_spells_them(world).await;
}

async fn hosts_as_the_network_spells_them(world: &World) {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let resource = ApiResource::from_gvk(&kind);
    let routes: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), "tenant-unicode-erp", &resource);
    let route = routes.get("public").await.unwrap();
    let spelled = ["erp.xn--elik-zoa.example", "xn--fa-hia.example"];
    assert_eq!(route.data["spec"]["hostnames"], json!(spelled));
    // Another spelling of the same names is the same order.
    let before = mark(world).await.unwrap();
    let again = json!({"spec": {"network": {"hosts": spelled}}});
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    subscriptions.patch("unicode-erp", &PatchParams::default(), &Patch::Merge(again)).await.unwrap();
    let live = world.until("unicode-erp", is_live).await.unwrap();
    assert_eq!(live.status.unwrap().hosts, spelled);
    let written: Vec<String> =
        writes_in(world, before, "tenant-unicode-erp").await.unwrap().iter().map(line).collect();
    assert!(written.is_empty(), "{written:#?}");
}
