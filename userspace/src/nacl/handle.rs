//! How the rest of the daemon speaks to the NACL tier.

use std::sync::Arc;

use nicban_protocol::{NaclState, NaclStatus, Outcome, Refusal, RefusalKind, Reply};
use tokio::sync::{mpsc, oneshot, watch};

use super::caller::Calls;

/// The tier at one moment.
#[derive(Debug, Clone)]
pub struct NaclView {
    /// As `status` shows it.
    pub status: NaclStatus,
    /// Calls to EC2 so far.
    pub calls: Calls,
    /// Offenders that got a slot so far.
    pub promotions: u64,
}

impl NaclView {
    /// A tier that does nothing, and why.
    pub fn idle(state: NaclState, reason: impl Into<String>) -> Self {
        Self {
            status: NaclStatus {
                state,
                reason: reason.into(),
                entries: Vec::new(),
                slots_v4: 0,
                slots_v6: 0,
                findings: Vec::new(),
            },
            calls: Calls::new(),
            promotions: 0,
        }
    }
}

/// What the tier is asked for.
#[derive(Debug)]
pub enum Order {
    /// What would be done next.
    Plan(oneshot::Sender<Reply>),
    /// Take every entry out, and put none in.
    Release(oneshot::Sender<Reply>),
    /// Put entries in again.
    Resume(oneshot::Sender<Reply>),
}

/// Speaks to the tier.
#[derive(Debug, Clone)]
pub struct NaclHandle {
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<Arc<NaclView>>,
}

impl NaclHandle {
    /// A handle to a tier that takes its orders and publishes its view.
    pub fn new(orders: mpsc::Sender<Order>, view: watch::Receiver<Arc<NaclView>>) -> Self {
        Self { orders, view }
    }

    /// The tier as it is.
    pub fn status(&self) -> NaclStatus {
        self.view.borrow().status.clone()
    }

    /// Views as they are published.
    pub fn views(&self) -> watch::Receiver<Arc<NaclView>> {
        self.view.clone()
    }

    /// What the tier would do next. Answers with a refusal where it has ended.
    pub async fn plan(&self) -> Reply {
        self.ask(Order::Plan).await
    }

    /// Takes every entry of nicban's out of the NACLs.
    pub async fn release(&self) -> Reply {
        self.ask(Order::Release).await
    }

    /// Takes the tier up again after a release.
    pub async fn resume(&self) -> Reply {
        self.ask(Order::Resume).await
    }

    async fn ask(&self, order: impl FnOnce(oneshot::Sender<Reply>) -> Order) -> Reply {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(order(reply)).await;
        match (sent, answer.await) {
            (Ok(()), Ok(reply)) => reply,
            _ => refused(RefusalKind::Unavailable, "the NACL tier has ended"),
        }
    }
}

pub(super) fn refused(kind: RefusalKind, message: impl Into<String>) -> Reply {
    Reply::Refused(Refusal {
        kind,
        message: message.into(),
    })
}

pub(super) fn done(note: impl Into<String>) -> Reply {
    Reply::Done {
        outcome: Outcome::Ok,
        note: Some(note.into()),
    }
}
