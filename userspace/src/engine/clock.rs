//! A wall clock that is set: sentences go on for as long as was left.

use std::time::Duration;

use tracing::info;

use super::{Engine, words};
use crate::{
    bans::{KernelChange, Step},
    clock::Now,
    store::StoreError,
    target::Target,
};

/// A jump of the wall clock below this is left to the sentences' own rounding.
const CLOCK_STEP: Duration = Duration::from_secs(2);

impl Engine {
    /// Takes up the clock by which the store's times were told, once those are read. If it
    /// was set while no daemon ran, they move, by the step that is returned. After a boot
    /// there is no telling: then they are taken as they stand.
    pub(super) fn take_up_the_clock(&mut self, now: Now) -> Result<Option<Step>, StoreError> {
        let before = self.store.clock()?;
        self.is_clock_stored = before.as_ref() == Some(&self.clock);
        if let Some(before) = before
            && before.boot_id == self.clock.boot_id
        {
            self.is_clock_stored = true;
            self.clock = before;
        }
        Ok(self.follow_the_wall_clock(now))
    }

    /// When someone has set the wall clock, what is told by it moves; the boot clock, by
    /// which the kernel counts, goes on.
    pub(super) fn follow_the_wall_clock(&mut self, now: Now) -> Option<Step> {
        let epoch = now.epoch();
        let was_set = epoch.abs_diff(self.clock.epoch) >= CLOCK_STEP;
        let step = was_set.then(|| step(self.clock.epoch, now));
        if let Some(step) = step {
            self.clock.epoch = epoch;
            self.bans.follow(step);
            self.allow.follow(step);
            self.steps.push(step);
            self.is_clock_stored = false;
            info!(
                seconds = step.by,
                bans = self.bans.len(),
                "the clock was set: the ends of bans move with it"
            );
            self.write_ends(now);
        }
        self.store_the_clock();
        step
    }

    /// What the kernel has is right but for roundings, unless the clock was behind.
    fn write_ends(&mut self, now: Now) {
        let bans: Vec<(Target, KernelChange)> = self
            .bans
            .iter()
            .map(|ban| (ban.target, KernelChange::Put(ban.end())))
            .collect();
        match self.write_all(&bans, now) {
            Ok(()) => self.troubles.clear("clock"),
            Err(error) => self.troubles.note("clock", words::chain(&error)),
        }
    }

    /// A store that refuses is asked again before anything else is stored: what is told
    /// from now on is told by the new clock.
    fn store_the_clock(&mut self) {
        while !self.is_clock_stored {
            let step = self.steps.first().copied();
            if let Err(failure) = self.store.follow(step, &self.clock) {
                self.troubles.note("clock store", words::chain(&failure));
                return;
            }
            self.steps.drain(..usize::from(step.is_some()));
            self.is_clock_stored = self.steps.is_empty();
            self.troubles.clear("clock store");
        }
    }
}

/// The jump from a clock that showed `epoch` at boot to the one of `now`. It is rounded
/// up, so that no ban ends early.
fn step(epoch: Duration, now: Now) -> Step {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let by = match now.epoch().checked_sub(epoch) {
        Some(forward) => seconds(forward) + i64::from(forward.subsec_nanos() > 0),
        None => -seconds(epoch.saturating_sub(now.epoch())),
    };
    Step {
        by,
        from: seconds(epoch.saturating_add(now.boot)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_rounded_so_that_no_ban_ends_early() {
        let epoch = Duration::from_millis(1_000_000_500);
        let at = |epoch: Duration| Now {
            wall: epoch + Duration::from_secs(50),
            boot: Duration::from_secs(50),
        };
        let forward = step(epoch, at(epoch + Duration::from_millis(3_600_100)));
        assert_eq!(
            forward,
            Step {
                by: 3_601,
                from: 1_000_050
            }
        );
        let back = step(
            epoch,
            at(epoch.saturating_sub(Duration::from_millis(3_600_900))),
        );
        assert_eq!(
            back,
            Step {
                by: -3_600,
                from: 1_000_050
            }
        );
    }
}
