//! When to ask EC2 what stands in its network ACLs.

use std::time::Duration;

/// How often what is believed to stand there is planned upon, without asking EC2.
pub const LOOK: Duration = Duration::from_secs(1);

/// How old an observation may be for a change to rest on it. EC2 has no conditional
/// change: what someone else edits in the meantime is overwritten.
const FRESH: Duration = Duration::from_secs(10);

/// Between which bounds observations follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// Between two observations while things change.
    pub every: Duration,
    /// To what that grows while nothing changes, or EC2 fails.
    pub at_most: Duration,
}

/// The rhythm as it is kept. Times are since any fixed moment.
#[derive(Debug, Clone)]
pub struct Cadence {
    rhythm: Rhythm,
    last: Option<Duration>,
    pause: Duration,
}

impl Cadence {
    /// Nothing has been observed yet.
    pub const fn new(rhythm: Rhythm) -> Self {
        Self {
            rhythm,
            last: None,
            pause: rhythm.every,
        }
    }

    /// Whether it is time for an observation that nothing asks for.
    pub fn is_due(&self, now: Duration) -> bool {
        self.age(now).is_none_or(|age| age >= self.pause)
    }

    /// Whether a change may rest on the last observation.
    pub fn is_fresh(&self, now: Duration) -> bool {
        self.age(now).is_some_and(|age| age < FRESH)
    }

    fn age(&self, now: Duration) -> Option<Duration> {
        self.last.map(|last| now.saturating_sub(last))
    }

    /// EC2 was asked, in vain or not.
    pub const fn observed(&mut self, now: Duration) {
        self.last = Some(now);
    }

    /// The next observation comes at once.
    pub const fn hurry(&mut self) {
        self.last = None;
    }

    /// Something was changed, which the next observation verifies.
    pub const fn changed(&mut self) {
        self.pause = self.rhythm.every;
    }

    /// An observation found all as it should be, or failed.
    pub fn unchanged(&mut self) {
        self.pause = self
            .pause
            .saturating_mul(2)
            .clamp(self.rhythm.every, self.rhythm.at_most);
    }

    /// Asking would be in vain for a long time.
    pub const fn rest(&mut self) {
        self.pause = self.rhythm.at_most;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RHYTHM: Rhythm = Rhythm {
        every: Duration::from_mins(1),
        at_most: Duration::from_mins(15),
    };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_pause_doubles_while_nothing_changes_and_a_change_ends_that() {
        let mut cadence = Cadence::new(RHYTHM);
        assert!(cadence.is_due(s(0)));
        let mut now = s(0);
        for pause in [120, 240, 480, 900, 900] {
            cadence.observed(now);
            cadence.unchanged();
            assert!(!cadence.is_due(now + s(pause - 1)));
            now += s(pause);
            assert!(cadence.is_due(now));
        }
        cadence.observed(now);
        cadence.changed();
        assert!(!cadence.is_due(now + s(59)));
        assert!(cadence.is_due(now + s(60)));
    }

    #[test]
    fn no_change_rests_on_an_old_observation() {
        let mut cadence = Cadence::new(RHYTHM);
        assert!(!cadence.is_fresh(s(0)), "there is none");
        cadence.observed(s(10));
        cadence.rest();
        assert!(cadence.is_fresh(s(19)));
        assert!(!cadence.is_fresh(s(20)) && !cadence.is_due(s(20)));
        cadence.hurry();
        assert!(!cadence.is_fresh(s(11)) && cadence.is_due(s(11)));
    }
}
