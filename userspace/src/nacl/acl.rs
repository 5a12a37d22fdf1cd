//! A network ACL as it is observed: entries that anyone may have written.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Rule numbers that AWS accepts for an entry that one creates: 1 to 32766.
pub const RULE_NUMBERS: std::ops::RangeInclusive<u16> = 1..=32_766;

/// Entries for each direction and family that AWS allows without a raised
/// quota, the default deny counted (Amazon VPC quotas, "Network ACLs").
pub const DEFAULT_QUOTA: u32 = 20;

/// The quota to which AWS raises on request, at the most (same page).
pub const HIGHEST_QUOTA: u32 = 40;

/// Whether a text can be one of AWS's ids, such as `acl-0123456789abcdef0`, or an account's
/// number: 1 to 64 letters, digits and dashes. It stands in logs, tables and requests.
pub fn is_id(text: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(usual)
}

/// Which of a NACL's two rule lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into the subnet.
    Ingress,
    /// Out of the subnet.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Both rule lists.
pub const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// An address family; slots of the two are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    V6,
}

/// Both families.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Family {
    /// The family of a network.
    pub const fn of(network: &IpNet) -> Self {
        match network {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// What an entry does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// Let it through.
    Allow,
    /// Drop it.
    Deny,
}

/// Where an entry stands: two entries can't share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The rule list.
    pub direction: Direction,
    /// The rule number; the lowest that matches a packet decides.
    pub number: u16,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {}", self.direction, self.number)
    }
}

/// A deny of all traffic, as nicban writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Where it stands.
    pub position: Position,
    /// What it denies.
    pub network: IpNet,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// Allow or deny.
    pub action: RuleAction,
    /// Sources (ingress) or destinations (egress) that it matches.
    pub network: IpNet,
    /// Whether it matches every protocol and port (`-1`).
    pub all_traffic: bool,
}

/// One NACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// `acl-…`.
    pub id: String,
    /// The account that owns it; only that account may change it.
    pub owner: String,
    /// The VPC that it belongs to.
    pub vpc: String,
    /// Whether Firewall Manager manages it (tag `FMManaged=true`).
    pub firewall_manager: bool,
    /// The entries, the default denies left out: they can't be changed, but count
    /// towards the quota.
    pub entries: Vec<Entry>,
}
