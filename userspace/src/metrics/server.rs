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
