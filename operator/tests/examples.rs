//! The examples are right and their packed objects are current. Needs the file system, neither client nor clock.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tenantry_blueprint::baseline::{BaselineInput, objects};
use tenantry_blueprint::check::{
    Example, Source, check_application, check_blueprint, check_examples, check_version,
};
use tenantry_blueprint::context::{Specs, Tenant};
use tenantry_blueprint::pack::{Definition, Packed, pack};
use tenantry_blueprint::render::{Compiled, RenderedObject};
use tenantry_checklist::access::TenantId;
use tenantry_checklist::hosts::Claims;
use tenantry_checklist::order::{Order, OrderInput, resolve};
use tenantry_checklist::revision::Revision;
use tenantry_checklist::select::{Definitions, Selected};
use tenantry_checklist::suspension::Effect;
use tenantry_crds::canonical::digest;
use tenantry_crds::{
    BlueprintSpec, HostedApplicationSpec, HostedApplicationVersionSpec, ServicePlanSpec, TenantSubscription,
};

/// First line of every packed file.
const NOTICE: &str =
    "# Packed by `tenantry build` from the folders beside this one; change those, then run `make generate`.";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Paths below `examples/` of every file with this name, sorted.
fn documents(name: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let root = examples();
    let mut found = Vec::new();
    walk(&root, &mut found);
    let named = found.iter().filter(|path| path.file_name().is_some_and(|file| file == name));
    let mut paths: Vec<String> =
        named.map(|path| path.strip_prefix(&root).expect("inside").to_string_lossy().into_owned()).collect();
    paths.sort();
    paths
}

fn packed(path: &str) -> Packed {
    let read = |file: &str| fs::read_to_string(examples().join(file)).ok();
    let document = read(path).unwrap_or_else(|| panic!("{path} cannot be read"));
    pack(path, &document, &read).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

fn object<T: serde::de::DeserializeOwned>(path: &str) -> T {
    let text = fs::read_to_string(examples().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of the YAML files of a folder, without their ending.
fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(examples().join(folder)).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.strip_suffix(".yaml")?.to_owned())).collect();
    names.sort();
    names
}

/// Everything an order refers to, packed.
struct Catalogue {
    blueprint: Packed,
    application: Packed,
    version: Packed,
}

impl Catalogue {
    fn of(application: &str, version: &str) -> Self {
        let folder = format!("applications/{application}");
        let application = packed(&format!("{folder}/application.yaml"));
        let Definition::Application(spec) = &application.definition else { panic!("no application") };
        let blueprint = packed(&format!("blueprints/{}/blueprint.yaml", spec.blueprint_ref.name));
        Self { blueprint, version: packed(&format!("{folder}/{version}/version.yaml")), application }
    }

    fn specs(&self) -> (&BlueprintSpec, &HostedApplicationSpec, &HostedApplicationVersionSpec) {
        match (&self.blueprint.definition, &self.application.definition, &self.version.definition) {
            (
                Definition::Blueprint(blueprint),
                Definition::Application(application),
                Definition::Version(version),
            ) => (blueprint, application, version),
            other => panic!("{other:?}"),
        }
    }

    fn compiled(&self) -> Compiled {
        let (blueprint, application, version) = self.specs();
        Compiled::new(Specs { blueprint, application, version })
            .unwrap_or_else(|errors| panic!("{errors:#?}"))
    }
}

fn selected<T: serde::Serialize + Clone>(name: &str, spec: &T) -> Selected<T> {
    Selected { revision: Revision::of(name, spec).expect("a digest"), spec: Arc::new(spec.clone()) }
}

/// The order of an example tenant and what it refers to.
fn order(tenant: &str) -> (Order, Catalogue) {
    let subscription: TenantSubscription = object(&format!("tenants/{tenant}.yaml"));
    let spec = &subscription.spec;
    let wanted = &spec.application_ref;
    let catalogue = Catalogue::of(&wanted.name, &wanted.version);
    let plan: ServicePlanSpec = serde_json::from_value(
        object::<Value>(&format!("plans/{}.yaml", spec.plan_ref.name))["spec"].clone(),
    )
    .expect("a plan");
    let (blueprint, application, version) = catalogue.specs();
    let definitions = Definitions {
        plan: selected(&spec.plan_ref.name, &plan),
        application: selected(catalogue.application.name(), application),
        version: selected(catalogue.version.name(), version),
        blueprint: selected(catalogue.blueprint.name(), blueprint),
        price_list: None,
        warnings: Vec::new(),
    };
    let order = resolve(&OrderInput {
        name: tenant,
        uid: "6c1d7a52",
        spec,
        definitions: &definitions,
        tenant_id: &TenantId::from_random([7; 10]),
        claims: &Claims::default(),
        recorded_hosts: &[],
    });
    (order.unwrap_or_else(|problems| panic!("{tenant}: {problems:#?}")), catalogue)
}

fn rendered(tenant: &str) -> Vec<RenderedObject> {
    let (order, catalogue) = order(tenant);
    let compiled = catalogue.compiled();
    let items =
        compiled.render(&compiled.context(&order)).unwrap_or_else(|error| panic!("{tenant}: {error}"));
    items.into_iter().flat_map(|item| item.objects).collect()
}

#[test]
fn packed_objects_are_current() {
    let mut expected = BTreeMap::new();
    for path in ["blueprint.yaml", "application.yaml", "version.yaml"].into_iter().flat_map(documents) {
        let packed = packed(&path);
        let kind = packed.object["kind"].as_str().expect("a kind").to_lowercase();
        let yaml = packed.to_yaml().expect("what was read from YAML can be written as YAML");
        expected.insert(format!("{kind}-{}.yaml", packed.name()), format!("{NOTICE}\n{yaml}"));
    }
    let folder = examples().join("packed");
    if std::env::var_os("TENANTRY_UPDATE").is_some_and(|value| value == "1") {
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (name, text) in &expected {
            fs::write(folder.join(name), text).expect("the file can be written");
        }
    }
    let there: BTreeMap<String, String> = names("packed")
        .into_iter()
        .map(|name| {
            (format!("{name}.yaml"), fs::read_to_string(folder.join(format!("{name}.yaml"))).expect("text"))
        })
        .collect();
    let stale: BTreeSet<&String> =
        expected.keys().chain(there.keys()).filter(|name| expected.get(*name) != there.get(*name)).collect();
    assert!(
        stale.is_empty(),
        "stale in examples/packed: {stale:?}; run `make generate`, and delete what has no source"
    );
}

/// A release that renders anything else would change every tenant that runs, all at once, on the day of the upgrade. A
/// change that is meant shows in the review of these files.
#[test]
fn what_tenants_have_does_not_change_by_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for tenant in names("tenants") {
        let (order, _) = order(&tenant);
        let base = objects(BaselineInput::of(&Tenant::of(&order), &order, &Effect::default()))
            .expect("the plan's numbers are right");
        let all = base.into_values().flatten().chain(rendered(&tenant));
        let mut lines: Vec<String> = all
            .map(|object| format!("{} {}/{}\n", digest(&object.body, 32), object.kind, object.name))
            .collect();
        lines.sort_by(|one, other| one.split_at(32).1.cmp(other.split_at(32).1));
        let (file, text) = (folder.join(format!("{tenant}.txt")), lines.concat());
        if std::env::var_os("TENANTRY_UPDATE").is_some_and(|value| value == "1") {
            fs::create_dir_all(&folder).expect("the folder can be made");
            fs::write(&file, &text).expect("the file can be written");
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            kept, text,
            "{tenant}: if this change is meant, run `make generate` and say so in the commit"
        );
    }
}

#[test]
fn the_static_check_finds_nothing() {
    for path in documents("blueprint.yaml") {
        let packed = packed(&path);
        let Definition::Blueprint(spec) = &packed.definition else { panic!("{path} is no blueprint") };
        assert_eq!(check_blueprint(Source { spec, map: &packed.sources }), [], "{path}");
    }
    for path in documents("version.yaml") {
        let mut parts = path.split('/').skip(1);
        let (application, version) = (parts.next().expect("a folder"), parts.next().expect("a folder"));
        let catalogue = Catalogue::of(application, version);
        let (blueprint, application, version) = catalogue.specs();
        let source = Source { spec: application, map: &catalogue.application.sources };
        assert_eq!(check_application(source), [], "{path}");
        let source = Source { spec: version, map: &catalogue.version.sources };
        assert_eq!(check_version(source, application, Some(blueprint)), [], "{path}");
    }
}

#[test]
fn every_tenant_fits_its_plan() {
    for tenant in names("tenants") {
        let (order, catalogue) = order(&tenant);
        let compiled = catalogue.compiled();
        let context = compiled.context(&order);
        let example = Example { name: &tenant, context: &context };
        let findings =
            check_examples(&compiled, &catalogue.blueprint.sources, &catalogue.version.sources, &[example]);
        assert_eq!(findings, [], "{tenant}");
    }
}

/// Pod templates of an object, with a name for messages.
fn pods(objects: &[RenderedObject]) -> Vec<(String, &Value)> {
    objects
        .iter()
        .filter_map(|object| {
            Some((format!("{}/{}", object.kind, object.name), object.body.pointer("/spec/template/spec")?))
        })
        .collect()
}

/// Stricter than the restricted profile, which asks neither for a read-only root nor for limits.
#[test]
fn every_pod_is_hardened() {
    for tenant in names("tenants") {
        let objects = rendered(&tenant);
        let pods = pods(&objects);
        assert!(!pods.is_empty(), "{tenant} runs nothing");
        for (name, pod) in pods {
            assert_eq!(pod["automountServiceAccountToken"], json!(false), "{tenant} {name}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true), "{tenant} {name}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"],
                json!({"type": "RuntimeDefault"}),
                "{tenant} {name}"
            );
            for field in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(pod.get(field).is_none(), "{tenant} {name} {field}");
            }
            for container in pod["containers"].as_array().expect("containers") {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], json!(false), "{tenant} {name}");
                assert_eq!(context["readOnlyRootFilesystem"], json!(true), "{tenant} {name}");
                assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{tenant} {name}");
                for resource in ["cpu", "memory"] {
                    assert!(
                        container["resources"]["limits"][resource].is_string(),
                        "{tenant} {name} {resource}"
                    );
                }
            }
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                assert!(volume.get("hostPath").is_none(), "{tenant} {name}");
            }
        }
    }
}

#[test]
fn the_shipped_rights_cover_every_kind() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/rbac-tenants.yaml");
    let roles: Vec<Value> =
        serde_saphyr::from_multiple(&fs::read_to_string(file).expect("the roles")).expect("YAML");
    let allowed = |role: &str| -> BTreeSet<String> {
        let role = roles.iter().find(|known| known["metadata"]["name"] == role).expect("the role");
        let list = |rule: &Value, field: &str| rule[field].as_array().cloned().unwrap_or_default();
        let rules = role["rules"].as_array().expect("rules");
        rules
            .iter()
            .flat_map(|rule| list(rule, "resources"))
            .filter_map(|r| Some(r.as_str()?.to_owned()))
            .collect()
    };
    let (manager, watcher) =
        (allowed("tenantry-standard-tenant-manager"), allowed("tenantry-standard-watcher"));
    for object in names("tenants").iter().flat_map(|tenant| rendered(tenant)) {
        let kind = object.kind.to_lowercase();
        let plural = match kind.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{kind}s"),
        };
        assert!(manager.contains(&plural) && watcher.contains(&plural), "{plural} of {}", object.origin);
    }
}

#[test]
fn customers_text_arrives_as_it_was_written() {
    let objects = rendered("corvus");
    let data = |name: &str, key: &str| {
        let map =
            objects.iter().find(|object| object.kind == "ConfigMap" && object.name == name).expect("the map");
        map.body["data"][key].as_str().expect("the key").to_owned()
    };
    let settings: Value = serde_json::from_str(&data("erp-settings", "erp.json")).expect("JSON");
    assert_eq!(settings["company"]["name"], "Corvus Çelik A.Ş. – 鴉");
    let people: Value = serde_json::from_str(&data("erp-settings", "people.json")).expect("JSON");
    assert_eq!(people[1]["name"], "Ayşe \"Karga\" Çelik");
    assert_eq!(people[2]["name"], "烏丸 健二");
    let dashboard: Value = serde_json::from_str(&data("dashboard", "dashboard.json")).expect("JSON");
    assert_eq!(dashboard["title"], "Corvus Çelik A.Ş. – 鴉");
    let route = objects.iter().find(|object| object.kind == "HTTPRoute").expect("the route");
    assert_eq!(route.body["spec"]["hostnames"], json!(["erp.corvus.example", "erp.xn--elik-zoa.example"]));
}

#[test]
fn the_kustomization_lists_every_object() {
    let kustomization: Value = object("kustomization.yaml");
    let listed: BTreeSet<String> = kustomization["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .map(|entry| entry.as_str().expect("a path").to_owned())
        .collect();
    let all: BTreeSet<String> = ["billing", "plans", "packed", "tenants"]
        .into_iter()
        .flat_map(|folder| names(folder).into_iter().map(move |name| format!("{folder}/{name}.yaml")))
        .collect();
    assert_eq!(listed, all);
}
