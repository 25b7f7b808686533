//! The requests of a series, as the operator builds them: JSON bodies, answers with metadata only, no field validation.
//! Pure but for the kinds, which discovery knows.

use super::Mode;
use crate::canonical::{Rendered, rendered};
use anyhow::{Context, Result};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Discovery, Resource as _};

const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const MANAGER: &str = "fieldManager=blast&fieldValidation=Ignore";

/// Requests that may be under way at the same time.
pub(super) type Phase = Vec<Prepared>;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    method: Method,
    pub(super) path: String,
    content: &'static str,
    body: Vec<u8>,
}

// === impl Prepared ===

impl Prepared {
    fn new(mode: Mode, object: &Rendered, resource: &ApiResource) -> Self {
        let collection = DynamicObject::url_path(resource, object.namespace.as_deref());
        let (method, path, content) = match mode {
            Mode::Post => (Method::POST, format!("{collection}?{MANAGER}"), "application/json"),
            Mode::Apply | Mode::ApplyAgain => (
                Method::PATCH,
                format!("{collection}/{}?{MANAGER}&force=true", object.name),
                "application/apply-patch+yaml",
            ),
            Mode::Delete => (Method::DELETE, format!("{collection}/{}", object.name), "application/json"),
        };
        let body = if mode == Mode::Delete { Vec::new() } else { object.body.clone().into_bytes() };
        Self { method, path, content, body }
    }

    pub(super) fn request(&self) -> Result<Request<Vec<u8>>> {
        let request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(CONTENT_TYPE, self.content)
            .header(ACCEPT, METADATA_ONLY);
        Ok(request.body(self.body.clone())?)
    }
}

/// The requests for these tenants, in the order that costs the server least: namespaces first, so that nothing waits for
/// one; quotas last, because each counted object that comes after a quota rewrites its status.
pub(super) fn prepare(discovery: &Discovery, mode: Mode, tenants: &[String]) -> Result<Vec<Phase>> {
    let mut phases = [Vec::new(), Vec::new(), Vec::new()];
    for tenant in tenants {
        for object in rendered(tenant)? {
            let prepared = Prepared::new(mode, &object, &resource(discovery, &object)?);
            let [namespaces, others, quotas] = &mut phases;
            match object.id.kind.as_str() {
                "Namespace" => namespaces.push(prepared),
                "ResourceQuota" => quotas.push(prepared),
                _ => others.push(prepared),
            }
        }
    }
    if mode == Mode::Delete {
        phases.reverse();
    }
    Ok(phases.into())
}

fn resource(discovery: &Discovery, object: &Rendered) -> Result<ApiResource> {
    let (group, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
    let found = discovery.resolve_gvk(&GroupVersionKind::gvk(group, version, &object.id.kind));
    found.map(|(resource, _)| resource).with_context(|| format!("{} is not served", object.id.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
    }

    #[test]
    fn requests_are_those_of_the_operator() {
        let objects = rendered("t-00001").unwrap();
        let object = |id: &str| objects.iter().find(|object| object.id.to_string() == id).unwrap();
        let deployment = resource("apps", "v1", "Deployment");
        let collection = "/apis/apps/v1/namespaces/t-00001/deployments";
        let cases = [
            (Mode::Post, "POST", format!("{collection}?{MANAGER}"), "application/json"),
            (
                Mode::Apply,
                "PATCH",
                format!("{collection}/web?{MANAGER}&force=true"),
                "application/apply-patch+yaml",
            ),
            (Mode::Delete, "DELETE", format!("{collection}/web"), "application/json"),
        ];
        for (mode, method, path, content) in cases {
            let request = Prepared::new(mode, object("Deployment/web"), &deployment).request().unwrap();
            assert_eq!((request.method().as_str(), request.uri().to_string()), (method, path));
            assert_eq!(request.headers()[CONTENT_TYPE], content);
            assert_eq!(request.headers()[ACCEPT], METADATA_ONLY);
            assert_eq!(request.body().is_empty(), mode == Mode::Delete);
        }
        let namespace =
            Prepared::new(Mode::Delete, object("Namespace/TENANT"), &resource("", "v1", "Namespace"));
        assert_eq!(namespace.path, "/api/v1/namespaces/t-00001");
    }
}
