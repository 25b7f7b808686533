//! Waiting for something that others bring about, but not for ever, and how long between two tries. Needs a clock.

use std::time::Duration;
use tokio::sync::Notify;

/// The wait after so many tries in vain: the first one, twice as long each time, and never longer than the longest.
pub(super) fn doubled([first, longest]: [Duration; 2], tries: u32) -> Duration {
    (first * 2_u32.saturating_pow(tries.min(16))).min(longest)
}

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
