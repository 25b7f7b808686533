use super::*;
use tenantry_checklist::access::SubscriptionName;
use tenantry_crds::plan::StorageClassShare;
use tenantry_crds::quantity::Quantity;

fn plan() -> ServicePlanSpec {
    let mut plan = ServicePlanSpec::default();
    plan.servers.cpu = "2".into();
    plan.servers.memory = "4Gi".into();
    plan.servers.disk = "10Gi".into();
    plan.servers.limit_ratio = "2".into();
    plan.servers.pods = 10;
    plan.network.load_balancers = 1;
    plan.storage.classes =
        vec![StorageClassShare { name: "fast".into(), total_capacity: "20Gi".into(), max_volumes: 2 }];
    plan
}

fn tenant() -> Tenant {
    Tenant { id: "k7w3".parse().unwrap(), namespace: "acme".parse::<SubscriptionName>().unwrap().namespace() }
}

fn build(users: &[User]) -> BTreeMap<Baseline, Vec<RenderedObject>> {
    build_for(users, false)
}

fn build_for(users: &[User], has_jobs: bool) -> BTreeMap<Baseline, Vec<RenderedObject>> {
    built(users, has_jobs, (false, false))
}

/// Built while nobody gets in, or nothing runs.
fn built(
    users: &[User],
    has_jobs: bool,
    (network_suspended, compute_suspended): (bool, bool),
) -> BTreeMap<Baseline, Vec<RenderedObject>> {
    let settings = Settings { group_prefix: "oidc:".into(), ..Settings::default() };
    let (tenant, plan) = (tenant(), plan());
    objects(BaselineInput {
        tenant: &tenant,
        plan: &plan,
        users,
        settings: &settings,
        has_jobs,
        network_suspended,
        compute_suspended,
    })
    .unwrap()
}

/// Nobody is bound and no pod may start, and nothing else is another.
#[test]
fn a_suspension_changes_who_gets_in_and_what_runs_and_nothing_else() {
    let ada = User { name: "ada".into(), roles: vec![Role::Administrator], ..User::default() };
    let users = [ada];
    let served = built(&users, true, (false, false));
    for (network, compute) in [(true, false), (false, true), (true, true)] {
        let suspended = built(&users, true, (network, compute));
        for (part, objects) in &suspended {
            let differs = objects != &served[part];
            let expected = match part {
                Baseline::AccessBindings => network,
                Baseline::ResourceQuota => compute,
                _ => false,
            };
            assert_eq!(differs, expected, "{part:?} with {network} {compute}");
        }
        let names = |all: &BTreeMap<Baseline, Vec<RenderedObject>>| -> Vec<String> {
            all.values().flatten().map(|object| object.name.clone()).collect()
        };
        assert_eq!(names(&suspended), names(&served), "what is there stays");
        let subjects = &suspended[&Baseline::AccessBindings][0].body["subjects"];
        assert_eq!(subjects.as_array().unwrap().len(), usize::from(!network));
        let quota = &suspended[&Baseline::ResourceQuota];
        let of_pods = quota.iter().find(|object| object.name.ends_with("quota-pods")).unwrap();
        assert_eq!(of_pods.body["spec"]["hard"]["pods"] == json!("0"), compute);
    }
}

/// The larger of two plans in everything that is bounded, whichever way the change goes, and nothing else of the plan.
#[test]
fn while_two_plans_stand_there_is_room_for_both() {
    let mut other = plan();
    other.servers.cpu = "3".into();
    other.servers.memory = "1Gi".into();
    other.servers.pods = 4;
    other.servers.limit_ratio = "1".into();
    other.network.load_balancers = 2;
    other.security.profile = SecurityProfile::Baseline;
    other.storage.classes =
        vec![StorageClassShare { name: "slow".into(), total_capacity: "1Gi".into(), max_volumes: 1 }];
    let (tenant, settings, mine) = (tenant(), Settings::default(), plan());
    let input = |plan, compute_suspended| BaselineInput {
        tenant: &tenant,
        plan,
        users: &[],
        settings: &settings,
        has_jobs: false,
        network_suspended: false,
        compute_suspended,
    };
    let hard = |all: &BTreeMap<Baseline, Vec<RenderedObject>>| {
        all[&Baseline::ResourceQuota][0].body["spec"]["hard"].clone()
    };
    let up = with_room(input(&mine, false), [&other]).unwrap();
    let down = with_room(input(&other, false), [&mine]).unwrap();
    assert_eq!(hard(&up), hard(&down));
    assert_eq!(up[&Baseline::Namespace], down[&Baseline::Namespace], "the wider profile");
    let of = |resource: &str| hard(&up)[resource].as_str().unwrap_or_default().to_owned();
    let expected = [
        ("requests.cpu", "3"),
        ("requests.memory", "4Gi"),
        ("limits.cpu", "4"),
        ("limits.memory", "8Gi"),
        ("pods", "10"),
        ("services.loadbalancers", "2"),
        ("requests.storage", "20Gi"),
        ("fast.storageclass.storage.k8s.io/requests.storage", "20Gi"),
        ("slow.storageclass.storage.k8s.io/requests.storage", "1Gi"),
    ];
    for (resource, bound) in expected {
        assert_eq!(of(resource), bound, "{resource}");
    }
    assert_eq!(hard(&with_room(input(&mine, true), [&other]).unwrap())["pods"], json!("0"), "suspended");
    // Without another plan it is what is rendered anyway.
    let alone = with_room(input(&mine, false), []).unwrap();
    let plain = objects(input(&mine, false)).unwrap();
    for (part, objects) in &alone {
        assert_eq!(objects, &plain[part], "{part:?}");
    }
}

/// What runs is counted without the pods that only an update adds.
#[test]
fn at_rest_there_are_fewer_pods_than_at_most() {
    let web = workload("Deployment", json!({"replicas": 4}), asks("400m", "1Mi"));
    let limits = Limits::new(&plan()).unwrap();
    let pods = |needs: BTreeMap<String, Quantity>| needs["pods"].to_string();
    assert_eq!((pods(at_rest([&web], &limits)), pods(at_most([&web], &limits))), ("4".into(), "5".into()));
}

fn body(part: Baseline) -> Value {
    build(&[])[&part][0].body.clone()
}

#[test]
fn the_namespace_enforces_pod_security() {
    assert_eq!(
        body(Baseline::Namespace),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-acme", "labels": {
            "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest",
            "pod-security.kubernetes.io/audit": "restricted", "pod-security.kubernetes.io/audit-version": "latest",
            "pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/warn-version": "latest",
        }}})
    );
}

#[test]
fn the_quota_is_the_plan() {
    let quota = body(Baseline::ResourceQuota);
    assert_eq!(quota["metadata"], json!({"name": "tenantry-quota", "namespace": "tenant-acme"}));
    assert_eq!(
        quota["spec"]["hard"],
        json!({"requests.cpu": "2", "requests.memory": "4Gi", "limits.cpu": "4", "limits.memory": "8Gi",
            "requests.ephemeral-storage": "10Gi", "pods": "10", "services.loadbalancers": "1", "services.nodeports": "0",
            "requests.storage": "20Gi", "persistentvolumeclaims": "2",
            "fast.storageclass.storage.k8s.io/requests.storage": "20Gi",
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "2"})
    );
}

/// A quota never blocks the jobs of the checklist: what pods ask for is counted apart, and leaves theirs out.
#[test]
fn a_version_with_jobs_has_two_quotas_that_together_are_the_one() {
    let whole = body(Baseline::ResourceQuota)["spec"]["hard"].as_object().unwrap().clone();
    let two = &build_for(&[], true)[&Baseline::ResourceQuota];
    let names: Vec<&str> = two.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["tenantry-quota-pods", "tenantry-quota-objects"]);
    let hard = |at: usize| two[at].body["spec"]["hard"].as_object().unwrap().clone();
    let of_pods: Vec<String> = hard(0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(of_pods, ["limits.cpu", "limits.memory", "pods", "requests.cpu", "requests.memory"]);
    let mut together: serde_json::Map<_, _> = hard(0).into_iter().chain(hard(1)).collect();
    assert_eq!(together["requests.ephemeral-storage"], "11Gi", "with room for a job");
    together["requests.ephemeral-storage"] = json!("10Gi");
    assert_eq!(together, whole);
    assert_eq!(
        two[0].body["spec"]["scopeSelector"]["matchExpressions"],
        json!([{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["tenantry-job"]}])
    );
    assert_eq!(two[1].body["spec"].get("scopeSelector"), None);
}

#[test]
fn limits_follow_the_plan() {
    assert_eq!(
        body(Baseline::LimitRange)["spec"]["limits"],
        json!([
            {"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
             "default": {"cpu": "200m", "memory": "256Mi", "ephemeral-storage": "10Gi"},
             "max": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "10Gi"},
             "maxLimitRequestRatio": {"cpu": "2", "memory": "2"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "20Gi"}},
        ])
    );
    let mut tiny = plan();
    tiny.servers.cpu = "50m".into();
    assert_eq!(Limits::new(&tiny).unwrap().default_request.cpu.to_string(), "50m");
    tiny.servers.memory = "much".into();
    assert_eq!(
        Limits::new(&tiny).unwrap_err().to_string(),
        "plan: servers.memory: is not a quantity; write a number with an optional unit, such as 500m, 2 or 16Gi"
    );
}

#[test]
fn people_get_one_binding_for_each_role_somebody_has() {
    let user = |roles: &[Role]| User { name: "u".into(), roles: roles.to_vec(), ..User::default() };
    let built = build(&[user(&[Role::Viewer, Role::Administrator]), user(&[Role::Viewer])]);
    let names: Vec<&str> =
        built[&Baseline::AccessBindings].iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["tenantry-access-administrator", "tenantry-access-viewer"]);
    let viewer = &built[&Baseline::AccessBindings][1].body;
    assert_eq!(
        viewer["roleRef"],
        json!({"apiGroup": RBAC, "kind": "ClusterRole", "name": "tenantry-viewer"})
    );
    assert_eq!(
        viewer["subjects"],
        json!([{"kind": "Group", "name": "oidc:tenantry:k7w3:viewer", "apiGroup": RBAC}])
    );
    assert!(build(&[])[&Baseline::AccessBindings].is_empty());
}

#[test]
fn the_controller_binds_itself() {
    let controller = ServiceAccount { namespace: "tenantry-system".into(), name: "tenantry".into() };
    let binding = manager_binding(&tenant(), &controller);
    assert_eq!(binding.body["roleRef"]["name"], json!("tenantry-tenant-manager"));
    assert_eq!(
        binding.body["subjects"],
        json!([{"kind": "ServiceAccount", "name": "tenantry", "namespace": "tenantry-system"}])
    );
    assert_eq!(binding.body["metadata"], json!({"name": "tenantry-manager", "namespace": "tenant-acme"}));
}

fn misfits(objects: &[Value]) -> Vec<String> {
    let (quota, limits) = (Quota::new(&plan()).unwrap(), Limits::new(&plan()).unwrap());
    match fits(objects, &quota, &limits) {
        Ok(()) => Vec::new(),
        Err(misfits) => misfits
            .iter()
            .map(|misfit| match misfit {
                Misfit::Shortfall { resource, needed, allowed } => format!("{resource} {needed}>{allowed}"),
                other => other.to_string(),
            })
            .collect(),
    }
}

fn workload(kind: &str, spec: Value, containers: Value) -> Value {
    let mut spec = spec;
    spec.as_object_mut().unwrap().insert("template".into(), json!({"spec": {"containers": containers}}));
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec})
}

fn asks(cpu: &str, memory: &str) -> Value {
    json!([{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}}])
}

#[test]
fn rolling_updates_and_autoscalers_are_counted() {
    let none = Vec::<String>::new();
    // 4 x 400m + 1 surge pod = 2 cores: fits exactly.
    assert_eq!(misfits(&[workload("Deployment", json!({"replicas": 4}), asks("400m", "1Mi"))]), none);
    assert_eq!(
        misfits(&[workload("Deployment", json!({"replicas": 5}), asks("400m", "1Mi"))]),
        ["requests.cpu 2800m>2"]
    );
    let fixed = json!({"replicas": 5, "strategy": {"type": "Recreate"}});
    assert_eq!(misfits(&[workload("Deployment", fixed, asks("400m", "1Mi"))]), none);
    let surge = json!({"replicas": 2, "strategy": {"rollingUpdate": {"maxSurge": "100%"}}});
    assert_eq!(misfits(&[workload("Deployment", surge, asks("501m", "1Mi"))]), ["requests.cpu 2004m>2"]);
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"maxReplicas": 8, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}});
    assert_eq!(
        misfits(&[workload("Deployment", json!({"replicas": 1}), asks("10m", "1Mi")), scaler.clone()]),
        none
    );
    let other = workload("StatefulSet", json!({"replicas": 11}), asks("1m", "1Mi"));
    assert_eq!(misfits(&[other, scaler]), ["pods 11>10"]);
}

#[test]
fn defaults_and_init_containers_are_counted() {
    // Ten pods without numbers: 10 x 100m, and 10 x 256Mi of limits; the eleventh is one too many.
    assert_eq!(
        misfits(&[workload("StatefulSet", json!({"replicas": 10}), json!([{"name": "c"}]))]),
        Vec::<String>::new()
    );
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "containers": asks("1", "1Gi"),
        "initContainers": [
            {"name": "stay", "restartPolicy": "Always", "resources": {"limits": {"cpu": "600m", "memory": "1Mi"}}},
            {"name": "first", "resources": {"limits": {"cpu": "1500m", "memory": "1Mi"}}},
        ],
    }});
    // Starting: 600m + 1500m; running: 1 + 600m.
    assert_eq!(misfits(&[pod]), ["requests.cpu 2100m>2"]);
}

#[test]
fn containers_that_the_limits_would_refuse_are_named() {
    let container = |resources: Value| json!([{"name": "c", "resources": resources}]);
    for (resources, word) in [
        (json!({"requests": {"cpu": "500m"}}), "state a limit"),
        (json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}}), "limitRatio"),
        (json!({"requests": {"memory": "8Gi"}, "limits": {"memory": "9Gi"}}), "larger plan"),
        (
            json!({"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "11Gi"}}),
            "larger plan",
        ),
    ] {
        let found = misfits(&[workload("StatefulSet", json!({}), container(resources))]);
        assert!(
            found.iter().any(|message| message.contains(word) && message.contains("StatefulSet/web")),
            "{found:?}"
        );
    }
    let found =
        misfits(&[workload("StatefulSet", json!({}), container(json!({"requests": {"cpu": "lots"}})))]);
    assert!(found[0].contains("not a quantity"), "{found:?}");
}

#[test]
fn what_has_no_bound_is_named() {
    assert!(misfits(&[workload("DaemonSet", json!({}), json!([]))])[0].contains("use a Deployment"));
    let cron = |policy: Value| {
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "n"},
        "spec": {"concurrencyPolicy": policy, "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}}})
    };
    assert!(misfits(&[cron(Value::Null)])[0].contains("concurrencyPolicy"));
    assert_eq!(misfits(&[cron(json!("Forbid"))]), Vec::<String>::new());
}

#[test]
fn storage_and_services_are_counted() {
    let claim = |class: &str, size: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}})
    };
    assert_eq!(misfits(&[claim("fast", "20Gi")]), Vec::<String>::new());
    assert_eq!(
        misfits(&[claim("slow", "1Gi")]),
        [
            "slow.storageclass.storage.k8s.io/persistentvolumeclaims 1>0",
            "slow.storageclass.storage.k8s.io/requests.storage 1Gi>0"
        ]
    );
    let template = claim("fast", "7Gi");
    let set = workload("StatefulSet", json!({"replicas": 3, "volumeClaimTemplates": [template]}), json!([]));
    assert_eq!(
        misfits(&[set]),
        [
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims 3>2",
            "fast.storageclass.storage.k8s.io/requests.storage 21Gi>20Gi",
            "persistentvolumeclaims 3>2",
            "requests.storage 21Gi>20Gi"
        ]
    );
    let mut deployment =
        workload("Deployment", json!({"replicas": 3, "strategy": {"type": "Recreate"}}), json!([]));
    let own = claim("fast", "7Gi")["spec"].clone();
    deployment["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": own}}}]);
    assert!(misfits(&[deployment]).contains(&"requests.storage 21Gi>20Gi".to_owned()), "one for each pod");
    let service =
        |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec});
    let ports = json!([{"port": 80}, {"port": 443}]);
    assert_eq!(misfits(&[service(json!({"type": "NodePort", "ports": ports}))]), ["services.nodeports 2>0"]);
    let balancer =
        service(json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": ports}));
    assert_eq!(misfits(std::slice::from_ref(&balancer)), Vec::<String>::new());
    assert_eq!(misfits(&[balancer.clone(), balancer]), ["services.loadbalancers 2>1"]);
}
