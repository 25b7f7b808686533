//! Whole definitions, packed from folders as authors keep them.

use crate::check::{
    Example, Finding, Source, check_application, check_blueprint, check_examples, check_version,
};
use crate::context::{Specs, Tenant};
use crate::pack::{Definition, Packed, pack};
use crate::render::Compiled;
use tenantry_checklist::access::SubscriptionName;
use tenantry_crds::{BlueprintSpec, HostedApplicationSpec, HostedApplicationVersionSpec, ServicePlanSpec};

const BLUEPRINT: &str = "apiVersion: tenantry.io/v1alpha1
kind: Blueprint
metadata: {name: standard}
spec:
  allowedKinds:
    - {group: \"\", kinds: [ConfigMap, Service]}
  settings:
    gateway: {name: public, namespace: ingress}
  items:
    - {name: contract, title: Contract, category: Contract, check: {}}
    - {name: security, title: Security, category: Security, dependsOn: [contract], manifests: [], baseline: [Namespace]}
    - name: network
      title: Network
      category: Network
      dependsOn: [security]
      baseline: [DefaultDeny]
      manifests:
        - {name: allow.yaml, file: network.yaml.tera}
    - {name: servers, title: Servers, category: Servers, dependsOn: [security], manifests: [], baseline: [LimitRange]}
    - {name: quota, title: Quota, category: Servers, dependsOn: [servers], manifests: [], baseline: [ResourceQuota]}
    - {name: application, title: Application, category: Application, dependsOn: [network, servers], application: {}}
    - {name: accounts, title: Accounts, category: Accounts, dependsOn: [application, quota], manifests: [], baseline: [AccessBindings]}
    - name: go-live
      title: Open
      category: GoLive
      dependsOn: [accounts]
      goLive:
        manifests:
          - name: route.yaml
            readyWhen: object.status.ok
            template: |
              apiVersion: gateway.networking.k8s.io/v1
              kind: HTTPRoute
              metadata: {name: public}
";

const NETWORK: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow}
spec:
  podSelector: {}
  ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ settings.gateway.namespace }}}}}]}]
";

fn packed(document: &str, files: &[(&str, &str)]) -> Packed {
    let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
    pack("dir/doc.yaml", document, &read).unwrap_or_else(|findings| panic!("{findings:?}"))
}

fn blueprint_of(packed: &Packed) -> &BlueprintSpec {
    match &packed.definition {
        Definition::Blueprint(spec) => spec,
        other => panic!("{other:?}"),
    }
}

fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn findings(document: &str, network: &str) -> Vec<String> {
    let packed = packed(document, &[("dir/network.yaml.tera", network)]);
    shown(&check_blueprint(Source { spec: blueprint_of(&packed), map: &packed.sources }))
}

#[test]
fn a_good_blueprint_has_no_findings() {
    assert_eq!(findings(BLUEPRINT, NETWORK), Vec::<String>::new());
}

#[test]
fn findings_point_into_the_authors_files() {
    for (from, to, expected) in [
        (
            "dependsOn: [contract]",
            "dependsOn: [contrakt]",
            "dir/doc.yaml:11:73: error: the item `security` depends on `contrakt`, which is not there; did you mean `contract`?",
        ),
        (
            "dependsOn: [contract]",
            "dependsOn: [go-live]",
            "dir/doc.yaml:11:61: error: these items wait for each other: security -> go-live -> accounts -> application -> network -> security; remove one of the dependencies",
        ),
        (
            "readyWhen: object.status.ok",
            "readyWhen: object.status.",
            "dir/doc.yaml:30:38: error: the expression is not valid at 1:15",
        ),
        (
            "check: {}}",
            "check: {}, when: \"plan.tiers == 'Gold'\"}",
            "dir/doc.yaml:10:84: error: the expression reads `tiers`, which is not there; did you mean `tier`?",
        ),
        (
            "baseline: [Namespace]",
            "baseline: [Namespace, DefaultDeny]",
            "dir/doc.yaml:16:18: error: DefaultDeny is already cited by the item `security`; cite it once",
        ),
        (
            "baseline: [DefaultDeny]",
            "owner: Provider",
            "dir/doc.yaml:9:3: error: no item cites DefaultDeny; add `baseline: [DefaultDeny]` to the item that answers for it",
        ),
        (
            "application: {}}",
            "manifests: []}",
            "dir/doc.yaml:9:3: error: no item installs the application; add an item with the action `application: {}`",
        ),
        (
            "dependsOn: [network, servers]",
            "dependsOn: [network]",
            "dir/doc.yaml:21:7: error: the item `application` may start pods and does not wait for LimitRange; add `servers` to its dependsOn",
        ),
        (
            "dependsOn: [application, quota]",
            "dependsOn: [security, quota]",
            "dir/doc.yaml:22:7: error: the item `accounts` gives people access and does not wait for DefaultDeny; add `network` to its dependsOn",
        ),
        (
            "    - {name: contract",
            "    - {name: early, title: E, category: Platform, manifests: [{name: a.yaml, template: \"kind: Job\"}]}\n    - {name: contract",
            "dir/doc.yaml:10:7: error: the item `early` may start pods and does not wait for Namespace; add `security` to its dependsOn",
        ),
        (
            "metadata: {name: public}",
            "metadata: {name: {{ plan.nope }}}",
            "dir/doc.yaml:34:40: error: there is no field `nope` here;",
        ),
        (
            "kinds: [ConfigMap, Service]",
            "kinds: [ConfigMap, Secret]",
            "dir/doc.yaml:6:38: error: the kind Secret cannot be allowed; declare it under secrets",
        ),
        (
            "dependsOn: [network, servers]",
            "dependsOn: [network, quota]",
            "dir/doc.yaml:21:70: error: the item `application` waits for ResourceQuota of `quota`, which is created after the objects of `application`; leave that dependency out",
        ),
        (
            "name: servers",
            "name: network",
            "dir/doc.yaml:19:14: error: the item `network` is there twice; rename one of them",
        ),
        ("baseline: [LimitRange", "when: \"true\", baseline: [LimitRange", "dir/doc.yaml:19:"),
        (
            "{name: allow.yaml, file",
            "{name: allow.yaml, item: network, file",
            "dir/doc.yaml:18:36: error: a manifest of a blueprint belongs to the item it stands in; remove `item`",
        ),
    ] {
        let found = findings(&BLUEPRINT.replacen(from, to, 1), NETWORK);
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{to}: {found:#?}");
    }
    let found = findings(BLUEPRINT, &NETWORK.replace("settings.gateway", "settings.gatewy"));
    assert_eq!(
        found,
        ["dir/network.yaml.tera:6:97: error: there is no field `gatewy` here; did you mean `gateway`?"]
    );
    let found = findings(BLUEPRINT, &NETWORK.replace("settings.gateway.namespace", "parameters.zone"));
    assert!(found[0].contains("there is no field `zone`"), "a blueprint serves every application: {found:?}");
    let found = findings(BLUEPRINT, &NETWORK.replace("namespace }}", "namespace | uper }}"));
    assert!(found[0].starts_with("dir/network.yaml.tera:6:"), "{found:?}");
}

#[test]
fn what_waits_for_a_broken_item_is_unreachable() {
    let found = findings(&BLUEPRINT.replacen("dependsOn: [contract]", "dependsOn: [nowhere]", 1), NETWORK);
    assert!(
        found
            .iter()
            .any(|finding| finding
                .contains("the item `go-live` can never start, because it waits for `security`")),
        "{found:#?}"
    );
}

const APPLICATION: &str = "apiVersion: tenantry.io/v1alpha1
kind: HostedApplication
metadata: {name: shop}
spec:
  displayName: Shop
  parametersSchema: {type: object, properties: {motto: {type: string}}}
";

const VERSION: &str = "apiVersion: tenantry.io/v1alpha1
kind: HostedApplicationVersion
metadata: {name: shop-1.0}
spec:
  applicationRef: {name: shop}
  version: \"1.0\"
  lifecycle: Published
  endpoints: [{name: web, serviceRef: {name: web, port: 80}}]
  manifests:
    - {name: config.yaml, file: config.yaml.tera}
    - name: web.yaml
      item: application
      template: |
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {ports: [{port: 80}]}
";

const CONFIG: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata:\n  motto: {{ parameters.motto }}\n";

struct Shop {
    blueprint: Packed,
    application: Packed,
    version: Packed,
}

fn shop(version: &str, config: &str) -> Shop {
    Shop {
        blueprint: packed(BLUEPRINT, &[("dir/network.yaml.tera", NETWORK)]),
        application: packed(APPLICATION, &[]),
        version: packed(version, &[("dir/config.yaml.tera", config)]),
    }
}

impl Shop {
    fn specs(&self) -> (&HostedApplicationSpec, &HostedApplicationVersionSpec) {
        match (&self.application.definition, &self.version.definition) {
            (Definition::Application(application), Definition::Version(version)) => (application, version),
            other => panic!("{other:?}"),
        }
    }

    fn findings(&self) -> Vec<String> {
        let (application, version) = self.specs();
        let source = Source { spec: version, map: &self.version.sources };
        shown(&check_version(source, application, Some(blueprint_of(&self.blueprint))))
    }

    fn example(&self, plan: &ServicePlanSpec, name: &str) -> Vec<String> {
        let (application, version) = self.specs();
        let definitions = Specs { blueprint: blueprint_of(&self.blueprint), application, version };
        let compiled = Compiled::new(definitions).unwrap_or_else(|errors| panic!("{errors:?}"));
        let namespace = "acme".parse::<SubscriptionName>().unwrap().namespace();
        let tenant = Tenant { id: "k7".parse().unwrap(), namespace };
        let context = compiled.context_from(tenant, plan, serde_json::json!({"parameters": {"motto": name}}));
        let example = Example { name: "tenants/acme.yaml", context: &context };
        shown(&check_examples(&compiled, &self.blueprint.sources, &self.version.sources, &[example]))
    }
}

fn plan() -> ServicePlanSpec {
    let mut plan = ServicePlanSpec::default();
    for amount in [
        &mut plan.servers.cpu,
        &mut plan.servers.memory,
        &mut plan.servers.disk,
        &mut plan.servers.limit_ratio,
    ] {
        *amount = "1".into();
    }
    plan
}

#[test]
fn good_applications_have_no_findings() {
    let shop = shop(VERSION, CONFIG);
    assert_eq!(shop.findings(), Vec::<String>::new());
    assert_eq!(shop.example(&plan(), "hello"), Vec::<String>::new());
    let source = Source { spec: shop.specs().0, map: &shop.application.sources };
    assert_eq!(check_application(source), []);
}

#[test]
fn versions_are_checked_against_application_and_blueprint() {
    let found = shop(VERSION, &CONFIG.replace("motto }}", "moto }}")).findings();
    assert_eq!(
        found,
        ["dir/config.yaml.tera:5:24: error: there is no field `moto` here; did you mean `motto`?"]
    );
    let found = shop(&VERSION.replace("item: application", "item: aplication"), CONFIG).findings();
    assert_eq!(
        found,
        ["dir/doc.yaml:12:13: error: the blueprint has no item `aplication`; did you mean `application`?"]
    );
    let found = shop(&VERSION.replace("item: application", "item: contract"), CONFIG).findings();
    assert_eq!(
        found,
        [
            "dir/doc.yaml:12:13: error: the item `contract` only checks and holds no objects; name another item"
        ]
    );
}

/// A job reads what every item that runs it waits for, and nothing that may not be there yet.
#[test]
fn jobs_read_only_what_is_found_before_them() {
    let job = |role: &str, text: &str| {
        format!(
            "  jobs:\n    - role: {role}\n      template: |\n        kind: Job\n        metadata: {{name: {text}}}\n"
        )
    };
    let checklist = |after: &str| {
        BLUEPRINT.replace(
            "    - {name: accounts,",
            &format!(
                "    - {{name: loading, title: L, category: DataConversion, dependsOn: [application], job: {{role: Convert, load: CutOver}}}}\n\
                 \x20   - {{name: testing, title: T, category: Testing, dependsOn: [{after}], job: {{role: Verify}}}}\n\
                 \x20   - {{name: accounts,"
            ),
        )
    };
    let found = |after: &str, role: &str, text: &str| {
        let mut shop = shop(&format!("{VERSION}{}", job(role, text)), CONFIG);
        shop.blueprint = packed(&checklist(after), &[("dir/network.yaml.tera", NETWORK)]);
        shop.findings()
    };
    let rows = "rows-{{ outputs.convert.rows }}";
    assert_eq!(found("loading", "Verify", rows), Vec::<String>::new());
    let late = found("application", "Verify", rows);
    let is_told = |found: &[String]| {
        found.iter().any(|one| {
            one.contains(
                "there is no field `convert` here; every item that runs this job has to wait for the job",
            )
        })
    };
    assert!(is_told(&late), "{late:?}");
    let itself = found("loading", "Convert", rows);
    assert!(is_told(&itself), "{itself:?}");
}

#[test]
fn examples_show_what_only_a_render_can() {
    let found = shop(VERSION, &CONFIG.replace("ConfigMap", "Lease")).example(&plan(), "x");
    assert_eq!(
        found,
        [
            "dir/config.yaml.tera:2:1: error: the kind Lease is not allowed (order tenants/acme.yaml); add the kind to allowedKinds of the blueprint, or remove the object"
        ]
    );
    let found = shop(VERSION, &CONFIG.replace("name: config", "name: {{ parameters.motto }}"))
        .example(&plan(), "Not A Name");
    assert!(
        found[0].starts_with("dir/config.yaml.tera:3:12: error: metadata.name is not a DNS name"),
        "{found:?}"
    );
    let found = shop(&VERSION.replace("port: 80}}]", "port: 81}}]"), CONFIG).example(&plan(), "x");
    assert_eq!(
        found,
        [
            "dir/doc.yaml:8:27: error: the service `web` has no port 81; correct serviceRef, or the template of the service"
        ]
    );
    let balancer = VERSION.replace("spec: {ports", "spec: {type: LoadBalancer, ports");
    let found = shop(&balancer, CONFIG).example(&plan(), "x");
    assert_eq!(
        found,
        [
            "tenants/acme.yaml:1:1: error: the application needs 1 of services.loadbalancers, and the plan allows 0; order a larger plan or choose smaller parameters"
        ]
    );
}

#[test]
fn parameters_need_a_shape() {
    let application = APPLICATION.replace("motto: {type: string}", "motto: {}");
    let packed = packed(&application, &[]);
    let Definition::Application(spec) = &packed.definition else { panic!("not an application") };
    let found = shown(&check_application(Source { spec, map: &packed.sources }));
    assert_eq!(found, ["dir/doc.yaml:6:49: error: the schema does not say what `motto` is; give it a type"]);
}
