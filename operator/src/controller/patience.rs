//! Waiting for something that others bring about, but not for ever. Needs a clock.

use std::time::Duration;
use tokio::sync::Notify;

/// Waits until something holds, looking again whenever `changed` tells everybody, but no longer than `patience`. Says whether
/// it holds.
pub(super) async fn until(changed: &Notify, patience: Duration, holds: impl Fn() -> bool) -> bool {
    let waiting = async {
        loop {
            // Made before the look, so that what happens in between is heard.
            let told = changed.notified();
            if holds() {
                return;
            }
            told.await;
        }
    };
    tokio::time::timeout(patience, waiting).await.is_ok()
}
