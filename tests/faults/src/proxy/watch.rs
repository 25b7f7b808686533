//! A watch of the controller: passed on frame by frame, and disturbed at one of them.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::StatusCode;
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::sync::mpsc;

use super::exchange::{Answer, Broken, Exchanger, Whole, refused, streamed};
use super::frames::{Frames, expired, repeated, tenant};
use crate::plan::WatchAct;
use crate::site::Named;
use crate::wire::Wire;

/// A watch that is passed on.
struct Pump {
    wire: Arc<Wire>,
    named: Named,
    path: String,
    sender: mpsc::Sender<Result<Bytes, Broken>>,
}

/// The controller has closed the watch, or the proxy has.
struct Over;

impl Exchanger {
    /// Passes a watch on as it comes; silent while the world stands still; refused where the plan says so.
    pub(super) async fn watch(&self, whole: &Whole, named: &Named) -> Result<Answer, Broken> {
        let ticket = self.wire.note(&self.replica, named);
        if let Some(refusal) = self.wire.refused_start(&named.site) {
            return Ok(refused(&refusal));
        }
        if self.wire.frozen().is_some() {
            let wire = Arc::clone(&self.wire);
            let silence = futures::stream::once(async move { wire.thawed().await });
            return Ok(streamed(StatusCode::OK, silence.filter_map(|()| async { None })));
        }
        let response = self.upstream.send(whole.request()).await.map_err(|_| Broken)?;
        let (parts, body) = response.into_parts();
        self.wire.answered(ticket, parts.status.as_u16(), None);
        let (sender, receiver) = mpsc::channel(1);
        let path = whole.path().to_owned();
        let pump = Pump { wire: Arc::clone(&self.wire), named: named.clone(), path, sender };
        tokio::spawn(async move {
            // Over either way: the stream to the controller ends with the sender.
            let _over = pump.run(body).await;
        });
        Ok(streamed(parts.status, received(receiver)))
    }
}

fn received(
    receiver: mpsc::Receiver<Result<Bytes, Broken>>,
) -> impl Stream<Item = Result<Bytes, Broken>> + Send + 'static {
    futures::stream::unfold(receiver, |mut receiver| async move {
        let next = receiver.recv().await?;
        Some((next, receiver))
    })
}

// === impl Pump ===

impl Pump {
    async fn run(self, body: Body) -> Result<(), Over> {
        let mut frames = Frames::default();
        let mut data = body.into_data_stream();
        loop {
            let chunk = tokio::select! {
                chunk = data.try_next() => chunk,
                () = self.sender.closed() => return Err(Over),
            };
            let Ok(chunk) = chunk else { return self.send(Err(Broken)).await };
            let Some(chunk) = chunk else { return Ok(()) };
            for frame in frames.push(&chunk) {
                self.frame(frame).await?;
            }
        }
    }

    async fn frame(&self, frame: Bytes) -> Result<(), Over> {
        let about = tenant(&self.path, &frame);
        let act = about.and_then(|tenant| self.wire.frame(&self.named.site, &tenant));
        match act {
            None => self.send(Ok(frame)).await,
            Some(WatchAct::Delay(span)) => {
                tokio::time::sleep(span).await;
                self.send(Ok(frame)).await
            }
            Some(WatchAct::Miss(span)) => {
                tokio::time::sleep(span).await;
                self.send(Ok(expired())).await?;
                Err(Over)
            }
            Some(WatchAct::Tear) => {
                self.send(Ok(frame.slice(..frame.len() / 2))).await?;
                self.send(Err(Broken)).await?;
                Err(Over)
            }
            Some(WatchAct::End) => Err(Over),
            Some(WatchAct::Silence) => {
                self.sender.closed().await;
                Err(Over)
            }
            Some(WatchAct::Repeat) => {
                let again = repeated(&frame);
                self.send(Ok(frame)).await?;
                match again {
                    Some(again) => self.send(Ok(again)).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn send(&self, part: Result<Bytes, Broken>) -> Result<(), Over> {
        self.sender.send(part).await.map_err(|_| Over)
    }
}
