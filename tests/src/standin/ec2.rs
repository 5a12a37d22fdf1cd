//! The EC2 stand-in's handle.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::acl::{Acl, Acls};
use super::config::{ConfigError, Ec2Config};
use super::control::Control;
use super::credentials::Issued;
use super::error::ApiError;
use super::faults::FaultRule;
use super::http::Listener;
use super::server::Shared;
use super::state::Change;

/// Calls by action, then by outcome: `ok`, an error code, or `lost`, `garbage`,
/// `half_open` for what a fault did.
pub type Calls = BTreeMap<String, BTreeMap<String, u64>>;

/// The NACLs as they are, with a number that rises with each change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Changes since the start.
    pub version: u64,
    /// The NACLs by id.
    pub acls: Acls,
}

/// Why the stand-in can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration describes what AWS could not hold.
    #[error("can't set up the EC2 stand-in")]
    Config(#[from] ConfigError),
    /// The address can't be listened on.
    #[error("can't listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

/// An EC2 endpoint on a local address; it ends when dropped.
#[derive(Debug)]
pub struct Ec2StandIn {
    listener: Listener,
    shared: Arc<Shared>,
}

impl Ec2StandIn {
    /// Starts one. Access keys must be among `issued` unless the configuration accepts
    /// any.
    pub async fn start(config: Ec2Config, issued: Issued) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(&config, issued)?);
        let handler = Arc::clone(&shared);
        let listener = Listener::start(config.listen, move |request| {
            let shared = Arc::clone(&handler);
            async move { shared.answer(&request).await }
        });
        let listener = listener.await.map_err(|source| StartError::Listen {
            addr: config.listen,
            source,
        })?;
        Ok(Self { listener, shared })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// The URL for `AWS_ENDPOINT_URL_EC2`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Follows an order.
    pub fn control(&self, order: Control) -> Result<(), ApiError> {
        self.shared.control(order)
    }

    /// Fails in a way.
    pub fn inject(&self, rule: FaultRule) {
        self.shared.lock().faults.add(rule);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Changes something as somebody else.
    pub fn meddle(&self, change: &Change) -> Result<(), ApiError> {
        self.shared.lock().meddle(change)
    }

    /// Refuses an action with `UnauthorizedOperation` until [`Ec2StandIn::permit`].
    pub fn forbid(&self, action: &str) {
        self.shared.lock().state.forbid(action);
    }

    /// Permits an action again.
    pub fn permit(&self, action: &str) {
        self.shared.lock().state.permit(action);
    }

    /// Lets changes from now on stay unseen by Describe for so long.
    pub fn set_visibility_delay(&self, delay: Duration) {
        self.shared.lock().visibility.set_delay(delay);
    }

    /// The NACLs as they are.
    pub fn acls(&self) -> Arc<Acls> {
        Arc::clone(self.shared.lock().state.acls())
    }

    /// One NACL as it is.
    pub fn acl(&self, id: &str) -> Option<Acl> {
        self.acls().get(id).cloned()
    }

    /// The NACLs after each change; always the newest, so that versions may be skipped.
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.shared.lock().changes.subscribe()
    }

    /// The calls since the start.
    pub fn calls(&self) -> Calls {
        self.shared.lock().calls.clone()
    }

    /// How often an action had an outcome.
    pub fn count(&self, action: &str, outcome: &str) -> u64 {
        let calls = self.calls();
        calls
            .get(action)
            .and_then(|outcomes| outcomes.get(outcome))
            .copied()
            .unwrap_or(0)
    }

    /// When each call came in since the start, by its action.
    pub fn asked(&self) -> Vec<(Instant, String)> {
        self.shared.lock().asked.clone()
    }

    /// Ends it; when this returns, connections are refused.
    pub async fn stop(self) {
        self.listener.stop().await;
    }
}
