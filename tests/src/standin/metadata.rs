//! The tree of an instance's metadata.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The instance that the IMDS stand-in tells of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImdsConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `i-…`.
    pub instance: String,
    /// The account.
    pub account: String,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Such as `eu-central-1a`.
    pub availability_zone: String,
    /// The instance role; `None` for an instance without one.
    pub role: Option<String>,
    /// The life of the role's credentials, in s; AWS's are 6 hours.
    pub credentials_s: u64,
    /// Interfaces; the first is the primary one.
    pub interfaces: Vec<Interface>,
}

impl Default for ImdsConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            instance: "i-0a1b2c3d4e5f60718".to_owned(),
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            availability_zone: "eu-central-1a".to_owned(),
            role: Some("bastion".to_owned()),
            credentials_s: 6 * 60 * 60,
            interfaces: Vec::new(),
        }
    }
}

/// A network interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// In lower case with colons.
    pub mac: String,
    /// `eni-…`.
    pub id: String,
    /// `subnet-…`.
    pub subnet: String,
    /// `vpc-…`.
    pub vpc: String,
    /// Private IPv4 addresses.
    #[serde(default)]
    pub ipv4: Vec<Ipv4Addr>,
    /// IPv6 addresses.
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// The subnet's IPv4 block.
    pub subnet_ipv4_cidr: Ipv4Net,
    /// The VPC's IPv4 blocks.
    pub vpc_ipv4_cidrs: Vec<Ipv4Net>,
    /// The subnet's IPv6 blocks.
    #[serde(default)]
    pub subnet_ipv6_cidrs: Vec<Ipv6Net>,
}

impl Interface {
    /// An interface with an IPv4 address in 10.0.1.0/24 of 10.0.0.0/16.
    pub fn simple(mac: &str, subnet: &str) -> Self {
        Self {
            mac: mac.to_owned(),
            id: "eni-0a1b2c3d4e5f60718".to_owned(),
            subnet: subnet.to_owned(),
            vpc: "vpc-0a1b2c3d4e5f60718".to_owned(),
            ipv4: vec![Ipv4Addr::new(10, 0, 1, 10)],
            ipv6: Vec::new(),
            subnet_ipv4_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 1, 0), 24),
            vpc_ipv4_cidrs: vec![Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 16)],
            subnet_ipv6_cidrs: Vec::new(),
        }
    }
}

/// The leaves by path below `/latest/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    /// The tree of an instance, without its role's credentials.
    pub fn new(config: &ImdsConfig) -> Self {
        let mut tree = Self(BTreeMap::new());
        let primary = config.interfaces.first();
        let address = primary.and_then(|i| i.ipv4.first());
        tree.put("meta-data/instance-id", &config.instance);
        tree.put("meta-data/instance-type", "t3.micro");
        tree.put("meta-data/placement/region", &config.region);
        tree.put(
            "meta-data/placement/availability-zone",
            &config.availability_zone,
        );
        let document = json!({
            "accountId": config.account,
            "architecture": "x86_64",
            "availabilityZone": config.availability_zone,
            "imageId": "ami-0a1b2c3d4e5f60718",
            "instanceId": config.instance,
            "instanceType": "t3.micro",
            "pendingTime": "2026-01-01T00:00:00Z",
            "privateIp": address,
            "region": config.region,
            "version": "2017-09-30",
        });
        tree.put(
            "dynamic/instance-identity/document",
            &format!("{document:#}"),
        );
        if let Some(primary) = primary {
            tree.put("meta-data/mac", &primary.mac);
        }
        if let Some(address) = address {
            tree.put("meta-data/local-ipv4", &IpAddr::V4(*address).to_string());
        }
        for (number, interface) in config.interfaces.iter().enumerate() {
            tree.interface(number, interface, &config.account);
        }
        tree
    }

    fn interface(&mut self, number: usize, interface: &Interface, account: &str) {
        let leaves = [
            ("device-number", number.to_string()),
            ("interface-id", interface.id.clone()),
            ("mac", interface.mac.clone()),
            ("owner-id", account.to_owned()),
            ("subnet-id", interface.subnet.clone()),
            ("vpc-id", interface.vpc.clone()),
            ("local-ipv4s", lines(&interface.ipv4)),
            ("ipv6s", lines(&interface.ipv6)),
            (
                "subnet-ipv4-cidr-block",
                interface.subnet_ipv4_cidr.to_string(),
            ),
            (
                "subnet-ipv6-cidr-blocks",
                lines(&interface.subnet_ipv6_cidrs),
            ),
            (
                "vpc-ipv4-cidr-block",
                lines(&interface.vpc_ipv4_cidrs[..interface.vpc_ipv4_cidrs.len().min(1)]),
            ),
            ("vpc-ipv4-cidr-blocks", lines(&interface.vpc_ipv4_cidrs)),
        ];
        for (name, value) in leaves {
            // AWS has no leaf for what an interface doesn't have: it answers 404.
            if !value.is_empty() {
                let mac = &interface.mac;
                self.put(
                    &format!("meta-data/network/interfaces/macs/{mac}/{name}"),
                    &value,
                );
            }
        }
    }

    /// Sets a leaf, by its path below `/latest/`.
    pub fn put(&mut self, path: &str, value: &str) {
        self.0.insert(path.to_owned(), value.to_owned());
    }

    /// A leaf's value, or the names in a folder, one a line, folders with a slash;
    /// `None` for what isn't there.
    pub fn get(&self, path: &str) -> Option<String> {
        let path = path.trim_end_matches('/');
        if let Some(value) = self.0.get(path) {
            return Some(value.clone());
        }
        let folder = format!("{path}/");
        let mut names: Vec<String> = self
            .0
            .keys()
            .filter_map(|leaf| leaf.strip_prefix(&folder))
            .map(|rest| match rest.split_once('/') {
                Some((name, _)) => format!("{name}/"),
                None => rest.to_owned(),
            })
            .collect();
        names.dedup();
        (!names.is_empty()).then(|| names.join("\n"))
    }
}

fn lines<T: std::fmt::Display>(values: &[T]) -> String {
    let lines: Vec<String> = values.iter().map(T::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut second = Interface::simple("06:00:00:00:00:02", "subnet-0000000b");
        second.ipv6 = vec![
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        ];
        Tree::new(&ImdsConfig {
            interfaces: vec![
                Interface::simple("06:00:00:00:00:01", "subnet-0000000a"),
                second,
            ],
            ..ImdsConfig::default()
        })
    }

    #[test]
    fn the_path_from_mac_to_subnet() {
        let tree = tree();
        let mac = tree.get("meta-data/mac").unwrap();
        assert_eq!(mac, "06:00:00:00:00:01");
        let macs = "meta-data/network/interfaces/macs";
        assert_eq!(
            tree.get(&format!("{macs}/{mac}/subnet-id")).unwrap(),
            "subnet-0000000a"
        );
        assert_eq!(
            tree.get(&format!("{macs}/")).unwrap(),
            "06:00:00:00:00:01/\n06:00:00:00:00:02/"
        );
        assert_eq!(tree.get(macs), tree.get(&format!("{macs}/")));
    }

    #[test]
    fn several_values_are_lines_and_none_is_not_found() {
        let tree = tree();
        let macs = "meta-data/network/interfaces/macs";
        assert_eq!(
            tree.get(&format!("{macs}/06:00:00:00:00:02/ipv6s"))
                .unwrap(),
            "2001:db8::1\n2001:db8::2"
        );
        assert_eq!(tree.get(&format!("{macs}/06:00:00:00:00:01/ipv6s")), None);
        assert_eq!(
            tree.get(&format!("{macs}/06:00:00:00:00:02/device-number"))
                .unwrap(),
            "1"
        );
        assert_eq!(tree.get("meta-data/nothing"), None);
        // botocore asks for this leaf with a slash behind it.
        let zone = "meta-data/placement/availability-zone";
        assert_eq!(tree.get(&format!("{zone}/")), tree.get(zone));
    }

    #[test]
    fn the_identity_document_names_region_and_account() {
        let document = tree().get("dynamic/instance-identity/document").unwrap();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["region"], "eu-central-1");
        assert_eq!(document["accountId"], "123456789012");
        assert_eq!(document["privateIp"], "10.0.1.10");
    }
}
