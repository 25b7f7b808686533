//! Names for the places at which a request can be disturbed; pure.
//!
//! The same step of two runs has the same name, whatever the tenant is called: names of tenants are replaced by a
//! placeholder, and a request that was refused and is sent again stays the same place.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::hall::{NODES, POOLS};
use crate::runs;

/// Stands for the name of a tenant.
pub const NAME: &str = "{name}";
/// Stands for a name that the client or the server makes up.
const ANY: &str = "*";
/// Prefix of the namespace of a tenant.
const NAMESPACE_PREFIX: &str = "tenant-";
/// Stands for the name of a node: which one a tenant gets depends on who was there before.
const NODE: &str = "{node}";
/// Stands before how far a status says that its tenant is.
const MILESTONE: char = '@';

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// One object.
    Get,
    /// A set of objects.
    List,
    /// A stream of changes.
    Watch,
    /// POST of a new object.
    Create,
    /// Server-side apply.
    Apply,
    /// Any other patch.
    Patch,
    /// PUT.
    Update,
    /// DELETE of one object.
    Delete,
    /// DELETE of a set.
    DeleteCollection,
}

/// A kind of request to one object, without how often it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// What it does.
    pub verb: Verb,
    /// Plural and group, such as `deployments.apps`; the core group has no suffix.
    pub resource: String,
    /// Subresource; empty for the object itself.
    pub subresource: String,
    /// Namespace; empty for cluster-wide requests.
    pub namespace: String,
    /// Name; `*` for sets and for names that are made up.
    pub name: String,
}

/// A site and which of its effects is meant: the first, the second and so on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Where.
    pub site: Site,
    /// Which time, from 1.
    pub occurrence: u32,
}

/// A text that names no place.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{text:?} names no place: write it as `create configmaps tenant-{{name}}/settings #1`")]
pub struct PlaceError {
    text: String,
}

/// A request as far as its line and its body tell.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path.
    pub path: &'a str,
    /// Query, empty for none.
    pub query: &'a str,
    /// Media type of the body, empty for none.
    pub content_type: &'a str,
    /// Body, where it is JSON.
    pub body: Option<&'a Value>,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its site.
    pub site: Site,
    /// The tenant it is about, where it is about one.
    pub tenant: Option<String>,
}

// === impl Verb ===

impl Verb {
    /// Every verb with its word.
    const WORDS: [(Self, &'static str); 9] = [
        (Self::Get, "get"),
        (Self::List, "list"),
        (Self::Watch, "watch"),
        (Self::Create, "create"),
        (Self::Apply, "apply"),
        (Self::Patch, "patch"),
        (Self::Update, "update"),
        (Self::Delete, "delete"),
        (Self::DeleteCollection, "deletecollection"),
    ];

    /// Whether it can change anything.
    #[must_use]
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(verb, _)| verb == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

// === impl Site ===

impl Site {
    /// Whether it is part of what a tenant needs: leases are about the process, events about people who look.
    #[must_use]
    pub fn is_essential(&self) -> bool {
        !self.resource.starts_with("leases.") && !self.resource.starts_with("events")
    }

    /// Whether it writes the status of a subscription. How often that happens depends on how long things take.
    #[must_use]
    pub fn is_status(&self) -> bool {
        self.subresource == "status" && self.resource.starts_with("tenantsubscriptions.")
    }

    /// Whether it is the list with which a watch begins. What is in one namespace is listed when it is asked for.
    #[must_use]
    pub fn is_of_a_watch(&self) -> bool {
        self.verb == Verb::List && self.namespace.is_empty()
    }

    /// Whether it is about who has which servers: the record of a pool, or what a node says.
    #[must_use]
    pub fn is_of_servers(&self) -> bool {
        self.resource == POOLS || self.resource == NODES
    }

    /// Whether it writes a status that tells of runs, see [`runs::milestone`].
    #[must_use]
    pub fn is_milestone(&self) -> bool {
        self.is_status() && self.name.contains(MILESTONE)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        f.write_str(" ")?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.site, self.occurrence)
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let words: Vec<&str> = text.split(' ').collect();
        let parsed = match words.as_slice() {
            &[verb, resource, object, number] => place(verb, resource, object, number),
            _ => None,
        };
        parsed.ok_or_else(|| PlaceError { text: text.to_owned() })
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn place(verb: &str, resource: &str, object: &str, number: &str) -> Option<Place> {
    let (verb, _) = *Verb::WORDS.iter().find(|(_, word)| *word == verb)?;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (namespace, name) = object.split_once('/').unwrap_or(("", object));
    let occurrence = number.strip_prefix('#')?.parse().ok().filter(|number| *number > 0)?;
    let site = Site {
        verb,
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Some(Place { site, occurrence })
}

/// Names a request; nothing for paths that are about no kind, such as `/version`.
#[must_use]
pub fn name(line: RequestLine<'_>) -> Option<Named> {
    let segments: Vec<&str> = line.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (group, rest) = match segments.as_slice() {
        ["api", _version, rest @ ..] => ("", rest),
        ["apis", group, _version, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, plural, object, subresource) = match rest {
        ["namespaces", namespace, plural, tail @ ..] if !matches!(*plural, "status" | "finalize") => {
            (*namespace, *plural, tail.first().copied(), tail.get(1).copied())
        }
        [plural, tail @ ..] => ("", *plural, tail.first().copied(), tail.get(1).copied()),
        [] => return None,
    };
    let verb = verb(&line, object.is_some())?;
    let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    let said = |pointer: &str| line.body?.pointer(pointer)?.as_str();
    let object = object.or_else(|| said("/metadata/name").filter(|_| verb == Verb::Create)).unwrap_or(ANY);
    let tenant = tenant_of(&resource, namespace, object).or_else(|| said("/regarding/name"));
    let subject = tenant.unwrap_or_default();
    let masked = match resource.as_str() {
        "nodes" if object != ANY => NODE.to_owned(),
        _ if plural == "events" => ANY.to_owned(),
        _ => runs::masked(&placeheld(object, subject)),
    };
    let mut site = Site {
        verb,
        subresource: subresource.unwrap_or_default().to_owned(),
        namespace: placeheld(namespace, subject),
        name: masked,
        resource,
    };
    if let Some(milestone) = line.body.filter(|_| site.is_status()).and_then(runs::milestone) {
        site.name.push(MILESTONE);
        site.name.push_str(&milestone);
    }
    Some(Named { site, tenant: tenant.map(str::to_owned) })
}

fn verb(line: &RequestLine<'_>, has_object: bool) -> Option<Verb> {
    let is_watch = line.query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"));
    Some(match line.method {
        "GET" if is_watch => Verb::Watch,
        "GET" if has_object => Verb::Get,
        "GET" => Verb::List,
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" if line.content_type.starts_with("application/apply-patch") => Verb::Apply,
        "PATCH" => Verb::Patch,
        "DELETE" if has_object => Verb::Delete,
        "DELETE" => Verb::DeleteCollection,
        _ => return None,
    })
}

fn tenant_of<'a>(resource: &str, namespace: &'a str, object: &'a str) -> Option<&'a str> {
    if let Some(tenant) = namespace.strip_prefix(NAMESPACE_PREFIX) {
        return Some(tenant);
    }
    match resource {
        "namespaces" => object.strip_prefix(NAMESPACE_PREFIX),
        "tenantsubscriptions.tenantry.io" if object != ANY => Some(object),
        _ => None,
    }
}

/// The text with the tenant's name replaced.
fn placeheld(text: &str, tenant: &str) -> String {
    if tenant.is_empty() { text.to_owned() } else { text.replace(tenant, NAME) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(method: &str, target: &str, content_type: &str, body: &Value) -> (String, Option<String>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let named = name(RequestLine { method, path, query, content_type, body: Some(body) }).unwrap();
        (named.site.to_string(), named.tenant)
    }

    #[test]
    fn requests_have_names_that_do_not_depend_on_the_tenant() {
        let cases = [
            (
                "POST",
                "/api/v1/namespaces",
                "",
                json!({"metadata": {"name": "tenant-acme"}}),
                "create namespaces tenant-{name}",
                Some("acme"),
            ),
            (
                "POST",
                "/apis/apps/v1/namespaces/tenant-acme/deployments?fieldManager=x",
                "application/json",
                json!({"metadata": {"name": "web"}}),
                "create deployments.apps tenant-{name}/web",
                Some("acme"),
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/tenant-acme/deployments/web",
                "application/apply-patch+yaml",
                json!({}),
                "apply deployments.apps tenant-{name}/web",
                Some("acme"),
            ),
            (
                "PATCH",
                "/apis/tenantry.io/v1alpha1/tenantsubscriptions/acme/status",
                "application/merge-patch+json",
                json!({}),
                "patch tenantsubscriptions.tenantry.io/status {name}",
                Some("acme"),
            ),
            (
                "PATCH",
                "/apis/tenantry.io/v1alpha1/tenantsubscriptions/acme/status",
                "application/merge-patch+json",
                json!({"status": {"checklist": [{"name": "trial", "job": {"attempt": 2, "state": "Failed"}}]}}),
                "patch tenantsubscriptions.tenantry.io/status {name}@trial-2-Failed",
                Some("acme"),
            ),
            (
                "POST",
                "/apis/batch/v1/namespaces/tenant-acme/jobs",
                "application/json",
                json!({"metadata": {"name": "trial-2-0a1b2c3d4e"}}),
                "create jobs.batch tenant-{name}/trial-2-{run}",
                Some("acme"),
            ),
            (
                "PATCH",
                "/api/v1/namespaces/tenant-acme/pods/trial-2-0a1b2c3d4e-x7k2p",
                "application/merge-patch+json",
                json!({}),
                "patch pods tenant-{name}/trial-2-{run}-{pod}",
                Some("acme"),
            ),
            (
                "DELETE",
                "/api/v1/namespaces/tenant-acme",
                "application/json",
                json!({}),
                "delete namespaces tenant-{name}",
                Some("acme"),
            ),
            (
                "GET",
                "/api/v1/configmaps?watch=true&resourceVersion=7",
                "",
                json!({}),
                "watch configmaps *",
                None,
            ),
            ("GET", "/api/v1/configmaps?limit=250", "", json!({}), "list configmaps *", None),
            (
                "POST",
                "/apis/events.k8s.io/v1/namespaces/default/events",
                "application/json",
                json!({"metadata": {"name": "acme.17"}, "regarding": {"name": "acme"}}),
                "create events.events.k8s.io default/*",
                Some("acme"),
            ),
            (
                "PATCH",
                "/api/v1/nodes/own-7",
                "application/json-patch+json",
                json!([]),
                "patch nodes {node}",
                None,
            ),
            ("GET", "/api/v1/nodes?limit=100", "", json!({}), "list nodes *", None),
            (
                "PATCH",
                "/apis/tenantry.io/v1alpha1/serverpools/hall-own/status",
                "application/json-patch+json",
                json!([]),
                "patch serverpools.tenantry.io/status hall-own",
                None,
            ),
            (
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/tenantry-system/leases/tenantry-controller",
                "",
                json!({}),
                "update leases.coordination.k8s.io tenantry-system/tenantry-controller",
                None,
            ),
        ];
        for (method, target, content, body, site, tenant) in cases {
            assert_eq!(named(method, target, content, &body), (site.to_owned(), tenant.map(str::to_owned)));
        }
        let nothing =
            RequestLine { method: "GET", path: "/version", query: "", content_type: "", body: None };
        assert_eq!(name(nothing), None);
    }

    #[test]
    fn a_place_reads_back_and_nonsense_does_not() {
        for text in [
            "create configmaps tenant-{name}/settings #1",
            "patch tenantsubscriptions.tenantry.io/status {name} #12",
            "patch tenantsubscriptions.tenantry.io/status {name}@trial-2-Failed #1",
            "patch pods tenant-{name}/trial-2-{run}-{pod} #1",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "create configmaps x",
            "create configmaps x #0",
            "make configmaps x #1",
            "create  configmaps x #1",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
