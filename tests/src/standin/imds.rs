//! The `IMDSv2` stand-in.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::clock;
use super::credentials::Issued;
use super::http::{Answer, Listener};
use super::metadata::{ImdsConfig, Interface, Tree};

const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";

/// The longest life of a session token, in s (EC2 user guide, "Use the Instance
/// Metadata Service").
const LONGEST_TTL: u64 = 21_600;

/// One order, as a value or as the JSON body of `POST /_control`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum ImdsControl {
    /// Hold every answer back.
    Slow {
        /// For so many ms.
        delay_ms: u64,
    },
    /// Answer 404 for a path and all below it.
    Missing {
        /// Below `/latest/`, such as `meta-data/mac`.
        path: String,
    },
    /// Answer every PUT for a token with a status: 403 is IMDS turned off.
    TokenStatus {
        /// The status.
        status: u16,
    },
    /// Forget every token, so that each client gets a 401 and must fetch another.
    ForgetTokens,
    /// End the life of the credentials that were handed out.
    RevokeCredentials,
    /// Other interfaces from now on.
    Interfaces {
        /// All of them.
        interfaces: Vec<Interface>,
    },
    /// No faults any more.
    Restore,
}

/// An instance metadata service on a local address; it ends when dropped.
///
/// Its absence needs no fault: stop it, or point the client at a port without it.
#[derive(Debug)]
pub struct ImdsStandIn {
    listener: Listener,
    shared: Arc<Shared>,
}

impl ImdsStandIn {
    /// Starts one that notes the credentials that it hands out in `issued`.
    pub async fn start(config: ImdsConfig, issued: Issued) -> io::Result<Self> {
        let listen = config.listen;
        let shared = Arc::new(Shared {
            issued,
            inner: Mutex::new(Inner {
                tree: Tree::new(&config),
                config,
                tokens: HashMap::new(),
                tokens_made: 0,
                requests: 0,
                faults: ImdsFaults::default(),
            }),
        });
        let handler = Arc::clone(&shared);
        let listener = Listener::start(listen, move |request| {
            let shared = Arc::clone(&handler);
            async move { shared.answer(&request).await }
        });
        Ok(Self {
            listener: listener.await?,
            shared,
        })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// The URL for `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Follows an order.
    pub fn control(&self, order: ImdsControl) {
        self.shared.control(order);
    }

    /// The tokens that were handed out since the start.
    pub fn tokens_made(&self) -> u64 {
        self.shared.lock().tokens_made
    }

    /// The requests since the start, those for tokens included.
    pub fn requests(&self) -> u64 {
        self.shared.lock().requests
    }

    /// Ends it; when this returns, connections are refused.
    pub async fn stop(self) {
        self.listener.stop().await;
    }
}

#[derive(Debug)]
struct Shared {
    issued: Issued,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: ImdsConfig,
    tree: Tree,
    tokens: HashMap<String, Instant>,
    tokens_made: u64,
    requests: u64,
    faults: ImdsFaults,
}

#[derive(Debug, Default)]
struct ImdsFaults {
    delay: Duration,
    missing: BTreeSet<String>,
    token_status: Option<u16>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self, order: ImdsControl) {
        let mut inner = self.lock();
        match order {
            ImdsControl::Slow { delay_ms } => {
                inner.faults.delay = Duration::from_millis(delay_ms);
            }
            ImdsControl::Missing { path } => {
                inner.faults.missing.insert(path);
            }
            ImdsControl::TokenStatus { status } => inner.faults.token_status = Some(status),
            ImdsControl::ForgetTokens => inner.tokens.clear(),
            ImdsControl::RevokeCredentials => self.issued.revoke(clock::wall()),
            ImdsControl::Interfaces { interfaces } => {
                inner.config.interfaces = interfaces;
                inner.tree = Tree::new(&inner.config);
            }
            ImdsControl::Restore => inner.faults = ImdsFaults::default(),
        }
    }

    async fn answer(&self, request: &Request<Bytes>) -> Answer {
        if request.uri().path() == "/_control" {
            return match serde_json::from_slice(request.body()) {
                Ok(order) => {
                    self.control(order);
                    Answer::text(200, "ok\n")
                }
                Err(error) => Answer::text(400, format!("{error}\n")),
            };
        }
        let (delay, answer) = {
            let mut inner = self.lock();
            inner.requests += 1;
            let answer = match *request.method() {
                Method::PUT => inner.token(request),
                Method::GET => inner.metadata(request, &self.issued),
                _ => Answer::text(405, ""),
            };
            (inner.faults.delay, answer)
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        answer
    }
}

fn header<'r>(request: &'r Request<Bytes>, name: &str) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

impl Inner {
    fn token(&mut self, request: &Request<Bytes>) -> Answer {
        if let Some(status) = self.faults.token_status {
            return Answer::text(status, "");
        }
        if request.uri().path() != "/latest/api/token" {
            return Answer::text(404, "");
        }
        // A proxy forwarded it: IMDSv2 gives no token to strangers.
        if header(request, "x-forwarded-for").is_some() {
            return Answer::text(403, "");
        }
        let ttl = header(request, TTL_HEADER)
            .and_then(|ttl| ttl.parse().ok())
            .filter(|ttl| (1..=LONGEST_TTL).contains(ttl));
        let Some(ttl) = ttl else {
            return Answer::text(400, "");
        };
        self.tokens_made += 1;
        let token = format!("stand-in-imds-token-{}", self.tokens_made);
        let until = clock::monotonic() + Duration::from_secs(ttl);
        self.tokens.insert(token.clone(), until);
        Answer::Reply(
            Response::builder()
                .header(TTL_HEADER, ttl)
                .body(Bytes::from(token).into())
                .expect("a number is a header"),
        )
    }

    fn metadata(&self, request: &Request<Bytes>, issued: &Issued) -> Answer {
        let token = header(request, TOKEN_HEADER).and_then(|token| self.tokens.get(token));
        if token.is_none_or(|until| *until <= clock::monotonic()) {
            return Answer::text(401, "");
        }
        let Some(path) = request.uri().path().strip_prefix("/latest/") else {
            return Answer::text(404, "");
        };
        let hidden = self.faults.missing.iter().any(|missing| {
            path.strip_prefix(missing.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let found = (!hidden).then(|| self.role(path, issued).or_else(|| self.tree.get(path)));
        match found.flatten() {
            Some(body) => Answer::text(200, body),
            None => Answer::text(404, ""),
        }
    }

    /// The instance role's name, or its credentials.
    fn role(&self, path: &str, issued: &Issued) -> Option<String> {
        let rest = path.strip_prefix("meta-data/iam/security-credentials")?;
        let role = self.config.role.as_ref()?;
        let rest = rest.trim_start_matches('/');
        if rest.is_empty() {
            return Some(role.clone());
        }
        if rest != role {
            return None;
        }
        let life = Duration::from_secs(self.config.credentials_s);
        let credentials = issued.current(life, clock::wall());
        let document = json!({
            "Code": "Success",
            "LastUpdated": humantime::format_rfc3339_seconds(credentials.since).to_string(),
            "Type": "AWS-HMAC",
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret,
            "Token": credentials.token,
            "Expiration": humantime::format_rfc3339_seconds(credentials.until).to_string(),
        });
        Some(format!("{document:#}"))
    }
}
