//! `tenantry invoices`, `tenantry invoice` and `tenantry preview-invoice`: what was billed, and what comes next. Needs the database
//! or the billing address, and a client for what did not happen yet.

use super::Outcome;
use super::books::{Access, Way, reading};
use super::output::Format;
use super::table::table;
use super::{client, explain};
use crate::bills::{self, Coming, OtherPlan, Standing};
use clap::Args;
use jiff::Timestamp;
use kube::api::{Api, ListParams};
use tenantry_checklist::revision::name_of;
use tenantry_crds::{ServicePlan, TenantSubscription};
use tenantry_journal::{Database, HistoryOf};
use tenantry_ledger::document::{Document, Item};

/// Whose invoices, or whose usage.
#[derive(Args, Debug)]
pub(super) struct Whose {
    /// Name of the subscription; every tenant that ever had the name is meant.
    #[arg(required_unless_present = "tenant")]
    pub(super) name: Option<String>,
    /// Only the tenant with this id, which its namespace carries as the label tenantry.io/tenant-id.
    #[arg(long, conflicts_with = "name", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) tenant: Option<String>,
}

/// Arguments of `tenantry invoices`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    access: Access,
    /// How to print it; wide shows the account.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Arguments of `tenantry invoice`.
#[derive(Args, Debug)]
pub(crate) struct One {
    /// Number of the invoice or credit note.
    number: String,
    #[command(flatten)]
    access: Access,
    /// How to print it; wide shows the terms of each line.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Arguments of `tenantry preview-invoice`.
#[derive(Args, Debug)]
pub(crate) struct Next {
    #[command(flatten)]
    whose: Whose,
    /// Plan that the subscription is supposed to change to, at the time at which that would take effect.
    #[arg(long)]
    plan: Option<String>,
    #[command(flatten)]
    access: Access,
    /// How to print it; wide shows the terms of each line.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Arguments { whose, access, output } = arguments;
    let here = async |database: &Database| Ok(bills::invoices(database, &whose.history()).await?);
    let documents = access.ask(&whose.path("invoices", &[]), here).await?;
    output.print(&documents, |wide| list(&documents, wide))?;
    Ok(outcome(&documents, "nothing was billed under this name"))
}

pub(crate) async fn one(arguments: &One) -> anyhow::Result<Outcome> {
    let document = arguments.access.document(&arguments.number).await?;
    arguments.output.print(&document, |wide| page(&document, wide))?;
    Ok(Outcome::Good)
}

/// What the account's next document would be, if it were made of what the ledger knows now, and what is supposed.
pub(crate) async fn next(arguments: &Next) -> anyhow::Result<Outcome> {
    let Next { whose, plan, access, output } = arguments;
    let Coming { documents, notes } = match access.way().await? {
        Way::Database(url) => {
            // Without a plan it can be said by the database alone.
            let standing = match (standing(whose).await, plan) {
                (Err(error), Some(_)) => return Err(error),
                (standing, _) => standing.ok().flatten(),
            };
            let other = match plan {
                Some(plan) => Some(other_plan(plan, standing.as_ref()).await?),
                None => None,
            };
            let of = whose.history();
            let here = async |database: &Database| {
                Ok(bills::coming(database, &of, standing.as_ref(), other.as_ref(), Timestamp::now()).await?)
            };
            reading(&url, here).await?
        }
        Way::Server(server) => server.get(&whose.path("next-invoice", &[("plan", plan.as_deref())])).await?,
    };
    for note in notes {
        eprintln!("{note}");
    }
    output.print(&documents, |wide| {
        documents.iter().map(|document| page(document, wide)).collect::<Vec<_>>().join("\n")
    })?;
    Ok(outcome(&documents, "nothing will be billed under this name by what is known now"))
}

/// The subscription that is meant, as the cluster has it.
pub(super) async fn standing(whose: &Whose) -> anyhow::Result<Option<Standing>> {
    let api: Api<TenantSubscription> = Api::all(client().await?);
    let found = match (&whose.name, &whose.tenant) {
        (Some(name), _) => api.get_opt(name).await,
        (None, tenant) => api.list(&ListParams::default()).await.map(|all| {
            let mut all = all.items.into_iter();
            all.find(|one| {
                let own = one.status.as_ref().and_then(|status| status.tenant.as_ref());
                own.is_some_and(|own| Some(&own.id) == tenant.as_ref())
            })
        }),
    };
    let found = found.map_err(|error| explain(error, "cannot read the subscription"))?;
    Ok(found.and_then(|found| {
        Some(Standing { name: found.metadata.name?, spec: found.spec, status: found.status? })
    }))
}

async fn other_plan(name: &str, standing: Option<&Standing>) -> anyhow::Result<OtherPlan> {
    let api: Api<ServicePlan> = Api::all(client().await?);
    let get =
        async |name: &str| api.get_opt(name).await.map_err(|error| explain(error, "cannot read the plan"));
    let Some(plan) = get(name).await? else {
        anyhow::bail!("--plan: there is no plan {name}; list plans with kubectl get serviceplans");
    };
    let Some(standing) = standing else {
        anyhow::bail!("--plan: there is no such subscription now; ask without a plan for what was billed");
    };
    let present = match &standing.status.accepted {
        Some(accepted) => get(name_of(&accepted.plan)).await?,
        None => None,
    };
    Ok(OtherPlan { name: name.to_owned(), spec: plan.spec, present: present.map(|plan| plan.spec) })
}

// === impl Whose ===

impl Whose {
    /// Whose history is meant.
    pub(super) fn history(&self) -> HistoryOf {
        match (&self.tenant, &self.name) {
            (Some(tenant), _) => HistoryOf::Tenant(tenant.clone()),
            (None, name) => HistoryOf::Subscription(name.clone().unwrap_or_default()),
        }
    }

    /// Where the billing address has it. An id stands in the place of the name as well, which is not looked at then.
    pub(super) fn path(&self, what: &str, more: &[(&str, Option<&str>)]) -> String {
        let name = self.name.as_deref().or(self.tenant.as_deref()).unwrap_or_default();
        let parameters: Vec<String> = [("tenant", self.tenant.as_deref())]
            .iter()
            .chain(more)
            .filter_map(|(key, value)| Some(format!("{key}={}", (*value)?)))
            .collect();
        format!("/v1/subscriptions/{name}/{what}?{}", parameters.join("&"))
    }
}

/// Says where there is nothing.
fn outcome(documents: &[Document], nothing: &str) -> Outcome {
    if documents.is_empty() {
        eprintln!("{nothing}");
        return Outcome::Bad;
    }
    Outcome::Good
}

fn list(documents: &[Document], wide: bool) -> String {
    let account = if wide { "ACCOUNT" } else { "" };
    let header =
        ["DATE", "NUMBER", "KIND", "NET", "TAX", "GROSS", "TO PAY", "DUE", account].map(str::to_owned);
    let rows: Vec<[String; 9]> = documents
        .iter()
        .map(|document| {
            let money = |amount: &String| format!("{amount} {}", document.currency);
            [
                document.issued.to_string(),
                document.number.clone(),
                format!("{:?}", document.kind),
                money(&document.net),
                money(&document.tax),
                money(&document.gross),
                money(&document.payable),
                document.due.map_or_else(String::new, |due| due.to_string()),
                if wide { document.account.clone() } else { String::new() },
            ]
        })
        .collect();
    table(&header, &rows)
}

fn page(document: &Document, wide: bool) -> String {
    let Document { number, kind, issued, due, currency, seller, buyer, net, tax, gross, payable, .. } =
        document;
    let mut text = format!("{kind:?} {number} of {issued}\n{} to {}\n\n", seller.name, buyer.name);
    let terms = if wide { "TERMS" } else { "" };
    let header =
        ["FOR", "CHARGE", "FROM", "TO", "QUANTITY", "NET", "TAX", "CORRECTS", terms].map(str::to_owned);
    let rows: Vec<[String; 9]> = document.lines.iter().map(|line| row(line, wide)).collect();
    text.push_str(&table(&header, &rows));
    text.push_str(&format!("\nnet {net}, tax {tax}, total {gross} {currency}\n"));
    match due {
        Some(due) => text.push_str(&format!("to pay {payable} {currency} by {due}\n")),
        None => text.push_str("nothing to pay\n"),
    }
    text
}

fn row(line: &Item, wide: bool) -> [String; 9] {
    [
        line.name.clone(),
        line.charge.clone(),
        line.from.date().to_string(),
        line.to.date().to_string(),
        line.quantity.clone(),
        line.net.clone(),
        format!("{} {}%", line.tax_category, line.tax_percent),
        line.corrects.clone().unwrap_or_default(),
        if wide { line.terms.clone() } else { String::new() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_billing_address_is_asked_for_the_same() {
        let named = Whose { name: Some("acme".to_owned()), tenant: None };
        assert_eq!(
            named.path("next-invoice", &[("plan", Some("gold"))]),
            "/v1/subscriptions/acme/next-invoice?plan=gold"
        );
        let gone = Whose { name: None, tenant: Some("t1".to_owned()) };
        assert_eq!(gone.path("invoices", &[("plan", None)]), "/v1/subscriptions/t1/invoices?tenant=t1");
        assert_eq!(gone.history(), HistoryOf::Tenant("t1".to_owned()));
    }

    #[test]
    fn a_document_reads_as_a_list_and_as_a_page() {
        let document: Document = serde_json::from_value(json!({
            "number": "INV-001-002", "kind": "Invoice", "typeCode": 380, "issued": "2026-12-01", "due": "2026-12-31",
            "currency": "EUR", "account": "books", "seller": {"name": "Orderly AG", "country": "CH"},
            "buyer": {"name": "Acme Ltd", "country": "DE"},
            "lines": [{
                "entry": 3, "subscription": "t1", "name": "acme", "charge": "base", "kind": "Recurring", "effect": "Charge",
                "from": "2026-12-01T00:00:00", "to": "2027-01-01T00:00:00", "quantity": "1", "terms": "gold@1 × 1",
                "amount": "249.00", "reduction": "0.00", "net": "249.00", "taxCategory": "S", "taxPercent": "8.1",
            }],
            "taxes": [{"category": "S", "percent": "8.1", "base": "249.00", "tax": "20.17"}],
            "net": "249.00", "tax": "20.17", "gross": "269.17", "drawn": "0.00", "surplus": "0.00", "payable": "269.17",
        }))
        .unwrap();
        let list = list(std::slice::from_ref(&document), true);
        assert!(list.contains("INV-001-002   Invoice   249.00 EUR   20.17 EUR   269.17 EUR"), "{list}");
        assert!(list.contains("2026-12-31   books"), "{list}");
        let page = page(&document, false);
        assert!(page.contains("Invoice INV-001-002 of 2026-12-01\nOrderly AG to Acme Ltd"), "{page}");
        assert!(
            page.contains("acme   base     2026-12-01   2027-01-01   1          249.00   S 8.1%"),
            "{page}"
        );
        assert!(page.contains("to pay 269.17 EUR by 2026-12-31") && !page.contains("gold@1"), "{page}");
    }
}
