//! What exists and since when, from watches of the harness' own: a contender's word is not taken for it. Needs a client
//! and a clock.

use anyhow::{Context, Result, bail};
use futures::TryStreamExt as _;
use http::Request;
use http::header::ACCEPT;
use kube::api::WatchEvent;
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Resource as _};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Metadata is enough to see that an object exists, and is what an observer costs least.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// How long the server keeps a watch open; then it goes on from where it was.
const WATCH_SECONDS: u32 = 3_000;
/// After so long without any event nothing more will happen: the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was created.
    Added,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When it was read from the socket.
    pub at: Instant,
    /// What happened.
    pub what: What,
    /// Kind of the object.
    pub kind: Arc<str>,
    /// Namespace; for a namespace its own name.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// Everything but the metadata; empty for a watch of metadata only.
    pub body: Map<String, Value>,
}

/// What is to be watched of a kind.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kind as it is served.
    pub resource: ApiResource,
    /// Whether objects are read in full.
    pub in_full: bool,
}

/// Watches over several kinds; dropping it ends them.
pub struct Watches {
    sightings: UnboundedReceiver<Result<Sighting>>,
    _tasks: JoinSet<()>,
}

/// The part of an object that is read.
#[derive(Clone, Debug, Deserialize)]
struct Seen {
    metadata: Metadata,
    #[serde(flatten)]
    body: Map<String, Value>,
}

/// As [`Seen`], and what else there is is not even parsed.
#[derive(Clone, Debug, Deserialize)]
struct SeenMetadata {
    metadata: Metadata,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    resource_version: String,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct ListHead {
    metadata: Metadata,
}

trait Readable: Clone + for<'de> Deserialize<'de> + Send + 'static {
    fn split(self) -> (Metadata, Map<String, Value>);
}

impl Readable for Seen {
    fn split(self) -> (Metadata, Map<String, Value>) {
        (self.metadata, self.body)
    }
}

impl Readable for SeenMetadata {
    fn split(self) -> (Metadata, Map<String, Value>) {
        (self.metadata, Map::new())
    }
}

// === impl Watches ===

impl Watches {
    /// Opens a watch for each target. Nothing that happens after the return is missed.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn open(client: &Client, targets: &[Target]) -> Result<Self> {
        let (sender, sightings) = unbounded_channel();
        let mut tasks = JoinSet::new();
        for target in targets {
            let from = present(client, &target.resource).await?;
            let (client, target, sender) = (client.clone(), target.clone(), sender.clone());
            tasks.spawn(async move {
                let followed = if target.in_full {
                    follow::<Seen>(&client, &target, from, &sender).await
                } else {
                    follow::<SeenMetadata>(&client, &target, from, &sender).await
                };
                if let Err(error) = followed {
                    // Nobody listens any more when the receiver is gone.
                    let _ = sender
                        .send(Err(error.context(format!("the watch on {} broke", target.resource.kind))));
                }
            });
        }
        Ok(Self { sightings, _tasks: tasks })
    }

    /// The next event.
    ///
    /// # Errors
    /// When a watch broke, so that events may be missing, or none comes for two minutes.
    pub async fn next(&mut self) -> Result<Sighting> {
        match timeout(PATIENCE, self.sightings.recv()).await {
            Ok(Some(sighting)) => sighting,
            Ok(None) => bail!("every watch has ended"),
            Err(_) => bail!(
                "nothing happened for {} s, and what was waited for is still missing",
                PATIENCE.as_secs()
            ),
        }
    }
}

/// The resource version of the present.
async fn present(client: &Client, resource: &ApiResource) -> Result<String> {
    let path = format!("{}?limit=1", DynamicObject::url_path(resource, None));
    let request =
        Request::get(path).header(ACCEPT, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let head: ListHead = client
        .request(request.body(Vec::new())?)
        .await
        .with_context(|| format!("{} cannot be listed", resource.plural))?;
    Ok(head.metadata.resource_version)
}

async fn follow<T: Readable>(
    client: &Client,
    target: &Target,
    mut from: String,
    sender: &UnboundedSender<Result<Sighting>>,
) -> Result<()> {
    let kind: Arc<str> = target.resource.kind.as_str().into();
    let is_namespace = &*kind == "Namespace";
    loop {
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={from}",
            DynamicObject::url_path(&target.resource, None)
        );
        let accept = if target.in_full { "application/json" } else { METADATA_ONLY };
        let request = Request::get(path).header(ACCEPT, accept).body(Vec::new())?;
        let mut events = pin!(client.request_events::<T>(request).await?);
        while let Some(event) = events.try_next().await? {
            let at = Instant::now();
            let (what, object) = match event {
                WatchEvent::Added(object) => (What::Added, object),
                WatchEvent::Modified(object) => (What::Modified, object),
                WatchEvent::Deleted(object) => (What::Deleted, object),
                WatchEvent::Bookmark(mark) => {
                    from = mark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => bail!("{}", status.message),
            };
            let (metadata, body) = object.split();
            from = metadata.resource_version;
            let namespace = if is_namespace { metadata.name.clone() } else { metadata.namespace };
            let deleting = metadata.deletion_timestamp.is_some();
            let (kind, name) = (Arc::clone(&kind), metadata.name);
            let sighting = Sighting { at, what, kind, namespace, name, deleting, body };
            if sender.send(Ok(sighting)).is_err() {
                return Ok(());
            }
        }
    }
}
