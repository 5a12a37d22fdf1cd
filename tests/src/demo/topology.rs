//! The hosts, their cables, addresses and routes.
//!
//! ```text
//! attackers ── outside ┐
//!                      boundary ── inside ── bastion
//! honest ───── clients ┘
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::Result;
use ipnet::IpNet;

use super::cast::Attacker;
use crate::net::{Link, Namespace, Scratch, veth};

/// The bastion's IPv4 address.
pub(super) const BASTION_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);

/// The bastion's subnet.
pub(super) const SUBNET: &str = "10.77.0.0/24";

/// The bastion's addresses.
pub(super) const BASTION: [IpAddr; 2] = [
    IpAddr::V4(BASTION_V4),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x10)),
];

/// The MAC address of the bastion's interface, by which IMDS knows it.
pub(super) const BASTION_MAC: &str = "02:00:00:00:77:10";

/// Where the EC2 stand-in listens.
pub(super) const EC2: &str = "10.77.0.2:4566";

/// The boundary's interface into the subnet.
pub(super) const INSIDE: &str = "inside";

/// The hosts.
#[derive(Debug)]
pub(super) struct Topology {
    // Fields drop in this order: the folder goes last, when nothing writes to it any more.
    pub(super) attackers: Namespace,
    pub(super) honest: Namespace,
    pub(super) bastion: Namespace,
    pub(super) boundary: Arc<Namespace>,
    pub(super) pins: Scratch,
    pub(super) folder: Scratch,
}

impl Topology {
    /// Builds it, every address usable at once.
    pub(super) fn build(cast: &[Attacker]) -> Result<Self> {
        let attackers = Namespace::new("attackers")?;
        let honest = Namespace::new("honest")?;
        let bastion = Namespace::new("bastion")?;
        let boundary = Namespace::new("boundary")?;
        let folder = Scratch::new("demo")?;
        let pins = Scratch::pins("demo");
        boundary.make_router()?;
        veth(
            Link::new(&boundary, INSIDE),
            Link::with_mac(&bastion, "eth0", BASTION_MAC),
        )?;
        veth(
            Link::new(&boundary, "outside"),
            Link::new(&attackers, "eth0"),
        )?;
        veth(Link::new(&boundary, "clients"), Link::new(&honest, "eth0"))?;
        address_subnet(&boundary, &bastion)?;
        address_attackers(&boundary, &attackers, cast)?;
        address_honest(&boundary, &honest)?;
        Ok(Self {
            attackers,
            honest,
            bastion,
            boundary: Arc::new(boundary),
            pins,
            folder,
        })
    }

    /// What to type for a look inside.
    pub(super) fn how_to_look_inside(&self) -> String {
        format!(
            "ip netns exec {} nft list counters table inet nacl\n\
             bpftool map dump pinned {}/bans_v4\n\
             ls {}",
            self.boundary.name(),
            self.pins.path().display(),
            self.folder.path().display()
        )
    }
}

fn address_subnet(boundary: &Namespace, bastion: &Namespace) -> Result<()> {
    add_addresses(
        boundary,
        INSIDE,
        &["10.77.0.1/24", "10.77.0.2/24", "2001:db8:77::1/64"],
    )?;
    add_addresses(boundary, "lo", &["169.254.169.254/32"])?;
    add_addresses(bastion, "eth0", &["10.77.0.10/24", "2001:db8:77::10/64"])?;
    add_default_routes(bastion, ["10.77.0.1", "2001:db8:77::1"])
}

fn address_attackers(boundary: &Namespace, attackers: &Namespace, cast: &[Attacker]) -> Result<()> {
    add_addresses(
        boundary,
        "outside",
        &["198.18.0.1/30", "2001:db8:ffff::1/64"],
    )?;
    add_addresses(attackers, "eth0", &["198.18.0.2/30", "2001:db8:ffff::2/64"])?;
    add_default_routes(attackers, ["198.18.0.1", "2001:db8:ffff::1"])?;
    for attacker in cast {
        attackers.add_address("eth0", IpNet::from(attacker.address))?;
    }
    for network in ["203.0.113.0/24", "198.51.100.0/24"] {
        boundary.add_route(&[network, "via", "198.18.0.2"])?;
    }
    for attacker in cast.iter().filter(|attacker| attacker.address.is_ipv6()) {
        boundary.add_route(&[&attacker.address.to_string(), "via", "2001:db8:ffff::2"])?;
    }
    Ok(())
}

fn address_honest(boundary: &Namespace, honest: &Namespace) -> Result<()> {
    add_addresses(
        boundary,
        "clients",
        &["192.0.2.1/24", "2001:db8:600d::1/64"],
    )?;
    add_addresses(honest, "eth0", &["192.0.2.50/24", "2001:db8:600d::50/64"])?;
    add_default_routes(honest, ["192.0.2.1", "2001:db8:600d::1"])
}

fn add_addresses(host: &Namespace, interface: &str, addresses: &[&str]) -> Result<()> {
    addresses
        .iter()
        .try_for_each(|address| host.add_address(interface, address.parse()?))
}

fn add_default_routes(host: &Namespace, gateways: [&str; 2]) -> Result<()> {
    // IPv6's "default" doesn't say its family.
    for (network, gateway) in ["0.0.0.0/0", "::/0"].iter().zip(gateways) {
        host.add_route(&[network, "via", gateway])?;
    }
    Ok(())
}
