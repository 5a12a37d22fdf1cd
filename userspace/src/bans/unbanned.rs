//! What was unbanned lately.
//!
//! Who tells of a jail's bans has read them before, and some may have been unbanned
//! meanwhile. So it asks for a mark first, and names it with what it tells: what was unbanned
//! since that mark is not banned again on its word.

use std::collections::{BTreeSet, VecDeque};

use crate::target::Target;

/// Unbans that are remembered.
const REMEMBERED: usize = 4096;

/// The unbans of late, numbered as they came.
#[derive(Debug)]
pub struct Unbanned {
    recent: VecDeque<Unban>,
    /// The number of the next.
    next: u64,
}

#[derive(Debug)]
struct Unban {
    /// Whose ban it was; `None`: everybody's.
    holder: Option<Box<str>>,
    /// What was unbanned; `None`: all of the holder's bans.
    target: Option<Target>,
}

/// What a holder's list that was read after a mark may be wrong about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// These are banned no longer.
    Targets(BTreeSet<Target>),
    /// Anything: all was unbanned, or more than is remembered.
    All,
}

impl Since {
    /// Whether a target may have been unbanned.
    pub fn has(&self, target: &Target) -> bool {
        match self {
            Self::Targets(targets) => targets.contains(target),
            Self::All => true,
        }
    }
}

impl Unbanned {
    /// Numbers them from `first` on. A mark of an earlier daemon has to be less.
    pub const fn new(first: u64) -> Self {
        Self {
            recent: VecDeque::new(),
            next: first,
        }
    }

    /// What was unbanned so far.
    pub const fn mark(&self) -> u64 {
        self.next
    }

    /// A holder, or an operator for all of them, unbans a target, or all.
    pub fn note(&mut self, holder: Option<&str>, target: Option<Target>) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(Unban {
            holder: holder.map(Box::from),
            target,
        });
        self.next += 1;
    }

    /// What was unbanned of a holder's since a mark.
    pub fn since(&self, mark: u64, holder: &str) -> Since {
        let count = self.next.checked_sub(mark).map(usize::try_from);
        let Some(first) = count
            .and_then(Result::ok)
            .and_then(|count| self.recent.len().checked_sub(count))
        else {
            return Since::All;
        };
        let of_holder = self.recent.range(first..).filter(|unban| {
            let whose = unban.holder.as_deref();
            whose.is_none_or(|whose| whose == holder)
        });
        let targets: Option<BTreeSet<Target>> = of_holder.map(|unban| unban.target).collect();
        targets.map_or(Since::All, Since::Targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Ipv6Prefix;

    fn target(text: &str) -> Target {
        Target::parse(text, Ipv6Prefix::default()).unwrap().target
    }

    fn only(texts: &[&str]) -> Since {
        Since::Targets(texts.iter().map(|text| target(text)).collect())
    }

    #[test]
    fn what_comes_after_the_mark_counts_for_its_holder() {
        let mut unbanned = Unbanned::new(100);
        unbanned.note(Some("sshd"), Some(target("192.0.2.1")));
        let mark = unbanned.mark();
        assert_eq!(unbanned.since(mark, "sshd"), only(&[]));
        unbanned.note(Some("sshd"), Some(target("192.0.2.2")));
        unbanned.note(Some("web"), Some(target("192.0.2.3")));
        unbanned.note(None, Some(target("2001:db8::1")));
        let since = unbanned.since(mark, "sshd");
        assert_eq!(since, only(&["192.0.2.2", "2001:db8::2"]));
        assert!(since.has(&target("192.0.2.2")) && !since.has(&target("192.0.2.3")));
        assert_eq!(
            unbanned.since(100, "sshd"),
            only(&["192.0.2.1", "192.0.2.2", "2001:db8::"])
        );
    }

    #[test]
    fn a_flush_is_about_all_of_its_holders_bans() {
        let mut unbanned = Unbanned::new(0);
        unbanned.note(Some("sshd"), None);
        assert_eq!(unbanned.since(0, "sshd"), Since::All);
        assert_eq!(unbanned.since(0, "web"), only(&[]));
        assert_eq!(unbanned.since(1, "sshd"), only(&[]));
        assert!(Since::All.has(&target("192.0.2.9")));
    }

    #[test]
    fn of_what_is_not_remembered_nothing_is_known() {
        let mut unbanned = Unbanned::new(7);
        for mark in [0, 6, 8, u64::MAX] {
            assert_eq!(unbanned.since(mark, "sshd"), Since::All, "{mark}");
        }
        for _ in 0..=REMEMBERED {
            unbanned.note(Some("web"), None);
        }
        assert_eq!(unbanned.since(7, "sshd"), Since::All);
        assert_eq!(unbanned.since(8, "sshd"), only(&[]));
    }
}
