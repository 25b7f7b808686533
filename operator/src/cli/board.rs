//! `tenantry board`: every subscription, what is late and who is waited for. Needs a client.

use super::output::Format;
use super::progress::ahead;
use super::table::table;
use super::{Outcome, client, explain};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ListParams};
use serde::Serialize;
use tenantry_checklist::time::{self, distance};
use tenantry_crds::TenantSubscription;
use tenantry_crds::blueprint::Party;
use tenantry_crds::subscription::{ChecklistEntry, ItemState, Phase};

/// Arguments of `tenantry board`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only subscriptions with an item that should be done already.
    #[arg(long)]
    late: bool,
    /// Only subscriptions that wait for this party.
    #[arg(long, value_enum)]
    waiting_for: Option<Who>,
    /// How to print it; wide has a line for each open item.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Who {
    Provider,
    Customer,
    Partner,
}

/// One subscription on the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    phase: Option<Phase>,
    progress: String,
    /// When the operation will be done, as far as can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_completion: Option<Time>,
    /// Until when the customer is looked after more closely.
    #[serde(skip_serializing_if = "Option::is_none")]
    hypercare_until: Option<Time>,
    open: Vec<OpenItem>,
}

/// One item that is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenItem {
    name: String,
    owner: Party,
    state: ItemState,
    reason: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Time>,
    overdue: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let api: Api<TenantSubscription> = Api::all(client().await?);
    let all = api.list(&ListParams::default()).await.map_err(|e| explain(e, "cannot list subscriptions"))?;
    let rows = rows(&all.items, arguments);
    arguments.output.print(&rows, |wide| board(&rows, Timestamp::now(), wide))?;
    Ok(Outcome::Good)
}

fn rows(subscriptions: &[TenantSubscription], arguments: &Arguments) -> Vec<Row> {
    let mut rows: Vec<Row> = subscriptions.iter().map(row).collect();
    rows.retain(|row| {
        let late = !arguments.late || row.open.iter().any(|item| item.overdue);
        let waits = arguments.waiting_for.is_none_or(|who| {
            row.open.iter().any(|item| item.state == ItemState::Waiting && item.owner == who.party())
        });
        late && waits
    });
    // What is late longest comes first: that is what the board is looked at for.
    rows.sort_by(|a, b| {
        (a.latest().is_none(), a.latest(), &a.name).cmp(&(b.latest().is_none(), b.latest(), &b.name))
    });
    rows
}

fn row(subscription: &TenantSubscription) -> Row {
    let status = subscription.status.clone().unwrap_or_default();
    let is_open = |entry: &&ChecklistEntry| !matches!(entry.state, ItemState::Done | ItemState::Skipped);
    let open = |entry: &ChecklistEntry| OpenItem {
        name: entry.name.clone(),
        owner: entry.owner,
        state: entry.state,
        reason: entry.reason.clone(),
        message: entry.message.clone(),
        due: entry.due.clone(),
        overdue: entry.overdue,
    };
    Row {
        name: subscription.metadata.name.clone().unwrap_or_default(),
        phase: status.phase,
        progress: status.progress,
        estimated_completion: status.operation.and_then(|operation| operation.estimated_completion),
        hypercare_until: status.go_live.and_then(|go_live| go_live.hypercare_until),
        open: status.checklist.iter().filter(is_open).map(open).collect(),
    }
}

/// The board as lines of aligned columns.
fn board(rows: &[Row], now: Timestamp, wide: bool) -> String {
    let header =
        ["NAME", "PHASE", "PROGRESS", "EXPECTED", "LATE", "WAITING FOR", "NEXT DUE"].map(str::to_owned);
    let mut text = table(&header, &rows.iter().map(|row| row.cells(now)).collect::<Vec<_>>());
    if wide {
        for row in rows.iter().filter(|row| !row.open.is_empty()) {
            text.push_str(&format!("\n{}:\n", row.name));
            for item in &row.open {
                text.push_str(&item.line(now));
            }
        }
    }
    text
}

// === impl Row ===

impl Row {
    /// When the item that is late longest should have been done.
    fn latest(&self) -> Option<Timestamp> {
        let late = self.open.iter().filter(|item| item.overdue);
        late.filter_map(|item| item.due.as_ref()).map(time::instant).min()
    }

    fn cells(&self, now: Timestamp) -> [String; 7] {
        let late: Vec<&str> =
            self.open.iter().filter(|item| item.overdue).map(|item| item.name.as_str()).collect();
        let mut waiting: Vec<String> = Vec::new();
        for item in self.open.iter().filter(|item| item.state == ItemState::Waiting) {
            waiting.push(format!("{:?}: {}", item.owner, item.name));
        }
        let due = self.open.iter().filter_map(|item| item.due.as_ref()).map(time::instant).min();
        let expected = self.estimated_completion.as_ref().map(time::instant);
        let hypercare = ahead(self.hypercare_until.as_ref(), now);
        let phase = self.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
        [
            self.name.clone(),
            if hypercare.is_some() { format!("{phase} (hypercare)") } else { phase },
            self.progress.clone(),
            expected.map(|at| distance(at, now)).unwrap_or_default(),
            late.join(", "),
            waiting.join(", "),
            due.map(|due| distance(due, now)).unwrap_or_default(),
        ]
    }
}

// === impl OpenItem ===

impl OpenItem {
    fn line(&self, now: Timestamp) -> String {
        let due = self.due.as_ref().map(|due| format!(", due {}", distance(time::instant(due), now)));
        format!(
            "  {:<14} {:<8} {:<9} {}{}\n",
            self.name,
            format!("{:?}", self.state),
            format!("{:?}", self.owner),
            self.message,
            due.unwrap_or_default()
        )
    }
}

// === impl Who ===

impl Who {
    fn party(self) -> Party {
        match self {
            Self::Provider => Party::Provider,
            Self::Customer => Party::Customer,
            Self::Partner => Party::Partner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn subscription(name: &str, entries: Value) -> TenantSubscription {
        serde_json::from_value(json!({
            "apiVersion": "tenantry.io/v1alpha1", "kind": "TenantSubscription", "metadata": {"name": name},
            "spec": {"organization": {"name": "A", "country": "DE"}, "contacts": [], "planRef": {"name": "gold"},
                "applicationRef": {"name": "erp", "version": "1"}},
            "status": {"phase": "Ready", "progress": "1/3", "checklist": entries},
        }))
        .unwrap()
    }

    fn entry(name: &str, owner: &str, state: &str, due: Option<&str>, overdue: bool) -> Value {
        json!({"name": name, "category": "Training", "owner": owner, "state": state, "reason": "R", "message": "sign it",
            "since": "2026-12-01T00:00:00Z", "due": due, "overdue": overdue})
    }

    fn fleet() -> Vec<TenantSubscription> {
        vec![
            subscription("acme", json!([entry("contract", "Provider", "Done", None, false)])),
            subscription(
                "bolt",
                json!([entry("training", "Customer", "Waiting", Some("2026-11-29T00:00:00Z"), true)]),
            ),
            subscription(
                "corvus",
                json!([
                    entry("client", "Partner", "Waiting", Some("2026-11-28T00:00:00Z"), true),
                    entry("go-live", "Provider", "Pending", Some("2026-12-05T00:00:00Z"), false)
                ]),
            ),
        ]
    }

    fn shown(late: bool, waiting_for: Option<Who>) -> Vec<String> {
        let arguments = Arguments { late, waiting_for, output: Format::Table };
        rows(&fleet(), &arguments).into_iter().map(|row| row.name).collect()
    }

    #[test]
    fn what_is_late_longest_comes_first() {
        assert_eq!(shown(false, None), ["corvus", "bolt", "acme"]);
        assert_eq!(shown(true, None), ["corvus", "bolt"]);
        assert_eq!(shown(false, Some(Who::Customer)), ["bolt"]);
        assert!(shown(false, Some(Who::Provider)).is_empty(), "a pending item waits for nobody");
    }

    #[test]
    fn the_board_names_who_is_waited_for() {
        let arguments = Arguments { late: false, waiting_for: None, output: Format::Wide };
        let text = board(&rows(&fleet(), &arguments), "2026-12-01T00:00:00Z".parse().unwrap(), true);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("corvus").contains("Partner: client"), "{text}");
        assert!(line("bolt").contains("Customer: training") && line("bolt").ends_with("2d ago"), "{text}");
        assert!(text.contains("  go-live        Pending  Provider  sign it, due in 4d\n"), "{text}");
    }
}
