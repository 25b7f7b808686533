//! The values of one order in the forms that rendering needs; pure.

use crate::expression::Variables;
use crate::schema::{self, ContextSchema};
use crate::sizing;
use crate::template::Values;
use serde_json::{Map, Value, json};
use tenantry_checklist::access::{self, Namespace, TenantId};
use tenantry_checklist::order::Order;
use tenantry_checklist::suspension::Effect;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::application::HostedApplicationSpec;
use tenantry_crds::blueprint::{BlueprintSpec, JobAction, Load, Settings};
use tenantry_crds::plan::Role;
use tenantry_crds::version::{Endpoint, HostedApplicationVersionSpec};

/// Who a tenant is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Random identity, never given twice.
    pub id: TenantId,
    /// Namespace of everything the tenant has.
    pub namespace: Namespace,
}

/// The specs that are compiled together: one revision of each.
#[derive(Clone, Copy, Debug)]
pub struct Specs<'a> {
    /// The checklist.
    pub blueprint: &'a BlueprintSpec,
    /// The application.
    pub application: &'a HostedApplicationSpec,
    /// The version of the application.
    pub version: &'a HostedApplicationVersionSpec,
}

/// Everything one order says, in the forms that rendering needs. Built once for each order and revision.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) tenant: Tenant,
    pub(crate) plan: ServicePlanSpec,
    pub(crate) settings: Settings,
    pub(crate) allow_from: Vec<String>,
    pub(crate) values: Values,
    pub(crate) variables: Variables,
    /// Whether nobody gets in, and whether nothing runs.
    pub(crate) network_suspended: bool,
    pub(crate) compute_suspended: bool,
    /// What templates see, for those that see more.
    json: Value,
    /// What jobs that are done found, for the templates of later ones.
    outputs: Value,
}

// === impl Tenant ===

impl Tenant {
    /// The tenant of an order.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        Self { id: order.tenant_id.clone(), namespace: order.namespace.clone() }
    }

    /// What the names of all groups of the tenant's people begin with, as the API server sees them.
    pub(crate) fn groups(&self, prefix: &str) -> String {
        let group = access::group(prefix, &self.id, Role::Viewer);
        group.strip_suffix(access::role_name(Role::Viewer)).unwrap_or_default().to_owned()
    }
}

// === impl Context ===

impl Context {
    /// Takes what templates see of an order and makes it total by the schema.
    pub(crate) fn new(
        schema: &ContextSchema,
        settings: &Settings,
        tenant: Tenant,
        plan: &ServicePlanSpec,
        order: Value,
    ) -> Self {
        let json = schema.complete(order);
        let ranges = json.pointer("/order/network/allowFrom").and_then(Value::as_array);
        let allow_from = ranges.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Self {
            tenant,
            plan: plan.clone(),
            settings: settings.clone(),
            allow_from,
            values: Values::new(&json),
            variables: Variables::new(&json),
            network_suspended: false,
            compute_suspended: false,
            json,
            outputs: schema::outputs(Map::new()),
        }
    }

    /// The same while suspensions hold.
    #[must_use]
    pub fn with_suspension(mut self, effect: &Effect) -> Self {
        if !effect.is_some() {
            return self;
        }
        let Effect { network, compute, message, holds: _ } = effect;
        if let Some(context) = self.json.as_object_mut() {
            let suspension = json!({"network": network, "compute": compute, "message": message});
            context.insert("suspension".to_owned(), suspension);
        }
        let (values, variables) = (Values::new(&self.json), Variables::new(&self.json));
        Self { network_suspended: *network, compute_suspended: *compute, values, variables, ..self }
    }

    /// The same with what jobs that are done found, see [`tenantry_checklist::job::outputs`].
    #[must_use]
    pub fn with_outputs(self, outputs: Map<String, Value>) -> Self {
        Self { outputs: schema::outputs(outputs), ..self }
    }

    /// What the template of a job sees: everything, what its run is, and what the jobs before it found. A conversion is a trial
    /// or for good, and has to find what the customer declared; for other jobs this is empty.
    pub(crate) fn for_job(&self, action: &JobAction) -> Values {
        let part = match action.load {
            Some(Load::Trial) => "trial",
            Some(Load::CutOver) => "cutOver",
            None => "",
        };
        let declared = self.json.pointer(&format!("/order/dataConversion/{part}"));
        let of = |field: &str| declared.and_then(|declared| declared.get(field)).cloned();
        let load = action.load.map(|load| json!(load));
        let mut json = self.json.clone();
        if let Some(context) = json.as_object_mut() {
            let job = json!({
                "load": load.unwrap_or_else(|| json!("")),
                "rows": of("rows").unwrap_or_else(|| json!(0)),
                "sha256": of("sha256").unwrap_or_else(|| json!("")),
            });
            context.insert("job".to_owned(), job);
            context.insert("outputs".to_owned(), self.outputs.clone());
        }
        Values::new(&json)
    }

    /// Whether the order brings data along.
    pub(crate) fn brings_data(&self) -> bool {
        let system = self.json.pointer("/order/dataConversion/source/system").and_then(Value::as_str);
        system.is_some_and(|system| !system.is_empty())
    }

    /// The plan of the order.
    #[must_use]
    pub fn plan(&self) -> &ServicePlanSpec {
        &self.plan
    }
}

/// What templates see of a plan: how the subscription ends is nothing to render by.
fn entitlements(plan: &ServicePlanSpec) -> ServicePlanSpec {
    ServicePlanSpec { exit: None, ..plan.clone() }
}

/// What templates see of an order. Lists and texts that the order leaves out are missing here; the schema adds them.
pub(crate) fn of_order(order: &Order) -> Value {
    let spec = order.effective_spec();
    let definitions = &order.definitions;
    let version = &definitions.version.spec;
    let endpoint = |endpoint: &Endpoint| json!({"name": endpoint.name, "service": endpoint.service_ref.name, "port": endpoint.service_ref.port});
    json!({
        "tenant": {
            "id": order.tenant_id.as_str(),
            "name": order.name.as_str(),
            "namespace": order.namespace.as_str(),
        },
        "order": {
            "organization": spec.organization,
            "contacts": spec.contacts,
            "users": spec.users,
            "network": spec.network,
            "training": spec.training,
            "dataConversion": spec.data_conversion,
            "goLive": spec.go_live,
        },
        "inputs": sizing::inputs(spec.inputs.as_ref(), 0),
        "parameters": spec.parameters,
        "plan": entitlements(&definitions.plan.spec),
        "application": {
            "name": spec.application_ref.name,
            "displayName": definitions.application.spec.display_name,
            "version": version.version,
            "endpoints": version.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            "secrets": version.secrets.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(),
        },
        "settings": definitions.blueprint.spec.settings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tenantry_checklist::hosts::Claims;
    use tenantry_checklist::order::{OrderInput, resolve};
    use tenantry_checklist::revision::Revision;
    use tenantry_checklist::select::{Definitions, Selected};

    fn selected<T: serde::de::DeserializeOwned + serde::Serialize>(name: &str, spec: Value) -> Selected<T> {
        let spec: T = serde_json::from_value(spec).unwrap();
        Selected { revision: Revision::of(name, &spec).unwrap(), spec: Arc::new(spec) }
    }

    fn order() -> Order {
        let definitions = Definitions {
            plan: selected(
                "gold",
                json!({
                    "displayName": "Gold", "tier": "Gold", "lifecycle": "Published", "network": {"qualityOfService": "Assured"},
                    "servers": {"class": "standard", "cpu": "8", "memory": "16Gi", "limitRatio": "2", "disk": "40Gi", "pods": 50},
                    "storage": {"classes": [{"name": "fast", "totalCapacity": "200Gi", "maxVolumes": 10}]},
                    "accounts": {"seats": 3, "roles": ["administrator"]}, "security": {"profile": "restricted"},
                    "monitoring": {"mode": "RealTime", "retention": "720h"},
                    "serviceLevel": {"availability": "99.9", "support": {"firstResponse": "30m"}},
                }),
            ),
            application: selected(
                "erp",
                json!({"displayName": "ERP", "blueprintRef": {"name": "ground"},
                "parametersSchema": {"type": "object", "properties": {"language": {"type": "string", "default": "en"}}}}),
            ),
            version: selected(
                "erp-1",
                json!({"applicationRef": {"name": "erp"}, "version": "1", "lifecycle": "Published",
                "manifests": [{"name": "a.yaml", "template": "kind: x"}]}),
            ),
            blueprint: selected(
                "ground",
                json!({"allowedKinds": [], "settings": {"gateway": {"name": "public", "namespace": "ingress"}},
                "items": [{"name": "application", "title": "Application", "category": "Application", "application": {}}]}),
            ),
            price_list: None,
            warnings: Vec::new(),
        };
        let spec = serde_json::from_value(json!({
            "organization": {"name": "Acme", "country": "DE"}, "contacts": [{"role": "Technical", "name": "T", "email": "t@a.example"}],
            "planRef": {"name": "gold"}, "applicationRef": {"name": "erp", "version": "1"},
            "network": {"hosts": ["erp.acme.example"]},
        })).unwrap();
        resolve(&OrderInput {
            name: "acme",
            uid: "u-1",
            spec: &spec,
            definitions: &definitions,
            tenant_id: &TenantId::from_random([7; 10]),
            claims: &Claims::default(),
            recorded_hosts: &[],
        })
        .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// The published schema and what an order gives must name the same paths: once completed, the context has every
    /// path of the schema, none is null, and there is nothing the schema does not publish.
    #[test]
    fn orders_have_exactly_the_fields_of_the_schema() {
        let order = order();
        let schema = ContextSchema::new(Some(&order.definitions.application.spec.parameters_schema));
        let given = schema.complete(of_order(&order));
        assert_eq!(given["parameters"], json!({"language": "en"}));
        let mut paths = Vec::new();
        collect(&given, "", &mut paths);
        let known: Vec<String> = schema.paths().into_iter().map(|entry| entry.path).collect();
        let unpublished: Vec<&String> = paths.iter().filter(|path| !known.contains(path)).collect();
        assert!(unpublished.is_empty(), "{unpublished:?}");
        let missing: Vec<&String> =
            known.iter().filter(|path| !path.contains("[]") && !paths.contains(path)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    fn collect(value: &Value, path: &str, out: &mut Vec<String>) {
        match value {
            Value::Null => panic!("{path} is null"),
            Value::Object(fields) => fields.iter().for_each(|(name, field)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                out.push(path.clone());
                collect(field, &path, out);
            }),
            Value::Array(items) => items.iter().for_each(|item| collect(item, &format!("{path}[]"), out)),
            _ => {}
        }
    }

    #[test]
    fn groups_carry_the_id() {
        let tenant = Tenant::of(&order());
        assert_eq!(tenant.groups("oidc:"), format!("oidc:tenantry:{}:", tenant.id));
    }
}
