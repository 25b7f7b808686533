//! `tenantry watch`: checklists as they move. Needs a client; on a terminal it draws a tree of one subscription, or a bar for
//! each of several, and prints lines elsewhere.

use super::progress::mark;
use super::{Outcome, client, progress};
use clap::Args;
use futures::TryStreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::Duration;
use tenantry_crds::subscription::{ChecklistEntry, ItemState};
use tenantry_crds::{TenantSubscription, TenantSubscriptionStatus};

/// Arguments of `tenantry watch`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only this subscription.
    name: Option<String>,
    /// End once every subscription that is watched is live.
    #[arg(long)]
    until_live: bool,
}

/// Shows one change.
trait Display {
    fn show(&mut self, name: &str, status: &TenantSubscriptionStatus);
    fn gone(&mut self, name: &str);
    /// A second has passed.
    fn tick(&mut self) {}
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let api: Api<TenantSubscription> = Api::all(client().await?);
    let config = match &arguments.name {
        Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
        None => watcher::Config::default(),
    };
    let mut display: Box<dyn Display + Send> = match (std::io::stdout().is_terminal(), &arguments.name) {
        (true, Some(_)) => Box::new(Tree::default()),
        (true, None) => Box::new(Bars::default()),
        (false, _) => Box::new(Lines::default()),
    };
    let mut open = BTreeSet::new();
    // Until the first list is complete nobody can say that all are live.
    let mut is_listed = false;
    let mut stream = std::pin::pin!(watcher(api, config).default_backoff());
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        let event = tokio::select! {
            event = stream.try_next() => event?,
            _ = seconds.tick() => {
                display.tick();
                continue;
            }
        };
        let Some(event) = event else { break };
        match event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                let name = object.metadata.name.unwrap_or_default();
                let status = object.status.unwrap_or_default();
                display.show(&name, &status);
                if is_live(&status) {
                    open.remove(&name)
                } else {
                    open.insert(name)
                };
            }
            watcher::Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                display.gone(&name);
                open.remove(&name);
            }
            watcher::Event::Init => is_listed = false,
            watcher::Event::InitDone => is_listed = true,
        }
        if arguments.until_live && is_listed && open.is_empty() {
            break;
        }
    }
    Ok(Outcome::Good)
}

fn is_live(status: &TenantSubscriptionStatus) -> bool {
    use tenantry_crds::common::ConditionStatus;
    status.conditions.iter().any(|c| c.type_ == "Live" && c.status == ConditionStatus::True)
}

/// Items by name, for finding what changed.
type Seen = BTreeMap<(String, String), (ItemState, String)>;

/// One line a change.
#[derive(Default)]
struct Lines {
    seen: Seen,
}

/// One bar a subscription: how many items are done, and what is being worked on.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

/// One subscription as a tree of its items, drawn anew every second, because time passes in it.
#[derive(Default)]
struct Tree {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
    shown: Option<(String, TenantSubscriptionStatus)>,
}

// === impl Display ===

impl Display for Lines {
    fn show(&mut self, name: &str, status: &TenantSubscriptionStatus) {
        for line in changes(&mut self.seen, name, &status.checklist) {
            println!("{line}");
        }
    }

    fn gone(&mut self, name: &str) {
        self.seen.retain(|(subscription, _), _| subscription != name);
        println!("{name}: gone");
    }
}

/// The lines for what changed since the last look, which is remembered.
fn changes(seen: &mut Seen, name: &str, checklist: &[ChecklistEntry]) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in checklist {
        let key = (name.to_owned(), entry.name.clone());
        let value = (entry.state, entry.message.clone());
        if seen.get(&key) != Some(&value) {
            let text =
                format!("{name}: {} {} {:?} {}", mark(entry.state), entry.name, entry.state, entry.message);
            lines.push(text.trim_end().to_owned());
            seen.insert(key, value);
        }
    }
    lines
}

impl Display for Bars {
    fn show(&mut self, name: &str, status: &TenantSubscriptionStatus) {
        let bar = self.bars.entry(name.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(0));
            let style = ProgressStyle::with_template("{prefix:24!} [{bar:24}] {pos:>2}/{len:<2} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("█▌ "));
            bar.set_prefix(name.to_owned());
            bar
        });
        let settled = |e: &&ChecklistEntry| matches!(e.state, ItemState::Done | ItemState::Skipped);
        bar.set_length(status.checklist.len() as u64);
        bar.set_position(status.checklist.iter().filter(settled).count() as u64);
        bar.set_message(headline(status));
    }

    fn gone(&mut self, name: &str) {
        if let Some(bar) = self.bars.remove(name) {
            bar.finish_with_message("gone");
        }
    }
}

impl Display for Tree {
    fn show(&mut self, name: &str, status: &TenantSubscriptionStatus) {
        self.shown = Some((name.to_owned(), status.clone()));
        self.tick();
    }

    fn gone(&mut self, name: &str) {
        self.shown = None;
        self.draw(&[format!("{name}: gone")]);
    }

    fn tick(&mut self) {
        if let Some((name, status)) = &self.shown {
            let lines = progress::tree(name, status, Timestamp::now());
            self.draw(&lines);
        }
    }
}

impl Tree {
    fn draw(&mut self, lines: &[String]) {
        while self.lines.len() > lines.len() {
            if let Some(line) = self.lines.pop() {
                self.all.remove(&line);
            }
        }
        while self.lines.len() < lines.len() {
            let line = self.all.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{wide_msg}");
            line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            self.lines.push(line);
        }
        for (line, text) in self.lines.iter().zip(lines) {
            line.set_message(text.clone());
        }
    }
}

/// What matters most about a subscription, in one line.
fn headline(status: &TenantSubscriptionStatus) -> String {
    let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
    let worth = |state| status.checklist.iter().find(|entry| entry.state == state);
    let entry =
        worth(ItemState::Failed).or_else(|| worth(ItemState::Waiting)).or_else(|| worth(ItemState::Running));
    match entry {
        Some(entry) => format!("{phase}: {} {} {}", mark(entry.state), entry.name, entry.message),
        None => phase,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_crds::blueprint::{Category, Party};

    fn entry(name: &str, state: ItemState) -> ChecklistEntry {
        ChecklistEntry {
            name: name.to_owned(),
            category: Category::Network,
            owner: Party::Provider,
            state,
            reason: String::new(),
            message: String::new(),
            since: tenantry_checklist::time::time(jiff::Timestamp::UNIX_EPOCH),
            started_at: None,
            attempts: 0,
            next_retry_at: None,
            input_digest: None,
            objects: 0,
            sign_off: None,
            job: None,
            due: None,
            overdue: false,
            estimated_seconds: None,
            conclusion: None,
        }
    }

    #[test]
    fn only_what_changed_is_printed() {
        let mut seen = Seen::default();
        let first = [entry("security", ItemState::Done), entry("network", ItemState::Running)];
        assert_eq!(changes(&mut seen, "acme", &first).len(), 2);
        assert!(changes(&mut seen, "acme", &first).is_empty());
        let second = [entry("security", ItemState::Done), entry("network", ItemState::Done)];
        assert_eq!(changes(&mut seen, "acme", &second), ["acme: ✔ network Done"]);
    }

    #[test]
    fn a_failure_comes_before_everything_else() {
        let status = TenantSubscriptionStatus {
            checklist: vec![
                entry("a", ItemState::Running),
                entry("b", ItemState::Waiting),
                entry("c", ItemState::Failed),
            ],
            ..TenantSubscriptionStatus::default()
        };
        assert!(headline(&status).contains("✘ c"));
    }
}
