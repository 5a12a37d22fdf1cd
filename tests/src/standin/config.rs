//! What the EC2 stand-in starts with.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::acl::Entry;
use super::throttle::Rates;

/// The stand-in's settings; all but the subnets and NACLs have defaults.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ec2Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The account of the caller.
    pub account: String,
    /// The Region that signatures must name.
    pub region: String,
    /// Entries for each direction and family, the default deny counted.
    pub quota: u32,
    /// What an identical Create gives; AWS may do either.
    pub identical_create: IdenticalCreate,
    /// Accept any access key, not only those that the IMDS stand-in handed out.
    pub any_access_key: bool,
    /// Token buckets.
    pub throttle: Rates,
    /// How long a change stays unseen by Describe, in ms.
    pub visible_after_ms: u64,
    /// Subnets.
    pub subnets: Vec<SubnetConfig>,
    /// NACLs.
    pub acls: Vec<AclConfig>,
}

impl Default for Ec2Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            quota: 20,
            identical_create: IdenticalCreate::Refused,
            any_access_key: false,
            throttle: Rates::default(),
            visible_after_ms: 0,
            subnets: Vec::new(),
            acls: Vec::new(),
        }
    }
}

impl Ec2Config {
    /// One subnet with its VPC's default NACL: IPv4 and IPv6, both default allows, so
    /// that 18 slots are free for each direction and family.
    pub fn one_subnet(subnet: &str, acl: &str) -> Self {
        let vpc = "vpc-0a1b2c3d4e5f60718";
        Self {
            subnets: vec![SubnetConfig {
                id: subnet.to_owned(),
                vpc: vpc.to_owned(),
                cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 1, 0), 24),
                ipv6_cidr: None,
                availability_zone: "eu-central-1a".to_owned(),
            }],
            acls: vec![AclConfig {
                id: acl.to_owned(),
                vpc: vpc.to_owned(),
                owner: None,
                is_default: true,
                ipv6: true,
                default_allows: true,
                tags: BTreeMap::new(),
                subnets: vec![subnet.to_owned()],
                entries: Vec::new(),
            }],
            ..Self::default()
        }
    }
}

/// What a Create gives that repeats an entry word for word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdenticalCreate {
    /// `NetworkAclEntryAlreadyExists`.
    Refused,
    /// Success, nothing changed.
    Succeeds,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetConfig {
    /// `subnet-…`.
    pub id: String,
    /// `vpc-…`.
    pub vpc: String,
    /// Its IPv4 block.
    pub cidr: Ipv4Net,
    /// Its IPv6 block.
    #[serde(default)]
    pub ipv6_cidr: Option<Ipv6Net>,
    /// Such as `eu-central-1a`.
    pub availability_zone: String,
}

/// A NACL to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclConfig {
    /// `acl-` with 8 or 17 hexadecimal digits.
    pub id: String,
    /// `vpc-…`.
    pub vpc: String,
    /// The account that owns it; the caller's where left out.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether it is its VPC's default NACL.
    #[serde(default)]
    pub is_default: bool,
    /// Whether the VPC has an IPv6 block, and the NACL so the default deny 32768.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether to put in the allows 100 and, with IPv6, 101, in both directions.
    #[serde(default)]
    pub default_allows: bool,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The subnets that it guards.
    #[serde(default)]
    pub subnets: Vec<String>,
    /// Entries of others.
    #[serde(default)]
    pub entries: Vec<Entry>,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An id has not the form of its kind.
    #[error("{0} is not a well-formed id of its kind")]
    MalformedId(String),
    /// Two NACLs or two subnets share an id, or two NACLs a subnet.
    #[error("{0} is given twice")]
    Twice(String),
    /// A NACL guards a subnet that is not given.
    #[error("NACL {acl} guards {subnet}, which is not among the subnets")]
    UnknownSubnet {
        /// The NACL.
        acl: String,
        /// The subnet.
        subnet: String,
    },
    /// An entry's number is out of range or taken.
    #[error("NACL {acl} can't hold an entry {number} more")]
    BadEntry {
        /// The NACL.
        acl: String,
        /// The rule number.
        number: u16,
    },
}
