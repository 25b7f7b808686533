//! Requests of one replica that are kept back for a while, as a slow network would. Needs no client and no clock.

use crate::board::Board;
use crate::site::{Named, Site};

/// What is kept back. A request that is has not arrived: it is taken down when it is let go.
#[derive(Default)]
pub struct Holds {
    board: Board<State>,
}

#[derive(Default)]
struct State {
    replica: String,
    /// Tenants and sites whose first request has not come yet.
    wanted: Vec<(String, Site)>,
    is_closed: bool,
}

// === impl Holds ===

impl Holds {
    /// From now on the first request of this replica at each of these sites, for that tenant, is kept back.
    pub fn keep(&self, replica: &str, wanted: Vec<(String, Site)>) {
        *self.board.lock() = State { replica: replica.to_owned(), wanted, is_closed: true };
    }

    /// Waits until every request that is to be kept back has come.
    pub async fn complete(&self) {
        self.board.until(|state| state.wanted.is_empty()).await;
    }

    /// Lets everything go on.
    pub fn let_go(&self) {
        *self.board.lock() = State::default();
        self.board.tell();
    }

    /// Returns when this request may go on: at once, unless it is one to keep back. Gives whether it was.
    pub(crate) async fn pass(&self, replica: &str, named: &Named) -> bool {
        if !self.catches(replica, named) {
            return false;
        }
        self.board.tell();
        self.board.until(|state| !state.is_closed).await;
        true
    }

    fn catches(&self, replica: &str, named: &Named) -> bool {
        let mut state = self.board.lock();
        if state.replica != replica {
            return false;
        }
        let is_meant =
            |(tenant, site): &(String, Site)| named.tenant.as_ref() == Some(tenant) && named.site == *site;
        let Some(at) = state.wanted.iter().position(is_meant) else { return false };
        state.wanted.swap_remove(at);
        true
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::site::Place;

    fn named(site: &str, tenant: &str) -> Named {
        let place: Place = site.parse().unwrap();
        Named { site: place.site, tenant: Some(tenant.to_owned()) }
    }

    #[test]
    fn only_the_first_request_that_is_meant_is_kept_back_until_it_is_let_go() {
        let create = named("create configmaps tenant-{name}/a #1", "acme");
        let holds = Holds::default();
        holds.keep("a", vec![("acme".to_owned(), create.site.clone())]);
        let others = [
            ("b", create.clone()),
            ("a", named("create configmaps tenant-{name}/a #1", "bolt")),
            ("a", named("delete configmaps tenant-{name}/a #1", "acme")),
        ];
        for (replica, other) in &others {
            assert_eq!(holds.pass(replica, other).now_or_never(), Some(false), "{replica} {other:?}");
        }
        assert!(holds.complete().now_or_never().is_none());
        let mut kept = Box::pin(holds.pass("a", &create));
        assert!((&mut kept).now_or_never().is_none());
        assert!(holds.complete().now_or_never().is_some());
        assert_eq!(holds.pass("a", &create).now_or_never(), Some(false), "the second is not meant");
        holds.let_go();
        assert_eq!(kept.now_or_never(), Some(true));
    }
}
