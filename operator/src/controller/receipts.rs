//! The key that signs receipts: a Secret in the controller's own namespace, made once and never changed. Needs a client.

use crate::receipt::{ReceiptError, Signer};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Name of the Secret.
pub(crate) const SECRET: &str = "tenantry-receipt-key";
/// Key of the private key in it, in the form PKCS #8 (DER).
const PRIVATE: &str = "key.der";
/// Key of the public key in it, for who checks receipts.
pub(crate) const PUBLIC: &str = "public.pem";
/// Deadline of one request.
const DEADLINE: Duration = Duration::from_secs(10);

/// The key, once it was needed.
#[derive(Default)]
pub(crate) struct Receipts {
    signer: OnceCell<Arc<Signer>>,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub(crate) enum KeyError {
    /// The API server does not answer.
    #[error("Secret {SECRET}: no answer in {} s", DEADLINE.as_secs())]
    Timeout,
    /// The API server refuses.
    #[error("Secret {SECRET}: {0}")]
    Request(#[from] kube::Error),
    /// It holds no key.
    #[error("Secret {SECRET}: {0}; restore it, or delete it and another key is made")]
    Key(#[from] ReceiptError),
}

// === impl Receipts ===

impl Receipts {
    /// The key, which is made if there is none yet.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub(crate) async fn signer(&self, client: &Client, namespace: &str) -> Result<Arc<Signer>, KeyError> {
        self.signer.get_or_try_init(|| signer(client, namespace)).await.cloned()
    }
}

async fn signer(client: &Client, namespace: &str) -> Result<Arc<Signer>, KeyError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if let Some(secret) = answer(api.get_opt(SECRET)).await? {
        return read(&secret);
    }
    let key = Signer::generate()?;
    let public = Signer::from_pkcs8(&key)?.public_pem();
    let data = [(PRIVATE, key), (PUBLIC, public.into_bytes())];
    let data: BTreeMap<String, ByteString> =
        data.into_iter().map(|(name, value)| (name.to_owned(), ByteString(value))).collect();
    let secret = Secret {
        metadata: ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() },
        data: Some(data),
        immutable: Some(true),
        ..Secret::default()
    };
    match answer(api.create(&PostParams::default(), &secret)).await {
        Ok(made) => read(&made),
        // Somebody else, or an earlier try of ours, was faster.
        Err(KeyError::Request(kube::Error::Api(status))) if status.code == 409 => {
            read(&answer(api.get(SECRET)).await?)
        }
        Err(error) => Err(error),
    }
}

fn read(secret: &Secret) -> Result<Arc<Signer>, KeyError> {
    let key = secret.data.as_ref().and_then(|data| data.get(PRIVATE)).ok_or(ReceiptError::Key)?;
    Ok(Arc::new(Signer::from_pkcs8(&key.0)?))
}

async fn answer<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, KeyError> {
    Ok(timeout(DEADLINE, request).await.map_err(|_| KeyError::Timeout)??)
}
