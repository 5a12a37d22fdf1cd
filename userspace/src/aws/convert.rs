//! EC2's words for a NACL, turned into ours.

use std::collections::BTreeSet;

use aws_sdk_ec2::types;
use ipnet::IpNet;

use crate::nacl::acl::{Acl, Direction, Entry, Position, RULE_NUMBERS, RuleAction, is_id};

/// All protocols, in EC2's words.
pub(super) const ALL_PROTOCOLS: &str = "-1";

/// The numbers of the default denies, of IPv4 and of IPv6: no rule that one creates has them.
const DEFAULT_DENIES: [i32; 2] = [32_767, 32_768];

/// The tag by which Firewall Manager marks the NACLs that it manages ("Network ACL
/// policies", AWS Firewall Manager guide).
const FIREWALL_MANAGER_TAG: &str = "FMManaged";

/// Characters of a value that an error repeats.
const ECHO: usize = 64;

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
    /// EC2 said two things of it.
    #[error("{what} came twice")]
    Twice {
        /// The NACL or the entry.
        what: String,
    },
}

/// Adds a NACL, once; listings that change between two pages name one twice.
pub(super) fn add(acls: &mut Vec<Acl>, found: &types::NetworkAcl) -> Result<(), Unreadable> {
    let found = acl(found)?;
    match acls.iter().find(|known| known.id == found.id) {
        None => acls.push(found),
        Some(known) if *known == found => {}
        Some(_) => return Err(Unreadable::Twice { what: found.id }),
    }
    Ok(())
}

/// Turns a NACL into ours; the default denies are left out.
pub(super) fn acl(acl: &types::NetworkAcl) -> Result<Acl, Unreadable> {
    let id = named("a NACL", "networkAclId", acl.network_acl_id())?;
    let entries = acl
        .entries()
        .iter()
        .filter_map(|found| entry(id, found).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let mut positions = BTreeSet::new();
    if let Some(entry) = entries.iter().find(|it| !positions.insert(it.position)) {
        return Err(Unreadable::Twice {
            what: format!("{} of {id}", entry.position),
        });
    }
    Ok(Acl {
        id: id.to_owned(),
        owner: named(id, "ownerId", acl.owner_id())?.to_owned(),
        vpc: named(id, "vpcId", acl.vpc_id())?.to_owned(),
        firewall_manager: acl.tags().iter().any(|tag| {
            tag.key() == Some(FIREWALL_MANAGER_TAG)
                && tag
                    .value()
                    .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        }),
        entries,
    })
}

/// `None` for a default deny.
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
        value: value.chars().take(ECHO).collect(),
    };
    if DEFAULT_DENIES.contains(&number) {
        return Ok(None);
    }
    let number = u16::try_from(number)
        .ok()
        .filter(|number| RULE_NUMBERS.contains(number))
        .ok_or_else(|| odd("ruleNumber", &number.to_string()))?;
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

/// An id that can stand in a log and in a request.
fn named<'a>(what: &str, field: &'static str, id: Option<&'a str>) -> Result<&'a str, Unreadable> {
    match id {
        Some(id) if is_id(id) => Ok(id),
        Some(other) => Err(Unreadable::Odd {
            what: what.to_owned(),
            field,
            value: other.chars().take(ECHO).collect(),
        }),
        None => Err(missing(what, field)),
    }
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
        for number in [-1, 0, 32_769, 65_543] {
            assert_eq!(
                read(whole().rule_number(number)).unwrap_err(),
                format!("ingress entry {number} of acl-1 with ruleNumber \"{number}\"")
            );
        }
    }

    #[test]
    fn what_comes_twice_is_one_if_it_is_alike_and_named_if_it_is_not() {
        let nacl = |entries: &[i32]| {
            let entries = entries.iter().map(|n| whole().rule_number(*n).build());
            types::NetworkAcl::builder()
                .network_acl_id("acl-1")
                .owner_id("123456789012")
                .vpc_id("vpc-1")
                .set_entries(Some(entries.collect()))
                .build()
        };
        let mut acls = Vec::new();
        add(&mut acls, &nacl(&[7])).unwrap();
        add(&mut acls, &nacl(&[7])).unwrap();
        assert_eq!(acls.len(), 1);
        let error = add(&mut acls, &nacl(&[])).unwrap_err();
        assert_eq!(error.to_string(), "acl-1 came twice");
        let error = acl(&nacl(&[7, 8, 7])).unwrap_err();
        assert_eq!(error.to_string(), "ingress rule 7 of acl-1 came twice");
    }

    #[test]
    fn an_id_that_could_forge_a_line_is_named_in_one() {
        let whole = |id: &str| {
            types::NetworkAcl::builder()
                .network_acl_id(id)
                .owner_id("123456789012")
                .vpc_id("vpc-1")
        };
        assert_eq!(acl(&whole("acl-1").build()).unwrap().id, "acl-1");
        let error = acl(&whole("acl-1\n\u{1b}[2J").build()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a NACL with networkAclId \"acl-1\\n\\u{1b}[2J\""
        );
        let error = acl(&whole("acl-1").vpc_id("").build()).unwrap_err();
        assert_eq!(error.to_string(), "acl-1 with vpcId \"\"");
    }
}
