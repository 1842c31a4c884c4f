//! What callers see of an answer.

use crate::scene::{Server, answer, bare, client, limiter};
use http::Extensions;
use http_body::Body as _;
use reqwest::{Request, Response, Version};
use reqwest_middleware::{ClientBuilder, Middleware, Next, Result};
use ringgate_reqwest::LimiterMiddleware;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

/// Something that an inner layer leaves in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Left(&'static str);

struct Leaves;

#[async_trait::async_trait]
impl Middleware for Leaves {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let mut answer = next.run(request, extensions).await?;
        answer.extensions_mut().insert(Left("here"));
        Ok(answer)
    }
}

/// Broken by: parts that are not taken over when the answer is built anew.
#[tokio::test]
async fn an_answer_keeps_all_that_it_had() {
    for (status, body) in
        [("200 OK", "Hello"), ("200 OK", ""), ("404 Not Found", "Hello"), ("304 Not Modified", "")]
    {
        let moved = answer("307 Temporary Redirect", "location: /there?x=1\r\n", "");
        let server = Server::start(vec![moved, answer(status, "x-what: ring\r\n", body)]).await;
        let client =
            ClientBuilder::new(bare()).with(LimiterMiddleware::new(limiter())).with(Leaves).build();
        let answer = client.get(server.url("/here")).send().await.unwrap();

        assert_eq!(answer.url().as_str(), server.url("/there?x=1"));
        assert_eq!(answer.status().as_str(), &status[..3]);
        assert_eq!(answer.version(), Version::HTTP_11);
        assert_eq!(answer.headers()["x-what"], "ring");
        assert_eq!(answer.content_length(), Some(body.len() as u64), "{status}");
        assert_eq!(answer.remote_addr(), Some(server.address));
        assert_eq!(answer.extensions().get(), Some(&Left("here")));
        assert_eq!(answer.text().await.unwrap(), body);
    }
}

/// Broken by: the reason of the status being made up anew.
#[tokio::test]
async fn an_answer_keeps_its_reason() {
    let server = Server::start(vec![answer("200 As you wish", "", "x")]).await;
    let answer =
        client(LimiterMiddleware::new(limiter())).get(server.url("/")).send().await.unwrap();
    let reason = http::Response::from(answer);
    let reason = reason.extensions().get::<hyper::ext::ReasonPhrase>().expect("a reason");
    assert_eq!(reason.as_bytes(), b"As you wish");
}

fn causes(error: &dyn std::error::Error) -> usize {
    std::iter::successors(error.source(), |error| error.source()).count()
}

/// Broken by: errors of the body that lose what they were.
#[tokio::test]
async fn errors_of_the_body_stay_what_they_were() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nHello";
    let limiter = limiter();
    let server = Server::start(vec![cut.to_owned()]).await;
    let client = client(LimiterMiddleware::new(limiter.clone()));
    let request = client.get(server.url("/")).timeout(Duration::from_secs(1));
    let answer = request.send().await.unwrap();
    assert_eq!(limiter.available_permits(), 7);
    let error = answer.bytes().await.unwrap_err();
    assert_eq!(limiter.available_permits(), 8);

    let server = Server::start(vec![cut.to_owned()]).await;
    let request = bare().get(server.url("/")).timeout(Duration::from_secs(1));
    let plain = request.send().await.unwrap().bytes().await.unwrap_err();
    let told = |error: &reqwest::Error| (error.is_timeout(), error.is_body(), error.is_decode());
    assert_eq!(told(&error), told(&plain));
    assert!(error.is_timeout());
    assert_eq!(causes(&error), causes(&plain) + 2);
}

/// Broken by: a permit that goes at the headers.
#[tokio::test]
async fn the_permit_stays_until_the_end_of_the_body() {
    let limiter = limiter();
    let client = client(LimiterMiddleware::new(limiter.clone()));
    for status in ["200 OK", "302 Found"] {
        let server = Server::start(vec![answer(status, "", "Hello")]).await;
        let mut answer = client.get(server.url("/")).send().await.unwrap();
        assert_eq!(limiter.available_permits(), 7, "{status}");
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "Hello");
        assert_eq!(answer.chunk().await.unwrap(), None);
        assert_eq!(limiter.available_permits(), 8, "{status}");
    }
}

/// Broken by: extensions that are not taken over, or a permit that outlives the answer before the upgrade.
#[tokio::test]
async fn a_connection_can_be_upgraded() {
    let limiter = limiter();
    let switches =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nHello";
    let server = Server::start(vec![switches.to_owned()]).await;
    let client = client(LimiterMiddleware::new(limiter.clone()));
    let request = client.get(server.url("/")).header("connection", "upgrade");
    let answer = request.header("upgrade", "echo").send().await.unwrap();
    assert_eq!(limiter.available_permits(), 8);
    let mut upgraded = answer.upgrade().await.unwrap();
    let mut bytes = [0; 5];
    tokio::io::AsyncReadExt::read_exact(&mut upgraded, &mut bytes).await.unwrap();
    assert_eq!(&bytes, b"Hello");
}

/// Broken by: the length in the headers being waited for, or taken for that of a body which does not come.
#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    for status in ["200 OK", "429 Too Many Requests"] {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n");
        let limiter = limiter();
        let server = Server::start(vec![head.clone(), head]).await;
        let plain = bare().head(server.url("/")).send().await.unwrap();
        let client = client(LimiterMiddleware::new(limiter.clone()));
        let answer = client.head(server.url("/")).send().await.unwrap();
        assert_eq!(limiter.available_permits(), 8, "{status}");
        assert_eq!(answer.content_length(), plain.content_length());
        assert_eq!(answer.headers(), plain.headers());
        assert_eq!(answer.text().await.unwrap(), "");
    }
}

/// Broken by: trailers that are cut off, of a body that is read ahead or not.
#[tokio::test]
async fn trailers_come_through() {
    for status in ["200 OK", "500 No"] {
        let text = format!(
            "HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nHello\r\n0\r\nx-sum: 7\r\n\r\n"
        );
        let server = Server::start(vec![text]).await;
        let client = client(LimiterMiddleware::new(limiter()));
        let request = client.get(server.url("/")).header("te", "trailers");
        let answer = request.send().await.unwrap();
        let mut body = reqwest::Body::from(answer);
        let mut trailers = None;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            trailers = frame.unwrap().into_trailers().ok().or(trailers);
        }
        assert_eq!(trailers.expect("trailers")["x-sum"], "7", "{status}");
    }
}
