//! CloudEvents 1.0 as they come over HTTP: structured, batched, or binary, with the attributes in headers; pure.

use serde_json::{Map, Value, json};
use tenantry_ledger::refusal::Refusal;

/// Content type of one event as JSON.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Content type of several events as JSON.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// Prefix of headers that are attributes of an event in binary mode.
pub const PREFIX: &str = "ce-";
/// Most events of one request.
pub const MOST: usize = 1000;
/// Longest attribute, in bytes.
const LONGEST: usize = 512;

/// An event with what is needed of it. Extension attributes are allowed and not read.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudEvent {
    /// Unique for its source.
    pub id: String,
    /// Who says it.
    pub source: String,
    /// What it is about.
    pub kind: String,
    /// Whom it is about.
    pub subject: Option<String>,
    /// When it happened, as it was written.
    pub time: Option<String>,
    /// What it says.
    pub data: Value,
}

/// What came, and the event that it is if it is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Everything as JSON with sorted keys.
    pub text: String,
    /// The event, or why it is none.
    pub event: Result<CloudEvent, Refusal>,
}

/// The events of a request, by its headers and its body.
///
/// # Errors
/// When it cannot be told where an event begins and ends; nothing of it can be kept then.
pub fn read(headers: &[(&str, &str)], body: &[u8]) -> Result<Vec<Received>, Refusal> {
    let content_type = header(headers, "content-type").unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        STRUCTURED => Ok(vec![received(parsed(body)?)]),
        BATCH => batch(parsed(body)?),
        _ if header(headers, "ce-specversion").is_some() => {
            Ok(vec![received(binary(headers, &media, body)?)])
        }
        _ => Err(Refusal::new(
            "Content-Type",
            format!("{media:?} is no event"),
            format!("send {STRUCTURED}, {BATCH}, or the attributes in headers such as ce-id"),
        )),
    }
}

fn batch(value: Value) -> Result<Vec<Received>, Refusal> {
    let Value::Array(events) = value else {
        return Err(Refusal::new("body", "a batch is a list of events", "send them in a JSON array"));
    };
    if events.len() > MOST {
        let reason = format!("{} events are too many for one request", events.len());
        return Err(Refusal::new("body", reason, format!("send at most {MOST} at a time")));
    }
    Ok(events.into_iter().map(received).collect())
}

/// An event in binary mode, as the JSON that it would be in structured mode.
fn binary(headers: &[(&str, &str)], media: &str, body: &[u8]) -> Result<Value, Refusal> {
    let attributes = headers.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix(PREFIX)?.to_owned();
        Some((name, Value::String(decoded(value))))
    });
    let mut event: Map<String, Value> = attributes.collect();
    if !media.is_empty() {
        event.insert("datacontenttype".to_owned(), json!(media));
    }
    if is_json(media) {
        event.insert("data".to_owned(), parsed(body)?);
    }
    Ok(Value::Object(event))
}

fn received(value: Value) -> Received {
    Received { text: value.to_string(), event: event(&value) }
}

/// One event as JSON.
fn event(value: &Value) -> Result<CloudEvent, Refusal> {
    let Some(object) = value.as_object() else {
        return Err(Refusal::new("event", "it is no JSON object", "send an event after CloudEvents 1.0"));
    };
    let text = |name: &str| attribute(object, name);
    let needed = |name: &str| {
        text(name)?.ok_or_else(|| {
            Refusal::new(
                name,
                "every event has it and this one has not",
                "write it as text that is not empty",
            )
        })
    };
    let version = needed("specversion")?;
    if version != "1.0" {
        return Err(Refusal::new("specversion", format!("{version:?} is not known here"), "write 1.0"));
    }
    let media = text("datacontenttype")?.unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !is_json(&media) || object.contains_key("data_base64") {
        let remedy = "send data as JSON, with the content type application/json";
        return Err(Refusal::new("datacontenttype", format!("{media:?} is not read here"), remedy));
    }
    Ok(CloudEvent {
        id: needed("id")?,
        source: needed("source")?,
        kind: needed("type")?,
        subject: text("subject")?,
        time: text("time")?,
        data: object.get("data").cloned().unwrap_or_default(),
    })
}

fn attribute(object: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= LONGEST && is_plain(text) => {
            Ok(Some(text.clone()))
        }
        Some(_) => {
            let remedy = format!("write text of one to {LONGEST} bytes without control characters");
            Err(Refusal::new(name, "it is no text that an attribute may have", remedy))
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn is_json(media: &str) -> bool {
    media.is_empty() || media == "application/json" || media.ends_with("+json")
}

fn parsed(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new("body", format!("it is no JSON: {error}"), "send JSON in UTF-8"))
}

fn header<'h>(headers: &[(&str, &'h str)], wanted: &str) -> Option<&'h str> {
    headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
}

/// The value of a header after the HTTP binding: quotes are taken off, and `%` with two digits is a byte of UTF-8.
fn decoded(value: &str) -> String {
    let value = value.trim();
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain =
        quoted.map_or_else(|| value.to_owned(), |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"));
    let mut bytes = Vec::with_capacity(plain.len());
    let mut rest = plain.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.split_at_checked(2).filter(|_| *first == b'%');
        let byte = escaped.and_then(|(digits, _)| {
            let digits = std::str::from_utf8(digits)
                .ok()
                .filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        match (byte, escaped) {
            (Some(byte), Some((_, after))) => {
                bytes.push(byte);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> Value {
        json!({
            "specversion": "1.0", "id": "a-1", "source": "/erp/web", "type": "io.tenantry.usage.v1",
            "time": "2026-12-01T10:20:30Z", "subject": "acme", "comexampleextension": 5,
            "data": {"meter": "calls", "quantity": 7, "unit": "Request"},
        })
    }

    #[test]
    fn one_event_is_the_same_in_every_mode() {
        let structured = read(
            &[("Content-Type", "application/cloudevents+json; charset=utf-8")],
            calls().to_string().as_bytes(),
        );
        let batch = read(&[("content-type", BATCH)], json!([calls()]).to_string().as_bytes());
        let headers = [
            ("Content-Type", "application/json"),
            ("ce-specversion", "1.0"),
            ("CE-Id", "a-1"),
            ("ce-source", "/erp/%77eb"),
            ("ce-type", "io.tenantry.usage.v1"),
            ("ce-time", "2026-12-01T10:20:30Z"),
            ("ce-subject", "\"acme\""),
        ];
        let binary = read(&headers, calls()["data"].to_string().as_bytes());
        let of = |read: Result<Vec<Received>, Refusal>| read.unwrap().remove(0).event.unwrap();
        let event = of(structured);
        assert_eq!(event, of(batch));
        assert_eq!(event, of(binary));
        assert_eq!((event.id.as_str(), event.subject.as_deref()), ("a-1", Some("acme")));
    }

    #[test]
    fn headers_are_decoded_after_the_binding() {
        for (written, meant) in [
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("100%", "100%"),
            ("%zz%2", "%zz%2"),
            ("\"a \\\"b\\\" \\\\\"", "a \"b\" \\"),
            ("%+1", "%+1"),
        ] {
            assert_eq!(decoded(written), meant);
        }
    }

    #[test]
    fn what_is_no_event_keeps_its_text_and_says_why() {
        let without = |field: &str| {
            let mut event = calls();
            event.as_object_mut().unwrap().remove(field);
            event
        };
        let with = |field: &str, value: Value| {
            let mut event = calls();
            event[field] = value;
            event
        };
        for (value, field) in [
            (without("id"), "id"),
            (without("source"), "source"),
            (without("type"), "type"),
            (without("specversion"), "specversion"),
            (with("specversion", json!("0.3")), "specversion"),
            (with("id", json!("")), "id"),
            (with("id", json!(5)), "id"),
            (with("id", json!("a\u{0}b")), "id"),
            (with("source", json!("s".repeat(513))), "source"),
            (with("datacontenttype", json!("text/plain")), "datacontenttype"),
            (with("data_base64", json!("e30=")), "datacontenttype"),
            (json!("text"), "event"),
        ] {
            let received = received(value.clone());
            assert_eq!(received.text, value.to_string());
            let refusal = received.event.unwrap_err();
            assert_eq!(refusal.field, field, "{value}");
            assert!(!refusal.remedy.is_empty());
        }
    }

    #[test]
    fn what_has_no_events_is_refused_as_a_whole() {
        let many = json!(vec![calls(); MOST + 1]).to_string();
        for (content_type, body, field) in [
            ("application/json", "{}", "Content-Type"),
            (STRUCTURED, "{", "body"),
            (BATCH, "{}", "body"),
            (BATCH, many.as_str(), "body"),
        ] {
            let refusal = read(&[("content-type", content_type)], body.as_bytes()).unwrap_err();
            assert_eq!(refusal.field, field, "{refusal}");
        }
        assert_eq!(read(&[("content-type", BATCH)], b"[]").unwrap(), []);
        let binary = [("ce-specversion", "1.0"), ("content-type", "application/json")];
        assert_eq!(read(&binary, b"{").unwrap_err().field, "body");
    }
}
