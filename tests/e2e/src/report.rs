//! What the demo found, for people as a table and for programs as JSON. Pure: no client, no clock.

use crate::{CONTROLLER_USER, wait};
use serde::Serialize;
use tenantry_control_plane::AuditEvent;
use tenantry_crds::TenantSubscription;
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
pub struct Item {
    /// Name of the item.
    pub name: String,
    /// How far it got.
    pub state: ItemState,
    /// From its first effect to its last change of state, in the whole seconds that statuses know; null if it had none.
    pub seconds: Option<f64>,
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
        let heading =
            ["TENANT", "PLAN", "APPLICATION", "PHASE", "SECONDS", "OBJECTS", "WRITES", "READS", "PAGE"]
                .map(str::to_owned);
        let mut rows = vec![heading];
        rows.extend(self.tenants.iter().map(Tenant::row));
        // Simulated pods have no page.
        let columns = if self.tenants.iter().any(|tenant| tenant.page.is_some()) { 9 } else { 8 };
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                rows.iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut table = String::new();
        for row in &rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            table.push_str(cells.join("  ").trim_end());
            table.push('\n');
        }
        table
    }
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

    fn row(&self) -> [String; 9] {
        [
            self.name.clone(),
            self.plan.clone(),
            self.application.clone(),
            self.phase.map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}")),
            self.seconds_to_live.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}")),
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
        Self { name: entry.name.clone(), state: entry.state, seconds }
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
            "conditions": [{
                "type": "Live", "status": live, "reason": "X", "message": "", "lastTransitionTime": at,
                "observedGeneration": 1,
            }],
            "checklist": [
                {"name": "a", "category": "Network", "owner": "Provider", "state": "Done", "reason": "",
                 "since": at, "startedAt": "2030-01-01T00:00:03Z"},
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
        assert_eq!(cells, ["acme", "gold", "erp", "4.2.1", "Live", "2.5", "1", "2", "1"]);
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!(value["tenants"][0]["secondsToLive"], json!(2.5));
        assert_eq!(
            value["tenants"][0]["items"][1],
            json!({"name": "b", "state": "Skipped", "seconds": null})
        );
    }

    #[test]
    fn a_tenant_that_fell_back_or_none_at_all_is_no_success() {
        let fallen = Tenant::new(&subscription("False"), Some(2.5), &[]);
        assert!(!Report { kubernetes_version: String::new(), tenants: vec![fallen] }.all_live());
        assert!(!Report { kubernetes_version: String::new(), tenants: Vec::new() }.all_live());
    }
}
