//! Group commit: many requests, one transaction.
//!
//! The kernel comes before the store where a ban is made, and after it where one is lifted:
//! whatever fails in between, no packet of a banned source gets through.

use std::collections::BTreeSet;

use ipnet::IpNet;
use nicban_protocol::{Outcome, Refusal, RefusalKind, Reply, Request};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::{Engine, words};
use crate::{
    bans::{Change, KernelChange, ManyChange, StoreChange, Undo, UndoMany, Until},
    clock::Now,
    target::Target,
    xdp::XdpError,
};

/// Lifted bans of one batch whose counters are evicted whether or not there are any.
const EVICTED_BLINDLY: usize = 256;

/// What a batch has done so far, and whom it owes an answer.
#[derive(Default)]
pub(super) struct Batch {
    undo: Vec<Step>,
    store: Vec<StoreChange>,
    /// What is to be dropped no longer, once the store has agreed.
    lifted: Vec<Target>,
    answers: Vec<Answer>,
}

/// What was done, and can be taken back.
enum Step {
    One(Undo),
    Many(UndoMany),
}

/// Answers that are due.
#[must_use = "somebody waits for them"]
pub(super) struct Answers(Vec<Answer>);

impl Answers {
    /// Gives them.
    pub(super) fn give(self) {
        for answer in self.0 {
            // Who hung up meanwhile has no use for it.
            drop(answer.to.send(answer.reply));
        }
    }
}

struct Answer {
    to: oneshot::Sender<Reply>,
    reply: Reply,
    /// Whether it is true only once the store has committed.
    depends: bool,
}

impl Batch {
    /// Owes `to` an answer, given once the batch is settled. `shared` tells whether
    /// the request is one that [`shares_the_transaction`].
    pub(super) fn answer(&mut self, to: oneshot::Sender<Reply>, reply: Reply, shared: bool) {
        let depends = shared && matches!(reply, Reply::Done { .. } | Reply::Many(_));
        self.answers.push(Answer { to, reply, depends });
    }

    /// Makes refusals of the answers that only the store's word would have made true.
    fn refuse(&mut self, why: &str) {
        for answer in self.answers.iter_mut().filter(|answer| answer.depends) {
            answer.reply = Reply::Refused(words::refused(
                RefusalKind::Failed,
                format_args!("the store refused it: {why}"),
            ));
        }
    }
}

/// Whether what a request does is stored with its batch, and taken back with it.
/// All else is done, and stored where it is to be kept, once it is served.
pub(super) fn shares_the_transaction(request: &Request) -> bool {
    match request {
        Request::Ban(_)
        | Request::Prolong(_)
        | Request::Unban { .. }
        | Request::BanMany(_)
        | Request::UnbanMany { .. }
        | Request::Flush { .. }
        | Request::Lift { .. }
        | Request::Start { .. }
        | Request::Stop { .. } => true,
        Request::Check { .. }
        | Request::List { .. }
        | Request::Mark {}
        | Request::Synced(_)
        | Request::Dump { .. }
        | Request::Status {}
        | Request::AllowAdd { .. }
        | Request::AllowRemove { .. }
        | Request::AllowList {}
        | Request::SetMode { .. }
        | Request::Attach { .. }
        | Request::Confirm {}
        | Request::Detach { .. }
        | Request::NaclPlan {}
        | Request::NaclRelease {}
        | Request::NaclResume {} => false,
    }
}

impl Engine {
    /// Carries a planned change out in the kernel and in memory. The store
    /// follows when the batch is settled.
    pub(super) fn carry_out(
        &mut self,
        change: Change,
        now: Now,
        batch: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        if let (Some(target), Some(kernel)) = (change.target, change.kernel) {
            self.write(target, self.before_the_store(target, kernel), now)
                .map_err(|error| words::failed(&error))?;
            if kernel == KernelChange::Remove {
                batch.lifted.push(target);
            }
        }
        batch.undo.push(Step::One(self.bans.commit(&change)));
        batch.store.extend(change.store);
        Ok(change.outcome)
    }

    /// Carries out bans on targets that nobody held: in the kernel first, then in memory.
    /// After an error nothing has changed.
    pub(super) fn carry_out_fresh(
        &mut self,
        change: &ManyChange,
        now: Now,
        batch: &mut Batch,
    ) -> Result<(), XdpError> {
        let puts: Vec<(IpNet, u64)> = change
            .fresh()
            .iter()
            .map(|(target, until)| (target.network(), self.expiry(*until, now)))
            .collect();
        if let Err(error) = self.tables.put_all(&puts) {
            let fresh: Vec<IpNet> = puts.into_iter().map(|(network, _)| network).collect();
            let undone = self.tables.remove_all(&fresh);
            note_left(undone);
            return Err(error);
        }
        batch.undo.push(Step::Many(self.bans.commit_many(change)));
        batch.store.extend(change.store());
        Ok(())
    }

    /// Carries out planned changes, each about another target: all of them, or none.
    pub(super) fn carry_out_all(
        &mut self,
        changes: Vec<Change>,
        now: Now,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let touched = changes
            .iter()
            .filter_map(|change| Some((change.target?, change.kernel?)));
        let touched: Vec<(Target, KernelChange)> = touched.collect();
        // Of those that lift bans, one of each map shows whether it takes writes.
        let mut tried = BTreeSet::new();
        let first: Vec<(Target, KernelChange)> = touched
            .iter()
            .filter(|(target, change)| {
                *change != KernelChange::Remove || tried.insert(target.map(self.config.ipv6_prefix))
            })
            .map(|(target, change)| (*target, self.before_the_store(*target, *change)))
            .collect();
        if let Err(error) = self.write_all(&first, now) {
            self.tell_again(first.into_iter().map(|(target, _)| target), now);
            return Err(words::failed(&error));
        }
        for change in changes {
            if let (Some(target), Some(KernelChange::Remove)) = (change.target, change.kernel) {
                batch.lifted.push(target);
            }
            batch.undo.push(Step::One(self.bans.commit(&change)));
            batch.store.extend(change.store);
        }
        Ok(())
    }

    /// Takes back what [`Self::carry_out_fresh`] did last.
    pub(super) fn take_back_last(&mut self, now: Now, batch: &mut Batch) {
        if let Some(step) = batch.undo.pop() {
            if matches!(&step, Step::Many(many) if many.targets().next().is_some()) {
                batch.store.pop();
            }
            self.take_back(vec![step], now);
        }
    }

    /// What is written of a change before the store is asked. A ban that is to be lifted is
    /// written as it stands: a map that takes no writes refuses now.
    fn before_the_store(&self, target: Target, change: KernelChange) -> KernelChange {
        match change {
            KernelChange::Put(_) => change,
            KernelChange::Remove => self.as_committed(target),
        }
    }

    /// Takes out of the kernel what the store has let go of, but for what was banned anew since.
    fn let_go(&mut self, lifted: &[Target]) {
        let gone: Vec<IpNet> = lifted
            .iter()
            .filter(|target| self.bans.get(target).is_none())
            .map(Target::network)
            .collect();
        match self.tables.remove_all(&gone) {
            Ok(()) => self.troubles.clear("lifting"),
            Err(failure) => self.troubles.note(
                "lifting",
                format!(
                    "the kernel keeps bans that were lifted, until their ends or a restart: {}",
                    words::chain(&failure)
                ),
            ),
        }
    }

    /// What the kernel must say of a target.
    fn as_committed(&self, target: Target) -> KernelChange {
        let ban = self.bans.get(&target);
        ban.map_or(KernelChange::Remove, |ban| KernelChange::Put(ban.end()))
    }

    /// Writes many bans to the kernel's maps, each another one. After an error some are written.
    pub(super) fn write_all(
        &mut self,
        changes: &[(Target, KernelChange)],
        now: Now,
    ) -> Result<(), XdpError> {
        let (mut puts, mut removes) = (Vec::new(), Vec::new());
        for (target, change) in changes {
            let network = target.network();
            match change {
                KernelChange::Put(until) => puts.push((network, self.expiry(*until, now))),
                KernelChange::Remove => removes.push(network),
            }
        }
        self.tables.put_all(&puts)?;
        self.tables.remove_all(&removes)
    }

    fn expiry(&self, until: Until, now: Now) -> u64 {
        words::expiry(until, now, self.config.grace)
    }

    /// Writes a ban to the kernel's maps.
    pub(super) fn write(
        &mut self,
        target: Target,
        change: KernelChange,
        now: Now,
    ) -> Result<(), XdpError> {
        let network = target.network();
        match change {
            KernelChange::Put(until) => self.tables.put(&network, self.expiry(until, now)),
            KernelChange::Remove => self.tables.remove(&network),
        }
    }

    /// Stores what the batch did, or takes it all back; the answers are true now.
    pub(super) fn settle(&mut self, mut batch: Batch, now: Now) -> Answers {
        let stored = if batch.store.is_empty() {
            Ok(Vec::new())
        } else {
            self.store.commit(&batch.store)
        };
        match stored {
            Ok(offences) => {
                for (target, count) in offences {
                    self.bans.set_offences(&target, count);
                }
                if !batch.lifted.is_empty() {
                    self.let_go(&batch.lifted);
                }
                // Of a whole list few have a counter that was seen; the next reading takes out
                // those that were not.
                let is_list = batch.lifted.len() > EVICTED_BLINDLY;
                for network in batch.lifted.iter().map(Target::network) {
                    if !is_list || self.ranking.total(&network).packets > 0 {
                        self.forget_offender(&network);
                    }
                }
                if !batch.store.is_empty() {
                    self.troubles.clear("keeping");
                }
            }
            Err(failure) => {
                self.is_behind = false;
                let why = words::chain(&failure);
                self.troubles.note(
                    "keeping",
                    format!("the store refuses: no ban is made, lifted or ended: {why}"),
                );
                self.take_back(std::mem::take(&mut batch.undo), now);
                batch.refuse(&why);
            }
        }
        Answers(batch.answers)
    }

    /// Forgets what was counted of a ban that has been lifted. The counter may stay:
    /// the next reading of them takes out what nobody is banned for.
    fn forget_offender(&mut self, network: &IpNet) {
        self.ranking.forget(network);
        if let Err(error) = self.counters.evict(network) {
            warn!(%network, error = %words::chain(&error), "cannot evict the counter of a lifted ban");
        }
    }

    /// Memory first, all of it: of a target that was lifted and banned again the kernel is
    /// told the outcome alone, and never that it is free.
    fn take_back(&mut self, undo: Vec<Step>, now: Now) {
        let mut touched = BTreeSet::new();
        for step in undo.into_iter().rev() {
            match step {
                Step::One(undo) => {
                    touched.extend(undo.target().filter(|_| undo.kernel().is_some()));
                    self.bans.undo(undo);
                }
                Step::Many(undo) => {
                    touched.extend(undo.targets());
                    self.bans.undo_many(&undo);
                }
            }
        }
        self.tell_again(touched, now);
    }

    /// Tells the kernel again what memory holds.
    fn tell_again(&mut self, targets: impl IntoIterator<Item = Target>, now: Now) {
        let before: Vec<_> = targets
            .into_iter()
            .map(|target| (target, self.as_committed(target)))
            .collect();
        note_left(self.write_all(&before, now));
    }
}

/// What the kernel keeps of a change that was refused.
fn note_left(undone: Result<(), XdpError>) {
    if let Err(failure) = undone {
        error!(error = %words::chain(&failure), "cannot take it back in the kernel");
    }
}

#[cfg(test)]
mod tests {
    use nicban_protocol::Mode;

    use super::*;

    #[test]
    fn when_the_store_refuses_only_what_it_had_to_keep_is_refused() {
        let jail = || "sshd".to_owned();
        let done = || words::done(Outcome::Ok);
        let not_there = || Reply::Refused(words::refused(RefusalKind::NotFound, "not banned"));
        let attached = || Reply::Attached {
            interfaces: vec!["eth0".to_owned()],
            note: "attached to eth0".to_owned(),
        };
        let mut batch = Batch::default();
        let answers = [
            (Request::Stop { holder: jail() }, done(), None),
            (Request::Check { holder: jail() }, done(), Some(done())),
            (
                Request::SetMode {
                    mode: Mode::Observe,
                },
                done(),
                Some(done()),
            ),
            (
                Request::Attach {
                    interface: None,
                    confirm_s: None,
                    ssh_peer: None,
                },
                attached(),
                Some(attached()),
            ),
            (Request::Detach { interface: None }, done(), Some(done())),
            (
                Request::Unban {
                    address: "192.0.2.1".to_owned(),
                    holder: None,
                },
                not_there(),
                Some(not_there()),
            ),
        ]
        .map(|(request, reply, expected)| {
            let (to, answer) = oneshot::channel();
            batch.answer(to, reply, shares_the_transaction(&request));
            (request, answer, expected)
        });
        batch.refuse("the disk is full");
        Answers(batch.answers).give();
        for (request, answer, expected) in answers {
            let reply = answer.blocking_recv().unwrap();
            match expected {
                Some(expected) => assert_eq!(reply, expected, "{request:?}"),
                None => assert!(
                    matches!(&reply, Reply::Refused(refusal) if refusal.message.contains("disk")),
                    "{request:?}: {reply:?}"
                ),
            }
        }
    }
}
