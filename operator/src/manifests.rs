//! What a cluster needs installed before the controller can run: definitions, rights, policies and classes; no client or
//! clock.
//!
//! The YAML lies in `operator/manifests` and is embedded. `tenantry manifests` prints it; the demo, the tests and the
//! benchmarks install exactly this, and run as the ServiceAccount in it.

use serde_json::{Value, json};
use std::fmt::Write;

/// Namespace in the embedded YAML, which every other one is put in place of.
pub const DEFAULT_NAMESPACE: &str = "tenantry-system";
/// ServiceAccount of the controller.
pub const SERVICE_ACCOUNT: &str = "tenantry-controller";
/// Health of a TenantSubscription for Argo CD, as Lua.
pub const ARGOCD_HEALTH: &str = include_str!("../manifests/argocd-health.lua");

const NAMESPACE: &str = include_str!("../manifests/namespace.yaml");
const RBAC_CONTROLLER: &str = include_str!("../manifests/rbac-controller.yaml");
const RBAC_TENANTS: &str = include_str!("../manifests/rbac-tenants.yaml");
const RBAC_SIGN_OFFS: &str = include_str!("../manifests/rbac-sign-offs.yaml");
const RBAC_SUSPENSIONS: &str = include_str!("../manifests/rbac-suspensions.yaml");
const RBAC_BILLING: &str = include_str!("../manifests/rbac-billing.yaml");
const CLASSES: &str = include_str!("../manifests/classes.yaml");
const CONTROLLER: &str = include_str!("../manifests/controller.yaml");
const JOURNAL: &str = include_str!("../manifests/journal.yaml");
const POLICIES: [&str; 13] = [
    include_str!("../manifests/policies/controller-namespaces.yaml"),
    include_str!("../manifests/policies/controller-rolebindings.yaml"),
    include_str!("../manifests/policies/controller-subscriptions.yaml"),
    include_str!("../manifests/policies/definitions-in-use.yaml"),
    include_str!("../manifests/policies/deletion-protection.yaml"),
    include_str!("../manifests/policies/job-class.yaml"),
    include_str!("../manifests/policies/managed-objects.yaml"),
    include_str!("../manifests/policies/nodes.yaml"),
    include_str!("../manifests/policies/placement.yaml"),
    include_str!("../manifests/policies/reserved-keys.yaml"),
    include_str!("../manifests/policies/sign-offs.yaml"),
    include_str!("../manifests/policies/suspensions.yaml"),
    include_str!("../manifests/policies/terminating.yaml"),
];

/// Mutating admission policies, which not every API server has.
const MUTATING: &str = include_str!("../manifests/mutating/placement.yaml");

/// Rights to make nodes, which only pools with a template need.
const KARPENTER: &str = include_str!("../manifests/making/karpenter.yaml");
const CLUSTER_API: &str = include_str!("../manifests/making/cluster-api.yaml");
/// Namespace of the Cluster object in the embedded YAML, which the real one is put in place of.
const MACHINES_NAMESPACE: &str = "machines-namespace";

/// A part of what is installed, in the order of installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// The controller's namespace and ServiceAccount.
    Namespace,
    /// The custom resource definitions.
    Crds,
    /// ClusterRoles, roles and bindings.
    Rbac,
    /// Priority classes.
    Classes,
    /// Validating admission policies and their bindings.
    Policies,
}

/// Why manifests cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace would not be accepted by the API server.
    #[error(
        "namespace {0:?} is no DNS label; use at most 63 of a-z, 0-9 and dashes, without a dash at either end"
    )]
    Namespace(String),
    /// The Secret with the database cannot have that name.
    #[error("secret {0:?} is no name of a Secret; use for example tenantry-database")]
    Secret(String),
    /// A Prometheus cannot have that address.
    #[error(
        "{0:?} is no address of a Prometheus; use for example http://prometheus-operated.monitoring:9090"
    )]
    Prometheus(String),
    /// The image cannot be a reference to a container image.
    #[error("image {0:?} is no image reference; use for example registry.example/tenantry:0.1.0")]
    Image(String),
    /// The embedded YAML of a group does not parse: a fault of this build.
    #[error("the embedded manifests do not parse; this build is broken, please report it")]
    Embedded(#[source] serde_saphyr::Error),
    /// A value cannot be written: a fault of this build.
    #[error("the manifests cannot be written as YAML; this build is broken, please report it")]
    Written(#[source] serde_saphyr::SerializeError),
    /// A definition is no JSON: a fault of this build.
    #[error("a definition cannot be written as JSON; this build is broken, please report it")]
    Definition(#[source] serde_json::Error),
}

impl Group {
    /// Every group, in the order of installation.
    pub const ALL: [Self; 5] = [Self::Namespace, Self::Crds, Self::Rbac, Self::Classes, Self::Policies];

    /// The objects of the group, for a controller in `namespace`.
    ///
    /// # Errors
    ///
    /// When the namespace is not a DNS label.
    pub fn objects(self, namespace: &str) -> Result<Vec<Value>, Error> {
        match self {
            Self::Namespace => parse(NAMESPACE, namespace),
            Self::Crds => tenantry_crds::all()
                .iter()
                .map(|crd| serde_json::to_value(crd).map_err(Error::Definition))
                .collect(),
            Self::Rbac => {
                let mut objects = parse(RBAC_CONTROLLER, namespace)?;
                objects.extend(parse(RBAC_TENANTS, namespace)?);
                objects.extend(parse(RBAC_SIGN_OFFS, namespace)?);
                objects.extend(parse(RBAC_SUSPENSIONS, namespace)?);
                objects.extend(parse(RBAC_BILLING, namespace)?);
                Ok(objects)
            }
            Self::Classes => parse(CLASSES, namespace),
            Self::Policies => {
                let parsed: Result<Vec<_>, _> = POLICIES.iter().map(|text| parse(text, namespace)).collect();
                Ok(parsed?.into_iter().flatten().collect())
            }
        }
    }
}

/// Where the controller keeps its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal<'a> {
    /// In a file on a volume of its own, which one replica can have.
    Volume,
    /// In a PostgreSQL, whose URL is in the Secret of this name.
    Secret(&'a str),
}

/// Everything that is installed, in an order in which each object's needs come before it. With an image, the
/// controller's Deployment comes last.
///
/// # Errors
///
/// When the namespace is not a DNS label, the image is not an image reference, or the Secret's name is none.
pub fn all(namespace: &str, image: Option<&str>, journal: Journal<'_>) -> Result<Vec<Value>, Error> {
    let mut objects = Vec::new();
    for group in Group::ALL {
        objects.extend(group.objects(namespace)?);
    }
    if let Some(image) = image {
        objects.extend(controller(namespace, image, journal)?);
    }
    Ok(objects)
}

/// Mutating admission policies, for API servers that have them. Without them the validating ones refuse what these complete.
///
/// # Errors
///
/// When the namespace is not a DNS label.
pub fn mutating(namespace: &str) -> Result<Vec<Value>, Error> {
    parse(MUTATING, namespace)
}

/// Rights to make nodes by NodePools of Karpenter.
///
/// # Errors
///
/// When the namespace is not a DNS label.
pub fn karpenter(namespace: &str) -> Result<Vec<Value>, Error> {
    parse(KARPENTER, namespace)
}

/// Rights to make nodes by MachineDeployments of Cluster API in the namespace `machines`.
///
/// # Errors
///
/// When one of the namespaces is not a DNS label.
pub fn cluster_api(namespace: &str, machines: &str) -> Result<Vec<Value>, Error> {
    let mut objects = parse(CLUSTER_API, namespace)?;
    // It is checked as the other one is.
    parse("", machines)?;
    for object in &mut objects {
        if let Some(place) =
            object.pointer_mut("/metadata/namespace").filter(|place| *place == MACHINES_NAMESPACE)
        {
            *place = Value::from(machines);
        }
    }
    Ok(objects)
}

/// The objects as YAML documents.
///
/// # Errors
///
/// Never for objects of this module.
pub fn yaml(objects: &[Value]) -> Result<String, Error> {
    let mut text = String::new();
    for object in objects {
        let document = serde_saphyr::to_string(object).map_err(Error::Written)?;
        // Writing to a string cannot fail.
        let _ = write!(text, "---\n{document}");
    }
    Ok(text)
}

/// Lets the controller that is among these objects read what tenants use from a Prometheus.
///
/// # Errors
///
/// When the address is none, or has characters that an address has not.
pub fn measured_by(objects: &mut [Value], url: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~:/%[]".contains(c);
    let is_address = url.starts_with("http://") || url.starts_with("https://");
    if !is_address || url.len() > 512 || !url.chars().all(fits) {
        return Err(Error::Prometheus(url.chars().take(64).collect()));
    }
    for object in objects {
        if let Some(env) =
            object.pointer_mut("/spec/template/spec/containers/0/env").and_then(Value::as_array_mut)
        {
            env.push(json!({"name": "TENANTRY_PROMETHEUS_URL", "value": url}));
        }
    }
    Ok(())
}

fn controller(namespace: &str, image: &str, journal: Journal<'_>) -> Result<Vec<Value>, Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._:@/-".contains(c);
    if image.is_empty() || image.len() > 512 || !image.chars().all(fits) {
        return Err(Error::Image(image.chars().take(64).collect()));
    }
    let mut objects = parse(CONTROLLER, namespace)?;
    for object in &mut objects {
        if let Some(slot) = object.pointer_mut("/spec/template/spec/containers/0/image") {
            *slot = Value::from(image);
        }
    }
    match journal {
        Journal::Volume => on_a_volume(objects, parse(JOURNAL, namespace)?),
        Journal::Secret(name) => in_a_database(objects, name),
    }
}

/// The controller with its journal in a file: one replica, because two could not have the volume, and none that begins before
/// the other has ended.
fn on_a_volume(mut objects: Vec<Value>, claims: Vec<Value>) -> Result<Vec<Value>, Error> {
    objects.retain(|object| object["kind"] != "PodDisruptionBudget");
    let volume = json!([{"name": "journal", "persistentVolumeClaim": {"claimName": "tenantry-journal"}}]);
    let mount = json!([{"name": "journal", "mountPath": "/var/lib/tenantry"}]);
    for deployment in &mut objects {
        let group = deployment.pointer("/spec/template/spec/securityContext/runAsGroup").cloned();
        put(deployment, "/spec", "replicas", json!(1));
        put(deployment, "/spec", "strategy", json!({"type": "Recreate"}));
        put(deployment, "/spec/template/spec", "volumes", volume.clone());
        put(deployment, "/spec/template/spec/securityContext", "fsGroup", json!(group));
        put(deployment, "/spec/template/spec/containers/0", "volumeMounts", mount.clone());
    }
    Ok(claims.into_iter().chain(objects).collect())
}

/// Sets a field of what a pointer leads to.
fn put(object: &mut Value, pointer: &str, field: &str, value: Value) {
    if let Some(fields) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
        fields.insert(field.to_owned(), value);
    }
}

/// The controller with its journal in a PostgreSQL whose URL is in a Secret, under the key `url`.
fn in_a_database(mut objects: Vec<Value>, secret: &str) -> Result<Vec<Value>, Error> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if secret.is_empty() || secret.len() > 253 || !secret.chars().all(fits) {
        return Err(Error::Secret(secret.chars().take(64).collect()));
    }
    for object in &mut objects {
        if let Some(env) =
            object.pointer_mut("/spec/template/spec/containers/0/env").and_then(Value::as_array_mut)
        {
            env.push(json!({
                "name": "TENANTRY_DATABASE",
                "valueFrom": {"secretKeyRef": {"name": secret, "key": "url"}},
            }));
        }
    }
    Ok(objects)
}

/// Reads documents after putting the namespace in place. It is checked first, so it cannot change the YAML's shape.
fn parse(text: &str, namespace: &str) -> Result<Vec<Value>, Error> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = |c: &str| c.starts_with('-') || c.ends_with('-');
    if namespace.is_empty() || namespace.len() > 63 || !namespace.chars().all(inner) || edges(namespace) {
        return Err(Error::Namespace(namespace.chars().take(64).collect()));
    }
    let text = text.replace(DEFAULT_NAMESPACE, namespace);
    serde_saphyr::from_multiple(&text).map_err(Error::Embedded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(value: &Value, pointer: &str) -> Vec<String> {
        let items = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn rules<'a>(objects: &'a [Value], role: &str) -> &'a Vec<Value> {
        let found =
            objects.iter().find(|o| text(o, "/kind") == "ClusterRole" && text(o, "/metadata/name") == role);
        found.and_then(|role| role["rules"].as_array()).unwrap()
    }

    #[test]
    fn another_namespace_is_put_everywhere() {
        let objects = all("platform", Some("registry.example/tenantry:0.1.0"), Journal::Volume).unwrap();
        let yaml = yaml(&objects).unwrap();
        assert!(!yaml.contains(DEFAULT_NAMESPACE), "{yaml}");
        assert!(yaml.contains("system:serviceaccount:platform:tenantry-controller"));
        assert!(
            yaml.contains("image: \"registry.example/tenantry:0.1.0\"")
                || yaml.contains("image: registry.example/tenantry:0.1.0")
        );
        let back: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
        assert_eq!(back.len(), objects.len());
        let seen: BTreeSet<&str> = objects.iter().map(|object| text(object, "/metadata/namespace")).collect();
        assert_eq!(seen, BTreeSet::from(["", "platform"]));
    }

    #[test]
    fn a_journal_on_a_volume_has_one_replica_and_one_in_a_database_may_have_more() {
        let of = |journal| {
            let objects = all(DEFAULT_NAMESPACE, Some("tenantry"), journal).unwrap();
            let kinds: Vec<String> = objects.iter().map(|object| text(object, "/kind").to_owned()).collect();
            let deployment = objects.into_iter().find(|object| object["kind"] == "Deployment").unwrap();
            (kinds, deployment["spec"].clone())
        };
        let (kinds, spec) = of(Journal::Volume);
        assert!(kinds.iter().any(|kind| kind == "PersistentVolumeClaim"), "{kinds:?}");
        assert_eq!((&spec["replicas"], &spec["strategy"]["type"]), (&json!(1), &json!("Recreate")));
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "tenantry-journal");
        let path = text(pod, "/containers/0/volumeMounts/0/mountPath");
        let database = crate::controller::DATABASE.strip_prefix("sqlite:").unwrap();
        assert!(database.starts_with(path), "{database} is not on {path}");
        assert_eq!(pod["securityContext"]["fsGroup"], json!(65532));
        let (kinds, spec) = of(Journal::Secret("tenantry-database"));
        assert!(!kinds.iter().any(|kind| kind == "PersistentVolumeClaim"), "{kinds:?}");
        assert_eq!(spec["replicas"], json!(2));
        let env = spec["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
        assert!(env.iter().any(|one| one["valueFrom"]["secretKeyRef"]["name"] == "tenantry-database"));
        let mut objects = all(DEFAULT_NAMESPACE, Some("tenantry"), Journal::Volume).unwrap();
        measured_by(&mut objects, "http://prometheus-operated.monitoring:9090").unwrap();
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let env = deployment.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
        assert!(env.iter().any(|one| one["name"] == "TENANTRY_PROMETHEUS_URL"), "{env:?}");
        for wrong in ["prometheus:9090", "http://a b", "http://user@host"] {
            assert!(matches!(measured_by(&mut objects, wrong), Err(Error::Prometheus(_))), "{wrong}");
        }
        for wrong in ["", "a b", "A"] {
            let refused = all(DEFAULT_NAMESPACE, Some("tenantry"), Journal::Secret(wrong));
            assert!(matches!(refused, Err(Error::Secret(_))), "{wrong:?}");
        }
    }

    #[test]
    fn each_object_comes_once_and_after_what_it_needs() {
        let objects = all(DEFAULT_NAMESPACE, None, Journal::Volume).unwrap();
        let key = |o: &Value| {
            let part = |pointer| text(o, pointer).to_owned();
            (part("/apiVersion"), part("/kind"), part("/metadata/namespace"), part("/metadata/name"))
        };
        let keys: BTreeSet<_> = objects.iter().map(key).collect();
        assert_eq!(keys.len(), objects.len());
        let place = |kind: &str, name: &str| {
            let fits = |o: &Value| text(o, "/kind") == kind && text(o, "/metadata/name") == name;
            objects.iter().position(fits).unwrap_or_else(|| panic!("{kind} {name} is missing"))
        };
        assert!(place("Namespace", DEFAULT_NAMESPACE) < place("ServiceAccount", SERVICE_ACCOUNT));
        assert!(
            place("CustomResourceDefinition", "tenantsubscriptions.tenantry.io")
                < place("ClusterRole", SERVICE_ACCOUNT)
        );
        for object in objects.iter().filter(|o| text(o, "/kind") == "ValidatingAdmissionPolicyBinding") {
            let policy = text(object, "/spec/policyName");
            assert!(
                place("ValidatingAdmissionPolicy", policy)
                    < place("ValidatingAdmissionPolicyBinding", policy)
            );
            assert_eq!(list(object, "/spec/validationActions"), ["Deny"]);
        }
        let count = |kind: &str| objects.iter().filter(|o| text(o, "/kind") == kind).count();
        assert_eq!(count("ValidatingAdmissionPolicy"), count("ValidatingAdmissionPolicyBinding"));
        let files =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/policies")).unwrap().count();
        assert_eq!(files, POLICIES.len(), "every policy file is embedded");
    }

    #[test]
    fn policies_fail_closed_and_speak_to_people() {
        for policy in Group::Policies.objects(DEFAULT_NAMESPACE).unwrap() {
            if text(&policy, "/kind") != "ValidatingAdmissionPolicy" {
                continue;
            }
            let name = text(&policy, "/metadata/name");
            assert_eq!(text(&policy, "/spec/failurePolicy"), "Fail", "{name}");
            for validation in policy["spec"]["validations"].as_array().unwrap() {
                let message = text(validation, "/message");
                assert!(
                    message.split_whitespace().count() >= 8 && message.contains([';', ',']),
                    "{name}: {message:?}"
                );
            }
        }
    }

    #[test]
    fn no_role_holds_a_wildcard_or_rights_over_rights() {
        let mut objects = all(DEFAULT_NAMESPACE, None, Journal::Volume).unwrap();
        objects.extend(karpenter(DEFAULT_NAMESPACE).unwrap());
        objects.extend(cluster_api(DEFAULT_NAMESPACE, "machines").unwrap());
        for object in objects {
            for rule in object["rules"].as_array().into_iter().flatten() {
                let name = text(&object, "/metadata/name");
                let verbs = list(rule, "/verbs");
                for part in ["/verbs", "/resources", "/apiGroups"] {
                    assert!(!list(rule, part).iter().any(|entry| entry == "*"), "{name}: {rule}");
                }
                assert!(
                    !verbs.iter().any(|verb| verb == "escalate" || verb == "impersonate"),
                    "{name}: {rule}"
                );
                if verbs.iter().any(|verb| verb == "bind") {
                    assert!(!list(rule, "/resourceNames").is_empty(), "{name}: {rule}");
                }
            }
        }
    }

    #[test]
    fn machines_are_made_in_their_namespace_only() {
        let objects = cluster_api("kitchen", "machines").unwrap();
        for object in &objects {
            assert_eq!(text(object, "/metadata/namespace"), "machines");
            assert!(!text(object, "/kind").starts_with("Cluster"));
        }
        assert_eq!(text(&objects[1], "/subjects/0/namespace"), "kitchen");
        assert!(matches!(cluster_api("kitchen", "a: b"), Err(Error::Namespace(_))));
    }

    #[test]
    fn the_watcher_sees_what_the_manager_writes_but_no_secrets() {
        let objects = Group::Rbac.objects(DEFAULT_NAMESPACE).unwrap();
        let kinds = |role: &str| -> BTreeSet<(String, String)> {
            let pairs = rules(&objects, role).iter().flat_map(|rule| {
                let groups = list(rule, "/apiGroups");
                let resources = list(rule, "/resources");
                groups
                    .into_iter()
                    .flat_map(move |g| resources.clone().into_iter().map(move |r| (g.clone(), r)))
            });
            pairs.collect()
        };
        let mut managed = kinds("tenantry-standard-tenant-manager");
        let watched = kinds("tenantry-standard-watcher");
        assert!(managed.remove(&(String::new(), "secrets".to_owned())));
        // Pods are never made, only asked for the results of jobs.
        assert!(managed.remove(&(String::new(), "pods".to_owned())));
        assert_eq!(managed, watched);
        for rule in rules(&objects, "tenantry-standard-watcher") {
            assert_eq!(list(rule, "/verbs"), ["list", "watch"]);
        }
    }

    #[test]
    fn people_of_tenants_read_no_secrets_and_write_nothing_that_isolates() {
        let objects = Group::Rbac.objects(DEFAULT_NAMESPACE).unwrap();
        for role in ["tenantry-administrator", "tenantry-user", "tenantry-viewer"] {
            for rule in rules(&objects, role) {
                let reads =
                    list(rule, "/verbs").iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str()));
                for resource in list(rule, "/resources") {
                    assert_ne!(resource, "secrets", "{role}");
                    let isolating = [
                        "networkpolicies",
                        "resourcequotas",
                        "limitranges",
                        "rolebindings",
                        "roles",
                        "namespaces",
                        "billingrecords",
                    ];
                    assert!(reads || !isolating.contains(&resource.as_str()), "{role}: {rule}");
                }
            }
        }
    }

    #[test]
    fn the_controller_may_ask_who_asks_and_nobody_is_a_clerk_by_himself() {
        let objects = all(DEFAULT_NAMESPACE, None, Journal::Volume).unwrap();
        for review in ["tokenreviews", "subjectaccessreviews"] {
            let mut rules = rules(&objects, SERVICE_ACCOUNT).iter();
            let rule = rules.find(|rule| list(rule, "/resources").contains(&review.to_owned())).unwrap();
            assert_eq!(list(rule, "/verbs"), ["create"]);
        }
        for role in [
            "tenantry-billing-reader",
            "tenantry-billing-clerk",
            "tenantry-payment-source",
            "tenantry-controlling",
        ] {
            assert!(!rules(&objects, role).is_empty());
            let is_bound = |object: &Value| text(object, "/roleRef/name") == role;
            assert!(!objects.iter().any(is_bound), "{role}");
        }
    }

    #[test]
    fn administrators_and_viewers_read_what_was_billed() {
        let objects = Group::Rbac.objects(DEFAULT_NAMESPACE).unwrap();
        let reads = |role: &str| {
            rules(&objects, role)
                .iter()
                .any(|rule| list(rule, "/resources").contains(&"billingrecords".to_owned()))
        };
        assert!(reads("tenantry-administrator") && reads("tenantry-viewer") && !reads("tenantry-user"));
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for namespace in ["", "Platform", "a.b", "-a", "a-", "a\nb: c", &"a".repeat(64)] {
            let error = all(namespace, None, Journal::Volume).unwrap_err();
            assert!(matches!(error, Error::Namespace(_)), "{namespace:?}: {error}");
        }
        for image in ["", "a b", "a\"b", "a\nb", &"a".repeat(513)] {
            assert!(
                matches!(all(DEFAULT_NAMESPACE, Some(image), Journal::Volume), Err(Error::Image(_))),
                "{image:?}"
            );
        }
    }
}
