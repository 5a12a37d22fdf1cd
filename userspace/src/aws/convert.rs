//! EC2's words for a NACL, turned into ours.

use aws_sdk_ec2::types;
use ipnet::IpNet;

use crate::nacl::acl::{Acl, Direction, Entry, Position, RULE_NUMBERS, RuleAction};

/// All protocols, in EC2's words.
pub(super) const ALL_PROTOCOLS: &str = "-1";

/// The tag by which Firewall Manager marks the NACLs that it manages ("Network ACL
/// policies", AWS Firewall Manager guide).
const FIREWALL_MANAGER_TAG: &str = "FMManaged";

/// A NACL that EC2 describes in a way that can't be understood. One that can't be
/// read must not be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// EC2 left a field out.
    #[error("{what} without {field}")]
    Missing {
        /// The NACL or the entry.
        what: String,
        /// The field.
        field: &'static str,
    },
    /// EC2 put something in it that is unknown here.
    #[error("{what} with {field} {value:?}")]
    Odd {
        /// The NACL or the entry.
        what: String,
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
    },
}

/// Turns a NACL into ours; the default denies are left out.
pub(super) fn acl(acl: &types::NetworkAcl) -> Result<Acl, Unreadable> {
    let id = acl
        .network_acl_id()
        .ok_or_else(|| missing("a NACL", "networkAclId"))?;
    let entries = acl
        .entries()
        .iter()
        .filter_map(|found| entry(id, found).transpose())
        .collect::<Result<_, _>>()?;
    Ok(Acl {
        id: id.to_owned(),
        owner: acl
            .owner_id()
            .ok_or_else(|| missing(id, "ownerId"))?
            .to_owned(),
        vpc: acl.vpc_id().ok_or_else(|| missing(id, "vpcId"))?.to_owned(),
        firewall_manager: acl.tags().iter().any(|tag| {
            tag.key() == Some(FIREWALL_MANAGER_TAG)
                && tag
                    .value()
                    .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        }),
        entries,
    })
}

/// `None` for a default deny: their numbers are 32767 and 32768.
fn entry(acl: &str, entry: &types::NetworkAclEntry) -> Result<Option<Entry>, Unreadable> {
    let number = entry
        .rule_number()
        .ok_or_else(|| missing(&format!("an entry of {acl}"), "ruleNumber"))?;
    let direction = match entry.egress() {
        Some(true) => Direction::Egress,
        Some(false) => Direction::Ingress,
        None => return Err(missing(&format!("entry {number} of {acl}"), "egress")),
    };
    let what = || format!("{direction} entry {number} of {acl}");
    let odd = |field, value: &str| Unreadable::Odd {
        what: what(),
        field,
        value: value.to_owned(),
    };
    if number > i32::from(*RULE_NUMBERS.end()) {
        return Ok(None);
    }
    let number = u16::try_from(number).map_err(|_| odd("ruleNumber", &number.to_string()))?;
    let network = match (entry.cidr_block(), entry.ipv6_cidr_block()) {
        (Some(cidr), None) | (None, Some(cidr)) => cidr
            .parse::<IpNet>()
            .map_err(|_| odd("cidrBlock", cidr))?
            .trunc(),
        (Some(_), Some(_)) => return Err(odd("cidrBlock", "both families")),
        (None, None) => return Err(missing(&what(), "cidrBlock")),
    };
    let action = match entry.rule_action() {
        Some(types::RuleAction::Allow) => RuleAction::Allow,
        Some(types::RuleAction::Deny) => RuleAction::Deny,
        Some(other) => return Err(odd("ruleAction", other.as_str())),
        None => return Err(missing(&what(), "ruleAction")),
    };
    Ok(Some(Entry {
        position: Position { direction, number },
        action,
        network,
        all_traffic: entry.protocol() == Some(ALL_PROTOCOLS),
    }))
}

fn missing(what: &str, field: &'static str) -> Unreadable {
    Unreadable::Missing {
        what: what.to_owned(),
        field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> types::builders::NetworkAclEntryBuilder {
        types::NetworkAclEntry::builder()
            .rule_number(100)
            .egress(false)
            .protocol("-1")
            .rule_action(types::RuleAction::Deny)
            .cidr_block("198.51.100.7/24")
    }

    fn read(entry: types::builders::NetworkAclEntryBuilder) -> Result<Option<Entry>, String> {
        super::entry("acl-1", &entry.build()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_entry_is_read_with_its_network_in_canonical_form() {
        let entry = read(whole()).unwrap().unwrap();
        assert_eq!(entry.network, "198.51.100.0/24".parse().unwrap());
        assert!(entry.all_traffic);
        let tcp = read(whole().protocol("6")).unwrap().unwrap();
        assert!(!tcp.all_traffic);
    }

    #[test]
    fn both_default_denies_are_left_out() {
        assert_eq!(read(whole().rule_number(32_767)), Ok(None));
        assert_eq!(read(whole().rule_number(32_768)), Ok(None));
        assert!(read(whole().rule_number(32_766)).unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        assert_eq!(
            read(whole().set_cidr_block(None)).unwrap_err(),
            "ingress entry 100 of acl-1 without cidrBlock"
        );
        assert_eq!(
            read(whole().cidr_block("198.51.100.0/33")).unwrap_err(),
            "ingress entry 100 of acl-1 with cidrBlock \"198.51.100.0/33\""
        );
        assert_eq!(
            read(whole().rule_action("count".into())).unwrap_err(),
            "ingress entry 100 of acl-1 with ruleAction \"count\""
        );
        assert_eq!(
            read(whole().set_egress(None)).unwrap_err(),
            "entry 100 of acl-1 without egress"
        );
        assert_eq!(
            read(whole().rule_number(-1)).unwrap_err(),
            "ingress entry -1 of acl-1 with ruleNumber \"-1\""
        );
    }
}
