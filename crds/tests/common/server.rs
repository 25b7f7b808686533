//! A real API server for the tests, spoken to in JSON, because kube's typed calls hide warnings and status codes. Needs a
//! client and a clock.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tenantry_control_plane::{Cluster, Profile, client_from, skipped};

/// Far beyond what anything here takes; only a failing test gets here.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the API server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Value,
}

/// A cluster for `test`, or nothing where this machine has none; the test is then counted as skipped.
pub(crate) async fn cluster(test: &str) -> Option<Cluster> {
    match Cluster::acquire(Profile::P1).await {
        Ok(cluster) => Some(cluster),
        Err(error) => {
            skipped(test, &format!("{error:#}"));
            None
        }
    }
}

/// Speaks as the bearer of a kubeconfig.
#[derive(Clone)]
pub(crate) struct Speaker(Client);

impl Speaker {
    pub(crate) async fn new(kubeconfig: &Path) -> Self {
        Self(client_from(kubeconfig).await.expect("a usable kubeconfig"))
    }

    /// One request. A patch is a merge patch.
    pub(crate) async fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
        let patch = *method == Method::PATCH;
        let content = if patch { "application/merge-patch+json" } else { "application/json" };
        let bytes = body.map(|body| serde_json::to_vec(body).expect("JSON")).unwrap_or_default();
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("content-type", content)
            .body(Body::from(bytes))
            .expect("a request");
        let response = self.0.send(request).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let code = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        let bytes = response.into_body().collect_bytes().await.expect("a whole answer");
        Answer { code, warnings, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(&Method::GET, path, None).await
    }

    /// Creates an object, strictly: unknown and repeated fields are refused, and warnings fail the test.
    pub(crate) async fn create(&self, object: &Value) -> Value {
        let path = format!("{}?fieldValidation=Strict", collection(object));
        self.call(&Method::POST, &path, Some(object)).await.good()
    }

    /// Asks until `done` is content with the answer.
    pub(crate) async fn until(&self, path: &str, what: &str, done: impl Fn(&Answer) -> bool) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.get(path).await;
            if done(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Answer {
    pub(crate) fn accepted(&self) -> bool {
        (200..300).contains(&self.code)
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The body of an answer that must be good and without warnings.
    pub(crate) fn good(self) -> Value {
        assert!(self.accepted() && self.warnings.is_empty(), "{self:?}");
        self.body
    }
}

/// Path of the collection that an object belongs to.
pub(crate) fn collection(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind, namespace) = (text("/apiVersion"), text("/kind"), text("/metadata/namespace"));
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let scope = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    let kind = kind.to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    format!("{root}{scope}/{plural}")
}

/// Path of an object.
pub(crate) fn path(object: &Value) -> String {
    format!("{}/{}", collection(object), object["metadata"]["name"].as_str().expect("a name"))
}

/// The documents of a YAML file of the repository.
pub(crate) fn documents(file: &str) -> Vec<Value> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Installs the definitions as they lie in the repository, and waits until they are served.
pub(crate) async fn install_definitions(admin: &Speaker) {
    for crd in tenantry_crds::all() {
        for object in documents(&format!("crds/{}.yaml", crd.spec.names.plural)) {
            admin.create(&object).await;
        }
    }
    for crd in tenantry_crds::all() {
        let name = format!("{}.{}", crd.spec.names.plural, crd.spec.group);
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let answer = admin
            .until(&path, "established", |answer| condition(&answer.body, "Established") == "True")
            .await;
        assert_eq!(condition(&answer.body, "NamesAccepted"), "True", "{name}");
        assert_eq!(condition(&answer.body, "NonStructuralSchema"), "", "{name}: {}", answer.body["status"]);
        // Established definitions are served a moment later.
        let served = format!("/apis/{}/{}/{}", crd.spec.group, tenantry_crds::VERSION, crd.spec.names.plural);
        admin.until(&served, "served", Answer::accepted).await;
    }
}

/// Status of a condition, empty where there is none.
pub(crate) fn condition<'a>(object: &'a Value, name: &str) -> &'a str {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == name);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}
