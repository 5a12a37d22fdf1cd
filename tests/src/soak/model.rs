//! What should be in force: who holds what until when.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Seconds around a ban's end in which it may or may not be in force: the daemon lifts it at its
/// next tick, and whoever looks does so a moment later.
const TURN: i64 = 3;

/// What is to become of a source's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// All are dropped.
    Dropped,
    /// All pass.
    Passed,
    /// Its ban ends about now.
    Turning,
}

/// Bans as whoever asked for them was told.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Ends in seconds since the Unix epoch; `None` is never.
    holds: BTreeMap<IpAddr, BTreeMap<&'static str, Option<i64>>>,
}

impl Model {
    /// A holder's ban, or its new end.
    pub(super) fn hold(&mut self, address: IpAddr, holder: &'static str, until: Option<i64>) {
        self.holds.entry(address).or_default().insert(holder, until);
    }

    /// A holder lets go.
    pub(super) fn release(&mut self, address: IpAddr, holder: &str) {
        if let Some(holders) = self.holds.get_mut(&address) {
            holders.remove(holder);
        }
        self.holds.retain(|_, holders| !holders.is_empty());
    }

    /// A holder lets go of everything.
    pub(super) fn release_all(&mut self, holder: &str) {
        for holders in self.holds.values_mut() {
            holders.remove(holder);
        }
        self.holds.retain(|_, holders| !holders.is_empty());
    }

    /// Leaves out what ended so long ago that it no longer matters.
    pub(super) fn forget_ended(&mut self, now: i64) {
        for holders in self.holds.values_mut() {
            holders.retain(|_, until| until.is_none_or(|until| until + TURN >= now));
        }
        self.holds.retain(|_, holders| !holders.is_empty());
    }

    /// Whether a holder holds it, ended a moment ago or not.
    pub(super) fn is_held_by(&self, address: IpAddr, holder: &str) -> bool {
        self.holds
            .get(&address)
            .is_some_and(|holders| holders.contains_key(holder))
    }

    /// Every address with its holders and their ends.
    pub(super) fn holds(&self) -> impl Iterator<Item = (IpAddr, &'static str, Option<i64>)> {
        self.holds.iter().flat_map(|(address, holders)| {
            holders
                .iter()
                .map(|(holder, until)| (*address, *holder, *until))
        })
    }

    /// What is to become of its packets at `now`.
    pub(super) fn fate(&self, address: IpAddr, now: i64) -> Fate {
        let ends = || {
            self.holds
                .get(&address)
                .into_iter()
                .flat_map(BTreeMap::values)
        };
        let after =
            |moment: i64| move |until: &&Option<i64>| until.is_none_or(|until| until > moment);
        if ends().any(|until| after(now + TURN)(&until)) {
            Fate::Dropped
        } else if ends().any(|until| after(now - TURN)(&until)) {
            Fate::Turning
        } else {
            Fate::Passed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 18, 0, 1));

    #[test]
    fn one_holder_is_enough_and_the_last_one_decides() {
        let mut model = Model::default();
        assert_eq!(model.fate(ADDRESS, 100), Fate::Passed);
        model.hold(ADDRESS, "sshd", Some(110));
        model.hold(ADDRESS, "web", None);
        assert_eq!(model.fate(ADDRESS, 500), Fate::Dropped);
        model.release(ADDRESS, "web");
        assert_eq!(model.fate(ADDRESS, 106), Fate::Dropped);
        assert_eq!(model.fate(ADDRESS, 110), Fate::Turning);
        assert_eq!(model.fate(ADDRESS, 113), Fate::Passed);
        model.forget_ended(113);
        assert!(model.is_held_by(ADDRESS, "sshd"));
        model.forget_ended(114);
        assert!(!model.is_held_by(ADDRESS, "sshd"));
    }

    #[test]
    fn a_jail_lets_go_of_its_own_alone() {
        let mut model = Model::default();
        model.hold(ADDRESS, "sshd", None);
        model.hold(ADDRESS, "web", None);
        model.release_all("web");
        assert_eq!(model.holds().collect::<Vec<_>>(), [(ADDRESS, "sshd", None)]);
        model.release_all("sshd");
        assert_eq!(model.fate(ADDRESS, 0), Fate::Passed);
    }
}
