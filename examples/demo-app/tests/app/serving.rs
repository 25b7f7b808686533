//! Roles that serve: health, readiness, faults, an orderly end, and what they refuse.

use crate::process::{COMPANY, PASSWORD, Process, Tenant, name, program, refusal, until};
use bytes::Bytes;
use http::header::{HeaderValue, SET_COOKIE};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use tenantry_demo_app::client::{Answer, Http, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn get(http: &Http, path: &str) -> Answer {
    http.send(Method::GET, path, None, Bytes::new()).await.unwrap()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// Orders an article and gives the path at which it is looked at.
async fn order(web: &Process, article: &str) -> String {
    let page = get(&web.client(), "/").await;
    let cookie = page.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let body = json!({"article": article, "quantity": 2}).to_string();
    let cookie = HeaderValue::from_str(&cookie).unwrap();
    let answer = web.client().send(Method::POST, "/orders", Some(&cookie), body.into()).await.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", text(&answer));
    format!("/orders/{}", answer.json::<Value>().unwrap()["id"].as_str().unwrap())
}

#[tokio::test]
async fn the_store_keeps_what_it_acknowledged_over_a_restart() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let client = store.store();
    client.put(&name("customers"), &name("C-1"), "Çelik").await.unwrap();
    client.put(&name("customers"), &name("C-2"), vec![0; 8 << 20]).await.unwrap();
    assert_eq!(store.metric("erp_store_writes_total").await, Some(2));
    assert_eq!(store.metric("erp_requests_total{code=\"201\"}").await, Some(2));
    assert!(store.ready().await);
    store.terminate();
    assert_eq!(store.ended().await.code(), Some(0));

    let store = tenant.store();
    let client = store.store();
    assert_eq!(client.get(&name("customers"), &name("C-1")).await.unwrap().unwrap(), "Çelik");
    assert_eq!(client.get(&name("customers"), &name("C-2")).await.unwrap().unwrap().len(), 8 << 20);
    let (_, metrics) = store.ask("/metrics").await;
    assert!(metrics.contains("erp_application_info{role=\"store\",version=\"0.1.0\"} 1"), "{metrics}");
}

#[tokio::test]
async fn the_store_refuses_strangers_and_what_does_not_fit() {
    let tenant = Tenant::new();
    let store = tenant.store();
    assert_eq!(get(&store.client(), "/v1/buckets").await.status, StatusCode::UNAUTHORIZED, "no password");
    let stranger = Store::new(store.http.unwrap(), &PASSWORD.to_uppercase()).unwrap();
    let error = stranger.put(&name("b"), &name("k"), "x").await.unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("send the one of the Secret"), "{error}");
    // The answer may be lost, because the store does not read such a body to its end.
    assert!(store.store().put(&name("b"), &name("k"), vec![0; (8 << 20) + 1]).await.is_err());
    assert_eq!(store.store().buckets().await.unwrap(), []);

    let in_use =
        refusal(&mut program(&["store", "--listen", "127.0.0.1:0", "--data", &tenant.path("volume")]));
    assert!(in_use.contains("in use by another store; run one replica"), "{in_use}");
    let taken = refusal(&mut program(&[
        "store",
        "--listen",
        &store.address(),
        "--data",
        &tenant.path("other"),
        "--admin-listen",
        "127.0.0.1:0",
    ]));
    assert!(taken.contains("--listen"), "{taken}");
    fs::write(tenant.path("file"), "").unwrap();
    let data = tenant.path("file/volume");
    let unusable = refusal(&mut program(&["store", "--listen", "127.0.0.1:0", "--data", &data]));
    assert!(unusable.contains(&data) && unusable.contains("securityContext.fsGroup"), "{unusable}");
    let mut without = program(&["store", "--listen", "127.0.0.1:0", "--data", &tenant.path("other")]);
    let without = refusal(without.env_remove("DATABASE_PASSWORD"));
    assert!(without.contains("set DATABASE_PASSWORD"), "{without}");
}

#[tokio::test]
async fn the_page_shows_the_tenant_and_takes_orders() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let (web, worker) = (tenant.web(&store), tenant.worker(&store));
    assert!(web.ready().await && worker.ready().await);
    let page = get(&web.client(), "/").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in [
        "Çelik &amp; &lt;Sons&gt; &quot;鴉&quot;",
        "Gold",
        "4.2.1",
        "1 of 100",
        "erp.celik.example",
        "Welcome!",
    ] {
        assert!(text(&page).contains(part), "{part}");
    }
    assert_eq!(text(&get(&web.client(), "/client").await), "<h1>Where to go</h1>\n");
    let kit: Value = get(&web.client(), "/client/kit.json").await.json().unwrap();
    assert_eq!(kit, json!({"version": "4.2.1"}));
    let path = order(&web, "Çivi").await;
    until("the order is decided on", || async { get(&web.client(), &path).await.status == StatusCode::OK })
        .await;
    let decision: Value = get(&web.client(), &path).await.json().unwrap();
    let wanted =
        json!({"status": "Confirmed", "seller": COMPANY, "order": {"article": "Çivi", "quantity": 2}});
    assert_eq!(decision, wanted);
    // The order is counted by who takes it off, after its decision is there.
    until("it is counted", || async { worker.metric("erp_orders_confirmed_total").await == Some(1) }).await;
    assert_eq!(web.metric("erp_orders_total").await, Some(1));

    let body = Bytes::from(json!({"article": "x", "quantity": 1}).to_string());
    let stranger = web.client().send(Method::POST, "/orders", None, body).await.unwrap();
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&web.client(), "/orders/unknown").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&web.client(), "/orders/..%2Fx").await.status, StatusCode::BAD_REQUEST);
    // What the worker cannot read is refused, and not tried for ever.
    store.store().put(&name("work"), &name("odd"), "no order").await.unwrap();
    until("it is refused", || async { worker.metric("erp_orders_refused_total").await == Some(1) }).await;
    assert_eq!(store.store().keys(&name("work")).await.unwrap(), []);
}

#[tokio::test]
async fn readiness_follows_the_store() {
    let tenant = Tenant::new();
    let mut store = tenant.store();
    let (web, worker) = (tenant.web(&store), tenant.worker(&store));
    assert!(web.ready().await && worker.ready().await);
    let address = store.address();
    store.kill();
    let (status, reason) = web.ask("/readyz").await;
    assert_eq!(status, 503);
    assert!(reason.contains(&address), "{reason}");
    assert_eq!(web.metric("erp_ready").await, Some(0));
    assert_eq!(web.ask("/healthz").await.0, 200, "a restart would not bring the store back");
    assert_eq!(get(&web.client(), "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!worker.ready().await);
    let _store = tenant.store_at(&address, "volume");
    until("both are ready again", || async { web.ready().await && worker.ready().await }).await;
    assert_eq!(get(&web.client(), "/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn faults_break_a_role_and_none_mends_it() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let web = tenant.web(&store);
    let state = || async {
        (
            get(&web.client(), "/").await.status.as_u16(),
            web.ask("/readyz").await.0,
            web.ask("/healthz").await.0,
        )
    };
    for (fault, wanted) in [
        ("none", (200, 200, 200)),
        ("error", (500, 200, 200)),
        ("unready", (200, 503, 200)),
        ("unhealthy", (200, 200, 503)),
        ("slow:1", (200, 200, 200)),
        ("none", (200, 200, 200)),
    ] {
        web.fault(fault);
        assert_eq!(state().await, wanted, "{fault}");
    }
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", web.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    };
    assert!(resident() < 64, "{} MiB", resident());
    web.fault("memory:96");
    until("the memory is taken", || async { resident() >= 96 }).await;
    web.fault("crash");
    assert_eq!(web.ended().await.code(), Some(1));
    assert!(!fs::exists(tenant.path("web.fault")).unwrap(), "the next start is sound");
    assert!(tenant.web(&store).ready().await);
}

/// A worker that fails leaves its work to be done, and a killed one loses none.
#[tokio::test]
async fn no_order_is_lost_when_workers_die() {
    const ORDERS: usize = 40;
    let tenant = Tenant::new();
    let store = tenant.store();
    let web = tenant.web(&store);
    let mut worker = tenant.worker(&store);
    worker.fault("error");
    let mut paths = Vec::new();
    for at in 0..ORDERS {
        paths.push(order(&web, &format!("article {at}")).await);
    }
    worker.fault("none");
    let decided = || async { store.store().keys(&name("orders")).await.unwrap().len() };
    until("some are decided on", || async { decided().await > 3 }).await;
    worker.kill();
    let _others = [tenant.worker(&store), tenant.worker(&store)];
    until("all are decided on", || async {
        decided().await == ORDERS && store.store().keys(&name("work")).await.unwrap().is_empty()
    })
    .await;
    for path in paths {
        let decision: Value = get(&web.client(), &path).await.json().unwrap();
        assert_eq!(decision["status"], "Confirmed", "{decision}");
    }
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let mut stream = TcpStream::connect(store.http.unwrap()).await.unwrap();
    let head = format!(
        "PUT /v1/buckets/b/keys/k HTTP/1.1\r\nhost: store\r\nauthorization: Bearer {PASSWORD}\r\nexpect: 100-continue\r\n\
         content-length: 4\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 100"), "the request is under way");
    store.terminate();
    until("nobody else is let in", || async { TcpStream::connect(store.http.unwrap()).await.is_err() }).await;
    stream.write_all(b"late").await.unwrap();
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&buffer[..read]));
    assert_eq!(store.ended().await.code(), Some(0));
    let store = tenant.store();
    assert_eq!(store.store().get(&name("b"), &name("k")).await.unwrap().unwrap(), "late");
}

#[tokio::test]
async fn a_role_without_what_it_needs_says_so() {
    let tenant = Tenant::new();
    let settings = tenant.path("erp.json");
    let listening = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--settings"];
    let web = |settings: &str| {
        let mut command = program(&["web"]);
        command.args(listening).arg(settings);
        command
    };
    let said = refusal(&mut web(&settings));
    assert!(said.contains("DATABASE_SERVICE_HOST") && said.contains("--store IP:PORT"), "{said}");
    let said = refusal(web(&settings).env("DATABASE_SERVICE_HOST", "10.0.0.1"));
    assert!(said.contains("DATABASE_SERVICE_PORT"), "{said}");
    let said = refusal(web(&settings).env_remove("SESSION_KEY"));
    assert!(said.contains("SESSION_KEY"), "{said}");
    let said = refusal(&mut web(&tenant.path("missing.json")));
    assert!(said.contains("missing.json") && said.contains("--settings"), "{said}");
    fs::write(&settings, r#"{"company": {"name": "A", "country": "DE"}, "plans": 1}"#).unwrap();
    let said = refusal(&mut web(&settings));
    assert!(said.contains("erp.json") && said.contains("unknown field `plans`"), "{said}");
    let said = program(&["web", "--fault", "broken"]).output().unwrap();
    assert_eq!(said.status.code(), Some(2));
    // What Kubernetes says is enough.
    let store = tenant.store();
    let address = store.http.unwrap();
    let again = Tenant::new();
    let mut command =
        program(&["verify", "--settings", &again.path("erp.json"), "--result", &again.path("result")]);
    command.env("DATABASE_SERVICE_HOST", address.ip().to_string());
    command.env("DATABASE_SERVICE_PORT", address.port().to_string());
    let web = again.web(&store);
    let _worker = again.worker(&store);
    command
        .env("WEB_SERVICE_HOST", "127.0.0.1")
        .env("WEB_SERVICE_PORT", web.http.unwrap().port().to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let _idle = TcpStream::connect(store.http.unwrap()).await.unwrap();
    assert!(store.store().buckets().await.unwrap().is_empty(), "a second connection, kept alive");
    store.terminate();
    let ended = tokio::time::timeout(Duration::from_secs(9), store.ended()).await;
    assert_eq!(ended.expect("less than requests under way would have").code(), Some(0));
}
