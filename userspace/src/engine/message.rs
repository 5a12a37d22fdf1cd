//! What the engine may be told, and by what handle.

use std::sync::Arc;

use ipnet::IpNet;
use nicban_protocol::{Mode, Refusal, RefusalKind, Reply, Request};
use tokio::sync::{mpsc, oneshot, watch};

use super::Snapshot;
use crate::{
    host::Host,
    nacl::{market::Candidate, roster::Incumbents},
};

/// A message to the engine.
#[derive(Debug)]
pub enum Message {
    /// A request from the socket.
    Request {
        /// What is asked for.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
    },
    /// The machine's interfaces, addresses or routes are these now.
    Host(Host),
    /// The planner of the NACL tier wants to know who competes.
    Market {
        /// Who holds slots now.
        incumbents: Incumbents,
        /// Where the answer goes.
        reply: oneshot::Sender<Market>,
    },
    /// Bans of these networks are refused: the VPC's, where the host's clients stand
    /// behind a load balancer, so that who is seen to come from within is no client.
    Vpc(Vec<IpNet>),
    /// Time has passed.
    Tick,
    /// Something is wrong outside the engine, and will be until a restart.
    Trouble {
        /// What it is about; a later trouble of the same subject takes its place.
        subject: &'static str,
        /// A line that says what to do.
        line: String,
    },
}

impl Message {
    /// Whether it asks for thousands of changes.
    pub(super) fn is_bulk(&self) -> bool {
        matches!(
            self,
            Self::Request {
                request: Request::BanMany(_) | Request::UnbanMany { .. },
                ..
            }
        )
    }
}

/// Who competes for the slots.
#[derive(Debug, Clone)]
pub struct Market {
    /// In observe mode nothing may be denied.
    pub mode: Mode,
    /// The loudest, the most repeated, and the incumbents that are still banned.
    pub candidates: Vec<Candidate>,
    /// What must never be denied.
    pub allowed: Vec<IpNet>,
}

/// Speaks to the engine. The engine ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    sender: mpsc::Sender<Message>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl EngineHandle {
    pub(super) fn new(
        sender: mpsc::Sender<Message>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Self {
        Self { sender, snapshots }
    }

    /// A handle whose messages come out at the other end, where no engine is.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(1);
        let (_, snapshots) = watch::channel(Arc::default());
        (Self::new(sender, snapshots), receiver)
    }

    /// Asks for something and waits for the answer.
    pub async fn call(&self, request: Request) -> Reply {
        let (reply, answer) = oneshot::channel();
        let sent = self.sender.send(Message::Request { request, reply }).await;
        match (sent, answer.await) {
            (Ok(()), Ok(reply)) => reply,
            _ => Reply::Refused(Refusal {
                kind: RefusalKind::Unavailable,
                message: "the daemon is stopping; try again once it is back".to_owned(),
            }),
        }
    }

    /// Asks who competes for the slots; `None` when the engine has ended.
    pub async fn market(&self, incumbents: Incumbents) -> Option<Market> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Market { incumbents, reply };
        self.sender.send(message).await.ok()?;
        answer.await.ok()
    }

    /// Tells the engine something that has no answer; `false` when it has ended.
    pub async fn tell(&self, message: Message) -> bool {
        self.sender.send(message).await.is_ok()
    }

    /// Resolves once the engine has ended: while there is this handle, by a panic.
    pub async fn ended(&self) {
        self.sender.closed().await;
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Snapshots as they are published.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }
}
