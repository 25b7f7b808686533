use super::*;
use crate::context::{Specs, Tenant};
use crate::structure::Structure;
use proptest::prelude::*;
use serde_json::json;
use tenantry_checklist::access::SubscriptionName;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::application::HostedApplicationSpec;
use tenantry_crds::blueprint::BlueprintSpec;
use tenantry_crds::version::HostedApplicationVersionSpec;

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: public}
spec:
  hostnames: [{% for h in order.network.hosts %}{{ h }}, {% endfor %}]
";

const CONFIG: &str = "apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  annotations: {owner: {{ order.organization.name }}, country: {{ order.organization.country }}}
data:
  motto: {{ parameters.motto }}
  people: \"{% for u in order.users %}{{ u.name | text }} {% endfor %}\"
  {% for c in order.contacts %}
  contact-{{ loop.index }}: {{ c.name }}
  mail-{{ loop.index }}: {{ c.email }}
  {% endfor %}
  {% for u in order.users %}
  user-{{ loop.index }}: {{ u.displayName }}
  address-{{ loop.index }}: {{ u.email }}
  id-{{ loop.index }}: {{ u.name }}
  {% endfor %}
  {% for h in order.network.hosts %}
  host-{{ loop.index }}: {{ h }}
  {% endfor %}
  {% for r in order.network.allowFrom %}
  range-{{ loop.index }}: {{ r }}
  {% endfor %}
  config.json: |
    {\"motto\": {{ parameters.motto | json }}}
";

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {{ parameters.replicas }}
  template:
    spec:
      containers: [{name: web, image: \"registry.example/web:{{ application.version }}\"}]
";

fn blueprint() -> BlueprintSpec {
    serde_json::from_value(json!({
        "allowedKinds": [{"group": "", "kinds": ["ConfigMap"]}, {"group": "apps", "kinds": ["Deployment"]}],
        "settings": {"gateway": {"name": "public", "namespace": "ingress"}, "groupPrefix": "oidc:"},
        "items": [
            {"name": "contract", "title": "Contract", "category": "Contract", "check": {}},
            {"name": "security", "title": "Security", "category": "Security", "manifests": [],
             "baseline": ["Namespace", "LimitRange"]},
            {"name": "application", "title": "Application", "category": "Application", "application": {}},
            {"name": "extra", "title": "Extra", "category": "Platform", "when": "parameters.replicas > 2",
             "manifests": [{"name": "note.yaml", "template": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: note}\n"}]},
            {"name": "go-live", "title": "Open", "category": "GoLive",
             "goLive": {"manifests": [{"name": "route.yaml", "template": ROUTE, "readyWhen": "object.ok"}]}},
        ],
    }))
    .unwrap()
}

fn application() -> HostedApplicationSpec {
    serde_json::from_value(
        json!({"displayName": "Shop", "parametersSchema": {"type": "object", "properties": {
        "motto": {"type": "string"}, "replicas": {"type": "integer"}}}}),
    )
    .unwrap()
}

fn version() -> HostedApplicationVersionSpec {
    serde_json::from_value(json!({
        "applicationRef": {"name": "shop"}, "version": "1.0", "lifecycle": "Published",
        "manifests": [{"name": "config.yaml", "template": CONFIG}, {"name": "web.yaml", "template": WEB}],
    }))
    .unwrap()
}

fn order(text: &str) -> Value {
    json!({
        "tenant": {"id": "k7w3", "name": "acme", "namespace": "tenant-acme"},
        "order": {
            "organization": {"name": text, "country": text},
            "contacts": [{"role": "Technical", "name": text, "email": text}],
            "users": [{"name": text, "displayName": text, "email": text, "roles": ["administrator"]}],
            "network": {"hosts": [text], "allowFrom": [text]},
        },
        "parameters": {"motto": text, "replicas": 1},
        "application": {"version": "1.0"},
    })
}

fn tenant() -> Tenant {
    let namespace = "acme".parse::<SubscriptionName>().unwrap().namespace();
    Tenant { id: "k7w3".parse().unwrap(), namespace }
}

fn compiled() -> Compiled {
    let (blueprint, application, version) = (blueprint(), application(), version());
    Compiled::new(Specs { blueprint: &blueprint, application: &application, version: &version })
        .unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn render(compiled: &Compiled, order: &Value) -> Result<Vec<RenderedItem>, RenderError> {
    let mut plan = ServicePlanSpec::default();
    plan.servers.class = "standard".into();
    compiled.render(&compiled.context_from(tenant(), &plan, order.clone()))
}

fn bodies(items: &[RenderedItem]) -> Vec<&Value> {
    items.iter().flat_map(|item| &item.objects).map(|object| &object.body).collect()
}

#[test]
fn an_order_becomes_items_with_objects() {
    let compiled = compiled();
    let items = render(&compiled, &order("acme")).unwrap();
    let summary: Vec<(&str, bool, usize)> =
        items.iter().map(|item| (item.name.as_str(), item.skipped.is_some(), item.objects.len())).collect();
    assert_eq!(
        summary,
        [
            ("contract", false, 0),
            ("security", false, 0),
            ("application", false, 2),
            ("extra", true, 0),
            ("go-live", false, 1)
        ]
    );
    let web = items[2].objects.iter().find(|object| object.kind == "Deployment").unwrap();
    assert_eq!(web.origin, "version/web.yaml");
    assert_eq!(web.body["metadata"]["namespace"], json!("tenant-acme"));
    assert_eq!(web.body["spec"]["replicas"], json!(1));
    assert_eq!(
        web.body["spec"]["template"]["spec"]["containers"][0]["image"],
        json!("registry.example/web:1.0")
    );
    assert_eq!(
        web.body["spec"]["template"]["spec"]["nodeSelector"]["tenantry.io/server-class"],
        json!("standard")
    );
    let route = &items[4].objects[0];
    assert_eq!(compiled.readiness(route.ready_when.unwrap()).unwrap().source(), "object.ok");
    assert_eq!(render(&compiled, &order("acme")), Ok(items), "the same order gives the same objects");
}

#[test]
fn objects_that_must_not_be_are_refused_with_their_place() {
    let with = |template: &str| {
        let mut version = version();
        version.manifests[1].template = template.to_owned();
        let (blueprint, application) = (blueprint(), application());
        let definitions = Specs { blueprint: &blueprint, application: &application, version: &version };
        render(&Compiled::new(definitions).unwrap(), &order("acme"))
    };
    let error = with("# note\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "version/web.yaml:3:1: the kind Service is not allowed; add the kind to allowedKinds of the blueprint, or remove the object"
    );
    let error = with("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n").unwrap_err();
    assert!(
        matches!(&error, RenderError::Duplicate { first, .. } if first == "version/config.yaml"),
        "{error}"
    );
    let error = with("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ order.organization.name }} x\n")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "version/web.yaml:4:3: metadata.name is not a DNS name; use lower case letters, digits, dashes and dots, at most 253"
    );
}

#[test]
fn definitions_that_do_not_fit_together_are_refused_as_a_whole() {
    let (mut blueprint, application, mut version) = (blueprint(), application(), version());
    blueprint.items[3].when = Some("parameters.".into());
    version.manifests[0].item = Some("nowhere".into());
    version.manifests[1].template = "{% if %}".into();
    let errors = Compiled::new(Specs { blueprint: &blueprint, application: &application, version: &version })
        .unwrap_err();
    let kinds: Vec<&str> = errors
        .iter()
        .map(|error| match error {
            CompileError::Template(_) => "template",
            CompileError::Expression { .. } => "expression",
            CompileError::UnknownItem { .. } => "item",
            CompileError::NoApplicationItem => "application",
        })
        .collect();
    assert_eq!(kinds, ["expression", "item", "template"]);
}

#[test]
fn one_compiled_revision_serves_many_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Compiled>();
    shared::<Context>();
}

/// The shape of the output and the values in it, for one text in every field a customer can write.
fn hold_still(compiled: &Compiled, canary: &Structure, text: &str) {
    let items = render(compiled, &order(text)).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let objects = bodies(&items);
    assert_eq!(canary.differences(&Structure::of(objects.iter().copied())), [], "{text:?}");
    let data = &objects[0]["data"];
    for key in ["motto", "contact-1", "mail-1", "user-1", "address-1", "id-1", "host-1", "range-1"] {
        assert_eq!(data[key], json!(text), "{key}");
    }
    assert_eq!(data["people"], json!(format!("{text} ")));
    let inner: Value = serde_json::from_str(data["config.json"].as_str().unwrap()).unwrap();
    assert_eq!(inner, json!({ "motto": text }));
    for key in ["owner", "country"] {
        assert_eq!(objects[0]["metadata"]["annotations"][key], json!(text));
    }
    assert_eq!(objects[2]["spec"]["hostnames"], json!([text]));
}

#[test]
fn hostile_values_stay_values() {
    let compiled = compiled();
    let canary = Structure::of(bodies(&render(&compiled, &order("canary")).unwrap()));
    let corpus = hostile_corpus();
    assert!(corpus.len() >= 300, "{}", corpus.len());
    for text in corpus {
        hold_still(&compiled, &canary, &text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_value_stays_a_value(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}|[{}%#&*!|>'\"`\\n :\\-,\\[\\]]{0,30}") {
        let compiled = compiled();
        let canary = Structure::of(bodies(&render(&compiled, &order("canary")).unwrap()));
        hold_still(&compiled, &canary, &text);
    }
}

/// Values that have broken templates, YAML and what reads YAML: each on its own, and inside a longer value.
fn hostile_corpus() -> Vec<String> {
    let mut corpus: Vec<String> = [
        // structure of YAML
        "---",
        "...",
        "\n---\nkind: Pod",
        "\nkind: ClusterRoleBinding",
        "a: b",
        "- a",
        "? a",
        "a\n  b: c",
        "a: b: c",
        "[a]",
        "{a: b}",
        "&a x",
        "*a",
        "<<: *a",
        "!!binary aGk=",
        "!!int 5",
        "!!str x",
        "!foo x",
        "!<tag:yaml.org,2002:null>",
        "%YAML 1.1",
        "%TAG ! x",
        "# comment",
        " # comment",
        "a #b",
        "|",
        ">",
        "|-\n  x",
        ">+\n x",
        "'",
        "\"",
        "''",
        "\"\"",
        "'a",
        "\"a",
        "\\",
        "\\n",
        "\\u0041",
        "@a",
        "`a`",
        ",",
        ":",
        ": ",
        " :",
        "-",
        "- ",
        "?",
        "= ",
        "<",
        ">x",
        "a\tb",
        "\ta",
        " a",
        "a ",
        "  ",
        "\n",
        "\n\n",
        "a\n",
        "\na",
        "\r",
        "\r\n",
        "a\r\nb: c",
        // words YAML retypes
        "no",
        "No",
        "NO",
        "yes",
        "on",
        "off",
        "y",
        "n",
        "true",
        "True",
        "FALSE",
        "null",
        "Null",
        "~",
        "",
        "1",
        "-1",
        "+1",
        "0",
        "00",
        "0123",
        "012",
        "0o7",
        "0x1F",
        "0b1",
        "1e3",
        "1E3",
        "1.0",
        ".5",
        "5.",
        ".inf",
        "-.INF",
        ".nan",
        "1_000",
        "190:20:30",
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "1,000",
        "=",
        "<<",
        "9223372036854775808",
        "1e400",
        "-0",
        "--1",
        // template engines
        "{{7*7}}",
        "{{ order }}",
        "{{ __tera_context }}",
        "{% for x in order.users %}x{% endfor %}",
        "{% raw %}",
        "{% endraw %}",
        "{#",
        "#}",
        "{{",
        "}}",
        "{%",
        "%}",
        "{{ '}}' }}",
        "${x}",
        "$(x)",
        "$x",
        "%(x)s",
        "{0}",
        "<%= 7*7 %>",
        "#{7*7}",
        "{{ .Values.x }}",
        "{{ printf \"%s\" .x }}",
        "[[ x ]]",
        // our own markers and forged tokens
        "\u{E9A0}",
        "\u{E9A1}",
        "\u{E9A2}",
        "\u{E9A0}6162\u{E9A1}",
        "\u{E9A1}6162\u{E9A0}",
        "\u{E9A0}\u{E9A0}61\u{E9A1}\u{E9A1}",
        "\u{E9A0}zz\u{E9A1}",
        "\u{E9A2}7\u{E9A1}",
        "6162",
        // unicode
        "\u{85}",
        "a\u{85}b: c",
        "\u{2028}",
        "\u{2029}",
        "\u{FEFF}",
        "\u{FEFF}kind: x",
        "\u{200B}",
        "\u{200D}",
        "\u{202E}abc",
        "\u{2066}",
        "e\u{301}",
        "\u{1F600}",
        "ß",
        "İ",
        "\u{0}",
        "a\u{0}b",
        "\u{1}",
        "\u{7}",
        "\u{1B}[31m",
        "\u{7F}",
        "\u{9F}",
        "\u{FFFE}",
        "\u{FFFF}",
        "\u{FFFD}",
        "\u{10FFFF}",
        "\u{E000}",
        "\u{A0}",
        "日本語",
        "مرحبا",
        // other parsers
        "\"} or vector(1)",
        "{job=~\".*\"}",
        "` + x + `",
        "'; DROP TABLE x; --",
        "' OR '1'='1",
        "*)(uid=*",
        "a)(|(b=*)",
        "$(id)",
        "`id`",
        "; id",
        "| id",
        "&& id",
        "a'b\"c",
        "<script>",
        "</x>",
        "]]>",
        "<!--",
        "&amp;",
        "%00",
        "%0d%0aX: y",
        "../../etc/passwd",
        "file:///etc/passwd",
        "\\\\host\\x",
        "a\\\"b",
        "\\'",
        "{\"a\":1}",
        "[1,2]",
        "\"a\":1,",
        "//",
        "/*",
        "*/",
        "--",
        "#!",
        "pod-security.kubernetes.io/enforce: privileged",
        "\n  labels: {a: b}",
        "system:masters",
        "tenantry.io/tenant-id",
        "apiVersion: v1",
        "kind",
        "metadata",
        "namespace: kube-system",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    let short = corpus.clone();
    corpus.extend(short.iter().map(|text| format!("x{text}y")));
    corpus.extend(short.iter().filter(|text| text.len() < 4).map(|text| format!("a: {text}\n{text}b")));
    for length in [63, 64, 253, 254, 1000, 16_384] {
        corpus.push("a".repeat(length));
        corpus.push("\u{1F600}".repeat(length / 4));
        corpus.push("\n".repeat(length));
        corpus.push("{".repeat(length));
    }
    corpus
}
