//! A network ACL with everything that EC2 tells of it.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The default deny of IPv4, `*` in the console (Amazon VPC user guide, "Default
/// network ACL").
pub const DEFAULT_DENY_V4: u16 = 32_767;

/// The default deny of IPv6, present when the VPC has an IPv6 block (same page).
pub const DEFAULT_DENY_V6: u16 = 32_768;

/// Every NACL of the account, by id.
pub type Acls = BTreeMap<String, Acl>;

/// One NACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acl {
    /// `acl-` with 8 or 17 hexadecimal digits.
    pub id: String,
    /// The VPC.
    pub vpc: String,
    /// The account that owns it.
    pub owner: String,
    /// Whether it is its VPC's default NACL.
    pub is_default: bool,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
    /// The subnets that it guards.
    pub associations: Vec<Association>,
    /// The entries in the order of their keys.
    #[serde(with = "entry_list")]
    pub entries: BTreeMap<Key, Entry>,
}

/// A subnet's tie to its NACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Association {
    /// `aclassoc-…`, new for each new tie.
    pub id: String,
    /// `subnet-…`.
    pub subnet: String,
}

/// What tells two entries of a NACL apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whether it is an entry for traffic out of the subnet.
    pub egress: bool,
    /// The rule number.
    pub number: u16,
}

/// What an entry does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Let it through.
    Allow,
    /// Drop it.
    Deny,
}

impl Action {
    /// The word of the protocol.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// An inclusive pair: ports `from` and `to`, or ICMP `type` and `code`.
pub type Pair = (i32, i32);

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Whether it is for traffic out of the subnet.
    #[serde(default)]
    pub egress: bool,
    /// The rule number; the lowest that matches decides.
    pub number: u16,
    /// Allow or deny.
    pub action: Action,
    /// IANA protocol number; −1 is all.
    #[serde(default = "all_protocols")]
    pub protocol: i16,
    /// Sources (ingress) or destinations (egress), canonical: no host bits.
    pub network: IpNet,
    /// First and last port, for TCP and UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Pair>,
    /// Type and code, for ICMP; −1 is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Pair>,
}

const fn all_protocols() -> i16 {
    -1
}

impl Entry {
    /// An ingress entry for all traffic.
    pub fn ingress(number: u16, action: Action, network: IpNet) -> Self {
        Self {
            egress: false,
            number,
            action,
            protocol: -1,
            network: network.trunc(),
            ports: None,
            icmp: None,
        }
    }

    /// An egress entry for all traffic.
    pub fn egress(number: u16, action: Action, network: IpNet) -> Self {
        Self {
            egress: true,
            ..Self::ingress(number, action, network)
        }
    }

    /// Where it stands.
    pub const fn key(&self) -> Key {
        Key {
            egress: self.egress,
            number: self.number,
        }
    }

    /// Whether it counts towards the IPv6 quota rather than the IPv4 one.
    pub const fn is_v6(&self) -> bool {
        matches!(self.network, IpNet::V6(_))
    }

    /// Whether it is one of the default denies, which nobody can change.
    pub const fn is_protected(&self) -> bool {
        self.number >= DEFAULT_DENY_V4
    }
}

/// The default denies of both directions.
pub fn default_denies(ipv6: bool) -> Vec<Entry> {
    around_everything(ipv6, DEFAULT_DENY_V4, DEFAULT_DENY_V6, Action::Deny)
}

/// The allows that AWS puts into a default NACL: 100, and 101 for IPv6.
pub fn default_allows(ipv6: bool) -> Vec<Entry> {
    around_everything(ipv6, 100, 101, Action::Allow)
}

fn around_everything(ipv6: bool, v4: u16, v6: u16, action: Action) -> Vec<Entry> {
    let mut entries = Vec::new();
    for make in [Entry::ingress, Entry::egress] {
        entries.push(make(v4, action, IpNet::V4(Ipv4Net::default())));
        if ipv6 {
            entries.push(make(v6, action, IpNet::V6(Ipv6Net::default())));
        }
    }
    entries
}

/// Whether an id is `PREFIX-` with 8 or 17 lower-case hexadecimal digits.
pub fn is_well_formed(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|digits| {
            matches!(digits.len(), 8 | 17)
                && digits
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
}

/// Entries as a JSON list: a JSON object can't have a pair as its key.
mod entry_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Entry, Key};

    pub(super) fn serialize<S: Serializer>(
        entries: &BTreeMap<Key, Entry>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(entries.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Key, Entry>, D::Error> {
        let list = Vec::<Entry>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|entry| (entry.key(), entry)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_digit_by_digit() {
        for good in ["acl-0123abcd", "acl-0123456789abcdef0"] {
            assert!(is_well_formed(good, "acl"), "{good}");
        }
        for bad in [
            "",
            "acl",
            "acl-",
            "acl-0123abc",
            "acl-0123ABCD",
            "acl-0123abcg",
            "subnet-0123abcd",
            "acl-0123456789abcdef01",
        ] {
            assert!(!is_well_formed(bad, "acl"), "{bad}");
        }
    }

    #[test]
    fn a_nacl_survives_json() {
        let acl = Acl {
            id: "acl-0123abcd".into(),
            vpc: "vpc-0123abcd".into(),
            owner: "123456789012".into(),
            is_default: true,
            tags: BTreeMap::from([("Name".into(), "edge".into())]),
            associations: vec![Association {
                id: "aclassoc-00000001".into(),
                subnet: "subnet-0123abcd".into(),
            }],
            entries: default_denies(true)
                .into_iter()
                .chain(default_allows(true))
                .map(|entry| (entry.key(), entry))
                .collect(),
        };
        assert_eq!(acl.entries.len(), 8);
        let json = serde_json::to_string(&acl).unwrap();
        assert_eq!(serde_json::from_str::<Acl>(&json).unwrap(), acl);
    }
}
