//! HTTP for those who scrape.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, error, warn};

use super::{Exposition, Source};

/// What a peer may take up.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections that are served at a time. More wait in the listening socket.
    connections: usize,
    /// How long a peer may take to send its request.
    request: Duration,
    /// How long a connection may last, from accepted to closed.
    connection: Duration,
}

/// Some servers scrape, and someone has a look: one request a connection, each
/// done in milliseconds.
const LIMITS: Limits = Limits {
    connections: 8,
    request: Duration::from_secs(3),
    connection: Duration::from_secs(10),
};

/// The longest head of a request, in bytes. A scraper's has a few hundred.
const MAX_HEAD: usize = 8192;

/// Header lines of a request at the most.
const MAX_HEADERS: usize = 32;

/// Serves `GET /metrics` on a loopback address until `shutdown` resolves.
pub async fn serve(listener: TcpListener, source: Source, shutdown: impl Future<Output = ()>) {
    serve_within(LIMITS, listener, source, shutdown).await;
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    source: Source,
    shutdown: impl Future<Output = ()>,
) {
    let exposition = Arc::new(Exposition::new(source));
    let places = Arc::new(Semaphore::new(limits.connections));
    // Those that are open at the end go with it: a scrape can be made again.
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = &mut shutdown => break,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let exposition = Arc::clone(&exposition);
                connections.spawn(async move {
                    connection(limits, stream, exposition).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: the next one may do.
                warn!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(limits: Limits, stream: TcpStream, exposition: Arc<Exposition>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(&request, &exposition);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(limits.connection, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a scrape ended early"),
        Err(_elapsed) => debug!("a scrape took too long"),
    }
}

fn respond(request: &Request<Incoming>, exposition: &Exposition) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "the metrics are at /metrics\n");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    match exposition.text() {
        Ok(text) => answer(StatusCode::OK, Exposition::CONTENT_TYPE, text),
        Err(error) => {
            error!(%error, "cannot write the metrics");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot write the metrics\n",
            )
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Snapshot;
    use crate::metrics::exposition::tests::{idle, source};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    /// A server that gives up on slow peers as soon as can be.
    const HASTY: Limits = Limits {
        request: Duration::from_millis(100),
        connection: Duration::from_millis(500),
        ..LIMITS
    };

    struct Server {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Server {
        async fn start(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = oneshot::channel();
            let source = source(Snapshot::default(), idle());
            let task = tokio::spawn(serve_within(limits, listener, source, async {
                stopped.await.unwrap();
            }));
            Self {
                address,
                stop,
                task,
            }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// What it answers until it closes the connection.
        async fn ask(&self, request: &str) -> String {
            let mut stream = self.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            rest(stream).await
        }
    }

    /// All that comes; a connection that is reset has ended too.
    async fn rest(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        let all = async {
            while let Ok(length) = stream.read(&mut chunk).await
                && length > 0
            {
                answer.extend_from_slice(&chunk[..length]);
            }
        };
        let ended = timeout(Duration::from_mins(1), all).await;
        ended.expect("the server closes the connection");
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn metrics_are_served_with_their_type() {
        let server = Server::start(LIMITS).await;
        let answer = server
            .ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let content_type = format!("content-type: {}", Exposition::CONTENT_TYPE);
        assert!(head.lines().any(|line| line == content_type), "{head}");
        let length = format!("content-length: {}", body.len());
        assert!(head.lines().any(|line| line == length), "{head}");
        assert!(body.contains("nicban_banned_sources 0\n"));
        assert!(body.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        let server = Server::start(LIMITS).await;
        for (request, status) in [
            ("GET / HTTP/1.1", "404 Not Found"),
            ("GET /metrics/ HTTP/1.1", "404 Not Found"),
            ("GET /../metrics HTTP/1.1", "404 Not Found"),
            ("POST /metrics HTTP/1.1", "405 Method Not Allowed"),
            ("HEAD /metrics HTTP/1.1", "200 OK"),
            ("GET /metrics?name=x HTTP/1.1", "200 OK"),
        ] {
            let answer = server.ask(&format!("{request}\r\nHost: x\r\n\r\n")).await;
            let line = answer.lines().next().unwrap();
            assert_eq!(line, format!("HTTP/1.1 {status}"), "{request}");
            let empty = answer.ends_with("\r\n\r\n");
            assert_eq!(empty, request.starts_with("HEAD"), "{request}");
        }
        let garbage = server.ask("\0\0\0\r\n\r\n").await;
        assert!(garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    }

    #[tokio::test]
    async fn an_oversized_request_is_refused() {
        let server = Server::start(LIMITS).await;
        let padding = "x".repeat(MAX_HEAD);
        let headers = "a: b\r\n".repeat(MAX_HEADERS + 1);
        for request in [
            format!("GET /metrics?{padding} HTTP/1.1\r\n\r\n"),
            format!("GET /metrics HTTP/1.1\r\nx: {padding}\r\n\r\n"),
            format!("GET /metrics HTTP/1.1\r\n{headers}\r\n"),
        ] {
            let answer = server.ask(&request).await;
            assert!(!answer.contains("nicban_"), "{answer}");
        }
        let headers = "a: b\r\n".repeat(MAX_HEADERS);
        let answer = server
            .ask(&format!("GET /metrics HTTP/1.1\r\n{headers}\r\n"))
            .await;
        assert!(answer.contains("nicban_"), "{answer}");
    }

    #[tokio::test]
    async fn slow_peers_are_cut_off() {
        let server = Server::start(HASTY).await;
        for begun in ["", "GET /metrics HTTP/1.1\r\nHost: x\r\n"] {
            let mut stream = server.connect().await;
            stream.write_all(begun.as_bytes()).await.unwrap();
            assert!(!rest(stream).await.contains("nicban_"));
        }
        // A body that never comes holds nobody up either.
        let request = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";
        assert!(server.ask(request).await.starts_with("HTTP/1.1 405"));
    }

    #[tokio::test]
    async fn silent_peers_keep_nobody_out_for_long() {
        let server = Server::start(HASTY).await;
        let mut silent = Vec::new();
        for _ in 0..3 * HASTY.connections {
            silent.push(server.connect().await);
        }
        let answer = server.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.contains("nicban_"), "{answer}");
    }

    #[tokio::test]
    async fn it_stops_when_told_though_peers_are_connected() {
        let server = Server::start(LIMITS).await;
        let silent = server.connect().await;
        let answer = server.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.contains("nicban_"));
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
        assert_eq!(rest(silent).await, "");
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
