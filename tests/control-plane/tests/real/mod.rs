//! What the suites on a real node share: whether one can run here, whose turn it is, and waiting. Needs a client.

use std::time::Duration;

use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tenantry_control_plane::node::missing;
use tenantry_control_plane::skipped;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

/// Far beyond what anything here takes; only a failing test gets here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Tests that look at the whole machine must not see each other's clusters.
static TURN: Mutex<()> = Mutex::const_new(());

/// The turn of `test`, or nothing where no real node can run; the test is then counted as skipped. CI must have everything.
pub(crate) async fn possible(test: &str) -> Option<MutexGuard<'static, ()>> {
    let Some(reason) = missing() else { return Some(TURN.lock().await) };
    skipped(test, &reason);
    None
}

pub(crate) async fn until<K>(api: &Api<K>, name: &str, condition: impl Condition<K>) -> Option<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    match timeout(PATIENCE, await_condition(api.clone(), name, condition)).await {
        Ok(reached) => reached.unwrap(),
        Err(_) => panic!("{name} did not get there: {:#?}", api.get_opt(name).await),
    }
}
