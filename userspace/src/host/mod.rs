//! Facts of this machine: its interfaces, addresses, gateways and name servers.

mod netlink;
mod protected;
mod resolver;
mod ssh;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

pub use netlink::Watch;
pub use protected::{Protected, Why};
pub use ssh::ssh_peer;

/// What netlink tells of the current network namespace, and the name servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Every interface, in the order of the indices.
    pub interfaces: Vec<Interface>,
    /// Its own addresses, on whatever interface.
    pub addresses: BTreeSet<IpAddr>,
    /// The gateways of its routes, in whatever table.
    pub gateways: BTreeSet<IpAddr>,
    /// The name servers that it asks.
    pub resolvers: BTreeSet<IpAddr>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address, where it has one of 6 bytes.
    pub mac: Option<MacAddress>,
    /// The longest packet, in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Whether its frames begin with an Ethernet header, which the XDP program reads.
    pub ethernet: bool,
    /// Whether a default route of either family leads through it.
    pub default_route: bool,
    /// The XDP programs on it, anyone's; the kernel allows one in each mode.
    pub xdp: Vec<XdpProgram>,
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    /// In lower case with colons, as the instance metadata service writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

/// An XDP program that is attached to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XdpProgram {
    /// The kernel's number for the program, as `bpftool prog show id` takes it.
    pub id: u32,
    /// Where it runs.
    pub mode: XdpMode,
}

/// Where an XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// After the kernel has built the packet.
    Generic,
    /// On the network card.
    Offloaded,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
        })
    }
}

/// Why the facts can't be had.
#[derive(Debug, Error)]
pub enum HostError {
    /// There is no netlink socket.
    #[error("cannot open a netlink socket")]
    Open(#[source] std::io::Error),
    /// The kernel refused a question, or the answer can't be read.
    #[error("cannot read the {subject} over netlink")]
    Read {
        /// `interfaces`, `addresses` or `routes`.
        subject: &'static str,
        /// Why.
        source: rtnetlink::Error,
    },
    /// The socket was closed.
    #[error("the netlink socket was closed")]
    Closed,
}

impl Host {
    /// Reads the facts of the network namespace that the calling thread is in. The name
    /// servers' files are read as often as the rest: whoever changes them, such as a DHCP
    /// client, mostly has changed an address or a route as well.
    pub async fn read() -> Result<Self, HostError> {
        let mut host = netlink::read().await?;
        host.resolvers = resolver::read();
        Ok(host)
    }

    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces
            .iter()
            .find(|interface| interface.name == name)
    }

    /// The Ethernet interfaces of the default routes, both families'. Tunnels
    /// without Ethernet headers are left out: there is nothing to drop before
    /// the kernel has unpacked it.
    pub fn default_interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces
            .iter()
            .filter(|interface| interface.default_route && interface.ethernet)
    }
}
