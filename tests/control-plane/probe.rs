//! What the containers of `tests/real_pods.rs` run: one static program, compiled by the test, with a role for each thing to see.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => serve(),
        ["get", address, path] => print!("{}", get(address, path)),
        ["hog"] => hog(),
        ["read", file] => print!("{}", std::fs::read_to_string(file).unwrap()),
        ["write", file, text] => std::fs::write(file, text).unwrap(),
        ["sink"] => sink(),
        ["send", address, mebibytes] => send(address, mebibytes.parse().unwrap()),
        _ => panic!("unknown role: {words:?}"),
    }
}

/// Tells its pod's name to everybody; ends with exit code 3 when asked for `/exit`.
fn serve() {
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    let name = std::env::var("HOSTNAME").unwrap();
    println!("{name} listens");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap_or(0);
        let line = String::from_utf8_lossy(&request[..length]);
        let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{name}").as_bytes());
        drop(stream);
        if path == "/exit" {
            std::process::exit(3);
        }
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // In one piece: the server reads once.
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Takes memory until somebody stops it.
fn hog() {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 1 << 20]);
    }
}

fn sink() {
    let listener = TcpListener::bind("0.0.0.0:8081").unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        let _ = stream.write_all(b".");
    }
}

/// Sends so much and waits until all of it has arrived; prints the seconds that took.
fn send(address: &str, mebibytes: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    let block = vec![0_u8; 1 << 20];
    let began = Instant::now();
    for _ in 0..mebibytes {
        stream.write_all(&block).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    print!("{}", began.elapsed().as_secs_f64());
}
