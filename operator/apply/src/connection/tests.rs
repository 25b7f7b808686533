use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A gate that a test opens and closes.
struct Switch(AtomicBool);

impl WriteGate for Switch {
    fn remaining(&self) -> Duration {
        if self.0.load(Ordering::SeqCst) { Duration::MAX } else { Duration::ZERO }
    }
}

/// A server that the test speaks for, and a client of it that is fenced by a switch.
async fn fenced() -> (TcpListener, Client, Arc<Switch>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let switch = Arc::new(Switch(AtomicBool::new(true)));
    let config = Config::new(format!("http://{address}").parse().unwrap());
    let client = connect_fenced(config, Arc::clone(&switch) as Arc<dyn WriteGate>).unwrap();
    (listener, client, switch)
}

fn request(body: &str) -> Request<Vec<u8>> {
    Request::post("/api/v1/namespaces").body(body.as_bytes().to_vec()).unwrap()
}

/// Reads a request with this body to its end and answers it.
async fn answer(stream: &mut TcpStream, body: &str) {
    let mut read = Vec::new();
    while !read.ends_with(body.as_bytes()) {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "the request was cut off");
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
}

/// Everything that still comes.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let _reset = stream.read_to_end(&mut read).await;
    read
}

#[tokio::test]
async fn a_connection_that_waits_carries_nothing_when_the_gate_is_closed() {
    let (listener, client, switch) = fenced().await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.request_text(request("first")).await }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    answer(&mut stream, "first").await;
    assert_eq!(first.await.unwrap().unwrap(), "{}");

    switch.0.store(false, Ordering::SeqCst);
    let refused = client.request_text(request("second")).await.unwrap_err();
    assert!(format!("{refused:?}").contains("may not write"), "{refused:?}");
    drop(client);
    assert_eq!(rest(stream).await, b"");
}

#[tokio::test]
async fn a_new_connection_carries_nothing_when_the_gate_is_closed() {
    let (listener, client, switch) = fenced().await;
    switch.0.store(false, Ordering::SeqCst);
    client.request_text(request("only")).await.unwrap_err();
    drop(client);
    let (stream, _) = listener.accept().await.unwrap();
    assert_eq!(rest(stream).await, b"");
}

#[tokio::test]
async fn the_rest_of_a_request_stays_here_when_the_gate_is_closed() {
    let (listener, client, switch) = fenced().await;
    // More than the kernel takes while nobody reads.
    let body = "x".repeat(64 << 20);
    let sent = tokio::spawn(async move { client.request_text(request(&body)).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = [0; 1024];
    stream.read_exact(&mut head).await.unwrap();
    switch.0.store(false, Ordering::SeqCst);
    let arrived = head.len() + rest(stream).await.len();
    assert!(arrived < 64 << 20, "{arrived} bytes arrived");
    sent.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn an_open_gate_is_asked_again_each_time() {
    let (listener, client, switch) = fenced().await;
    switch.0.store(false, Ordering::SeqCst);
    client.request_text(request("closed")).await.unwrap_err();
    let (closed, _) = listener.accept().await.unwrap();
    switch.0.store(true, Ordering::SeqCst);
    let open = tokio::spawn(async move { client.request_text(request("open")).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    answer(&mut stream, "open").await;
    assert_eq!(open.await.unwrap().unwrap(), "{}");
    assert_eq!(rest(closed).await, b"");
}

/// A client that waits for an answer, or for the next part of one, no longer than this.
async fn impatient(answer: u64, silence: u64) -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    let patience =
        Patience { answer: Duration::from_millis(answer), silence: Duration::from_millis(silence) };
    (listener, connect_patiently(config, Arc::new(Open), patience).unwrap())
}

#[tokio::test]
async fn a_request_that_nobody_answers_ends() {
    let (listener, client) = impatient(50, 60_000).await;
    let asked = tokio::spawn(async move { client.request_text(request("list")).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = [0; 64];
    stream.read_exact(&mut head).await.unwrap();
    // The connection stays open, and nothing is said.
    asked.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_watch_whose_other_end_is_gone_ends() {
    let (listener, client) = impatient(60_000, 50).await;
    let watched = tokio::spawn(async move { client.request_text(request("watch")).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = [0; 64];
    stream.read_exact(&mut head).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"type\":").await.unwrap();
    watched.await.unwrap().unwrap_err();
}
