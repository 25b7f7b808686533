//! One watch, followed for ever. Needs a client and a clock.

use futures::StreamExt;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use tenantry_apply::streams::Trouble;

/// Seconds a watch lasts before it is renewed; below five minutes, where common load balancers cut.
const WATCH_SECONDS: u32 = 290;

/// Follows a watch and hands every event to `take`. Begins anew from a full list when the watch cannot go on.
pub(crate) async fn follow<K>(
    api: Api<K>,
    fields: Option<String>,
    labels: Option<String>,
    mut take: impl FnMut(Event<K>),
) where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
    config.field_selector = fields;
    config.label_selector = labels;
    loop {
        let mut events = std::pin::pin!(watch(api.clone(), config.clone()).default_backoff());
        let mut trouble = Trouble::default();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if !matches!(event, Event::Init) {
                        trouble = Trouble::default();
                    }
                    take(event);
                }
                Err(error) => {
                    tracing::debug!(%error, "watch failed");
                    if trouble.is_hopeless(&error, tokio::time::Instant::now()) {
                        break;
                    }
                }
            }
        }
        tracing::warn!(url = api.resource_url(), "watch given up, starting anew from a full list");
    }
}
