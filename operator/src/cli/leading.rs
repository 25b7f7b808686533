//! Writing the ledger where no controller leads: the command takes lease and fence as a replica would. Needs a client, the
//! database and a clock.

use crate::controller::DatabaseUrl;
use crate::controller::leadership::Leadership;
use crate::controller::run::candidate;
use anyhow::{Context, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::Api;
use std::sync::Arc;
use std::time::Duration;
use tenantry_apply::lease::{LeaseGate, Timing};
use tenantry_journal::{Database, Epoch, Leader};
use tokio::time::{sleep, timeout};

/// Between two looks at whether somebody renews the lease.
const LOOK: Duration = Duration::from_millis(500);
/// How long after the lease ran out it may take to have it.
const MARGIN: Duration = Duration::from_secs(3);

/// Does something as the one who writes, and lets go again.
///
/// # Errors
/// When a controller leads; when the cluster or the database cannot be used; and what `work` says.
pub(super) async fn lead<T>(
    namespace: &str,
    url: &DatabaseUrl,
    work: impl AsyncFnOnce(&Database, Epoch) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // Whoever opens for writing makes a file where there is none.
    Database::open_to_read(url.reveal()).await?.close().await;
    let cluster = kube::Config::infer()
        .await
        .context("whether a controller leads is asked of the cluster; set KUBECONFIG, or run inside it")?;
    let candidate = candidate(namespace, "tenantry-command")?;
    let name = candidate.name.clone();
    let leases: Api<Lease> = Api::namespaced(Client::try_from(cluster.clone())?, namespace);
    let mut leadership = Leadership::begin(cluster, candidate, Arc::<LeaseGate>::default(), |_| {})?;
    let tenure = tokio::select! {
        biased;
        acquired = timeout(Timing::default().duration + MARGIN, leadership.acquired()) => match acquired {
            Ok(acquired) => acquired?,
            Err(_) => bail!("the lease {name} in {namespace} was not had in time; see who holds it, or ask the controller with --server"),
        },
        holder = renewed(&leases, &name) => bail!(
            "{holder} leads and alone may write; ask it: add --server http://127.0.0.1:8086 in its pod, or behind \
             kubectl -n {namespace} port-forward deploy/tenantry-controller 8086"
        ),
    };
    let leader =
        Leader { holder: tenure.holder, lease_uid: tenure.lease_uid, transitions: tenure.transitions.into() };
    let done = async {
        let database = Database::open(url.reveal()).await?;
        let epoch = database.take_over(&leader).await?;
        let done = work(&database, epoch).await;
        database.close().await;
        done
    };
    let done = tokio::select! {
        biased;
        lost = leadership.ended() => {
            lost?;
            bail!("the lease was lost, so nothing more was written; try again")
        }
        done = done => done,
    };
    leadership.release();
    leadership.ended().await?;
    done
}

/// Who renews the lease, once somebody was seen to.
async fn renewed(leases: &Api<Lease>, name: &str) -> String {
    let mut first: Option<(String, String)> = None;
    loop {
        if let Ok(Some(lease)) = leases.get_opt(name).await {
            let version = lease.metadata.resource_version.unwrap_or_default();
            let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
            match &first {
                // The lease that this command itself takes has another holder.
                Some((holding, seen)) if *holding == holder && *seen != version => return holder,
                Some((holding, _)) if *holding == holder => {}
                _ if holder.is_empty() => first = None,
                _ => first = Some((holder, version)),
            }
        }
        sleep(LOOK).await;
    }
}
