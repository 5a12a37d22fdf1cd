//! Group commit: many requests, one transaction.

use nicban_protocol::{Outcome, Refusal, RefusalKind, Reply};
use tokio::sync::oneshot;
use tracing::error;

use super::{Engine, words};
use crate::{
    bans::{Change, KernelChange, StoreChange, Undo},
    clock::Now,
    target::Target,
    xdp::XdpError,
};

/// What a batch has done so far, and whom it owes an answer.
#[derive(Default)]
pub(super) struct Batch {
    undo: Vec<Undo>,
    store: Vec<StoreChange>,
    answers: Vec<Answer>,
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
    /// Owes `to` an answer, given once the batch is settled.
    pub(super) fn answer(&mut self, to: oneshot::Sender<Reply>, reply: Reply) {
        let depends = matches!(reply, Reply::Done { .. });
        self.answers.push(Answer { to, reply, depends });
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
            self.write(target, kernel, now)
                .map_err(|error| words::failed(&error))?;
        }
        batch.undo.push(self.bans.commit(&change));
        batch.store.extend(change.store);
        Ok(change.outcome)
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
            KernelChange::Put(until) => {
                let expires_at = words::expiry(until, now, self.config.grace);
                self.tables.put(&network, expires_at)
            }
            KernelChange::Remove => {
                self.tables.remove(&network)?;
                self.ranking.forget(&network);
                self.counters.evict(&network)
            }
        }
    }

    /// Stores what the batch did, or takes it all back; the answers are true now.
    pub(super) fn settle(&mut self, mut batch: Batch, now: Now) -> Answers {
        let stored = if batch.store.is_empty() {
            Ok(Vec::new())
        } else {
            self.store.commit(&batch.store)
        };
        if let Ok(offences) = &stored {
            for (target, count) in offences {
                self.bans.set_offences(target, *count);
            }
        }
        if let Err(failure) = stored {
            error!(error = %words::chain(&failure), "the store refused: nothing of this was done");
            self.take_back(std::mem::take(&mut batch.undo), now);
            for answer in batch.answers.iter_mut().filter(|answer| answer.depends) {
                answer.reply = Reply::Refused(Refusal {
                    kind: RefusalKind::Failed,
                    message: format!("the store refused it: {}", words::chain(&failure)),
                });
            }
        }
        Answers(batch.answers)
    }

    fn take_back(&mut self, undo: Vec<Undo>, now: Now) {
        for undo in undo.into_iter().rev() {
            let kernel = undo.target().zip(undo.kernel());
            self.bans.undo(undo);
            if let Some((target, change)) = kernel
                && let Err(failure) = self.write(target, change, now)
            {
                error!(%target, error = %words::chain(&failure), "cannot take it back in the kernel");
            }
        }
    }
}
