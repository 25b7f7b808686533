//! The receipt of an end: what became of everything, signed by the provider's key; no client or clock.
//!
//! It is a JSON Web Signature in its compact form (RFC 7515) with the algorithm `EdDSA` over Ed25519 (RFC 8037), so that any tool
//! for those can check it, years later and without Tenantry. The key that signed is named by its thumbprint (RFC 7638).

use crate::handover::{Document, Subject};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use tenantry_checklist::exit::{EXPORT, Leftover, Terms};
use tenantry_checklist::time;
use tenantry_crds::blueprint::Category;
use tenantry_crds::subscription::ChecklistEntry;
use thiserror::Error;

/// Name of the document.
pub(crate) const RECEIPT: &str = "receipt.jws";
const JOSE: &str = "application/jose";
/// What comes before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PEM: [&str; 2] = ["-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"];

/// Signs receipts.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    kid: String,
}

/// Why a key or a receipt is not good. None of these holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum ReceiptError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The private key cannot be read.
    #[error("the key is no Ed25519 key in the form PKCS #8")]
    Key,
    /// The public key cannot be read.
    #[error("the public key is no Ed25519 key in the form PEM")]
    PublicKey,
    /// The receipt is none.
    #[error("this is no receipt: a JSON Web Signature has three parts with dots between them")]
    Form,
    /// Its signature is not by this key, or it was changed.
    #[error("the signature is not by this key, or the receipt was changed")]
    Signature,
}

/// How a tenant ended.
pub(crate) struct Ended<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) documents: &'a [Document],
    pub(crate) checklist: &'a [ChecklistEntry],
    pub(crate) leftovers: &'a [Leftover],
    pub(crate) at: Timestamp,
}

// === impl Signer ===

impl Signer {
    /// A new private key, in the form PKCS #8.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub(crate) fn generate() -> Result<Vec<u8>, ReceiptError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        document.map(|document| document.as_ref().to_vec()).map_err(|_| ReceiptError::NoRandomness)
    }

    /// # Errors
    /// When it is no such key.
    pub(crate) fn from_pkcs8(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map_err(|_| ReceiptError::Key)?;
        let kid = thumbprint(pair.public_key().as_ref());
        Ok(Self { pair, kid })
    }

    /// The public key, in the form PEM (RFC 8410).
    pub(crate) fn public_pem(&self) -> String {
        let spki: Vec<u8> = SPKI.into_iter().chain(self.pair.public_key().as_ref().iter().copied()).collect();
        let [begin, end] = PEM;
        format!("{begin}\n{}\n{end}\n", STANDARD.encode(spki))
    }

    fn sign(&self, payload: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "tenantry-receipt+jwt", "kid": self.kid});
        let [header, payload] = [&header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// Names the key of a signer by what everybody can compute from its public half (RFC 7638).
fn thumbprint(public: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

/// The receipt of an end.
pub(crate) fn signed(subject: &Subject<'_>, ended: &Ended<'_>, signer: &Signer) -> Document {
    Document::new(RECEIPT, JOSE, signer.sign(&payload(subject, ended)))
}

fn payload(subject: &Subject<'_>, ended: &Ended<'_>) -> Value {
    let Ended { terms, documents, checklist, leftovers, at } = ended;
    let steps = checklist.iter().filter(|entry| entry.category == Category::Exit);
    let steps: Vec<Value> = steps
        .map(|entry| {
            json!({
                "step": entry.name, "state": entry.state, "reason": entry.reason, "message": entry.message,
                "at": entry.conclusion.as_ref().map(|conclusion| &conclusion.at),
            })
        })
        .collect();
    let export = checklist.iter().find(|entry| entry.name == EXPORT).and_then(|entry| entry.job.as_ref());
    let documents: Vec<Value> =
        documents.iter().map(|document| json!({"name": document.name, "sha256": document.sha256})).collect();
    json!({
        "iat": at.as_second(),
        "sub": subject.subscription,
        "uid": subject.uid,
        "tenant": subject.tenant(),
        "organization": subject.order().map(|order| order.organization),
        "accepted": subject.status.accepted,
        "deletionPolicy": terms.policy,
        "requestedAt": time::time(terms.requested),
        "purgeAt": terms.purge_at.map(time::time),
        "endedAt": time::time(*at),
        "steps": steps,
        "export": export.map(|run| json!({"run": run.name, "state": run.state, "result": run.result})),
        "documents": documents,
        "leftovers": leftovers,
    })
}

/// What a receipt says, if its signature is by this key.
///
/// # Errors
/// [`ReceiptError`] when it is no receipt, or not one by this key.
pub(crate) fn verified(receipt: &str, public_pem: &str) -> Result<Value, ReceiptError> {
    let public = public_key(public_pem)?;
    let receipt = receipt.trim();
    let (signed, signature) = receipt.rsplit_once('.').ok_or(ReceiptError::Form)?;
    let (_, payload) = signed.split_once('.').ok_or(ReceiptError::Form)?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| ReceiptError::Form);
    let (payload, signature) = (decoded(payload)?, decoded(signature)?);
    let key = UnparsedPublicKey::new(&ED25519, public);
    key.verify(signed.as_bytes(), &signature).map_err(|_| ReceiptError::Signature)?;
    serde_json::from_slice(&payload).map_err(|_| ReceiptError::Form)
}

/// The bytes of a public key in the form PEM.
fn public_key(pem: &str) -> Result<Vec<u8>, ReceiptError> {
    let [begin, end] = PEM;
    let body = pem.trim().strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
    let body: String = body.ok_or(ReceiptError::PublicKey)?.split_whitespace().collect();
    let spki = STANDARD.decode(body).map_err(|_| ReceiptError::PublicKey)?;
    let key = spki.strip_prefix(SPKI.as_slice()).filter(|key| key.len() == 32);
    key.map(<[u8]>::to_vec).ok_or(ReceiptError::PublicKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_receipt_is_good_by_its_own_key_and_unchanged() {
        let (signer, other) = (signer(), signer());
        let said = json!({"sub": "acme", "leftovers": []});
        let receipt = signer.sign(&said);
        assert_eq!(verified(&receipt, &signer.public_pem()), Ok(said));
        assert_eq!(verified(&receipt, &other.public_pem()), Err(ReceiptError::Signature));
        let [header, payload, signature] = receipt.split('.').collect::<Vec<_>>()[..] else {
            panic!("three parts")
        };
        let forged = URL_SAFE_NO_PAD.encode(json!({"sub": "bolt", "leftovers": []}).to_string());
        let forged = format!("{header}.{forged}.{signature}");
        assert_eq!(verified(&forged, &signer.public_pem()), Err(ReceiptError::Signature));
        assert_eq!(verified(&format!("{header}.{payload}"), &signer.public_pem()), Err(ReceiptError::Form));
        assert_eq!(verified(&receipt, "nonsense"), Err(ReceiptError::PublicKey));
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert_eq!((&header["alg"], header["kid"].as_str().map(str::len)), (&json!("EdDSA"), Some(43)));
    }

    /// The example of RFC 8037, appendix A.3.
    #[test]
    fn a_key_is_named_as_the_standard_says() {
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(thumbprint(&x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
