//! `tenantry usage --quarantined`: what was told of usage and does not count. Needs the database or the billing address.

use super::Outcome;
use super::books::{Access, Way, reading};
use super::invoices::Whose;
use super::output::Format;
use super::table::table;
use crate::printed::Time;
use crate::usage::aside;
use tenantry_billing::{ASIDE_PAGE, AsidePage, KeptAside};
use tenantry_journal::Database;

/// Lists it, the latest first, page by page until there are enough.
pub(super) async fn run(
    whose: &Whose,
    time: Time,
    limit: usize,
    access: &Access,
    output: Format,
) -> anyhow::Result<Outcome> {
    let way = access.way().await?;
    let of = (whose.name.is_some() || whose.tenant.is_some()).then(|| whose.history());
    let mut all: Vec<KeptAside> = Vec::new();
    let mut after: Option<String> = None;
    let has_more = loop {
        let left = u32::try_from(limit - all.len()).unwrap_or(ASIDE_PAGE).min(ASIDE_PAGE);
        if left == 0 {
            break true;
        }
        let AsidePage { events, next } = match &way {
            Way::Database(url) => {
                let cursor = after.as_deref().map(str::parse).transpose()?;
                let here =
                    async |database: &Database| Ok(aside(database, of.as_ref(), time, cursor, left).await?);
                reading(url, here).await?
            }
            Way::Server(server) => server.get(&path(whose, time, after.as_deref(), left)).await?,
        };
        all.extend(events);
        match next {
            Some(next) => after = Some(next),
            None => break false,
        }
    };
    output.print(&all, |wide| page(&all, wide))?;
    if has_more {
        eprintln!("there is more of it; add --limit, or other days with --from and --to");
    }
    Ok(Outcome::Good)
}

fn path(whose: &Whose, time: Time, after: Option<&str>, limit: u32) -> String {
    let (from, to, limit) = (time.from.to_string(), time.to.to_string(), limit.to_string());
    let parameters = [
        ("subscription", whose.name.as_deref()),
        ("tenant", whose.tenant.as_deref()),
        ("from", Some(from.as_str())),
        ("to", Some(to.as_str())),
        ("after", after),
        ("limit", Some(limit.as_str())),
    ];
    let parameters: Vec<String> =
        parameters.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?))).collect();
    format!("/v1/usage/quarantined?{}", parameters.join("&"))
}

fn page(events: &[KeptAside], wide: bool) -> String {
    if events.is_empty() {
        return "everything that was told in this time counts, or was told rightly since\n".to_owned();
    }
    let rows: Vec<[String; 8]> = events
        .iter()
        .map(|one| {
            let KeptAside {
                received, tenant, told_by, source, id, cause, field, reason, remedy, body, ..
            } = one;
            let key =
                [source.as_str(), id].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
            let more = |text: &str| if wide { text.replace(['\n', '\r', '\t'], " ") } else { String::new() };
            let wrong = format!("{field}: {reason}; {remedy}");
            [
                received.to_string(),
                tenant.clone(),
                key.join(" "),
                cause.clone(),
                wrong,
                more(told_by),
                more(body),
                cut(one, wide),
            ]
        })
        .collect();
    let [by, body] = ["TOLD BY", "BODY"].map(|head| if wide { head } else { "" });
    table(
        &["RECEIVED", "TENANT", "SOURCE, ID", "CAUSE", "WHAT IS WRONG", by, body, ""].map(str::to_owned),
        &rows,
    )
}

fn cut(one: &KeptAside, wide: bool) -> String {
    if wide && one.is_cut { "(there is more of it)".to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_count_is_shown_with_what_would_be_right() {
        let one: KeptAside = serde_json::from_value(json!({
            "received": "2026-12-01T10:00:00Z", "tenant": "t1", "reporter": "Tenant", "toldBy": "jane", "source": "web",
            "id": "a-1", "subject": "acme", "cause": "BadQuantity", "field": "data.quantity", "reason": "-1 is no number of things",
            "remedy": "write a whole number", "body": "{\n\"id\": 1}", "isCut": true,
        }))
        .unwrap();
        let text = page(std::slice::from_ref(&one), false);
        assert!(text.contains("data.quantity: -1 is no number of things; write a whole number"), "{text}");
        assert!(text.contains("web a-1") && !text.contains("jane"), "{text}");
        let text = page(&[one], true);
        assert!(text.contains("jane      { \"id\": 1}   (there is more of it)"), "{text}");
        assert!(page(&[], true).starts_with("everything that was told"));
    }

    #[test]
    fn the_billing_address_is_asked_for_a_page() {
        let day = |text: &str| text.parse().unwrap();
        let time = Time { from: day("2026-12-01"), to: day("2026-12-02") };
        let everybody = Whose { name: None, tenant: None };
        assert_eq!(
            path(&everybody, time, None, 100),
            "/v1/usage/quarantined?from=2026-12-01&to=2026-12-02&limit=100"
        );
        let acme = Whose { name: Some("acme".to_owned()), tenant: None };
        assert_eq!(
            path(&acme, time, Some("1.t1.Tenant.ab"), 7),
            "/v1/usage/quarantined?subscription=acme&from=2026-12-01&to=2026-12-02&after=1.t1.Tenant.ab&limit=7"
        );
    }
}
