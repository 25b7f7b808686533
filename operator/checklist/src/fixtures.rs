//! An order and its definitions for tests. Names differ from each other on purpose, so that swapped ones are caught.

use crate::Problem;
use crate::access::TenantId;
use crate::hosts::Claims;
use crate::order::{Order, OrderInput, resolve};
use crate::revision::Revision;
use crate::select::{Definitions, Selected};
use serde_json::{Value, json};
use std::sync::Arc;
use tenantry_crds::{
    BlueprintSpec, HostedApplicationSpec, HostedApplicationVersionSpec, ServicePlanSpec,
    TenantSubscriptionSpec,
};

pub(crate) fn plan() -> ServicePlanSpec {
    from(json!({
        "displayName": "Gold for teams", "tier": "Gold", "lifecycle": "Published",
        "network": {"qualityOfService": "Assured", "loadBalancers": 1},
        "servers": {"class": "standard", "cpu": "8", "memory": "16Gi", "limitRatio": "2", "disk": "40Gi", "pods": 50},
        "storage": {"classes": [{"name": "fast", "totalCapacity": "200Gi", "maxVolumes": 10}]},
        "accounts": {"seats": 3, "roles": ["administrator", "user"]},
        "security": {"profile": "restricted"},
        "monitoring": {"mode": "RealTime", "retention": "720h"},
        "serviceLevel": {"availability": "99.9", "support": {"firstResponse": "30m"}},
    }))
}

pub(crate) fn application() -> HostedApplicationSpec {
    from(json!({
        "displayName": "Orderly ERP",
        "parametersSchema": {
            "type": "object", "required": ["edition"],
            "properties": {"edition": {"enum": ["standard", "trade"]}, "language": {"type": "string", "default": "en"}},
        },
        "blueprintRef": {"name": "ground"},
    }))
}

pub(crate) fn version() -> HostedApplicationVersionSpec {
    from(json!({
        "applicationRef": {"name": "erp"}, "version": "4.2.1", "lifecycle": "Published",
        "manifests": [{"name": "web.yaml", "template": "kind: Service"}],
        "secrets": [{"name": "database", "keys": [{"name": "password", "length": 32}]}],
        "endpoints": [{"name": "web", "serviceRef": {"name": "front", "port": 8080}}],
    }))
}

pub(crate) fn blueprint() -> BlueprintSpec {
    from(json!({
        "allowedKinds": [{"group": "", "kinds": ["Service"]}],
        "settings": {"gateway": {"name": "public", "namespace": "ingress", "allowList": "EnvoySecurityPolicy"}},
        "items": [{"name": "contract", "title": "Contract", "category": "Contract", "check": {}}],
    }))
}

pub(crate) fn subscription() -> TenantSubscriptionSpec {
    from(json!({
        "organization": {"name": "Acme Ltd", "country": "DE"},
        "contacts": [{"role": "Technical", "name": "Tia Tech", "email": "tia@acme.example"}],
        "planRef": {"name": "gold"},
        "applicationRef": {"name": "erp", "version": "4.2.1"},
        "parameters": {"edition": "trade"},
        "users": [
            {"name": "ada", "displayName": "Ada Admin", "email": "ada@acme.example", "roles": ["administrator", "user"]},
            {"name": "uwe", "email": "uwe@acme.example", "roles": ["user"]},
        ],
        "network": {"hosts": ["ERP.acme.example", "*.shop.acme.example"], "allowFrom": ["203.0.113.0/24"]},
        "goLive": {"notBefore": "2026-12-01T06:00:00Z"},
    }))
}

pub(crate) fn definitions() -> Definitions {
    Definitions {
        plan: selected("gold", plan()),
        application: selected("erp", application()),
        version: selected("erp-4.2.1", version()),
        blueprint: selected("ground", blueprint()),
        price_list: None,
        warnings: Vec::new(),
    }
}

pub(crate) fn selected<T: serde::Serialize>(name: &str, spec: T) -> Selected<T> {
    Selected { revision: Revision::of(name, &spec).unwrap(), spec: Arc::new(spec) }
}

pub(crate) fn order() -> Order {
    resolved(&subscription(), &definitions()).unwrap()
}

pub(crate) fn resolved(
    spec: &TenantSubscriptionSpec,
    definitions: &Definitions,
) -> Result<Order, Vec<Problem>> {
    resolve(&OrderInput {
        name: "acme",
        uid: "u-1",
        spec,
        definitions,
        tenant_id: &TenantId::from_random([7; 10]),
        claims: &Claims::default(),
        recorded_hosts: &[],
    })
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}
