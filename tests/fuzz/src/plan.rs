//! What nicban would change in the NACLs that EC2 says there are.

use std::collections::BTreeSet;

use ipnet::IpNet;
use nicban::nacl::acl::{Acl, Family, Position, Rule, RuleAction};
use nicban::nacl::ledger::LedgerEntry;
use nicban::nacl::market::{Candidate, MarketState};
use nicban::nacl::plan::{Change, Input, PlanConfig, plan};
use nicban::nacl::quota::LearntQuotas;

use crate::one_line;

const NOW: i64 = 1_000_000;

/// The account of the host.
pub fn account() -> &'static str {
    "123456789012"
}

/// Plans bans on these NACLs, and fails where a step leaves what nicban may do: rule numbers
/// of its range, each once, below the first allow; never an allowed network; and no entry but
/// those that the record names.
pub fn changes_only_ours(acls: &[Acl], allowed: &[IpNet]) {
    let config = PlanConfig {
        egress: true,
        ..PlanConfig::default()
    };
    let candidates: Vec<Candidate> = (0..64_u8)
        .flat_map(|n| [format!("198.51.100.{n}/32"), format!("2001:db8:0:{n}::/64")])
        .map(|network| Candidate {
            network: network.parse().expect("a network"),
            rate: 100.0,
            bancount: 1,
            banned_since: NOW - 60,
            until: None,
        })
        .collect();
    // Some of what stands there was nicban's, of bans that are over.
    let ledger: Vec<LedgerEntry> = acls
        .iter()
        .flat_map(|acl| acl.entries.iter().map(move |entry| (acl, entry)))
        .filter(|(_, entry)| entry.position.number.is_multiple_of(3))
        .map(|(acl, entry)| LedgerEntry {
            acl: acl.id.clone(),
            rule: Rule {
                position: entry.position,
                network: entry.network,
            },
            since: NOW - 600,
        })
        .collect();
    let plan = plan(&Input {
        acls,
        ledger: &ledger,
        candidates: &candidates,
        banned: &|network| {
            candidates
                .iter()
                .any(|candidate| candidate.network == *network)
        },
        allowed,
        market: &MarketState::default(),
        learnt: &LearntQuotas::default(),
        account: Some(account()),
        config: &config,
        now: NOW,
    });
    let mut created: BTreeSet<(&str, Position)> = BTreeSet::new();
    for step in &plan.steps {
        one_line(&step.to_string());
        let acl = acls
            .iter()
            .find(|acl| acl.id == step.acl)
            .expect("a step in a NACL that is there");
        assert_eq!(acl.owner, account(), "{step}");
        let position = step.change.position();
        let known = |network: &IpNet| {
            let rule = Rule {
                position,
                network: *network,
            };
            ledger
                .iter()
                .any(|entry| entry.acl == acl.id && entry.rule == rule)
        };
        let taken = acl.entries.iter().any(|entry| entry.position == position);
        match &step.change {
            Change::Create(rule) => {
                assert!(!taken, "{step}");
                new(acl, rule, &config, allowed);
                assert!(created.insert((&acl.id, position)), "{step}");
            }
            Change::Replace { rule, from } => {
                assert!(taken && known(from), "{step}");
                new(acl, rule, &config, allowed);
            }
            Change::Delete { network, .. } => assert!(taken && known(network), "{step}"),
        }
    }
    for finding in &plan.findings {
        one_line(&finding.to_string());
    }
}

fn new(acl: &Acl, rule: &Rule, config: &PlanConfig, allowed: &[IpNet]) {
    let Rule { position, network } = rule;
    assert!(config.range(acl).contains(&position.number), "{position}");
    assert!(config.is_on(position.direction), "{position}");
    assert_ne!(network.prefix_len(), 0, "{network}");
    let overlaps = |other: &IpNet| other.contains(network) || network.contains(other);
    assert!(!allowed.iter().any(overlaps), "{network}");
    let shadowing = acl.entries.iter().find(|entry| {
        entry.action == RuleAction::Allow
            && entry.position.direction == position.direction
            && Family::of(&entry.network) == Family::of(network)
            && entry.position.number <= position.number
            && !allowed
                .iter()
                .any(|allowed| allowed.contains(&entry.network))
    });
    assert_eq!(shadowing, None, "{position}");
}
