//! Compact records of all subscriptions, as last observed or written by us; no client or clock.
//!
//! The record keeps spec and status as the text that came from the API server, packed: a typed object would be many
//! times larger, and most records are not looked at for days. A record is also made for an object whose spec cannot
//! be read, so that one broken object never hides the others.

use super::packed::Packed;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tenantry_checklist::windows::Windows;
use tenantry_crds::blueprint::Party;
use tenantry_crds::subscription::{AcceptedRevisions, MaintenanceWindow, ServersStatus};
use tenantry_crds::{TenantSubscription, TenantSubscriptionSpec, TenantSubscriptionStatus};

/// Finalizer of a subscription that has objects.
pub(crate) const FINALIZER: &str = "tenantry.io/tenant";
/// Annotation that asks for another try, as a [`tenantry_checklist::item::RetryRequest`].
pub(crate) const RETRY_ANNOTATION: &str = "tenantry.io/retry";
/// Annotation that pauses a subscription; its value says why.
pub(crate) const PAUSED_ANNOTATION: &str = "tenantry.io/paused";

/// Annotation by which a person says how the end of a subscription goes on, as a [`tenantry_checklist::exit::Wish`].
pub(crate) const EXIT_ANNOTATION: &str = "tenantry.io/exit";

/// Letters of a pause's reason that are shown.
const PAUSE_REASON: usize = 256;

/// A subscription as it comes over a watch.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RootObject {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Box<RawValue>>,
    #[serde(default)]
    status: Option<Box<RawValue>>,
}

/// One subscription, compactly.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// Name of the subscription.
    pub(crate) name: String,
    /// UID of the object.
    pub(crate) uid: String,
    /// Generation of the spec.
    pub(crate) generation: i64,
    /// Resource version of the record.
    pub(crate) resource_version: String,
    /// When deletion was asked for.
    pub(crate) deleting_since: Option<jiff::Timestamp>,
    /// Finalizers on it, ours and others'.
    pub(crate) finalizers: Vec<String>,
    /// When it was made.
    pub(crate) created: jiff::Timestamp,
    /// Value of the retry annotation.
    pub(crate) retry: Option<String>,
    /// Why nothing new begins for it, where a person paused it.
    pub(crate) paused: Option<String>,
    /// What a person said about its end.
    pub(crate) exit: Option<String>,
    /// What other subscriptions and the definitions need to know of this one.
    pub(crate) brief: Brief,
    spec: Option<Packed>,
    status: Option<Packed>,
}

/// What others need to know of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brief {
    /// Revisions it runs.
    pub(crate) accepted: Option<AcceptedRevisions>,
    /// Hosts claimed for it.
    pub(crate) claimed_hosts: Vec<String>,
    /// Hosts it asks for.
    pub(crate) wanted_hosts: Vec<String>,
    /// Names of plan, application and application version it asks for.
    pub(crate) references: [String; 3],
    /// Condition `Ready` is true.
    pub(crate) ready: bool,
    /// Condition `Stalled` is true.
    pub(crate) stalled: bool,
    /// Condition `Suspended` is true.
    pub(crate) suspended: bool,
    /// Identity of its tenant.
    pub(crate) tenant_id: Option<String>,
    /// Items that should be done already, by who has to act.
    pub(crate) overdue: Vec<Party>,
    /// What it says that its tenant has of servers.
    pub(crate) servers: Option<ServersStatus>,
    /// When what interrupts the service may begin.
    pub(crate) maintenance: Maintenance,
}

/// When what interrupts the service of a tenant may begin. Read once: whoever moves many tenants asks all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Maintenance {
    /// At any time: nobody is served, or the order says nothing.
    #[default]
    Always,
    /// While one of these is open.
    In(Arc<Windows>),
    /// The order's windows cannot be understood, so it is refused.
    Never,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    records: RwLock<BTreeMap<String, Arc<Root>>>,
}

/// What a new observation means for the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// Nothing that its reconciler does not know.
    Known,
    /// Something that its reconciler has to look at.
    Changed,
    /// Something that a person, or a program of one, wants: an order, another one, its end, a pause, another try.
    Wanted,
}

// === impl RootObject ===

impl Resource for RootObject {
    type DynamicType = ();
    type Scope = kube::core::ClusterResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        TenantSubscription::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        TenantSubscription::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        TenantSubscription::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        TenantSubscription::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

// === impl Root ===

impl Root {
    /// The record of an object; `None` for one without name or UID, which no API server sends.
    #[must_use]
    pub(crate) fn from_object(object: RootObject) -> Option<Self> {
        let meta = object.metadata;
        let (spec, status) = (object.spec.as_deref(), object.status.as_deref());
        let mut annotations = meta.annotations.unwrap_or_default();
        Some(Self {
            name: meta.name?,
            uid: meta.uid?,
            generation: meta.generation.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            deleting_since: meta.deletion_timestamp.as_ref().map(tenantry_checklist::time::instant),
            finalizers: meta.finalizers.unwrap_or_default(),
            created: meta
                .creation_timestamp
                .as_ref()
                .map(tenantry_checklist::time::instant)
                .unwrap_or_default(),
            retry: annotations.remove(RETRY_ANNOTATION),
            exit: annotations.remove(EXIT_ANNOTATION),
            paused: annotations.remove(PAUSED_ANNOTATION).map(|why| pause_reason(&why)),
            brief: Brief::read(spec, status),
            spec: spec.map(Packed::from),
            status: status.map(Packed::from),
        })
    }

    /// Whether our finalizer is on it.
    #[must_use]
    pub(crate) fn is_finalized(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
    }

    /// How events refer to it.
    #[must_use]
    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(TenantSubscription::api_version(&()).into_owned()),
            kind: Some(TenantSubscription::kind(&()).into_owned()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }

    /// The spec.
    ///
    /// # Errors
    /// When the object holds something that this version does not read; the text names the place.
    pub(crate) fn spec(&self) -> Result<TenantSubscriptionSpec, serde_json::Error> {
        self.spec.as_ref().map_or_else(|| serde_json::from_str("{}"), Packed::read)
    }

    /// The status; empty where there is none.
    ///
    /// # Errors
    /// When one was written that this version cannot read. Nothing may be deleted or created then.
    pub(crate) fn status(&self) -> Result<TenantSubscriptionStatus, serde_json::Error> {
        self.status.as_ref().map_or_else(|| Ok(TenantSubscriptionStatus::default()), Packed::read)
    }
}

/// What people write to pause, in a form that fits into a message.
fn pause_reason(text: &str) -> String {
    let reason: String = text.trim().chars().filter(|c| !c.is_control()).take(PAUSE_REASON).collect();
    if reason.is_empty() || reason == "true" { "no reason is given".to_owned() } else { reason }
}

// === impl Brief ===

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BriefStatus {
    accepted: Option<AcceptedRevisions>,
    hosts: Vec<String>,
    conditions: Vec<BriefCondition>,
    tenant: Option<BriefTenant>,
    checklist: Vec<BriefEntry>,
    servers: Option<ServersStatus>,
    go_live: Option<IgnoredAny>,
    suspension: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct BriefEntry {
    owner: Party,
    #[serde(default)]
    overdue: bool,
}

#[derive(Deserialize)]
struct BriefCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

#[derive(Deserialize)]
struct BriefTenant {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BriefSpec {
    plan_ref: BriefReference,
    application_ref: BriefReference,
    network: BriefNetwork,
    maintenance_windows: Vec<MaintenanceWindow>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BriefReference {
    name: String,
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BriefNetwork {
    hosts: Vec<String>,
}

impl Brief {
    fn read(spec: Option<&RawValue>, status: Option<&RawValue>) -> Self {
        let spec: BriefSpec = spec.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let status: BriefStatus =
            status.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let holds = |type_: &str| status.conditions.iter().any(|c| c.type_ == type_ && c.status == "True");
        let version = format!("{}-{}", spec.application_ref.name, spec.application_ref.version);
        let is_served = status.go_live.is_some() && status.suspension.is_none();
        Self {
            maintenance: if is_served {
                Maintenance::of(&spec.maintenance_windows)
            } else {
                Maintenance::Always
            },
            ready: holds("Ready"),
            stalled: holds("Stalled"),
            suspended: holds("Suspended"),
            accepted: status.accepted,
            claimed_hosts: status.hosts,
            wanted_hosts: spec.network.hosts,
            references: [spec.plan_ref.name, spec.application_ref.name, version],
            tenant_id: status.tenant.map(|tenant| tenant.id),
            servers: status.servers,
            overdue: status.checklist.iter().filter(|entry| entry.overdue).map(|entry| entry.owner).collect(),
        }
    }
}

// === impl Maintenance ===

impl Maintenance {
    fn of(windows: &[MaintenanceWindow]) -> Self {
        match Windows::of(windows) {
            _ if windows.is_empty() => Self::Always,
            Ok(windows) => Self::In(Arc::new(windows)),
            Err(_) => Self::Never,
        }
    }

    /// Whether nothing may begin at a moment.
    pub(crate) fn is_closed(&self, now: jiff::Timestamp) -> bool {
        match self {
            Self::Always => false,
            Self::In(windows) => !windows.is_open(now),
            Self::Never => true,
        }
    }
}

// === impl Roots ===

impl Roots {
    /// Takes in an object from a watch or from the answer to one of our writes. The newer resource version wins.
    pub(crate) fn observe(&self, root: Root) -> Observation {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let observation = match records.get(&root.name) {
            Some(known) if known.uid == root.uid && !is_newer(&root, known) => return Observation::Known,
            Some(known) if known.uid == root.uid => known.compare(&root),
            _ => Observation::Wanted,
        };
        records.insert(root.name.clone(), Arc::new(root));
        observation
    }

    /// Takes in the answer to a write of ours, which its reconciler knows already. One that is gone does not come back by it: the
    /// answer to the removal of the last finalizer may be read after the watch has told of the end.
    pub(crate) fn record_write(&self, root: Root) {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        if records.get(&root.name).is_some_and(|known| known.uid == root.uid && is_newer(&root, known)) {
            records.insert(root.name.clone(), Arc::new(root));
        }
    }

    /// Forgets a subscription that is gone. A newer one of the same name stays.
    pub(crate) fn remove(&self, name: &str, uid: &str) -> Option<Arc<Root>> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        if records.get(name).is_some_and(|known| known.uid == uid) { records.remove(name) } else { None }
    }

    /// Forgets every subscription that is not in `names`, after a relist, and returns those.
    pub(crate) fn retain(&self, names: &std::collections::HashSet<String>) -> Vec<Arc<Root>> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> =
            records.values().filter(|root| !names.contains(&root.name)).map(Arc::clone).collect();
        records.retain(|name, _| names.contains(name));
        gone
    }

    /// One subscription.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Root>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)
    }

    /// All subscriptions, sorted by name.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<Root>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.values().map(Arc::clone).collect()
    }

    /// Whether something holds of any of them. Cheaper than looking at all, where that is asked with every status.
    pub(crate) fn any(&self, holds: impl Fn(&Root) -> bool) -> bool {
        self.records.read().unwrap_or_else(PoisonError::into_inner).values().any(|root| holds(root))
    }
}

impl Root {
    /// Whether `newer` holds anything that a reconciler has to look at. Its own status writes are recorded from their
    /// answers and so never come here as news.
    fn compare(&self, newer: &Self) -> Observation {
        let wanted = (&self.retry, &self.paused, &self.exit, self.generation, self.deleting_since)
            != (&newer.retry, &newer.paused, &newer.exit, newer.generation, newer.deleting_since);
        let changed = self.finalizers != newer.finalizers || self.status != newer.status;
        match (wanted, changed) {
            (true, _) => Observation::Wanted,
            (false, true) => Observation::Changed,
            (false, false) => Observation::Known,
        }
    }
}

fn is_newer(new: &Root, known: &Root) -> bool {
    is_later(&new.resource_version, &known.resource_version)
}

/// Whether a resource version is later than another one. They are compared as integers, which Kubernetes guarantees since 1.35
/// (KEP-5504) and which held for etcd before.
pub(crate) fn is_later(new: &str, known: &str) -> bool {
    match (new.parse::<u64>(), known.parse::<u64>()) {
        (Ok(new), Ok(known)) => new > known,
        _ => new != known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Root {
        Root::from_object(serde_json::from_str(json).unwrap()).unwrap()
    }

    fn acme(rv: u32, generation: u32, status: &str) -> Root {
        object(&format!(
            r#"{{"apiVersion":"tenantry.io/v1alpha1","kind":"TenantSubscription","metadata":{{"name":"acme","uid":"u1",
            "resourceVersion":"{rv}","generation":{generation}}},"spec":{{"planRef":{{"name":"gold"}},
            "applicationRef":{{"name":"erp","version":"4.2.1"}},"network":{{"hosts":["a.example"]}}}},"status":{status}}}"#
        ))
    }

    #[test]
    fn the_brief_is_read_without_the_rest() {
        let root = acme(
            1,
            1,
            r#"{"hosts":["a.example"],"conditions":[{"type":"Ready","status":"True"}],"x":[1,{"y":2}]}"#,
        );
        assert_eq!(root.brief.references, ["gold", "erp", "erp-4.2.1"].map(str::to_owned));
        assert!(root.brief.ready);
        assert!(!root.brief.stalled);
        assert_eq!(root.brief.claimed_hosts, ["a.example"]);
    }

    #[test]
    fn our_own_write_is_no_news_and_a_foreign_status_write_is() {
        let roots = Roots::default();
        assert_eq!(roots.observe(acme(1, 1, "{}")), Observation::Wanted);
        roots.record_write(acme(2, 1, r#"{"progress":"1/2"}"#));
        assert_eq!(roots.observe(acme(2, 1, r#"{"progress":"1/2"}"#)), Observation::Known, "our own write");
        assert_eq!(roots.observe(acme(1, 1, "{}")), Observation::Known, "older than what we have");
        assert_eq!(roots.observe(acme(3, 1, "{}")), Observation::Changed, "somebody took the status away");
        assert_eq!(roots.observe(acme(4, 2, "{}")), Observation::Wanted, "a new generation");
        assert_eq!(roots.observe(acme(5, 2, "{}")), Observation::Known, "a label");
    }

    #[test]
    fn the_answer_to_the_last_write_brings_nobody_back() {
        let roots = Roots::default();
        roots.observe(acme(1, 1, "{}"));
        roots.remove("acme", "u1");
        roots.record_write(acme(2, 1, "{}"));
        assert!(roots.get("acme").is_none());
    }

    #[test]
    fn a_later_object_of_the_same_name_replaces_the_earlier_one() {
        let roots = Roots::default();
        roots.observe(acme(9, 1, "{}"));
        let mut later = acme(10, 1, "{}");
        later.uid = "u2".to_owned();
        assert_eq!(roots.observe(later), Observation::Wanted);
        assert!(roots.remove("acme", "u1").is_none(), "the deletion of the earlier one comes late");
        assert_eq!(roots.get("acme").unwrap().uid, "u2");
    }

    #[test]
    fn a_spec_that_cannot_be_read_still_makes_a_record() {
        let root = object(r#"{"metadata":{"name":"broken","uid":"u"},"spec":{"planRef":7}}"#);
        assert!(root.spec().is_err());
        assert_eq!(root.brief.references[0], "");
    }
}
