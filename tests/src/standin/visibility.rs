//! Eventual consistency: what Describe sees lags behind what was changed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::acl::Acls;

/// The states of the past that may still be the visible one.
#[derive(Debug, Clone)]
pub struct Visibility {
    visible: Arc<Acls>,
    coming: VecDeque<(Instant, Arc<Acls>)>,
    delay: Duration,
}

impl Visibility {
    /// Everything is visible.
    pub const fn new(acls: Arc<Acls>, delay: Duration) -> Self {
        Self {
            visible: acls,
            coming: VecDeque::new(),
            delay,
        }
    }

    /// How long changes from now on stay unseen.
    pub const fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    /// A change was made.
    pub fn changed(&mut self, acls: Arc<Acls>, now: Instant) {
        self.coming.push_back((now + self.delay, acls));
    }

    /// What Describe sees: the newest state whose time has come.
    pub fn view(&mut self, now: Instant) -> Arc<Acls> {
        if let Some(newest) = self.coming.iter().rposition(|(at, _)| *at <= now) {
            for (_, acls) in self.coming.drain(..=newest) {
                self.visible = acls;
            }
        }
        Arc::clone(&self.visible)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::acl::Acl;
    use super::super::clock;
    use super::*;

    fn state(id: &str) -> Arc<Acls> {
        let acl = Acl {
            id: id.into(),
            vpc: String::new(),
            owner: String::new(),
            is_default: false,
            tags: BTreeMap::new(),
            associations: Vec::new(),
            entries: BTreeMap::new(),
        };
        Arc::new(BTreeMap::from([(id.to_owned(), acl)]))
    }

    #[test]
    fn without_a_delay_a_change_is_seen_at_once() {
        let now = clock::monotonic();
        let mut view = Visibility::new(state("a"), Duration::ZERO);
        view.changed(state("b"), now);
        assert_eq!(view.view(now), state("b"));
    }

    #[test]
    fn a_change_is_seen_when_its_time_has_come() {
        let now = clock::monotonic();
        let mut view = Visibility::new(state("a"), Duration::from_secs(2));
        view.changed(state("b"), now);
        view.changed(state("c"), now + Duration::from_secs(1));
        assert_eq!(view.view(now + Duration::from_millis(1_999)), state("a"));
        assert_eq!(view.view(now + Duration::from_secs(2)), state("b"));
        assert_eq!(view.view(now + Duration::from_secs(3)), state("c"));
    }

    #[test]
    fn a_later_state_replaces_an_earlier_one_that_is_still_unseen() {
        let now = clock::monotonic();
        let mut view = Visibility::new(state("a"), Duration::from_mins(1));
        view.changed(state("b"), now);
        view.set_delay(Duration::ZERO);
        view.changed(state("c"), now);
        assert_eq!(view.view(now), state("c"));
        assert_eq!(view.view(now + Duration::from_secs(90)), state("c"));
    }
}
