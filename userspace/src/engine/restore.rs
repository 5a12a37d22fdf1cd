//! A jail's bans, told once more by `nicban sync`.

use std::sync::Arc;

use nicban_protocol::{ManyBans, Refusal, Reply, Synced, Tally};
use tracing::{info, warn};

use super::many::{count_of, example};
use super::{Engine, batch::Batch};
use crate::{bans::Served, clock::Now};

/// What came of a synchronisation, into the log.
pub(super) fn log(synced: &Synced) {
    if synced.problem.is_some() {
        warn!("synchronised with fail2ban: {synced}");
    } else {
        info!("synchronised with fail2ban: {synced}");
    }
}

impl Engine {
    /// Bans what is not in force yet nor unbanned since the mark, as far as it may be banned and
    /// there is room.
    pub(super) fn ban_restored(
        &mut self,
        many: ManyBans,
        mark: u64,
        now: Now,
        batch: &mut Batch,
    ) -> Result<Reply, Refusal> {
        let seconds = now.seconds();
        let mut tally = Tally::default();
        let bans = self.admit(&many.networks, many.until, seconds, &mut tally)?;
        let unbanned = self.unbanned.since(mark, &many.holder);
        let (gone, bans): (Vec<_>, Vec<_>) = bans
            .into_iter()
            .map(|(target, until, since)| Served {
                target,
                until,
                since: since.unwrap_or(many.time),
            })
            .partition(|served| unbanned.has(&served.target));
        tally.unbanned += count_of(gone.len());
        let holder: Arc<str> = many.holder.into();
        let restored = self.bans.plan_restored(&holder, bans, seconds);
        tally.enforced += count_of(restored.enforced);
        tally.prolonged += count_of(restored.prolonged);
        tally.unchanged += count_of(restored.unchanged);
        tally.expired += count_of(restored.expired);
        tally.full += count_of(restored.full.len());
        for full in &restored.full {
            example(&mut tally, 0, full);
        }
        self.carry_out_all(restored.changes, now, batch)?;
        Ok(Reply::Many(tally))
    }
}
