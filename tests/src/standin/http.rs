//! A small HTTP/1.1 listener that may also refuse to answer.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The longest request body that is read, in bytes.
const LONGEST_BODY: usize = 1 << 20;

/// What a handler gives.
#[derive(Debug)]
pub enum Answer {
    /// A reply.
    Reply(Response<Full<Bytes>>),
    /// The connection is closed without a reply.
    Close,
}

impl Answer {
    /// A reply with a status, a content type and a body.
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let reply = Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .expect("status and content type come from this crate");
        Self::Reply(reply)
    }

    /// A reply in plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain", body)
    }

    /// A reply in JSON.
    pub fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(200, "application/json", body),
            Err(error) => Self::text(500, error.to_string()),
        }
    }
}

/// A listener at work; it and its connections end when this is dropped.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens and answers every request by `handler`.
    pub async fn start<H, F>(listen: SocketAddr, handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let socket = TcpListener::bind(listen).await?;
        let addr = socket.local_addr()?;
        let task = tokio::spawn(accept(socket, handler));
        Ok(Self { addr, task })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends it; when this returns, connections are refused.
    pub async fn stop(mut self) {
        self.task.abort();
        // The error says that the task was aborted, which is what was asked for.
        if let Err(error) = (&mut self.task).await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<H, F>(socket: TcpListener, handler: H)
where
    H: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, handler.clone()));
                }
                // Out of descriptors, or the peer went away: the next may do better.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve<H, F>(stream: TcpStream, handler: H)
where
    H: Fn(Request<Bytes>) -> F + Clone,
    F: Future<Output = Answer>,
{
    let service = service_fn(move |request| answer(request, handler.clone()));
    // An error is the peer's going away, or an answer of `Close`: either ends it.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn answer<H, F>(
    request: Request<Incoming>,
    handler: H,
) -> Result<Response<Full<Bytes>>, Closed>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Answer>,
{
    let (head, body) = request.into_parts();
    let answer = match Limited::new(body, LONGEST_BODY).collect().await {
        Ok(body) => handler(Request::from_parts(head, body.to_bytes())).await,
        Err(_) => Answer::text(413, "too long"),
    };
    match answer {
        Answer::Reply(reply) => Ok(reply),
        Answer::Close => Err(Closed),
    }
}

/// Makes hyper close the connection without a reply.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
struct Closed;
