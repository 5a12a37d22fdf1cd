//! What a plan notices that it can't or must not change.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;

use crate::nacl::acl::{Acl, Direction, Entry, Family, Position, Rule, RuleAction};
use crate::nacl::ledger::LedgerEntry;

/// What a plan notices that it can't or must not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Another account owns the NACL (a shared VPC), so it can't be changed.
    NotOwner {
        /// The NACL's id.
        acl: String,
        /// The account that owns it.
        owner: String,
        /// Ours.
        account: String,
    },
    /// An allow before our range makes every deny in it useless.
    Shadowed {
        /// The NACL's id.
        acl: String,
        /// The allow.
        position: Position,
        /// What it allows.
        network: IpNet,
    },
    /// The entries of others leave no slot.
    Full {
        /// The NACL's id.
        acl: String,
        /// The rule list.
        direction: Direction,
        /// The family.
        family: Family,
        /// Entries of others, the default deny counted.
        others: usize,
        /// The quota.
        quota: u32,
    },
    /// There are fewer rule numbers than the quota leaves slots.
    Cramped {
        /// The NACL's id.
        acl: String,
        /// The rule list.
        direction: Direction,
        /// The family.
        family: Family,
        /// Usable rule numbers.
        numbers: usize,
        /// Slots by the quota.
        slots: usize,
    },
    /// Someone put something else where our entry was.
    Edited {
        /// The NACL's id.
        acl: String,
        /// Our entry.
        rule: Rule,
        /// What stands there now.
        found: Entry,
    },
    /// Someone removed our entry; its place is left alone for a while, and so is what
    /// it denied.
    Removed {
        /// The NACL's id.
        acl: String,
        /// Our entry.
        rule: Rule,
        /// Until when, in seconds since the Unix epoch.
        until: i64,
        /// Whether it happened before.
        again: bool,
    },
    /// Our entry stands outside the configured range.
    OutOfRange {
        /// The NACL's id.
        acl: String,
        /// Our entry.
        rule: Rule,
    },
    /// Someone else's entry stands inside our range.
    Neighbour {
        /// The NACL's id.
        acl: String,
        /// The entry.
        entry: Entry,
    },
    /// A NACL that holds entries of ours is no longer among those observed.
    Unobserved {
        /// The NACL's id.
        acl: String,
        /// How many entries of ours.
        entries: usize,
    },
}

impl Finding {
    /// The NACL that it is about.
    pub fn acl(&self) -> &str {
        match self {
            Self::NotOwner { acl, .. }
            | Self::Shadowed { acl, .. }
            | Self::Full { acl, .. }
            | Self::Cramped { acl, .. }
            | Self::Edited { acl, .. }
            | Self::Removed { acl, .. }
            | Self::OutOfRange { acl, .. }
            | Self::Neighbour { acl, .. }
            | Self::Unobserved { acl, .. } => acl,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOwner {
                acl,
                owner,
                account,
            } => write!(
                f,
                "{acl} belongs to account {owner}, not to ours ({account}): only its owner can change it"
            ),
            Self::Shadowed {
                acl,
                position,
                network,
            } => write!(
                f,
                "{acl}: the allow of {network} at {position} comes before our range, so no deny in it would work"
            ),
            Self::Full {
                acl,
                direction,
                family,
                others,
                quota,
            } => write!(
                f,
                "{acl}: {others} entries of others fill the {family} {direction} quota of {quota}"
            ),
            Self::Cramped {
                acl,
                direction,
                family,
                numbers,
                slots,
            } => write!(
                f,
                "{acl}: the quota leaves {slots} {family} {direction} slots, but only {numbers} rule numbers are free for them below the first allow"
            ),
            Self::Edited { acl, rule, found } => write!(
                f,
                "{acl}: {} held our deny of {}; someone put {} there",
                rule.position,
                rule.network,
                Brief(found)
            ),
            Self::Removed {
                acl,
                rule,
                until,
                again: false,
            } => write!(
                f,
                "{acl}: someone removed our deny of {} at {}; to be put back at {}",
                rule.network,
                rule.position,
                Moment(*until)
            ),
            Self::Removed {
                acl, rule, until, ..
            } => write!(
                f,
                "{acl}: someone removed our deny of {} at {} again; left alone until {}",
                rule.network,
                rule.position,
                Moment(*until)
            ),
            Self::OutOfRange { acl, rule } => write!(
                f,
                "{acl}: our deny of {} at {} is outside the configured range; release takes it out",
                rule.network, rule.position
            ),
            Self::Neighbour { acl, entry } => write!(
                f,
                "{acl}: {} is in our range but holds {} of someone else",
                entry.position,
                Brief(entry)
            ),
            Self::Unobserved { acl, entries } => {
                write!(
                    f,
                    "{acl} holds {entries} of our entries but was not observed"
                )
            }
        }
    }
}

/// An entry in a few words.
struct Brief<'a>(&'a Entry);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.0.action {
            RuleAction::Allow => "an allow",
            RuleAction::Deny => "a deny",
        };
        let scope = if self.0.all_traffic {
            ""
        } else {
            " (some traffic)"
        };
        write!(f, "{action} of {}{scope}", self.0.network)
    }
}

/// A moment as operators read it.
struct Moment(i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The end of the year 9999, the last that RFC 3339 can write.
        let seconds = u64::try_from(self.0).unwrap_or(0).min(253_402_300_799);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

/// Finds NACLs that the ledger knows but that were not observed.
pub(super) fn unobserved(
    observed: &BTreeMap<&str, &Acl>,
    ledger: &[LedgerEntry],
    findings: &mut Vec<Finding>,
) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in ledger {
        if !observed.contains_key(entry.acl.as_str()) {
            *counts.entry(&entry.acl).or_default() += 1;
        }
    }
    findings.extend(
        counts
            .into_iter()
            .map(|(acl, entries)| Finding::Unobserved {
                acl: acl.to_owned(),
                entries,
            }),
    );
}
