//! The frames of a watch: one JSON object a line; pure.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::site::{RequestLine, name};

/// Cuts a stream of bytes into frames.
#[derive(Default)]
pub(super) struct Frames {
    begun: BytesMut,
}

// === impl Frames ===

impl Frames {
    /// Takes bytes in; gives the frames that are complete, line feeds included.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        self.begun.extend_from_slice(bytes);
        let mut frames = Vec::new();
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            frames.push(self.begun.split_to(end + 1).freeze());
        }
        frames
    }
}

/// The tenant that a frame of a watch of this path is about.
pub(super) fn tenant(path: &str, frame: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(frame).ok()?;
    // What people say of a tenant has a name of its own and names the subscription.
    if let Some(about) = event.pointer("/object/spec/subscriptionRef/name").and_then(Value::as_str) {
        return Some(about.to_owned());
    }
    let metadata = event.pointer("/object/metadata")?;
    let text = |field: &str| metadata.get(field).and_then(Value::as_str);
    // A watch is cluster-wide or of one namespace: with the object's own name it reads as a request for it.
    let object = match text("namespace") {
        Some(namespace) => {
            let (group, plural) = path.rsplit_once('/')?;
            format!(
                "{}/namespaces/{namespace}/{plural}/{}",
                group.split("/namespaces/").next()?,
                text("name")?
            )
        }
        None => format!("{path}/{}", text("name")?),
    };
    name(RequestLine { method: "GET", path: &object, query: "", content_type: "", body: None })?.tenant
}

/// The same object as if it were new to the watch; nothing for frames that are about no living object.
pub(super) fn repeated(frame: &[u8]) -> Option<Bytes> {
    let mut event: Value = serde_json::from_slice(frame).ok()?;
    let sort = event.get("type").and_then(Value::as_str)?;
    if sort != "ADDED" && sort != "MODIFIED" {
        return None;
    }
    if let Some(fields) = event.as_object_mut() {
        fields.insert("type".to_owned(), Value::from("ADDED"));
    }
    Some(line(&event))
}

/// What a server sends that has forgotten where the watch was.
pub(super) fn expired() -> Bytes {
    line(&json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410,
    }}))
}

fn line(event: &Value) -> Bytes {
    Bytes::from(format!("{event}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_at_line_feeds_wherever_the_bytes_break() {
        let mut frames = Frames::default();
        assert!(frames.push(b"{\"a\":").is_empty());
        assert_eq!(frames.push(b"1}\n{\"b\":2}\n{"), [&b"{\"a\":1}\n"[..], &b"{\"b\":2}\n"[..]]);
        assert_eq!(frames.push(b"}\n"), [&b"{}\n"[..]]);
    }

    #[test]
    fn a_frame_tells_its_tenant() {
        let frame = |metadata: Value| json!({"type": "ADDED", "object": {"metadata": metadata}}).to_string();
        let cases = [
            ("/api/v1/configmaps", json!({"namespace": "tenant-acme", "name": "a"}), Some("acme")),
            ("/apis/apps/v1/deployments", json!({"namespace": "tenant-acme", "name": "a"}), Some("acme")),
            ("/api/v1/namespaces", json!({"name": "tenant-acme"}), Some("acme")),
            ("/apis/tenantry.io/v1alpha1/tenantsubscriptions", json!({"name": "acme"}), Some("acme")),
            (
                "/api/v1/namespaces/tenantry-system/configmaps",
                json!({"namespace": "tenantry-system", "name": "a"}),
                None,
            ),
            ("/apis/tenantry.io/v1alpha1/blueprints", json!({"name": "acme"}), None),
        ];
        for (path, metadata, expected) in cases {
            assert_eq!(tenant(path, frame(metadata).as_bytes()).as_deref(), expected, "{path}");
        }
        assert_eq!(tenant("/api/v1/configmaps", b"nonsense"), None);
        let said = br#"{"type":"DELETED","object":{"metadata":{"name":"a"},"spec":{"subscriptionRef":{"name":"acme"}}}}"#;
        let path = "/apis/tenantry.io/v1alpha1/tenantsuspensions";
        assert_eq!(tenant(path, said).as_deref(), Some("acme"));
    }

    #[test]
    fn only_what_lives_is_repeated() {
        let again = repeated(br#"{"type":"MODIFIED","object":{"metadata":{"name":"a"}}}"#).unwrap();
        assert_eq!(again, Bytes::from("{\"object\":{\"metadata\":{\"name\":\"a\"}},\"type\":\"ADDED\"}\n"));
        assert_eq!(repeated(br#"{"type":"DELETED","object":{}}"#), None);
        assert_eq!(repeated(br#"{"type":"BOOKMARK","object":{}}"#), None);
    }
}
