//! What accounts were billed in a stretch of time, as commands and the endpoint write it. Needs the database.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use tenantry_billing::{Books, BooksError};
use tenantry_documents::focus::{self, Row, Service};
use tenantry_documents::statement::{Statement, statement};
use tenantry_journal::Database;
use tenantry_ledger::event::Change;
use tenantry_ledger::history::History;
use tenantry_ledger::refusal::Refusal;

/// From which day to which, that day excluded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// First day.
    pub(crate) from: Date,
    /// First day after.
    pub(crate) to: Date,
}

/// What an account was billed.
///
/// # Errors
/// When the database cannot be read, or nothing was ever billed to the account.
pub(crate) async fn billed(database: &Database, account: &str, time: Time) -> Result<Statement, BooksError> {
    let documents = Books::new(database.clone()).documents_for(account).await?;
    Ok(statement(&documents, time.from, time.to)?)
}

/// Rows of FOCUS over every document of the time, of one account or of all, one account after the other.
///
/// # Errors
/// When the database cannot be read, or there is no such account.
pub(crate) async fn focus(
    database: &Database,
    account: Option<&str>,
    time: Time,
) -> Result<Vec<Row>, BooksError> {
    if time.to < time.from {
        return Err(
            Refusal::new("to", format!("{} is before {}", time.to, time.from), "write a later day").into()
        );
    }
    let books = Books::new(database.clone());
    let accounts = match account {
        Some(account) => vec![account.to_owned()],
        None => books.accounts().await?,
    };
    let mut rows = Vec::new();
    for account in accounts {
        let unknown = || BooksError::Unknown { what: format!("account {account:?}") };
        let loaded = books.load(&account).await?.ok_or_else(unknown)?;
        let zone = zone(&loaded.history)?;
        for document in books.documents_for(&account).await? {
            if document.issued < time.from || document.issued >= time.to {
                continue;
            }
            let service = |tenant: &str| service(&loaded.history, tenant, document.issued, &zone);
            rows.extend(focus::rows(&document, &zone, service)?);
        }
    }
    Ok(rows)
}

fn zone(history: &History) -> Result<TimeZone, Refusal> {
    let name = &history.agreement()?.account.time_zone;
    TimeZone::get(name).map_err(|error| Refusal::new("account.timeZone", error.to_string(), "report this"))
}

/// What a tenant was charged for on a day: its application, and the price list that was in effect last.
fn service(history: &History, tenant: &str, day: Date, zone: &TimeZone) -> Service {
    let mut service = Service { name: tenant.to_owned(), plan: String::new() };
    let is_until = |at| zone.to_datetime(at).date() <= day;
    for event in history.events().iter().filter(|event| event.subscription == tenant) {
        match &event.change {
            Change::Start { application, price_list, .. } => {
                service = Service { name: application.clone(), plan: price_list.clone() };
            }
            Change::ChangePlan { price_list } if is_until(event.at) => service.plan.clone_from(price_list),
            _ => {}
        }
    }
    service
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tenantry_ledger::event::Event;
    use tenantry_ledger::history::{Fact, Happening};

    #[test]
    fn a_tenant_is_charged_for_the_plan_that_it_had_on_the_day() {
        let mut history = History::new(1);
        for (id, at, change) in [
            (
                1,
                "2026-01-01T00:00:00Z",
                json!({"type": "Start", "application": "erp", "priceList": "silver"}),
            ),
            (2, "2026-02-10T23:30:00Z", json!({"type": "ChangePlan", "priceList": "gold"})),
        ] {
            let change = serde_json::from_value(change).unwrap();
            let event = Event { id, subscription: "t1".to_owned(), at: at.parse().unwrap(), change };
            history.apply(Fact::Happened(Happening { name: "acme".to_owned(), event }));
        }
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        let plan = |day: &str| service(&history, "t1", day.parse().unwrap(), &zone).plan;
        assert_eq!((plan("2026-02-10"), plan("2026-02-11")), ("silver".to_owned(), "gold".to_owned()));
        assert_eq!(service(&history, "other", "2026-02-10".parse().unwrap(), &zone).name, "other");
    }
}
