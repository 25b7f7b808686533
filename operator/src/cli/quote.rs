//! `tenantry quote`: how long an order will take before it is placed. Needs no cluster, and the database only if it is named.

use super::Outcome;
use super::orders::{Rendered, Source};
use super::output::Format;
use super::table::table;
use crate::controller::DatabaseUrl;
use anyhow::bail;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tenantry_blueprint::render::RenderedItem;
use tenantry_checklist::forecast::{Estimate, Length};
use tenantry_checklist::item::{EvaluateInput, Evidence, ItemInput, SignatureInput, evaluate};
use tenantry_checklist::learned::{Learned, MOST, Similar};
use tenantry_checklist::order::Order;
use tenantry_checklist::sign_off::{self, Standing};
use tenantry_checklist::time;
use tenantry_crds::blueprint::Party;
use tenantry_journal::Database;

/// Arguments of `tenantry quote`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Database of the controller, for how long similar orders took; without it the blueprint's estimates count.
    #[arg(long, env = "TENANTRY_DATABASE", hide_env_values = true)]
    database: Option<DatabaseUrl>,
    /// How to print it; wide has a line for each item.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// How long one order will take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Quote {
    name: String,
    plan: String,
    application: String,
    version: String,
    /// Seconds of the machines' work, if everybody who is waited for acts at once.
    machine_seconds: i64,
    /// Seconds more that people usually let pass.
    people_seconds: i64,
    /// What nine of ten similar orders kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_seconds_nine_of_ten: Option<i64>,
    /// Time before which the tenant is not opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    items: Vec<QuotedItem>,
}

/// How long one item will take once its turn has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct QuotedItem {
    name: String,
    owner: Party,
    machine_seconds: i64,
    people_seconds: i64,
    /// Whether similar orders say so, and not the blueprint.
    learned: bool,
    /// Why it does not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Some(orders) = arguments.source.read()? else { return Ok(Outcome::Bad) };
    let learned = match &arguments.database {
        Some(url) => learned(url).await?,
        None => Learned::default(),
    };
    let quotes: anyhow::Result<Vec<Quote>> =
        orders.into_iter().map(|rendered| quote(rendered, &learned)).collect();
    let quotes = quotes?;
    arguments.output.print(&quotes, |wide| told(&quotes, wide))?;
    Ok(Outcome::Good)
}

async fn learned(url: &DatabaseUrl) -> anyhow::Result<Learned> {
    let database = Database::open_to_read(url.reveal()).await?;
    let samples = database.samples(i64::try_from(MOST)?).await?;
    database.close().await;
    Ok(crate::controller::journal::learned(samples))
}

/// How long an order will take.
fn quote(Rendered { order, items }: Rendered, learned: &Learned) -> anyhow::Result<Quote> {
    let items = inputs(&order, items, learned)?;
    let input = EvaluateInput {
        subscription: order.name.as_str(),
        items: &items,
        previous: &[],
        retry: None,
        observed_retry: None,
        is_over: false,
        now: Timestamp::UNIX_EPOCH,
    };
    let forecast = match evaluate(&input) {
        Ok(evaluation) => evaluation.forecast,
        Err(errors) => bail!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    };
    let Length { machine, people } = forecast.length;
    let quoted = |item: ItemInput| {
        let Estimate { machine, people } = item.applicable();
        QuotedItem {
            learned: item.nine_of_ten.is_some(),
            name: item.name,
            owner: item.owner,
            machine_seconds: machine.as_secs(),
            people_seconds: people.as_secs(),
            skipped: item.skipped,
        }
    };
    let Similar { application, version, plan } = Similar::of(&order.definitions.accepted());
    Ok(Quote {
        name: order.name.to_string(),
        plan,
        application,
        version,
        machine_seconds: machine.as_secs(),
        people_seconds: people.as_secs(),
        machine_seconds_nine_of_ten: forecast.nine_of_ten.map(|length| length.machine.as_secs()),
        not_before: forecast.not_before.map(time::readable),
        items: items.into_iter().map(quoted).collect(),
    })
}

/// The items of an order as nothing has begun, with how long each takes.
fn inputs(
    order: &Order,
    rendered: Vec<RenderedItem>,
    learned: &Learned,
) -> Result<Vec<ItemInput>, tenantry_checklist::duration::DurationError> {
    let similar = Similar::of(&order.definitions.accepted());
    // An order that is not placed has no age: what counts from its time counts from now on.
    let dates = order.dates(Timestamp::UNIX_EPOCH);
    let blueprint = &order.definitions.blueprint.spec;
    let input = |(item, rendered): (&tenantry_crds::blueprint::Item, RenderedItem)| {
        let input = ItemInput::new(item, &dates, String::new(), Evidence::default())?;
        let usual = learned.usual(&similar, &item.name);
        let asked = sign_off::wanted(order, item).filter(|_| item.sign_off.is_some() || rendered.confirmed);
        Ok(ItemInput {
            skipped: rendered.skipped,
            signature: asked.map(|wanted| SignatureInput { wanted, standing: Standing::Missing }),
            ..input.learning(usual)
        })
    };
    blueprint.items.iter().zip(rendered).map(input).collect()
}

const HEADER: [&str; 6] = ["NAME", "ITEM", "WORK", "9 OF 10", "PEOPLE", "NOT BEFORE"];

/// The quotes as lines of aligned columns; each item below its order if it is asked for.
fn told(quotes: &[Quote], with_items: bool) -> String {
    let length = |seconds: i64| time::length(SignedDuration::from_secs(seconds));
    let mut lines: Vec<[String; 6]> = Vec::new();
    for quote in quotes {
        lines.push([
            quote.name.clone(),
            String::new(),
            length(quote.machine_seconds),
            quote.machine_seconds_nine_of_ten.map(length).unwrap_or_default(),
            length(quote.people_seconds),
            quote.not_before.clone().unwrap_or_default(),
        ]);
        for item in quote.items.iter().filter(|item| with_items && item.skipped.is_none()) {
            let [work, people] = [item.machine_seconds, item.people_seconds].map(length);
            lines.push([String::new(), item.name.clone(), work, String::new(), people, String::new()]);
        }
    }
    table(&HEADER.map(str::to_owned), &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::orders::example;

    fn quoted(tenant: &str, learned: &Learned) -> Quote {
        quote(example(tenant), learned).unwrap()
    }

    #[test]
    fn an_order_takes_as_long_as_its_longest_way_and_what_does_not_apply_takes_no_time() {
        let quote = quoted("bolt", &Learned::default());
        let application = quote.items.iter().find(|item| item.name == "application").unwrap();
        assert!(quote.machine_seconds >= application.machine_seconds && application.machine_seconds > 0);
        assert!(quote.machine_seconds < quote.items.iter().map(|item| item.machine_seconds).sum());
        assert!(
            quote.items.iter().filter(|item| item.skipped.is_some()).all(|item| item.machine_seconds == 0)
        );
        assert_eq!(quote.machine_seconds_nine_of_ten, None);
        let text = told(std::slice::from_ref(&quote), true);
        assert!(text.contains("application") && !told(&[quote], false).contains("application"), "{text}");
    }

    #[test]
    fn what_similar_orders_took_counts_more_than_the_blueprint() {
        let before = quoted("bolt", &Learned::default());
        let mut learned = Learned::default();
        let similar = Similar {
            application: before.application.clone(),
            version: before.version.clone(),
            plan: before.plan.clone(),
        };
        for _ in 0..20 {
            learned.add(&similar, "application", Estimate::of_seconds(100_000, 0));
        }
        let quote = quoted("bolt", &learned);
        assert!(quote.machine_seconds >= 100_000 && quote.machine_seconds_nine_of_ten >= Some(100_000));
        let learned: Vec<&str> =
            quote.items.iter().filter(|item| item.learned).map(|item| item.name.as_str()).collect();
        assert_eq!(learned, ["application"]);
    }
}
