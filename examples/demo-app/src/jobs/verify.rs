//! The role `verify`: whether the application does what a customer needs. Needs the network and a clock.

use super::{Findings, JobArgs, rows};
use crate::client::{Http, Store};
use crate::config::{Settings, json_file, service_address};
use crate::names::{Name, name};
use crate::orders::{Decision, Order};
use crate::table::{TABLES, Table, checksum};
use crate::web::{escape, session::random_id};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::header::{HeaderValue, SET_COOKIE};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// In which an order has to be decided on.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at an order.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Arguments of the role `verify`.
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyRole {
    /// Address of the web page; without it, the one that Kubernetes gives in WEB_SERVICE_HOST and _PORT
    #[arg(long, env = "ERP_WEB", value_name = "IP:PORT")]
    web: Option<SocketAddr>,
    /// What the provider rendered for the tenant, JSON
    #[arg(long, env = "ERP_SETTINGS", value_name = "FILE")]
    settings: PathBuf,
    /// A table that must be there with this number of rows; may be given several times
    #[arg(long, env = "ERP_EXPECT_TABLES", value_delimiter = ',', value_name = "NAME=ROWS")]
    expect_table: Vec<Expected>,
    #[command(flatten)]
    job: JobArgs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    table: Name,
    rows: usize,
}

#[derive(Deserialize)]
struct Taken {
    id: Name,
}

// === impl VerifyRole ===

impl VerifyRole {
    /// Tests, and gives the exit code.
    pub(crate) async fn run(self) -> ExitCode {
        self.job.carry_out("verify", self.verify()).await
    }

    async fn verify(&self) -> Result<Findings> {
        let settings: Settings = json_file(&self.settings, "--settings")?;
        let address = match self.web {
            Some(address) => address,
            None => service_address("WEB", "--web", |name| std::env::var(name).ok())?,
        };
        let (web, store) = (Http::new(address), self.job.client()?);
        let checks = [
            ("store", store_keeps(&store).await),
            ("page", page_shows(&web, &settings).await),
            ("order", order_is_confirmed(&web, &settings).await),
            ("stranger", stranger_is_refused(&web).await),
            ("tables", self.tables_agree(&store).await),
        ];
        let mut findings = Findings::default();
        let mut passed: Vec<Value> = Vec::new();
        for (check, result) in checks {
            match result {
                Ok(()) => passed.push(check.into()),
                Err(error) => findings.differences.push(format!("{check}: {error:#}")),
            }
        }
        findings.message = format!("{} checks passed, {} failed", passed.len(), findings.differences.len());
        findings.figures.insert("passed".to_owned(), Value::Array(passed));
        Ok(findings)
    }

    /// Every table in use has the rows it had at its cut-over, and those that were expected are there.
    async fn tables_agree(&self, store: &Store) -> Result<()> {
        let bucket = name(TABLES)?;
        for Expected { table, rows } in &self.expect_table {
            let found = store
                .get(&bucket, table)
                .await?
                .with_context(|| format!("{table} is not there; convert it"))?;
            let found: Table = serde_json::from_slice(&found)?;
            ensure!(found.rows == *rows, "{table} has {} rows, {rows} expected", found.rows);
        }
        for entry in store.keys(&bucket).await? {
            let Some(table) = store.get(&bucket, &entry.key).await? else { continue };
            let table: Table = serde_json::from_slice(&table)?;
            let found = rows(store, &table.bucket).await?;
            ensure!(
                found.len() == table.rows,
                "{} has {} rows, {} at its cut-over",
                entry.key,
                found.len(),
                table.rows
            );
            ensure!(checksum(&found) == table.checksum, "{} has other rows than at its cut-over", entry.key);
        }
        Ok(())
    }
}

async fn store_keeps(store: &Store) -> Result<()> {
    let (bucket, key) = (name("verify")?, random_id()?.parse()?);
    store.put(&bucket, &key, "kept").await?;
    let found = store.get(&bucket, &key).await?;
    ensure!(found.as_deref() == Some(b"kept"), "a value was stored and not found again");
    ensure!(store.delete(&bucket, Some(&key)).await?, "a value was stored and could not be removed");
    ensure!(store.get(&bucket, &key).await?.is_none(), "a value was removed and is still there");
    Ok(())
}

async fn page_shows(web: &Http, settings: &Settings) -> Result<()> {
    let answer = web.send(Method::GET, "/", None, Bytes::new()).await?.success("the page")?;
    let page = String::from_utf8_lossy(&answer.body);
    for (what, text) in
        [("company.name", &settings.company.name), ("plan", &settings.plan), ("version", &settings.version)]
    {
        ensure!(
            page.contains(&escape(text)),
            "the page does not show {what} {text:?}; roll the web pods out again"
        );
    }
    Ok(())
}

async fn order_is_confirmed(web: &Http, settings: &Settings) -> Result<()> {
    let page = web.send(Method::GET, "/", None, Bytes::new()).await?.success("the page")?;
    let cookie = page.headers.get(SET_COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cookie = HeaderValue::from_str(cookie.split(';').next().unwrap_or_default())?;
    let order = Order { article: "acceptance test".to_owned(), quantity: 1 };
    let body = serde_json::to_vec(&order)?;
    let answer = web.send(Method::POST, "/orders", Some(&cookie), body.into()).await?.success("an order")?;
    let path = format!("/orders/{}", answer.json::<Taken>()?.id);
    let decided = async {
        loop {
            let answer =
                web.send(Method::GET, &path, None, Bytes::new()).await?.success("looking at the order")?;
            if answer.status == StatusCode::OK {
                return answer.json::<Decision>();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let decision = tokio::time::timeout(DECIDED_WITHIN, decided).await.with_context(|| {
        format!("nobody decided on an order within {DECIDED_WITHIN:?}; see why the worker does not work")
    })??;
    let wanted = Decision::Confirmed { seller: settings.company.name.clone(), order };
    ensure!(decision == wanted, "the order ended as {}", json!(decision));
    Ok(())
}

async fn stranger_is_refused(web: &Http) -> Result<()> {
    let body = serde_json::to_vec(&Order { article: "nothing".to_owned(), quantity: 1 })?;
    let answer = web.send(Method::POST, "/orders", None, body.into()).await?;
    if answer.status != StatusCode::UNAUTHORIZED {
        bail!("an order without a session was answered with {}, not 401", answer.status);
    }
    Ok(())
}

// === impl Expected ===

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (table, rows) = text.split_once('=').ok_or("write NAME=ROWS")?;
        let table = table.parse().map_err(|error| format!("{error}"))?;
        Ok(Self {
            table,
            rows: rows.parse().map_err(|error| format!("{rows:?} is no number of rows: {error}"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_tables_have_a_number_of_rows() {
        assert_eq!("customers=12".parse(), Ok(Expected { table: "customers".parse().unwrap(), rows: 12 }));
        for text in ["customers", "customers=", "customers=many", "=1", "customers=-1"] {
            assert!(text.parse::<Expected>().is_err(), "{text}");
        }
    }
}
