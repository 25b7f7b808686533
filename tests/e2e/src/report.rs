//! What the demo found, for people as a table and for programs as JSON. Pure: no client, no clock.

use crate::{CONTROLLER_USER, wait};
use serde::Serialize;
use tenantry_control_plane::AuditEvent;
use tenantry_crds::TenantSubscription;
use tenantry_crds::blueprint::Party;
use tenantry_crds::subscription::{ChecklistEntry, ItemState, Phase};

/// Result of a demo.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What the API server says of itself, such as `v1.33.4`.
    pub kubernetes_version: String,
    /// The tenants, by name.
    pub tenants: Vec<Tenant>,
}

/// One tenant.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Name of the subscription.
    pub name: String,
    /// Name of the plan.
    pub plan: String,
    /// Name of the application and its version.
    pub application: String,
    /// Phase at the end, if the controller got that far.
    pub phase: Option<Phase>,
    /// From sending the subscription to seeing it live; null if it was not in time.
    pub seconds_to_live: Option<f64>,
    /// How long that was said to take when it began, waiting for people included; null if nothing was promised.
    pub promised_seconds: Option<i64>,
    /// Objects in the tenant's inventory.
    pub objects: usize,
    /// Requests of the controller for this tenant that change something.
    pub writes: usize,
    /// Requests of the controller for this tenant that do not.
    pub reads: usize,
    /// What the tenant's first page was answered with; null where pods are simulated.
    pub page: Option<Page>,
    /// The checklist, in its order.
    pub items: Vec<Item>,
}

/// What a tenant answered through its Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Status of HTTP.
    pub status: u16,
    /// Size of the body.
    pub bytes: usize,
}

/// One line of a checklist.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Name of the item.
    pub name: String,
    /// Who has to act when it waits for somebody.
    pub owner: Party,
    /// How far it got.
    pub state: ItemState,
    /// From its first effect to its last change of state, in the whole seconds that statuses know; null if it had none.
    pub seconds: Option<f64>,
    /// How long it usually takes, by its blueprint; null where that says nothing, or where the item does not apply.
    pub promised_seconds: Option<i64>,
}

// === impl Report ===

impl Report {
    /// Whether every tenant is live.
    #[must_use]
    pub fn all_live(&self) -> bool {
        !self.tenants.is_empty() && self.tenants.iter().all(|tenant| tenant.seconds_to_live.is_some())
    }

    /// The tenants as a table, a line each below a heading.
    #[must_use]
    pub fn table(&self) -> String {
        let heading = [
            "TENANT",
            "PLAN",
            "APPLICATION",
            "PHASE",
            "SECONDS",
            "PROMISED",
            "OBJECTS",
            "WRITES",
            "READS",
            "PAGE",
        ]
        .map(str::to_owned);
        let mut rows = vec![heading.to_vec()];
        rows.extend(self.tenants.iter().map(|tenant| tenant.row().to_vec()));
        // Simulated pods have no page.
        let columns = if self.tenants.iter().any(|tenant| tenant.page.is_some()) { 10 } else { 9 };
        rows.iter_mut().for_each(|row| row.truncate(columns));
        aligned(&rows)
    }

    /// The checklist of every tenant, a line for each item: who owns it, how far it is, and how long it took beside how long
    /// it usually takes.
    #[must_use]
    pub fn checklists(&self) -> String {
        let number =
            |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0}"));
        let mut rows =
            vec![["TENANT", "ITEM", "OWNER", "STATE", "SECONDS", "PROMISED"].map(str::to_owned).to_vec()];
        for tenant in &self.tenants {
            rows.extend(tenant.items.iter().map(|item| {
                let promised =
                    item.promised_seconds.map_or_else(|| "-".to_owned(), |seconds| seconds.to_string());
                let Item { name, owner, state, seconds, .. } = item;
                vec![
                    tenant.name.clone(),
                    name.clone(),
                    format!("{owner:?}"),
                    format!("{state:?}"),
                    number(*seconds),
                    promised,
                ]
            }));
        }
        aligned(&rows)
    }
}

/// Rows as lines whose columns are as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

// === impl Tenant ===

impl Tenant {
    /// What `subscription` became, and what that cost by the requests in `events`.
    #[must_use]
    pub fn new(
        subscription: &TenantSubscription,
        seconds_to_live: Option<f64>,
        events: &[AuditEvent],
    ) -> Self {
        let name = subscription.metadata.name.clone().unwrap_or_default();
        let spec = &subscription.spec;
        let status = subscription.status.as_ref();
        let (reads, writes): (Vec<_>, Vec<_>) =
            events.iter().filter(|event| is_for(event, &name)).partition(|event| event.is_read());
        Self {
            plan: spec.plan_ref.name.clone(),
            application: format!("{} {}", spec.application_ref.name, spec.application_ref.version),
            phase: status.and_then(|status| status.phase),
            seconds_to_live: seconds_to_live.filter(|_| wait::is_true(subscription, "Live")),
            promised_seconds: status
                .and_then(|status| status.operation.as_ref())
                .and_then(|operation| operation.promise.as_ref())
                .map(|promise| promise.machine_seconds + promise.people_seconds),
            objects: status
                .and_then(|status| status.inventory.as_ref())
                .map_or(0, |inventory| inventory.objects.len()),
            writes: writes.len(),
            reads: reads.len(),
            page: None,
            items: status.map(|status| status.checklist.iter().map(Item::new).collect()).unwrap_or_default(),
            name,
        }
    }

    fn row(&self) -> [String; 10] {
        [
            self.name.clone(),
            self.plan.clone(),
            self.application.clone(),
            self.phase.map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}")),
            self.seconds_to_live.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}")),
            self.promised_seconds.map_or_else(|| "-".to_owned(), |seconds| seconds.to_string()),
            self.objects.to_string(),
            self.writes.to_string(),
            self.reads.to_string(),
            self.page.map_or_else(|| "-".to_owned(), |page| format!("{}, {} bytes", page.status, page.bytes)),
        ]
    }
}

impl Item {
    fn new(entry: &ChecklistEntry) -> Self {
        let seconds =
            entry.started_at.as_ref().map(|started| entry.since.0.duration_since(started.0).as_secs_f64());
        Self {
            name: entry.name.clone(),
            owner: entry.owner,
            state: entry.state,
            seconds,
            promised_seconds: entry.estimated_seconds,
        }
    }
}

/// Whether a request of the controller is for one tenant: it names the subscription, the namespace or what is in it.
/// Watches of a kind are for all tenants together and count for none.
#[must_use]
pub fn is_for(event: &AuditEvent, tenant: &str) -> bool {
    let namespace = format!("tenant-{tenant}");
    let names_it = match event.resource.as_str() {
        "namespaces" => event.name == namespace,
        "tenantsubscriptions" => event.name == tenant,
        _ => false,
    };
    event.user == CONTROLLER_USER && (names_it || event.namespace == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(user: &str, verb: &str, resource: &str, namespace: &str, name: &str) -> AuditEvent {
        AuditEvent {
            user: user.to_owned(),
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            subresource: String::new(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            code: 200,
            at: "2030-01-01T00:00:00Z".parse().unwrap(),
            uri: String::new(),
        }
    }

    fn subscription(live: &str) -> TenantSubscription {
        let yaml = std::fs::read_to_string(crate::world::examples().join("tenants/acme.yaml")).unwrap();
        let mut value = crate::install::documents(&yaml).unwrap().remove(0);
        let at = "2030-01-01T00:00:07Z";
        value["metadata"]["generation"] = json!(1);
        value["status"] = json!({
            "phase": "Live",
            "operation": {"kind": "Provision", "startedAt": "2030-01-01T00:00:00Z", "completedAt": at,
                          "promise": {"machineSeconds": 60, "peopleSeconds": 30, "completion": "2030-01-01T00:01:30Z"}},
            "conditions": [{
                "type": "Live", "status": live, "reason": "X", "message": "", "lastTransitionTime": at,
                "observedGeneration": 1,
            }],
            "checklist": [
                {"name": "a", "category": "Network", "owner": "Provider", "state": "Done", "reason": "",
                 "since": at, "startedAt": "2030-01-01T00:00:03Z", "estimatedSeconds": 20},
                {"name": "b", "category": "Network", "owner": "Provider", "state": "Skipped", "reason": "", "since": at},
            ],
            "inventory": {"order": "x", "objects": [{"kind": "v1/ConfigMap", "name": "c", "item": "a", "state": "Live"}]},
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn requests_count_for_the_tenant_they_name() {
        let cases = [
            (event(CONTROLLER_USER, "patch", "configmaps", "tenant-acme", "c"), true),
            (event(CONTROLLER_USER, "patch", "namespaces", "", "tenant-acme"), true),
            (event(CONTROLLER_USER, "patch", "namespaces", "tenant-acme", "tenant-acme"), true),
            (event(CONTROLLER_USER, "patch", "tenantsubscriptions", "", "acme"), true),
            (event(CONTROLLER_USER, "patch", "serviceplans", "", "acme"), false),
            (event(CONTROLLER_USER, "watch", "configmaps", "", ""), false),
            (event(CONTROLLER_USER, "patch", "configmaps", "tenant-acme2", "c"), false),
            (event("admin", "patch", "configmaps", "tenant-acme", "c"), false),
        ];
        for (event, expected) in cases {
            assert_eq!(is_for(&event, "acme"), expected, "{event:?}");
        }
    }

    #[test]
    fn a_tenant_is_summed_up() {
        let events = [
            event(CONTROLLER_USER, "patch", "configmaps", "tenant-acme", "c"),
            event(CONTROLLER_USER, "patch", "tenantsubscriptions", "", "acme"),
            event(CONTROLLER_USER, "get", "configmaps", "tenant-acme", "c"),
        ];
        let tenant = Tenant::new(&subscription("True"), Some(2.5), &events);
        assert_eq!((tenant.writes, tenant.reads, tenant.objects), (2, 1, 1));
        let seconds: Vec<_> = tenant.items.iter().map(|item| item.seconds).collect();
        assert_eq!(seconds, [Some(4.0), None]);
        let report = Report { kubernetes_version: "v1".to_owned(), tenants: vec![tenant] };
        assert!(report.all_live());
        let table = report.table();
        let cells: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["acme", "gold", "erp", "4.2.1", "Live", "2.5", "90", "1", "2", "1"]);
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!(value["tenants"][0]["secondsToLive"], json!(2.5));
        assert_eq!(
            value["tenants"][0]["items"][1],
            json!({"name": "b", "owner": "Provider", "state": "Skipped", "seconds": null, "promisedSeconds": null})
        );
        assert_eq!(value["tenants"][0]["promisedSeconds"], json!(90));
        let checklists = report.checklists();
        let cells: Vec<&str> = checklists.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["acme", "a", "Provider", "Done", "4", "20"]);
    }

    #[test]
    fn a_tenant_that_fell_back_or_none_at_all_is_no_success() {
        let fallen = Tenant::new(&subscription("False"), Some(2.5), &[]);
        assert!(!Report { kubernetes_version: String::new(), tenants: vec![fallen] }.all_live());
        assert!(!Report { kubernetes_version: String::new(), tenants: Vec::new() }.all_live());
    }
}
