//! The NACL tier as a task: when to look, when to act, what to say of it.

#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;

use std::sync::Arc;

use nicban_protocol::{NaclState, Outcome, RefusalKind, Reply};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{
    api::AclApi,
    cadence::{Cadence, LOOK, Rhythm},
    clock::Clock,
    error::Response,
    handle::{NaclHandle, NaclView, Order, done, refused},
    ledger::{Ledger, LedgerError},
    reconcile::{Contenders, Reconciler, Round, RoundError, step},
    released::Released,
};
use crate::engine::EngineHandle;

/// The task's end of a [`NaclHandle`].
#[derive(Debug)]
pub struct Desk {
    released: Released,
    orders: mpsc::Receiver<Order>,
    view: watch::Sender<Arc<NaclView>>,
}

/// A handle, and the desk where its orders arrive.
pub fn desk(first: NaclView, released: Released) -> (NaclHandle, Desk) {
    let (sender, orders) = mpsc::channel(8);
    let (view, views) = watch::channel(Arc::new(first));
    let desk = Desk {
        released,
        orders,
        view,
    };
    (NaclHandle::new(sender, views), desk)
}

impl Desk {
    /// Publishes a view.
    pub fn show(&self, view: NaclView) {
        let before = self.view.borrow().status.clone();
        if (before.state, &before.reason) != (view.status.state, &view.status.reason) {
            match view.status.state {
                NaclState::Degraded | NaclState::Refused => {
                    warn!(state = ?view.status.state, "NACL tier: {}", view.status.reason);
                }
                _ => info!(state = ?view.status.state, "NACL tier: {}", view.status.reason),
            }
        }
        self.view.send_replace(Arc::new(view));
    }

    fn resume(&self) -> Reply {
        match self.released.clear() {
            Ok(true) => done("the tier is taken up again"),
            Ok(false) => Reply::Done {
                outcome: Outcome::Unchanged,
                note: None,
            },
            Err(error) => unmarked(&error),
        }
    }

    /// Answers orders while there is no tier to carry them out, until `until`
    /// resolves. `false` when nobody can give orders any more. `owned` tells how
    /// many entries the ledger has, where that can be told.
    pub async fn turn_away(
        &mut self,
        until: impl Future<Output = ()>,
        owned: impl Fn() -> Option<usize>,
    ) -> bool {
        tokio::pin!(until);
        loop {
            let order = tokio::select! {
                order = self.orders.recv() => order,
                () = &mut until => return true,
            };
            let status = self.view.borrow().status.clone();
            match order {
                None => return false,
                Some(Order::Plan(reply)) => drop(reply.send(Reply::NaclPlan {
                    status,
                    steps: Vec::new(),
                })),
                Some(Order::Release(reply)) if owned() == Some(0) => {
                    let answer = match self.released.set() {
                        Ok(()) => done("none of nicban's entries is in a NACL"),
                        Err(error) => unmarked(&error),
                    };
                    drop(reply.send(answer));
                }
                Some(Order::Resume(reply)) => drop(reply.send(self.resume())),
                Some(Order::Release(reply)) => drop(reply.send(refused(
                    RefusalKind::Failed,
                    format!(
                        "the NACL tier is not at work ({}); `nicban nacl release --direct` asks AWS without the daemon",
                        status.reason
                    ),
                ))),
            }
        }
    }
}

/// An error with its cause.
fn in_full(error: &RoundError) -> String {
    std::error::Error::source(error)
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// The operator's word could not be kept.
fn unmarked(error: &std::io::Error) -> Reply {
    refused(
        RefusalKind::Failed,
        format!("nothing was done: cannot remember it in [daemon] state_dir: {error}"),
    )
}

/// The running tier.
pub struct Tier<A, C, L> {
    reconciler: Reconciler<A, C, L>,
    engine: EngineHandle,
    desk: Desk,
    cadence: Cadence,
    last: Round,
    state: NaclState,
    reason: String,
}

/// What is left of a tier when the subnet has another NACL, or none: where this host
/// stands is to be discovered anew, and the tier begun again with both.
#[derive(Debug)]
pub struct Homeless<A, C, L> {
    /// Where orders arrive.
    pub desk: Desk,
    /// With its budget for calls, which a new one would have to the full.
    pub reconciler: Reconciler<A, C, L>,
}

impl<A: AclApi, C: Clock, L: Ledger + Send> Tier<A, C, L> {
    /// A tier that has done nothing yet.
    pub fn new(
        reconciler: Reconciler<A, C, L>,
        engine: EngineHandle,
        desk: Desk,
        rhythm: Rhythm,
    ) -> Self {
        Self {
            reconciler,
            engine,
            desk,
            cadence: Cadence::new(rhythm),
            last: Round::default(),
            state: NaclState::On,
            reason: "starting".to_owned(),
        }
    }

    /// Works until the engine or every handle is gone (`None`), or EC2 must be asked
    /// anew where this host stands.
    pub async fn run(mut self) -> Option<Homeless<A, C, L>> {
        if self.desk.released.is_set() {
            self.be_released();
            self.show();
        }
        loop {
            let released = self.desk.released.is_set();
            let due = self.cadence.is_due(self.reconciler.clock().monotonic());
            if released && due {
                self.release_the_rest().await;
            }
            if !released
                && (due || self.has_work().await)
                && let Some(Response::Rediscover) = self.act(due).await
            {
                return Some(Homeless {
                    desk: self.desk,
                    reconciler: self.reconciler,
                });
            }
            let order = tokio::select! {
                order = self.desk.orders.recv() => order,
                () = self.reconciler.clock().sleep(LOOK) => continue,
            };
            match order {
                None => return None,
                Some(Order::Plan(reply)) => {
                    let answer = self.preview().await;
                    drop(reply.send(answer));
                }
                Some(Order::Release(reply)) => {
                    let answer = self.release().await;
                    drop(reply.send(answer));
                }
                Some(Order::Resume(reply)) => {
                    drop(reply.send(self.desk.resume()));
                    self.cadence.hurry();
                }
            }
        }
    }

    fn be_released(&mut self) {
        let rest = self.rest();
        let why =
            format!("released by the operator{rest}; `nicban nacl resume` takes the tier up again");
        self.be(NaclState::Released, why);
    }

    /// What is to be said of entries that EC2 may yet show after a release.
    fn rest(&self) -> String {
        match self.reconciler.records() {
            Ok(0) => String::new(),
            Ok(more) => format!("; {more} more are taken out should EC2 still show them"),
            Err(error) => format!("; {error}"),
        }
    }

    /// What EC2 did not show at the release is taken out as it shows.
    async fn release_the_rest(&mut self) {
        if self.reconciler.records().is_ok_and(|records| records == 0) {
            return;
        }
        self.cadence.observed(self.reconciler.clock().monotonic());
        self.cadence.unchanged();
        match self.reconciler.release().await {
            Ok(_) => self.be_released(),
            Err(error) => {
                let why = in_full(&error);
                self.be(
                    NaclState::Released,
                    format!("released by the operator; {why}"),
                );
            }
        }
        self.show();
    }

    /// Who competes; `None` when the engine has ended.
    async fn contenders(&mut self) -> Result<Option<Contenders>, LedgerError> {
        let incumbents = self.reconciler.incumbents()?;
        Ok(self.engine.market(incumbents).await)
    }

    /// Whether what is believed, planned upon with today's offenders, asks for a step.
    /// While EC2 fails, the pause is kept all the same.
    async fn has_work(&mut self) -> bool {
        if self.state != NaclState::On {
            return false;
        }
        let Ok(Some(contenders)) = self.contenders().await else {
            return false;
        };
        self.reconciler
            .preview(&contenders)
            .is_ok_and(|plan| !plan.steps.is_empty())
    }

    /// One round, and what follows from it. A change rests on an observation that is
    /// fresh, whether one is due or not.
    async fn act(&mut self, due: bool) -> Option<Response> {
        let observe = due || !self.cadence.is_fresh(self.reconciler.clock().monotonic());
        let response = match self.observe_and_plan(observe).await {
            Ok(Some(round)) => self.after(round, observe),
            Ok(None) => return None,
            Err(error) => Some(self.failed(&error)),
        };
        self.show();
        response
    }

    /// Observes, then asks who is banned: bans come and go while EC2 falters.
    /// `None` when the engine has ended.
    async fn observe_and_plan(&mut self, observe: bool) -> Result<Option<Round>, RoundError> {
        if observe {
            self.cadence.observed(self.reconciler.clock().monotonic());
            self.reconciler.observe().await?;
        }
        match self.contenders().await? {
            Some(contenders) => Ok(Some(self.reconciler.round(&contenders).await?)),
            None => Ok(None),
        }
    }

    fn after(&mut self, round: Round, observed: bool) -> Option<Response> {
        let response = round.trouble.as_ref().map(|(response, _)| *response);
        match &round.trouble {
            // A finding tells of the quota; the tier works on within it.
            None | Some((Response::LearnQuota, _)) => {
                self.be(NaclState::On, self.where_it_works());
            }
            Some((Response::TurnOff, why)) => self.be(NaclState::Refused, why.clone()),
            Some((_, why)) => self.be(NaclState::Degraded, why.clone()),
        }
        match response {
            Some(Response::TurnOff) => self.cadence.rest(),
            Some(Response::Reobserve | Response::LearnQuota) => self.cadence.changed(),
            _ if round.done > 0 => self.cadence.changed(),
            _ if observed => self.cadence.unchanged(),
            _ => {}
        }
        for finding in &round.findings {
            if !self.last.findings.contains(finding) {
                warn!("NACL tier: {finding}");
            }
        }
        self.last = round;
        response
    }

    fn failed(&mut self, error: &RoundError) -> Response {
        let response = error.response();
        let why = in_full(error);
        if response == Response::TurnOff {
            self.be(NaclState::Refused, why);
            self.cadence.rest();
        } else {
            self.be(NaclState::Degraded, why);
            self.cadence.unchanged();
        }
        response
    }

    fn where_it_works(&self) -> String {
        let acls: Vec<&str> = self.reconciler.acls().collect();
        format!("reconciling {}", acls.join(", "))
    }

    fn be(&mut self, state: NaclState, reason: String) {
        self.state = state;
        self.reason = reason;
    }

    fn view(&self) -> NaclView {
        let mut view = NaclView::idle(self.state, self.reason.clone());
        view.status.findings.clone_from(&self.last.findings);
        match self.reconciler.entries() {
            Ok(entries) => view.status.entries = entries,
            Err(error) => view.status.findings.push(error.to_string()),
        }
        [view.status.slots_v4, view.status.slots_v6] = self.last.slots;
        view.calls.clone_from(self.reconciler.calls());
        view.promotions = self.reconciler.promotions();
        view
    }

    fn show(&self) {
        self.desk.show(self.view());
    }

    async fn preview(&mut self) -> Reply {
        let status = self.view().status;
        if self.desk.released.is_set() {
            return Reply::NaclPlan {
                status,
                steps: Vec::new(),
            };
        }
        let plan = match self.contenders().await {
            Ok(Some(contenders)) => self.reconciler.preview(&contenders),
            Ok(None) => return refused(RefusalKind::Unavailable, "the engine has ended"),
            Err(error) => Err(error),
        };
        match plan {
            Ok(plan) => Reply::NaclPlan {
                status,
                steps: plan.steps.iter().map(step).collect(),
            },
            Err(error) => refused(RefusalKind::Failed, error.to_string()),
        }
    }

    async fn release(&mut self) -> Reply {
        // From now on nothing is put in, also where taking out fails half-way.
        if let Err(error) = self.desk.released.set() {
            return unmarked(&error);
        }
        let outcome = self.reconciler.release().await;
        let reply = match outcome {
            Ok((entries, report)) if report.complete() => {
                self.be_released();
                done(format!("{entries} entries taken out{}", self.rest()))
            }
            Ok((entries, report)) => {
                let why = format!(
                    "{} of {entries} entries taken out; run it again for the rest",
                    report.done()
                );
                self.be(NaclState::Released, why.clone());
                refused(RefusalKind::Failed, why)
            }
            Err(error) => refused(RefusalKind::Failed, in_full(&error)),
        };
        self.show();
        reply
    }
}
