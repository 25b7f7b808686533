//! Workloads without orders: nothing to do (W3), and a process that starts anew (W4). Needs a client and a clock.

use super::onboard::{at_least, next_names, onboard};
use super::{Figures, milliseconds};
use crate::arena::Arena;
use crate::contender::Offer;
use crate::measure::meter::{Subject, until_rest};
use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(super) async fn at_rest(arena: &mut Arena, time: Duration) -> Result<Figures> {
    arena.until_rest().await?;
    let meter = arena.meter()?;
    // Not a wait for something: that nothing happens in this time is what is measured.
    sleep(time).await;
    let cost = meter.finish()?;
    let share = cost.contender / time.as_secs_f64();
    Ok(Figures::default()
        .with_cost(cost)
        .and("seconds", Some(time.as_secs_f64()))
        .and("shareOfACore", Some(share)))
}

/// Kills the process and starts it again with nothing to do but to find that out; then perhaps once more with an order
/// that waits.
pub(super) async fn restart(arena: &mut Arena, tenants: usize, with_order: bool) -> Result<Figures> {
    at_least(arena, tenants).await?;
    arena.until_rest().await?;
    arena.kill_process().await?;
    let started = Instant::now();
    arena.spawn_process()?;
    let meter = arena.meter()?;
    arena.until_ready().await?;
    let ready = started.elapsed();
    let Subject::Process(pid) = arena.subject() else { bail!("the contender has no process") };
    let idle = until_rest(&[pid]).await?.duration_since(started);
    let figures = Figures::of_times(&[milliseconds(idle)]).with_cost(meter.finish()?);
    let first = if with_order { Some(first_order(arena).await?) } else { None };
    Ok(figures
        .and("tenants", Some(arena.tenants.len() as f64))
        .and("readyMs", Some(milliseconds(ready)))
        .and("firstOrderMs", first))
}

/// How long an order waits that comes while the process starts, counted from the start.
async fn first_order(arena: &mut Arena) -> Result<f64> {
    let name = next_names(arena, 1);
    arena.kill_process().await?;
    let started = Instant::now();
    arena.spawn_process()?;
    onboard(arena, &name, Offer::Burst, false).await?;
    Ok(milliseconds(started.elapsed()))
}
