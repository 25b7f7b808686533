//! What went over the wire and what is to be done about it: the journal of requests and the armed fault, shared by the
//! proxies of all replicas. Needs a clock; no client.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::board::Board;
use crate::holds::Holds;
use crate::plan::{Act, Fault, Plan, Refusal, WatchAct};
use crate::site::{Named, Place, Site, Verb};

/// One request of the controller and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Which replica sent it.
    pub replica: String,
    /// Where it is, and which of the effects there.
    pub place: Place,
    /// The tenant it is about.
    pub tenant: Option<String>,
    /// Status of the API server's answer; nothing when it was not passed on.
    pub code: Option<u16>,
    /// Resource version in the answer.
    pub revision: Option<u64>,
    /// UID the request names as its object's.
    pub uid: Option<String>,
    /// Whether the fault struck here.
    pub struck: bool,
    /// Highest revision that any answer had told when the request was passed on: what it made itself is newer.
    #[serde(default)]
    pub known: u64,
    /// Whether it was kept back before it came here, so that its place among the others tells nothing of when it was sent.
    #[serde(default)]
    pub kept_back: bool,
}

/// Everything shared by the proxies.
#[derive(Default)]
pub struct Wire {
    /// Requests that are kept back.
    pub holds: Holds,
    board: Board<State>,
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(usize);

#[derive(Default)]
struct State {
    run: Run,
    in_flight: usize,
    last_change: Option<Instant>,
    /// Revision at which lists and watches stand still.
    frozen: Option<u64>,
    /// No request arrives, and none is taken down.
    is_away: bool,
    /// Requests that were held back may arrive.
    is_open: bool,
    /// Highest revision that any answer told.
    known: u64,
}

#[derive(Default)]
struct Run {
    tenant: String,
    armed: Option<Armed>,
    effects: HashMap<Site, u32>,
    /// How often each was read.
    reads: HashMap<Site, u32>,
    /// Deletions that took effect, with the UID they named: asking for one again is the same place.
    deletions: HashMap<(Site, Option<String>), Place>,
    /// Events about the tenant, by watch.
    frames: BTreeMap<Site, u32>,
    exchanges: Vec<Exchange>,
    /// Tickets of earlier runs mean nothing any more.
    first_ticket: usize,
}

struct Armed {
    place: Place,
    fault: Fault,
    struck: bool,
    noted: Option<u64>,
    /// How often a watch is still refused, once the fault struck.
    refusals: Option<(u32, Refusal)>,
}

// === impl Exchange ===

impl Exchange {
    /// Whether it took effect.
    #[must_use]
    pub fn is_effect(&self) -> bool {
        self.place.site.verb.is_write() && self.code.is_some_and(|code| (200..300).contains(&code))
    }
}

// === impl Wire ===

impl Wire {
    /// Begins a run for this tenant: forgets the journal, arms the fault of the plan.
    pub fn begin(&self, plan: &Plan, tenant: &str) {
        let armed = plan.at.clone().map(|place| Armed {
            place,
            fault: plan.fault.clone(),
            struck: false,
            noted: None,
            refusals: plan.fault.refused_starts(),
        });
        let mut state = self.board.lock();
        let first_ticket = state.run.first_ticket + state.run.exchanges.len();
        state.run = Run { tenant: tenant.to_owned(), armed, first_ticket, ..Run::default() };
        state.is_open = false;
        state.frozen = None;
        state.is_away = false;
    }

    /// The journal so far.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.board.lock().run.exchanges.clone()
    }

    /// Whether the armed fault struck.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        self.board.lock().run.armed.as_ref().is_some_and(|armed| armed.struck)
    }

    /// Waits until the armed fault struck.
    pub async fn struck(&self) {
        self.board.until(|state| state.run.armed.as_ref().is_some_and(|armed| armed.struck)).await;
    }

    /// Waits until the journal satisfies `holds`.
    pub async fn journal(&self, holds: impl Fn(&[Exchange]) -> bool) {
        self.board.until(|state| holds(&state.run.exchanges)).await;
    }

    /// The revision noted by a plan that travels in time.
    #[must_use]
    pub fn noted(&self) -> Option<u64> {
        self.board.lock().run.armed.as_ref().and_then(|armed| armed.noted)
    }

    /// From now on lists and watches show the world at this revision, or the present one.
    pub fn freeze(&self, revision: Option<u64>) {
        self.board.lock().frozen = revision;
        self.board.tell();
    }

    /// From now on every connection breaks, as if nobody were there, or none does.
    pub fn set_away(&self, is_away: bool) {
        self.board.lock().is_away = is_away;
    }

    /// Whether every connection breaks.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.board.lock().is_away
    }

    /// At which revision lists and watches stand still.
    #[must_use]
    pub fn frozen(&self) -> Option<u64> {
        self.board.lock().frozen
    }

    /// Waits until lists and watches show the present again.
    pub async fn thawed(&self) {
        self.board.until(|state| state.frozen.is_none()).await;
    }

    /// Lets requests that were held back arrive, and waits until the API server has answered them.
    pub async fn let_late_ones_through(&self) {
        self.board.lock().is_open = true;
        self.board.tell();
        self.board
            .until(|state| {
                state
                    .run
                    .exchanges
                    .iter()
                    .filter(|exchange| exchange.struck)
                    .all(|exchange| exchange.code.is_some())
            })
            .await;
    }

    /// Waits until requests that were held back may arrive.
    pub(crate) async fn opened(&self) {
        self.board.until(|state| state.is_open).await;
    }

    /// Waits until no request but of watches and leases was sent for so long, and none is under way.
    ///
    /// # Errors
    /// When that does not come to pass with some patience: who asks again and again is a defect, and no run waits for ever.
    pub async fn quiet(&self, for_so_long: Duration, patience: Duration) -> Result<()> {
        tokio::time::timeout(patience + for_so_long, self.rests(for_so_long))
            .await
            .with_context(|| format!("requests do not cease: some are still sent after {patience:?}"))
    }

    async fn rests(&self, for_so_long: Duration) {
        loop {
            let changed = self.board.changed();
            let (busy, since) = {
                let state = self.board.lock();
                (state.in_flight > 0, state.last_change)
            };
            let left = since.map_or(Duration::ZERO, |at| for_so_long.saturating_sub(at.elapsed()));
            match (busy, left) {
                (false, Duration::ZERO) => return,
                (true, _) => changed.await,
                // Only what comes meanwhile prolongs it.
                (false, left) => drop(tokio::time::timeout(left, changed).await),
            }
        }
    }

    /// Takes down a request. Gives what is to be done with it.
    pub(crate) fn take(&self, replica: &str, named: &Named, uid: Option<String>) -> (Ticket, Act) {
        let mut state = self.board.lock();
        let place = state.run.place(named, uid.as_deref());
        let act = state.run.act(&place, named);
        let ticket = Ticket(state.run.first_ticket + state.run.exchanges.len());
        let known = state.known;
        state.run.exchanges.push(Exchange {
            replica: replica.to_owned(),
            place,
            tenant: named.tenant.clone(),
            code: None,
            revision: None,
            uid,
            struck: false,
            known,
            kept_back: false,
        });
        drop(state);
        self.board.tell();
        (ticket, act)
    }

    /// Takes down a request that is disturbed in no way of its own.
    pub(crate) fn note(&self, replica: &str, named: &Named) -> Ticket {
        self.take(replica, named, None).0
    }

    /// An event about a tenant came over a watch. Gives what is to be done with it.
    pub(crate) fn frame(&self, site: &Site, tenant: &str) -> Option<WatchAct> {
        let mut state = self.board.lock();
        let run = &mut state.run;
        if tenant != run.tenant {
            return None;
        }
        let count = run.frames.entry(site.clone()).or_default();
        *count += 1;
        let armed = run.armed.as_mut()?;
        let act = armed.fault.watch_act()?;
        if armed.struck || armed.place.site != *site || armed.place.occurrence != *count {
            return None;
        }
        armed.struck = true;
        drop(state);
        self.board.tell();
        Some(act)
    }

    /// Whether the start of this watch is refused, and how.
    pub(crate) fn refused_start(&self, site: &Site) -> Option<Refusal> {
        let mut state = self.board.lock();
        let armed = state.run.armed.as_mut().filter(|armed| armed.struck && armed.place.site == *site)?;
        let (left, refusal) = armed.refusals.as_mut().filter(|(left, _)| *left > 0)?;
        *left -= 1;
        Some(refusal.clone())
    }

    /// Whether further pages of this list have expired.
    pub(crate) fn has_expiring_pages(&self, site: &Site) -> bool {
        let state = self.board.lock();
        let armed = state.run.armed.as_ref();
        armed.is_some_and(|armed| {
            armed.fault == Fault::PagesExpired && !armed.struck && armed.place.site == *site
        })
    }

    /// The last event about the tenant of each watch.
    #[must_use]
    pub fn events(&self) -> Vec<Place> {
        let place = |(site, count): (&Site, &u32)| Place { site: site.clone(), occurrence: *count };
        self.board.lock().run.frames.iter().map(place).collect()
    }

    /// Takes down the API server's answer.
    pub(crate) fn answered(&self, ticket: Ticket, code: u16, revision: Option<u64>) {
        let mut state = self.board.lock();
        state.known = revision.unwrap_or_default().max(state.known);
        let run = &mut state.run;
        let Some(exchange) = run.exchange(ticket) else { return };
        exchange.code = Some(code);
        exchange.revision = revision;
        if exchange.is_effect() {
            let (place, uid) = (exchange.place.clone(), exchange.uid.clone());
            let effects = run.effects.entry(place.site.clone()).or_default();
            *effects = place.occurrence.max(*effects);
            if place.site.verb == Verb::Delete {
                run.deletions.entry((place.site.clone(), uid)).or_insert(place);
            }
        }
        drop(state);
        self.board.tell();
    }

    /// This request was kept back until now.
    pub(crate) fn kept_back(&self, ticket: Ticket) {
        if let Some(exchange) = self.board.lock().run.exchange(ticket) {
            exchange.kept_back = true;
        }
    }

    /// The armed fault strikes this request, unless another was faster.
    pub(crate) fn strike(&self, ticket: Ticket, noted: Option<u64>) -> bool {
        let mut state = self.board.lock();
        let run = &mut state.run;
        let Some(armed) = run.armed.as_mut().filter(|armed| !armed.struck) else { return false };
        armed.struck = true;
        armed.noted = noted;
        if let Some(exchange) = run.exchange(ticket) {
            exchange.struck = true;
        }
        drop(state);
        self.board.tell();
        true
    }

    /// A request that can change something is under way.
    pub(crate) fn enter(&self) {
        let mut state = self.board.lock();
        state.in_flight += 1;
        state.last_change = Some(Instant::now());
        drop(state);
        self.board.tell();
    }

    /// It is no more.
    pub(crate) fn leave(&self) {
        let mut state = self.board.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.last_change = Some(Instant::now());
        drop(state);
        self.board.tell();
    }
}

// === impl Run ===

impl Run {
    /// What was taken down under this ticket, unless it is of an earlier run.
    fn exchange(&mut self, ticket: Ticket) -> Option<&mut Exchange> {
        self.exchanges.get_mut(ticket.0.checked_sub(self.first_ticket)?)
    }

    /// A refused request that is sent again is the same place, and so is another deletion of the same object.
    fn place(&mut self, named: &Named, uid: Option<&str>) -> Place {
        let site = named.site.clone();
        if let Some(earlier) = self.deletions.get(&(site.clone(), uid.map(str::to_owned))) {
            return earlier.clone();
        }
        if site.verb.is_write() {
            let before = self.effects.get(&site).copied().unwrap_or_default();
            return Place { site, occurrence: before + 1 };
        }
        // Reads have no effect, so each of them is a place of its own.
        let count = self.reads.entry(site.clone()).or_default();
        *count += 1;
        Place { occurrence: *count, site }
    }

    fn act(&self, place: &Place, named: &Named) -> Act {
        let is_ours = named.tenant.as_ref().is_none_or(|tenant| *tenant == self.tenant);
        match &self.armed {
            Some(armed) if is_ours && !armed.struck && armed.place == *place => armed.fault.act(),
            _ => Act::Forward,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{After, Fault, Workload};

    fn named(place: &str, tenant: &str) -> Named {
        let place: Place = place.parse().unwrap();
        Named { site: place.site, tenant: Some(tenant.to_owned()) }
    }

    fn armed(at: &str, fault: Fault) -> Wire {
        let wire = Wire::default();
        let plan = Plan { workload: Workload::Provision, at: Some(at.parse().unwrap()), fault };
        wire.begin(&plan, "acme");
        wire
    }

    #[test]
    fn a_refused_request_that_is_sent_again_is_the_same_place() {
        let wire = armed("create configmaps tenant-{name}/a #2", Fault::CrashBefore);
        let create = named("create configmaps tenant-{name}/a #1", "acme");
        let (first, act) = wire.take("a", &create, None);
        assert_eq!(act, Act::Forward);
        wire.answered(first, 403, None);
        let (again, act) = wire.take("a", &create, None);
        assert_eq!(act, Act::Forward, "still the first effect");
        wire.answered(again, 201, Some(7));
        assert_eq!(wire.take("a", &create, None).1, Act::Kill);
        assert_eq!(wire.exchanges().iter().map(|e| e.place.occurrence).collect::<Vec<_>>(), [1, 1, 2]);
    }

    #[test]
    fn a_fault_strikes_once_and_only_its_tenant() {
        let wire = armed("delete namespaces tenant-{name} #1", Fault::ReplyLost);
        assert_eq!(
            wire.take("a", &named("delete namespaces tenant-{name} #1", "other"), None).1,
            Act::Forward
        );
        let delete = named("delete namespaces tenant-{name} #1", "acme");
        let (ticket, act) = wire.take("a", &delete, None);
        assert_eq!(act, Act::ForwardThen(After::Drop));
        assert!(!wire.has_struck());
        assert!(wire.strike(ticket, Some(9)));
        assert!(!wire.strike(ticket, None), "another was faster");
        assert_eq!((wire.has_struck(), wire.noted()), (true, Some(9)));
        assert_eq!(wire.take("a", &delete, None).1, Act::Forward);
    }

    #[test]
    fn deleting_the_same_object_again_is_the_same_place() {
        let wire = armed("delete configmaps tenant-{name}/a #9", Fault::None);
        let delete = named("delete configmaps tenant-{name}/a #1", "acme");
        for (uid, code) in [("u1", 200), ("u1", 200), ("u1", 404), ("u2", 200)] {
            let (ticket, _) = wire.take("a", &delete, Some(uid.to_owned()));
            wire.answered(ticket, code, None);
        }
        assert_eq!(wire.exchanges().iter().map(|e| e.place.occurrence).collect::<Vec<_>>(), [1, 1, 1, 2]);
    }

    #[test]
    fn every_read_is_a_place_of_its_own() {
        let wire = armed("get secrets tenant-{name}/s #2", Fault::RequestLost);
        let read = named("get secrets tenant-{name}/s #1", "acme");
        let (first, act) = wire.take("a", &read, None);
        wire.answered(first, 200, None);
        assert_eq!((act, wire.take("a", &read, None).1), (Act::Forward, Act::Drop));
    }

    #[test]
    fn a_request_knows_what_was_told_before_it_was_passed_on() {
        let wire = armed("get secrets tenant-{name}/s #9", Fault::None);
        let read = named("get secrets tenant-{name}/s #1", "acme");
        let (first, _) = wire.take("a", &read, None);
        wire.answered(first, 200, Some(7));
        let (second, _) = wire.take("b", &read, None);
        wire.answered(second, 200, Some(5));
        wire.take("a", &read, None);
        assert_eq!(wire.exchanges().iter().map(|exchange| exchange.known).collect::<Vec<_>>(), [0, 7, 7]);
    }

    #[test]
    fn an_answer_to_an_earlier_run_is_not_taken_for_one_of_this() {
        let wire = armed("delete namespaces x #1", Fault::None);
        let (old, _) = wire.take("a", &named("get secrets tenant-{name}/s #1", "acme"), None);
        wire.begin(&Plan::reference(Workload::Upgrade), "bolt");
        wire.take("a", &named("get secrets tenant-{name}/s #1", "bolt"), None);
        wire.answered(old, 200, None);
        assert_eq!(wire.exchanges().first().map(|exchange| exchange.code), Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_quiet_when_nothing_was_sent_for_long_enough() {
        let wire = Wire::default();
        wire.enter();
        wire.leave();
        let started = Instant::now();
        let (moment, patience) = (Duration::from_millis(150), Duration::from_secs(60));
        wire.quiet(moment, patience).await.unwrap();
        assert_eq!(started.elapsed(), moment);
        wire.quiet(moment, patience).await.unwrap();
        assert_eq!(started.elapsed(), moment, "it is quiet already");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_again_and_again_is_not_waited_for_without_end() {
        let wire = Wire::default();
        let asks = async {
            loop {
                wire.enter();
                wire.leave();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let started = Instant::now();
        wire.enter();
        wire.leave();
        tokio::select! {
            () = asks => {}
            quiet = wire.quiet(Duration::from_millis(150), Duration::from_secs(10)) => {
                let why = quiet.unwrap_err().to_string();
                assert!(why.contains("requests do not cease"), "{why}");
            }
        }
        assert_eq!(started.elapsed().as_secs(), 10);
    }
}
