//! The network ACLs as they are believed to stand: as last observed, with what EC2 has
//! acknowledged since.
//!
//! EC2 is eventually consistent: what it has acknowledged may show some seconds later.
//! So an observation does not undo a removal that is younger than that.

use std::time::Duration;

use super::acl::{Acl, Entry, Rule, RuleAction};
use super::plan::Change;

/// The NACLs as they are believed to stand.
#[derive(Debug, Default)]
pub struct Believed {
    acls: Vec<Acl>,
    /// What was acknowledged lately, and when, in seconds since the Unix epoch.
    recent: Vec<(i64, String, Change)>,
}

impl Believed {
    /// All of them.
    pub fn acls(&self) -> &[Acl] {
        &self.acls
    }

    /// EC2 shows this at `now`, in seconds since the Unix epoch; changes show within
    /// `settle`.
    pub fn observed(&mut self, acls: Vec<Acl>, now: i64, settle: Duration) {
        self.recent
            .retain(|(at, _, _)| at.abs_diff(now) < settle.as_secs());
        self.acls = self.corrected(acls);
    }

    /// NACLs that EC2 shows, with what it has acknowledged lately.
    pub fn corrected(&self, mut acls: Vec<Acl>) -> Vec<Acl> {
        for (_, acl, change) in &self.recent {
            take_in(&mut acls, acl, change);
        }
        acls
    }

    /// EC2 has acknowledged a change at `now`, in seconds since the Unix epoch.
    pub fn acknowledged(&mut self, acl: &str, change: &Change, now: i64) {
        take_in(&mut self.acls, acl, change);
        self.doubted(acl, change);
        self.recent.push((now, acl.to_owned(), *change));
    }

    /// A change may have been made or not: what was acknowledged of its place before
    /// tells nothing any more.
    pub fn doubted(&mut self, acl: &str, change: &Change) {
        self.recent
            .retain(|(_, other, earlier)| other != acl || earlier.position() != change.position());
    }
}

/// Makes a change, where what it starts from is still there: someone else may have
/// changed the place since.
fn take_in(acls: &mut [Acl], id: &str, change: &Change) {
    let Some(acl) = acls.iter_mut().find(|acl| acl.id == id) else {
        return;
    };
    let position = change.position();
    let at = acl.entries.iter().position(|it| it.position == position);
    match (at, change) {
        (None, Change::Create(rule)) => acl.entries.push(deny(rule)),
        (Some(at), Change::Replace { rule, from }) if denies(&acl.entries[at], from) => {
            acl.entries[at] = deny(rule);
        }
        (Some(at), Change::Delete { network, .. }) if denies(&acl.entries[at], network) => {
            acl.entries.remove(at);
        }
        _ => {}
    }
}

fn denies(entry: &Entry, network: &ipnet::IpNet) -> bool {
    entry.action == RuleAction::Deny && entry.all_traffic && entry.network == *network
}

const fn deny(rule: &Rule) -> Entry {
    Entry {
        position: rule.position,
        action: RuleAction::Deny,
        network: rule.network,
        all_traffic: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::fake::{acl, deny, rule};

    const SETTLE: Duration = Duration::from_secs(30);
    const OLD: &str = "198.51.100.1/32";
    const NEW: &str = "203.0.113.9/32";

    fn nacl(entries: &[(u16, &str)]) -> Acl {
        let mut nacl = acl("acl-1");
        let denies = entries.iter().map(|(number, it)| deny(rule(*number, it)));
        nacl.entries.extend(denies);
        nacl
    }

    fn changes() -> [Change; 3] {
        let (first, third) = (rule(1, OLD), rule(3, NEW));
        [
            Change::Delete {
                position: first.position,
                network: first.network,
            },
            Change::Replace {
                rule: rule(2, NEW),
                from: OLD.parse().unwrap(),
            },
            Change::Create(third),
        ]
    }

    #[test]
    fn what_is_acknowledged_is_believed_before_and_while_ec2_does_not_show_it() {
        let before = [nacl(&[(1, OLD), (2, OLD)])];
        let after = [nacl(&[(2, NEW), (3, NEW)])];
        let mut believed = Believed::default();
        believed.observed(before.to_vec(), 100, SETTLE);
        for change in &changes() {
            believed.acknowledged("acl-1", change, 101);
        }
        assert_eq!(believed.acls(), after);
        for shown in [&before, &after] {
            believed.observed(shown.to_vec(), 130, SETTLE);
            assert_eq!(believed.acls(), after);
        }
        believed.observed(before.to_vec(), 131, SETTLE);
        assert_eq!(believed.acls(), before, "by now EC2 is right");
    }

    #[test]
    fn what_someone_else_put_there_since_is_seen() {
        let mut believed = Believed::default();
        believed.observed(vec![nacl(&[(1, OLD), (2, OLD)])], 100, SETTLE);
        for change in &changes() {
            believed.acknowledged("acl-1", change, 101);
        }
        let theirs = "192.0.2.0/24";
        let edited = [nacl(&[(1, theirs), (2, theirs), (3, theirs)])];
        believed.observed(edited.to_vec(), 102, SETTLE);
        assert_eq!(believed.acls(), edited);
    }

    #[test]
    fn after_a_doubtful_change_ec2_tells_what_is_true() {
        let mut believed = Believed::default();
        let created = rule(1, OLD);
        believed.observed(vec![nacl(&[])], 100, SETTLE);
        believed.acknowledged("acl-1", &Change::Create(created), 101);
        let delete = Change::Delete {
            position: created.position,
            network: created.network,
        };
        believed.doubted("acl-1", &delete);
        believed.observed(vec![nacl(&[])], 102, SETTLE);
        assert_eq!(believed.acls(), [nacl(&[])]);
    }

    #[test]
    fn the_last_change_of_a_place_counts() {
        let mut believed = Believed::default();
        let (first, second) = (rule(1, OLD), rule(1, NEW));
        let delete = |rule: Rule| Change::Delete {
            position: rule.position,
            network: rule.network,
        };
        believed.observed(vec![nacl(&[(1, OLD)])], 100, SETTLE);
        for change in [
            delete(first),
            Change::Create(second),
            delete(second),
            Change::Create(first),
        ] {
            believed.acknowledged("acl-1", &change, 101);
        }
        believed.observed(vec![nacl(&[(1, OLD)])], 102, SETTLE);
        assert_eq!(believed.acls(), [nacl(&[(1, OLD)])]);
    }
}
