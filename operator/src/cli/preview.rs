//! `tenantry preview`: what would happen to tenants, before anything does. Needs a client, and writes nothing: what is previewed is
//! sent to the API server as a dry run, so that its rules and policies have their say.

use super::output::Format;
use super::{Outcome, client, explain};
use crate::controller::roots::Root;
use crate::controller::servers::{Outlook, OutlookRoom};
use crate::manifests::{DEFAULT_NAMESPACE, SERVICE_ACCOUNT};
use crate::preview::changes::{Changed, Changes, Object, Pods};
use crate::preview::known::{Known, PlanChange};
use anyhow::{Context, bail};
use clap::Args;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tenantry_blueprint::baseline::ServiceAccount;
use tenantry_checklist::Problem;
use tenantry_checklist::plan_change::misfits;
use tenantry_checklist::revision::DefinitionKind;
use tenantry_checklist::time;
use tenantry_crds::{
    Blueprint, HostedApplication, HostedApplicationVersion, ServicePlan, TenantSubscription,
    TenantSubscriptionSpec,
};

/// Field manager of dry runs.
const MANAGER: &str = "tenantry-preview";

/// Arguments of `tenantry preview`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of a subscription that is there, for --plan and --application-version.
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    name: Option<String>,
    /// Plan that it would have.
    #[arg(long)]
    plan: Option<String>,
    /// Version of its application that it would have.
    #[arg(long, value_name = "VERSION")]
    application_version: Option<String>,
    /// File with subscriptions, plans, applications, versions and blueprints as they would be applied. May be given several times.
    #[arg(short, long)]
    filename: Vec<PathBuf>,
    /// Namespace of the controller, where the revisions of definitions are.
    #[arg(long, env = "TENANTRY_NAMESPACE", default_value = DEFAULT_NAMESPACE)]
    namespace: String,
    /// How to print it; wide names every field that would be another.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What would happen to one tenant.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tenant {
    name: String,
    /// Why it would be refused, each with its field and remedy; then nothing would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
    /// The change to another plan, and when it would take effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_change: Option<PlanChange>,
    /// Whether there is room among the provider's servers, where a pool accounts for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<OutlookRoom>,
    #[serde(flatten)]
    changes: Changes,
    /// Seconds that the items concerned usually take, one after the other: machines, and people.
    machine_seconds: i64,
    people_seconds: i64,
}

/// Everything that would happen.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Preview {
    /// Definitions that would be refused, with the reasons.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<String, Vec<String>>,
    tenants: Vec<Tenant>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let client = client().await?;
    let account = ServiceAccount { namespace: arguments.namespace.clone(), name: SERVICE_ACCOUNT.to_owned() };
    let known = Known::load(&client, account).await?;
    let outlook = Outlook::load(&client).await;
    let mut outlook =
        outlook.map_err(|error| explain(error, "cannot read pools of servers and their nodes"))?;
    let mut preview = match &arguments.name {
        Some(name) => of_subscription(&client, &known, &mut outlook, name, arguments).await?,
        None => of_files(&client, &known, &mut outlook, &arguments.filename).await?,
    };
    for tenant in &mut preview.tenants {
        known.try_out(&client, MANAGER, &mut tenant.changes).await;
    }
    arguments.output.print(&preview, |wide| told(&preview, wide))?;
    let is_refused = !preview.refused.is_empty() || preview.tenants.iter().any(Tenant::is_refused);
    Ok(if is_refused { Outcome::Bad } else { Outcome::Good })
}

/// One subscription with another plan or version.
async fn of_subscription(
    client: &Client,
    known: &Known,
    outlook: &mut Outlook,
    name: &str,
    arguments: &Arguments,
) -> anyhow::Result<Preview> {
    if arguments.plan.is_none() && arguments.application_version.is_none() {
        bail!("say what {name} would have: --plan PLAN, --application-version VERSION, or both");
    }
    let root = known.root(name).with_context(|| format!("there is no subscription {name}"))?;
    let patch = json!({"spec": {
        "planRef": arguments.plan.as_ref().map_or(json!({}), |plan| json!({"name": plan})),
        "applicationRef": arguments.application_version.as_ref().map_or(json!({}), |version| json!({"version": version})),
    }});
    let api: Api<TenantSubscription> = Api::all(client.clone());
    let parameters =
        PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }.dry_run();
    let tenant = match api.patch(name, &parameters, &Patch::Merge(&patch)).await {
        Ok(object) => tenant(client, known, outlook, Some(root), name, &object.spec, &[]).await,
        Err(error) => Tenant::refused(name, vec![explain(error, "the API server refuses it").to_string()]),
    };
    Ok(Preview { refused: BTreeMap::new(), tenants: vec![tenant] })
}

/// Definitions and orders as files have them. Definitions count for the orders beside them, whatever their order.
async fn of_files(
    client: &Client,
    known: &Known,
    outlook: &mut Outlook,
    files: &[PathBuf],
) -> anyhow::Result<Preview> {
    let mut documents = Vec::new();
    for file in files {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let read: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("{} is not YAML", file.display()))?;
        documents.extend(read.into_iter().filter(Value::is_object));
    }
    let mut preview = Preview::default();
    let mut moved: BTreeMap<String, Vec<DefinitionKind>> = BTreeMap::new();
    suppose::<ServicePlan>(client, known, &documents, DefinitionKind::Plan, &mut preview, &mut moved).await?;
    suppose::<Blueprint>(client, known, &documents, DefinitionKind::Blueprint, &mut preview, &mut moved)
        .await?;
    suppose::<HostedApplication>(
        client,
        known,
        &documents,
        DefinitionKind::Application,
        &mut preview,
        &mut moved,
    )
    .await?;
    suppose::<HostedApplicationVersion>(
        client,
        known,
        &documents,
        DefinitionKind::Version,
        &mut preview,
        &mut moved,
    )
    .await?;
    let mut orders: BTreeMap<String, TenantSubscriptionSpec> = BTreeMap::new();
    for document in documents.iter().filter(|document| is::<TenantSubscription>(document)) {
        let name = name_of(document)?;
        match dry_run::<TenantSubscription>(client, document).await {
            Ok(object) => drop(orders.insert(name, spec_of(object)?)),
            Err(error) => {
                let why = explain(error, "the API server refuses it").to_string();
                preview.tenants.push(Tenant::refused(&name, vec![why]));
            }
        }
    }
    for (name, kinds) in &moved {
        let Some(root) = known.root(name).filter(|_| !orders.contains_key(name)) else { continue };
        let spec = root.spec().with_context(|| format!("the order of {name} cannot be read"))?;
        preview.tenants.push(tenant(client, known, outlook, Some(root), name, &spec, kinds).await);
    }
    for (name, spec) in &orders {
        let kinds = moved.get(name).map(Vec::as_slice).unwrap_or_default();
        preview.tenants.push(tenant(client, known, outlook, known.root(name), name, spec, kinds).await);
    }
    preview.tenants.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(preview)
}

/// Takes in the definitions of one kind as they would be, and notes whom they would move.
async fn suppose<D: crate::definitions::live::Definition + Resource<DynamicType = ()>>(
    client: &Client,
    known: &Known,
    documents: &[Value],
    kind: DefinitionKind,
    preview: &mut Preview,
    moved: &mut BTreeMap<String, Vec<DefinitionKind>>,
) -> anyhow::Result<()> {
    for document in documents.iter().filter(|document| is::<D>(document)) {
        let name = name_of(document)?;
        let before = known.revision(kind, &name);
        let supposed = match dry_run::<D>(client, document).await {
            Ok(object) => known.suppose::<D>(object),
            Err(error) => Err(vec![explain(error, "the API server refuses it").to_string()]),
        };
        match supposed {
            // What stays what it is moves nobody.
            Ok(users) if known.revision(kind, &name) != before => {
                users.into_iter().for_each(|user| moved.entry(user).or_default().push(kind));
            }
            Ok(_) => {}
            Err(why) => drop(preview.refused.insert(format!("{} {name}", D::kind(&())), why)),
        }
    }
    Ok(())
}

fn is<K: Resource<DynamicType = ()>>(document: &Value) -> bool {
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    text("apiVersion") == Some(&*K::api_version(&())) && text("kind") == Some(&*K::kind(&()))
}

fn name_of(document: &Value) -> anyhow::Result<String> {
    let name = document.pointer("/metadata/name").and_then(Value::as_str);
    name.map(str::to_owned).context("an object has no metadata.name")
}

/// The object as the API server would have it, with its defaults: made anew, or with the spec of the file in the place of its own.
/// What a file leaves out is left out then, whoever applied it before.
async fn dry_run<K: Resource<DynamicType = ()>>(
    client: &Client,
    document: &Value,
) -> Result<DynamicObject, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<K>(&()));
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let parameters = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
    let given: DynamicObject = serde_json::from_value(document.clone()).map_err(kube::Error::SerdeError)?;
    let Some(mut live) = api.get_opt(name).await? else { return api.create(&parameters, &given).await };
    if let (Some(live), Some(spec)) = (live.data.as_object_mut(), given.data.get("spec")) {
        live.insert("spec".to_owned(), spec.clone());
    }
    live.metadata.annotations.get_or_insert_default().extend(given.metadata.annotations.unwrap_or_default());
    api.replace(name, &parameters, &live).await
}

fn spec_of<S: DeserializeOwned>(mut object: DynamicObject) -> anyhow::Result<S> {
    let spec = object.data.get_mut("spec").map(Value::take).unwrap_or_default();
    Ok(serde_json::from_value(spec)?)
}

/// What would happen to one tenant.
async fn tenant(
    client: &Client,
    known: &Known,
    outlook: &mut Outlook,
    root: Option<&Root>,
    name: &str,
    spec: &TenantSubscriptionSpec,
    moved: &[DefinitionKind],
) -> Tenant {
    let before = match root.map(|root| known.present(root)).transpose() {
        Ok(before) => before.flatten(),
        Err(problems) => return Tenant::refused(name, told_problems(&problems)),
    };
    let wished = known.wished(root, name, spec, moved);
    let plan_change = match root {
        Some(root) => known.plan_change(client, root, spec).await,
        None => Ok(None),
    };
    let (after, plan_change) = match (wished, plan_change) {
        (Ok(after), Ok(plan_change)) => (after, plan_change),
        (wished, plan_change) => {
            let mut problems = wished.err().unwrap_or_default();
            // Who goes down to a plan that is too small for the order is told of it by that reason.
            if before.is_some() {
                problems = misfits(problems);
            }
            problems.extend(plan_change.err().unwrap_or_default());
            return Tenant::refused(name, told_problems(&problems));
        }
    };
    let changes = Changes::between(before.as_ref(), &after);
    let servers = after.wish.as_ref().and_then(|wish| outlook.ask(wish, jiff::Timestamp::now().as_second()));
    let (machine_seconds, people_seconds) = changes.seconds(&after);
    Tenant {
        name: name.to_owned(),
        refused: Vec::new(),
        plan_change,
        servers,
        changes,
        machine_seconds,
        people_seconds,
    }
}

fn told_problems(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

// === impl Tenant ===

impl Tenant {
    /// Whether something of it would be refused.
    fn is_refused(&self) -> bool {
        !self.refused.is_empty() || self.changes.changed.iter().any(|changed| changed.refused.is_some())
    }

    fn refused(name: &str, refused: Vec<String>) -> Self {
        let changes = Changes::default();
        Self {
            name: name.to_owned(),
            refused,
            plan_change: None,
            servers: None,
            changes,
            machine_seconds: 0,
            people_seconds: 0,
        }
    }
}

/// The preview for people.
fn told(preview: &Preview, wide: bool) -> String {
    let mut lines = Vec::new();
    for (definition, why) in &preview.refused {
        lines.push(format!("{definition} would be refused:"));
        lines.extend(why.iter().map(|why| format!("  {why}")));
    }
    for one in &preview.tenants {
        of_tenant(one, wide, &mut lines);
    }
    if lines.is_empty() {
        lines.push("nothing would change".to_owned());
    }
    lines.join("\n") + "\n"
}

fn of_tenant(one: &Tenant, wide: bool, lines: &mut Vec<String>) {
    let Tenant { name, refused, plan_change, servers, changes, machine_seconds, people_seconds } = one;
    if !refused.is_empty() {
        lines.push(format!("{name} would be refused, and stay as it is:"));
        lines.extend(refused.iter().map(|why| format!("  {why}")));
        return;
    }
    if let Some(PlanChange { from, to, direction, effective_at }) = plan_change {
        let when = match effective_at.as_ref().map(time::instant) {
            None => "would take effect at once".to_owned(),
            Some(at) => format!(
                "would take effect on {}, and until then {name} stays under plan {from}",
                time::readable(at)
            ),
        };
        lines.push(format!("{name}: {direction:?} from plan {from} to {to} {when}"));
    }
    let waits = servers.as_ref().filter(|room| !room.fits);
    if changes.is_empty() {
        lines.push(format!("{name}: nothing would change"));
        lines.extend(waits.map(|room| format!("  {}", room.told())));
        return;
    }
    let Changes { added, changed, removed, kept, runs, signatures, items } = changes;
    lines.push(format!(
        "{name}: {} added, {} changed, {} removed",
        added.len(),
        changed.len(),
        removed.len()
    ));
    let object =
        |sign: &str, object: &Object| format!("  {sign} {} {}   ({})", object.kind, object.name, object.item);
    lines.extend(added.iter().map(|one| object("+", one)));
    for Changed { object: one, fields, more, pods, refused, body: _ } in changed {
        let pods = match pods {
            None => "",
            Some(Pods::Replaced) => ": its pods are replaced one after the other",
            Some(Pods::Interrupted) => ": its pods end before others take their place",
        };
        lines.push(format!("{}{pods}", object("~", one)));
        lines.extend(refused.iter().map(|why| format!("      would be refused: {why}")));
        if wide {
            lines.extend(fields.iter().map(|field| {
                let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                format!("      {}: {} -> {}", field.path, value(&field.before), value(&field.after))
            }));
            if *more > 0 {
                lines.push(format!("      and {more} more fields"));
            }
        }
    }
    lines.extend(removed.iter().map(|one| object("-", one)));
    lines.extend(kept.iter().map(|one| format!("{}: stays, it holds data", object("=", one))));
    lines.extend(items.iter().map(|what| format!("  item {what}")));
    lines.extend(runs.iter().map(|item| format!("  job of {item} runs again")));
    lines.extend(signatures.iter().map(|item| format!("  {item} has to be signed again")));
    let length = |seconds: i64| time::length(jiff::SignedDuration::from_secs(seconds));
    let people = match people_seconds {
        0 => String::new(),
        people => format!(", and {} for people", length(*people)),
    };
    lines.extend(servers.iter().map(|room| format!("  {}", room.told())));
    let first =
        if waits.is_some() { " from the moment it has its servers, which nobody can foretell" } else { "" };
    lines.push(format!("  usually takes at most {}{people}{first}", length(*machine_seconds)));
}
