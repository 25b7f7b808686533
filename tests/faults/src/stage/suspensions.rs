//! What happens to a tenant before and during the runs that are about its suspension. Needs a client.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::{SETTLED, Stage};
use crate::history::{Key, SUBSCRIPTIONS, State, uid};
use crate::plan::Workload;
use crate::players::who_am_i;
use crate::suspension::{self, AUTOSCALED, SCALED};

/// Path of suspensions.
const PATH: &str = "/apis/tenantry.io/v1alpha1/tenantsuspensions";

impl Stage {
    /// Brings live tenants to where runs of this workload begin: somebody else decides how many web servers there are, and
    /// those whose suspension is to be lifted are suspended. What they had before is kept for whoever judges.
    pub(super) async fn furnish(&mut self, workload: Workload, names: &[String]) -> Result<()> {
        try_join_all(names.iter().map(|name| self.scale(name))).await?;
        let are_scaled = |state: &State| names.iter().all(|name| suspension::is_scaled(state, name));
        self.recorder.until("that the tenants are scaled", are_scaled).await?;
        if workload != Workload::Resume {
            return Ok(());
        }
        self.quiet(SETTLED).await?;
        self.recorder.settle(|_| true).await?;
        let now = self.recorder.now();
        for name in names {
            let namespace = format!("tenant-{name}");
            let of_tenant = now.iter().filter(|(key, _)| key.namespace == namespace);
            let of_tenant: State = of_tenant.map(|(key, object)| (key.clone(), object.clone())).collect();
            self.earlier.insert(name.clone(), of_tenant);
        }
        try_join_all(names.iter().map(|name| self.suspend(name))).await?;
        Ok(())
    }

    /// Gives a tenant another number of web servers, as an autoscaler would.
    async fn scale(&self, tenant: &str) -> Result<()> {
        let path = format!("/apis/apps/v1/namespaces/tenant-{tenant}/deployments/{AUTOSCALED}/scale");
        self.send("PATCH", &path, &json!({"spec": {"replicas": SCALED}})).await
    }

    /// Suspends a tenant.
    pub(super) async fn suspend(&self, tenant: &str) -> Result<()> {
        let now = self.recorder.now();
        let subscription = now.get(&Key::new(SUBSCRIPTIONS, "", tenant)).context("no such subscription")?;
        let suspension = suspension::of(tenant, uid(subscription), &who_am_i(&self.client).await?);
        self.send("POST", PATH, &suspension).await
    }

    /// Lifts its suspension.
    pub(super) async fn lift(&self, tenant: &str) -> Result<()> {
        self.send("DELETE", &format!("{PATH}/{}", suspension::name(tenant)), &Value::Null).await
    }
}
