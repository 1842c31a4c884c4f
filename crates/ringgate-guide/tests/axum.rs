//! What the page on axum says of connections: a permit is held as long as there is an answer, and no longer.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use futures_util::stream;
use ringgate::Limiter;
use ringgate::tower::LimiterLayer;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A connection to these routes, each behind a limiter with one place.
async fn connect(routes: Router) -> (Limiter, TcpStream) {
    let limiter = Limiter::builder().max_concurrent(1).build();
    let layer = LimiterLayer::new(limiter.clone()).without_waiting().refuse_with_429();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes.layer(layer)).await });
    (limiter, TcpStream::connect(address).await.unwrap())
}

/// Asks for `/`, and reads the head of the answer at least.
async fn ask(connection: &mut TcpStream, headers: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nhost: here\r\n{headers}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0, "no answer");
    }
    String::from_utf8(answer).unwrap()
}

/// Broken by: `HeldBody::new`, if it forgets an empty body and its permit.
#[tokio::test]
async fn an_upgraded_connection_holds_no_permit() {
    let (upgraded, mut upgrades) = mpsc::channel(1);
    let upgrade = async move |request: Request| {
        tokio::spawn(async move {
            let connection = hyper::upgrade::on(request).await;
            upgraded.send(connection.unwrap()).await.unwrap();
        });
        let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "talk")];
        let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
        (StatusCode::SWITCHING_PROTOCOLS, HeaderMap::from_iter(headers))
    };
    let (limiter, mut client) = connect(Router::new().route("/", get(upgrade))).await;
    let answer = ask(&mut client, "connection: upgrade\r\nupgrade: talk\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let open = upgrades.recv().await.unwrap();
    assert_eq!(limiter.available_permits(), 1);
    drop((open, client));
}

/// Broken by: `Then::Fail` for a pending frame in `hold/body.rs`.
#[tokio::test]
async fn a_stream_holds_its_permit_until_the_client_hangs_up() {
    let endless = async || {
        let chunks = stream::once(async { Ok::<_, Infallible>("first") });
        Body::from_stream(stream::select(chunks, stream::once(pending())))
    };
    let (limiter, mut client) = connect(Router::new().route("/", get(endless))).await;
    let answer = ask(&mut client, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(limiter.available_permits(), 0);
    drop(client);
    let longest = Duration::from_mins(1); // a failure, not a hang
    assert!(limiter.acquire_timeout(longest).await.is_ok());
}
