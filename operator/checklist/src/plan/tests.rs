use super::*;
use tenantry_crds::plan::{BackupPolicy, PodBandwidth, Role, StorageClassShare};

fn gold() -> ServicePlanSpec {
    let text = r#"{
        "displayName": "Gold", "tier": "Gold", "lifecycle": "Published",
        "network": {"bandwidth": {"perPod": {"ingress": "200M", "egress": "200M"}}, "qualityOfService": "Assured",
                    "loadBalancers": 1, "nodePorts": 2},
        "servers": {"class": "standard", "cpu": "8", "memory": "16Gi", "limitRatio": "2", "disk": "40Gi", "pods": 50, "dedicatedNodes": 2},
        "storage": {"classes": [{"name": "standard", "totalCapacity": "200Gi", "maxVolumes": 10}],
                    "backup": {"schedule": "0 2 * * *", "retain": 14}},
        "accounts": {"seats": 100, "roles": ["administrator", "user"]},
        "security": {"profile": "baseline"},
        "monitoring": {"mode": "RealTime", "metrics": ["latency", "errors"], "retention": "720h"},
        "serviceLevel": {"availability": "99.9", "support": {"firstResponse": "30m"}}
    }"#;
    serde_json::from_str(text).unwrap()
}

#[test]
fn each_entitlement_that_shrinks_is_named_and_growth_is_not() {
    type Change = fn(&mut ServicePlanSpec);
    let table: [(Change, &str); 23] = [
        (|p| p.servers.cpu = "7999m".to_owned(), "servers.cpu from 8 to 7999m"),
        (|p| p.servers.memory = "16G".to_owned(), "servers.memory from 16Gi to 16G"),
        (|p| p.servers.limit_ratio = "1.99".to_owned(), "servers.limitRatio from 2 to 1.99"),
        (|p| p.servers.disk = "1Gi".to_owned(), "servers.disk from 40Gi to 1Gi"),
        (|p| p.servers.pods = 49, "servers.pods from 50 to 49"),
        (|p| p.servers.dedicated_nodes = None, "servers.dedicatedNodes from 2 to 0"),
        (
            |p| p.servers.suspended_grace = Some("720h".to_owned()),
            "servers.suspendedGrace from for ever to 720h",
        ),
        (|p| p.network.load_balancers = 0, "network.loadBalancers from 1 to 0"),
        (|p| p.network.node_ports = 1, "network.nodePorts from 2 to 1"),
        (
            |p| p.network.quality_of_service = QualityOfService::BestEffort,
            "network.qualityOfService from Assured to BestEffort",
        ),
        (
            |p| {
                p.network.bandwidth = Some(Bandwidth {
                    per_pod: PodBandwidth { ingress: "100M".to_owned(), egress: "200M".to_owned() },
                })
            },
            "network.bandwidth.perPod.ingress from 200M to 100M",
        ),
        (
            |p| p.storage.classes[0].total_capacity = "199Gi".to_owned(),
            "storage.classes[standard].totalCapacity from 200Gi to 199Gi",
        ),
        (|p| p.storage.classes[0].max_volumes = 9, "storage.classes[standard].maxVolumes from 10 to 9"),
        (|p| p.storage.classes.clear(), "storage.classes[standard] removed"),
        (|p| p.storage.backup = None, "storage.backup removed"),
        (
            |p| p.storage.backup = Some(BackupPolicy { retain: 13, ..BackupPolicy::default() }),
            "storage.backup.retain from 14 to 13",
        ),
        (|p| p.accounts.seats = 99, "accounts.seats from 100 to 99"),
        (|p| p.accounts.roles = vec![Role::User], "accounts.roles without administrator"),
        (
            |p| p.security.profile = SecurityProfile::Restricted,
            "security.profile from baseline to restricted",
        ),
        (|p| p.monitoring.mode = MonitoringMode::Historical, "monitoring.mode from RealTime to Historical"),
        (|p| p.monitoring.metrics = vec![MonitoringMetric::Errors], "monitoring.metrics without latency"),
        (
            |p| p.service_level.availability = "99.89".to_owned(),
            "serviceLevel.availability from 99.9 to 99.89",
        ),
        (
            |p| p.service_level.support.first_response = "31m".to_owned(),
            "serviceLevel.support.firstResponse from 30m to 31m",
        ),
    ];
    for (change, wanted) in table {
        let mut changed = gold();
        change(&mut changed);
        assert_eq!(lowers(&gold(), &changed), [wanted]);
        assert!(lowers(&changed, &gold()).is_empty(), "{wanted}");
    }
}

#[test]
fn the_same_amounts_in_other_words_lower_nothing() {
    let mut same = gold();
    same.servers.cpu = "8000m".to_owned();
    same.servers.memory = "16384Mi".to_owned();
    same.monitoring.retention = "43200m".to_owned();
    same.storage.classes.push(StorageClassShare { name: "fast".to_owned(), ..StorageClassShare::default() });
    assert!(lowers(&gold(), &same).is_empty());
}

#[test]
fn limits_where_there_were_none_are_lowered() {
    let unlimited = ServicePlanSpec {
        network: tenantry_crds::plan::PlanNetwork { bandwidth: None, ..gold().network },
        ..gold()
    };
    assert_eq!(
        lowers(&unlimited, &gold()),
        ["network.bandwidth.perPod from unlimited to 200M in and 200M out"]
    );
    assert!(lowers(&gold(), &unlimited).is_empty());
}

#[test]
fn plans_that_make_no_sense_are_found_with_their_field() {
    assert!(check(&gold()).is_empty());
    type Change = fn(&mut ServicePlanSpec);
    let table: [(Change, &str); 6] = [
        (|p| p.servers.cpu = "0".to_owned(), "spec.servers.cpu"),
        (|p| p.servers.memory = "lots".to_owned(), "spec.servers.memory"),
        (|p| p.storage.classes.push(p.storage.classes[0].clone()), "spec.storage.classes[1].name"),
        (|p| p.storage.classes[0].total_capacity = "x".to_owned(), "spec.storage.classes[0].totalCapacity"),
        (|p| p.monitoring.retention = "30 days".to_owned(), "spec.monitoring.retention"),
        (|p| p.service_level.availability = "100.1".to_owned(), "spec.serviceLevel.availability"),
    ];
    for (change, field) in table {
        let mut plan = gold();
        change(&mut plan);
        let problems = check(&plan);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!((problems[0].field.as_str(), problems[0].reason), (field, "PlanInvalid"));
        assert!(problems[0].message.contains(';'), "{}", problems[0]);
    }
}
