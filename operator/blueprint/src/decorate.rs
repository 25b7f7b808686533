//! What the plan puts on workloads after rendering: bandwidth, placement, priority and load balancers; pure.
//!
//! It is done here and not in templates, so that no application can leave it out and every kind is treated alike.

use crate::kinds::GroupKind;
use serde_json::{Map, Value, json};
use tenantry_checklist::access::TenantId;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::blueprint::AllowList;
use tenantry_crds::plan::QualityOfService;
use tenantry_servers::marks::{TAINT, TENANT_LABEL};

/// Label of nodes that says which class of servers they belong to.
pub const SERVER_CLASS_LABEL: &str = "tenantry.io/server-class";
/// Annotations of the bandwidth plugin of the container network interface.
const INGRESS_BANDWIDTH: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS_BANDWIDTH: &str = "kubernetes.io/egress-bandwidth";

/// Puts what the plan says on one object. Objects without pods and other services stay as they are.
pub(crate) fn decorate(
    object: &mut Value,
    kind: &GroupKind,
    plan: &ServicePlanSpec,
    tenant: &TenantId,
    allow_list: AllowList,
    allow_from: &[String],
) {
    if let Some(template) = pod_template(object, kind) {
        workload(template, plan, tenant);
    }
    if kind.is("", "Service") {
        service(object, allow_list, allow_from);
    }
}

/// Name of the priority class of a quality of service.
#[must_use]
pub fn priority_class(quality: QualityOfService) -> &'static str {
    match quality {
        QualityOfService::BestEffort => "tenantry-besteffort",
        QualityOfService::Assured => "tenantry-assured",
        QualityOfService::Premium => "tenantry-premium",
    }
}

/// Where the pods of a built-in kind are described: the path of an object with `metadata` and `spec`.
pub(crate) fn pod_path(kind: &GroupKind) -> Option<&'static str> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => Some("/spec/template"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        ("", "Pod") => Some(""),
        _ => None,
    }
}

/// Whether objects of a built-in kind run pods.
#[must_use]
pub fn runs_pods(kind: &GroupKind) -> bool {
    pod_path(kind).is_some()
}

/// Names of the claims whose volumes the pods of an object mount.
pub fn claims<'a>(object: &'a Value, kind: &GroupKind) -> impl Iterator<Item = &'a str> + use<'a> {
    let template = pod_path(kind).and_then(|path| object.pointer(path));
    let volumes = template.and_then(|template| template.pointer("/spec/volumes")).and_then(Value::as_array);
    let claim = |volume: &'a Value| volume.pointer("/persistentVolumeClaim/claimName")?.as_str();
    volumes.into_iter().flatten().filter_map(claim)
}

fn pod_template<'a>(object: &'a mut Value, kind: &GroupKind) -> Option<&'a mut Map<String, Value>> {
    object.pointer_mut(pod_path(kind)?)?.as_object_mut()
}

fn workload(template: &mut Map<String, Value>, plan: &ServicePlanSpec, tenant: &TenantId) {
    if let (Some(bandwidth), Some(annotations)) = (
        &plan.network.bandwidth,
        child(template, "metadata").and_then(|metadata| child(metadata, "annotations")),
    ) {
        annotations.insert(INGRESS_BANDWIDTH.to_owned(), json!(bandwidth.per_pod.ingress));
        annotations.insert(EGRESS_BANDWIDTH.to_owned(), json!(bandwidth.per_pod.egress));
    }
    if let Some(spec) = child(template, "spec") {
        spec.insert("priorityClassName".to_owned(), json!(priority_class(plan.network.quality_of_service)));
        if let Some(selector) = child(spec, "nodeSelector") {
            selector.insert(SERVER_CLASS_LABEL.to_owned(), json!(plan.servers.class));
            if plan.servers.dedicated_nodes.is_some() {
                selector.insert(TENANT_LABEL.to_owned(), json!(tenant.as_str()));
            }
        }
        if plan.servers.dedicated_nodes.is_some() {
            tolerate_own_servers(spec, tenant);
        }
    }
}

/// Lets pods run on the servers that are their tenant's alone. What a template says about that taint itself has no effect.
fn tolerate_own_servers(spec: &mut Map<String, Value>, tenant: &TenantId) {
    let given = spec.entry("tolerations").or_insert_with(|| json!([]));
    if given.is_null() {
        *given = json!([]);
    }
    if let Some(given) = given.as_array_mut() {
        given.retain(|toleration| toleration.get("key").and_then(Value::as_str) != Some(TAINT));
        given.push(
            json!({"key": TAINT, "operator": "Equal", "value": tenant.as_str(), "effect": "NoSchedule"}),
        );
    }
}

/// Load balancers take no node ports, which the plan counts apart, and keep out who is not on the allow-list.
fn service(object: &mut Value, allow_list: AllowList, allow_from: &[String]) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if spec.get("type").and_then(Value::as_str) != Some("LoadBalancer") {
        return;
    }
    spec.insert("allocateLoadBalancerNodePorts".to_owned(), json!(false));
    if allow_list == AllowList::LoadBalancerSourceRanges && !allow_from.is_empty() {
        spec.insert("loadBalancerSourceRanges".to_owned(), json!(allow_from));
    }
}

/// The object under a key, made where there is none. A value of another type is left for the API server to refuse.
pub(crate) fn child<'a>(of: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = of.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_crds::plan::{Bandwidth, PodBandwidth};

    fn plan() -> ServicePlanSpec {
        let mut plan = ServicePlanSpec::default();
        plan.network.bandwidth =
            Some(Bandwidth { per_pod: PodBandwidth { ingress: "10M".into(), egress: "20M".into() } });
        plan.network.quality_of_service = QualityOfService::Assured;
        plan.servers.class = "standard".into();
        plan
    }

    fn decorated(mut object: Value, allow_list: AllowList) -> Value {
        let kind = GroupKind::new(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        decorate(&mut object, &kind, &plan(), &tenant(), allow_list, &["203.0.113.0/24".to_owned()]);
        object
    }

    fn tenant() -> TenantId {
        TenantId::from_random([3; 10])
    }

    #[test]
    fn whoever_has_servers_of_its_own_runs_there_and_tolerates_only_its_own() {
        let mut plan = plan();
        plan.servers.dedicated_nodes = Some(2);
        let others = json!([{"key": TAINT, "operator": "Exists"}, {"key": "spot", "operator": "Exists"}]);
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "spec": {"template": {"spec": {"containers": [], "tolerations": others}}}});
        decorate(
            &mut object,
            &GroupKind::new("apps/v1", "Deployment"),
            &plan,
            &tenant(),
            AllowList::None,
            &[],
        );
        let pod = &object["spec"]["template"]["spec"];
        let id = tenant().to_string();
        assert_eq!(pod["nodeSelector"], json!({SERVER_CLASS_LABEL: "standard", TENANT_LABEL: id}));
        let own = json!({"key": TAINT, "operator": "Equal", "value": id, "effect": "NoSchedule"});
        assert_eq!(pod["tolerations"], json!([{"key": "spot", "operator": "Exists"}, own]));
    }

    #[test]
    fn every_built_in_kind_with_pods_is_decorated() {
        let pod = json!({"spec": {"containers": [], "priorityClassName": "system-cluster-critical", "nodeSelector": {"a": "b"}}});
        for (api, kind, wrap) in [
            ("apps/v1", "Deployment", "/spec/template"),
            ("apps/v1", "StatefulSet", "/spec/template"),
            ("apps/v1", "DaemonSet", "/spec/template"),
            ("apps/v1", "ReplicaSet", "/spec/template"),
            ("batch/v1", "Job", "/spec/template"),
            ("v1", "ReplicationController", "/spec/template"),
            ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template"),
            ("v1", "Pod", ""),
        ] {
            let mut object = json!({"apiVersion": api, "kind": kind});
            let mut inner = pod.clone();
            for key in wrap.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
                inner = json!({ key: inner });
            }
            object.as_object_mut().unwrap().extend(inner.as_object().unwrap().clone());
            let object = decorated(object, AllowList::None);
            let pod = object.pointer(wrap).unwrap();
            assert_eq!(
                pod["metadata"]["annotations"],
                json!({INGRESS_BANDWIDTH: "10M", EGRESS_BANDWIDTH: "20M"}),
                "{kind}"
            );
            assert_eq!(
                pod["spec"]["nodeSelector"],
                json!({"a": "b", SERVER_CLASS_LABEL: "standard"}),
                "{kind}"
            );
            assert_eq!(pod["spec"]["priorityClassName"], json!("tenantry-assured"), "{kind}");
        }
    }

    #[test]
    fn load_balancers_are_closed_to_strangers() {
        let service = |kind: &str| json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": kind}});
        let open = decorated(service("LoadBalancer"), AllowList::EnvoySecurityPolicy);
        assert_eq!(open["spec"], json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false}));
        let closed = decorated(service("LoadBalancer"), AllowList::LoadBalancerSourceRanges);
        assert_eq!(closed["spec"]["loadBalancerSourceRanges"], json!(["203.0.113.0/24"]));
        assert_eq!(
            decorated(service("ClusterIP"), AllowList::LoadBalancerSourceRanges)["spec"],
            json!({"type": "ClusterIP"})
        );
        let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "spec": {"template": {"spec": {}}}});
        assert_eq!(decorated(other.clone(), AllowList::None), other);
    }
}
