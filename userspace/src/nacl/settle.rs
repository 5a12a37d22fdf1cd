//! Brings the ledger in line with what a NACL shows.

use std::collections::BTreeMap;

use super::acl::{Acl, Position, Rule, RuleAction};
use super::ledger::{Ledger, LedgerEntry, LedgerError};

/// How long a change may go unseen, in seconds. EC2 promises no bound ("Eventual
/// consistency", Amazon EC2 API Reference); its own guide retries for minutes.
pub const SETTLING_S: i64 = 120;

/// An entry of ours that is not where the ledger says: someone has edited it or
/// taken it out, or a call whose reply was lost did not do what was recorded for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What we had put there.
    pub rule: Rule,
    /// What stands there now, if anything.
    pub now: Option<Rule>,
}

/// Withdraws the records that the observation disproves, and gives them back.
///
/// A record is disproved when its position shows something else and the record is
/// older than [`SETTLING_S`]: until then the observation may be the older of the
/// two. Records of other NACLs are left alone.
pub fn settle<L: Ledger + ?Sized>(
    ledger: &mut L,
    acl: &Acl,
    now: i64,
) -> Result<Vec<Loss>, LedgerError> {
    let mut positions: BTreeMap<Position, Vec<LedgerEntry>> = BTreeMap::new();
    for entry in ledger.entries()? {
        if entry.acl == acl.id {
            positions
                .entry(entry.rule.position)
                .or_default()
                .push(entry);
        }
    }
    let mut losses = Vec::new();
    for (position, records) in positions {
        let newest = records.iter().map(|record| record.since).max();
        if newest.is_some_and(|since| now.saturating_sub(since) < SETTLING_S) {
            continue;
        }
        let shown = acl.entries.iter().find(|entry| entry.position == position);
        let is_ours = |record: &LedgerEntry| {
            shown.is_some_and(|entry| {
                entry.action == RuleAction::Deny && entry.network == record.rule.network
            })
        };
        let replaced = records.iter().any(is_ours);
        for record in records.iter().filter(|record| !is_ours(record)) {
            ledger.withdraw(&acl.id, &record.rule)?;
            if !replaced {
                losses.push(Loss {
                    rule: record.rule,
                    now: shown.map(|entry| Rule {
                        position,
                        network: entry.network,
                    }),
                });
            }
        }
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::fake::{acl, allow_all, deny, ingress, rule};
    use crate::nacl::ledger::MemoryLedger;

    const OLD: &str = "198.51.100.1/32";
    const NEW: &str = "203.0.113.9/32";

    fn ledger(records: &[(&str, i64)]) -> MemoryLedger {
        let mut ledger = MemoryLedger::default();
        for (network, since) in records {
            ledger.intend("acl-1", &rule(1, network), *since).unwrap();
        }
        ledger
    }

    fn showing(network: &str) -> Acl {
        let mut nacl = acl("acl-1");
        nacl.entries.push(deny(rule(1, network)));
        nacl
    }

    #[test]
    fn a_young_record_outlives_an_old_observation() {
        let mut ledger = ledger(&[(OLD, 1000)]);
        assert_eq!(settle(&mut ledger, &acl("acl-1"), 1119).unwrap(), []);
        assert_eq!(ledger.entries.len(), 1);
        let losses = settle(&mut ledger, &acl("acl-1"), 1120).unwrap();
        assert_eq!(
            losses,
            [Loss {
                rule: rule(1, OLD),
                now: None
            }]
        );
        assert!(ledger.entries.is_empty());
    }

    #[test]
    fn of_two_records_the_one_that_is_seen_stays() {
        for seen in [OLD, NEW] {
            let mut ledger = ledger(&[(OLD, 10), (NEW, 1000)]);
            assert_eq!(settle(&mut ledger, &showing(seen), 1010).unwrap(), []);
            assert_eq!(ledger.entries.len(), 2);
            assert_eq!(settle(&mut ledger, &showing(seen), 2000).unwrap(), []);
            assert_eq!(
                ledger.networks("acl-1", ingress(1)),
                [seen.parse().unwrap()]
            );
        }
    }

    #[test]
    fn what_someone_else_put_in_our_place_is_theirs() {
        let mut ledger = ledger(&[(OLD, 10)]);
        let losses = settle(&mut ledger, &showing(NEW), 1000).unwrap();
        assert_eq!(
            losses,
            [Loss {
                rule: rule(1, OLD),
                now: Some(rule(1, NEW))
            }]
        );
        assert!(ledger.entries.is_empty());
    }

    #[test]
    fn an_allow_is_never_ours() {
        let mut ledger = ledger(&[("0.0.0.0/0", 10)]);
        let mut nacl = acl("acl-1");
        nacl.entries.push(allow_all(1));
        assert_eq!(settle(&mut ledger, &nacl, 1000).unwrap().len(), 1);
    }

    #[test]
    fn records_of_other_nacls_stay() {
        let mut ledger = ledger(&[(OLD, 10)]);
        assert_eq!(settle(&mut ledger, &acl("acl-2"), 1000).unwrap(), []);
        assert_eq!(ledger.entries.len(), 1);
    }
}
