//! The hall on a stage: its pools, its servers, and who plays scheduler and nodes. Needs a client.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use http::Request;
use serde_json::{Value, json};

use super::{QUIET, Stage};
use crate::hall::{self, NODES, POOLS, SHARED_NODE};
use crate::history::State;
use crate::plan::Workload;
use crate::players::Players;

/// Path of pools.
const POOL_PATH: &str = "/apis/tenantry.io/v1alpha1/serverpools";
/// Path of nodes.
const NODE_PATH: &str = "/api/v1/nodes";

impl Stage {
    /// Opens the hall, where that was not done yet, and brings so many servers into it as are missing of these that nobody has.
    pub(super) async fn open_hall(&mut self, free: usize) -> Result<()> {
        if self.housekeepers.is_none() {
            for pool in hall::pools() {
                self.send("POST", POOL_PATH, &pool).await?;
            }
            self.add_node(SHARED_NODE, false).await?;
            self.housekeepers = Some(Players::housekeepers(self.client.clone()).await?);
        }
        let now = self.recorder.now();
        let there = hall::all(&now, NODES).filter(|(_, node)| hall::is_free(node)).count();
        // In the form of a UID, which whoever compares runs leaves out.
        let missing = (there..free).map(|_| {
            self.servers += 1;
            format!("own-00000000-0000-0000-0000-{:012}", self.servers)
        });
        let names: Vec<String> = missing.collect();
        try_join_all(names.iter().map(|name| self.add_node(name, true))).await?;
        let is_ready = |state: &State| hall::is_settled(state) && hall::free(state) >= Some(free);
        let waited = self.recorder.until("that there are servers that nobody has", is_ready).await;
        waited.with_context(|| self.last_words())?;
        self.quiet(QUIET).await
    }

    /// So many servers that nobody has are needed before tenants of this workload are ordered, and one for each of its runs.
    pub(super) fn servers_for(workload: Workload, tenants: usize) -> usize {
        // One more stays, whose entry in the record stands behind those of the others.
        if workload.begins_with_a_server() { tenants + 1 } else { 1 }
    }

    /// Orders a tenant that stays: what is done to the entries of others by mistake is done to its.
    pub(super) async fn guest(&mut self) -> Result<()> {
        let guest = format!("guest-{}", self.fresh());
        self.order(Workload::ServersOrder, &guest).await?;
        let is_in = |state: &State| Workload::ServersOrder.is_done(state, &guest);
        let waited = self.recorder.until("that the guest is in", is_in).await;
        waited.with_context(|| self.last_words())
    }

    /// Forgets who had what of the hall, without anybody's doing anything about it: there are no subscriptions any more.
    pub(super) async fn close_hall(&mut self) -> Result<()> {
        if self.housekeepers.take().is_none() {
            return Ok(());
        }
        self.recorder.settle(|resource| resource == NODES || resource == POOLS).await?;
        let now = self.recorder.now();
        for (key, _) in hall::all(&now, NODES) {
            self.send("DELETE", &format!("{NODE_PATH}/{}", key.name), &Value::Null).await?;
        }
        for (key, _) in hall::all(&now, POOLS) {
            let path = format!("{POOL_PATH}/{}", key.name);
            let allowed = json!({"metadata": {"annotations": {"tenantry.io/allow-delete": "true"}}});
            self.send("PATCH", &path, &allowed).await?;
            self.send("DELETE", &path, &Value::Null).await?;
        }
        let is_closed =
            |state: &State| hall::all(state, POOLS).chain(hall::all(state, NODES)).next().is_none();
        self.recorder.until("that the hall is closed", is_closed).await
    }

    /// Makes a node that says it is ready.
    async fn add_node(&self, name: &str, is_own: bool) -> Result<()> {
        let (node, status) = hall::node(name, is_own);
        self.send("POST", NODE_PATH, &node).await?;
        let body = serde_json::to_vec(&status)?;
        let request = Request::patch(format!("{NODE_PATH}/{name}/status"))
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(body)?;
        self.client
            .request_text(request)
            .await
            .with_context(|| format!("the status of node {name} was refused"))?;
        Ok(())
    }
}
