//! What must never be dropped, lest the machine lock its owner out.

use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Host;

/// A network that must never be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Protected {
    /// The network.
    pub network: IpNet,
    /// Why.
    pub why: Why,
}

/// Why a network must never be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The host's own address.
    Own,
    /// A gateway.
    Gateway,
    /// A name server.
    Resolver,
    /// Link-local: neighbours, the instance metadata service, the VPC's resolver, its clock.
    LinkLocal,
    /// The host speaks to itself.
    Loopback,
    /// No one's address: DHCP and duplicate address detection send from it.
    Unspecified,
    /// Not the address of one host.
    Multicast,
}

impl fmt::Display for Why {
    /// A noun, as in "192.0.2.1 is this host's own address".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "this host's own address",
            Self::Gateway => "a gateway of this host",
            Self::Resolver => "a name server of this host",
            Self::LinkLocal => "link-local",
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast or broadcast",
        })
    }
}

const fn v4(a: u8, b: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(
        std::net::Ipv4Addr::new(a, b, 0, 0),
        prefix,
    ))
}

const fn v6(first: u16, last: u16, prefix: u8) -> IpNet {
    let address = std::net::Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last);
    IpNet::V6(Ipv6Net::new_assert(address, prefix))
}

/// The same on every machine: the IANA special-purpose address registries (RFC 6890).
const EVERYWHERE: [Protected; 9] = [
    Protected {
        network: v4(169, 254, 16),
        why: Why::LinkLocal,
    },
    Protected {
        network: v6(0xfe80, 0, 10),
        why: Why::LinkLocal,
    },
    Protected {
        network: v4(127, 0, 8),
        why: Why::Loopback,
    },
    Protected {
        network: v6(0, 1, 128),
        why: Why::Loopback,
    },
    Protected {
        network: v4(0, 0, 8),
        why: Why::Unspecified,
    },
    Protected {
        network: v6(0, 0, 128),
        why: Why::Unspecified,
    },
    Protected {
        network: v4(224, 0, 4),
        why: Why::Multicast,
    },
    Protected {
        network: v6(0xff00, 0, 8),
        why: Why::Multicast,
    },
    Protected {
        network: IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::BROADCAST, 32)),
        why: Why::Multicast,
    },
];

impl Host {
    /// The host's own addresses, its gateways, its name servers, and what is special
    /// everywhere, in the order of the networks.
    pub fn protected(&self) -> Vec<Protected> {
        let own = self.addresses.iter().map(|address| Protected {
            network: IpNet::from(*address),
            why: Why::Own,
        });
        let gateways = self.gateways.iter().map(|address| Protected {
            network: IpNet::from(*address),
            why: Why::Gateway,
        });
        let resolvers = self.resolvers.iter().map(|address| Protected {
            network: IpNet::from(*address),
            why: Why::Resolver,
        });
        let needed = own.chain(gateways).chain(resolvers);
        let mut protected: Vec<Protected> = needed.chain(EVERYWHERE).collect();
        protected.sort();
        // Where two reasons apply, the first says more.
        protected.dedup_by_key(|protected| protected.network);
        protected
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Host, Why};

    fn host() -> Host {
        Host {
            addresses: ["192.0.2.10", "127.0.0.1", "::1", "2001:db8::10"]
                .map(|address| address.parse().unwrap())
                .into(),
            gateways: ["192.0.2.1", "fe80::1"]
                .map(|address| address.parse().unwrap())
                .into(),
            resolvers: ["192.0.2.1", "198.51.100.53"]
                .map(|address| address.parse().unwrap())
                .into(),
            ..Host::default()
        }
    }

    fn why(address: &str) -> Option<Why> {
        let address: IpAddr = address.parse().unwrap();
        host()
            .protected()
            .into_iter()
            .filter(|protected| protected.network.contains(&address))
            .max_by_key(|protected| protected.network.prefix_len())
            .map(|protected| protected.why)
    }

    #[test]
    fn what_the_host_needs_and_the_special_ones_are_protected() {
        assert_eq!(why("192.0.2.10"), Some(Why::Own));
        assert_eq!(why("2001:db8::10"), Some(Why::Own));
        assert_eq!(why("192.0.2.1"), Some(Why::Gateway));
        assert_eq!(why("fe80::1"), Some(Why::Gateway));
        assert_eq!(why("198.51.100.53"), Some(Why::Resolver));
        assert_eq!(why("fe80::2"), Some(Why::LinkLocal));
        assert_eq!(why("169.254.169.254"), Some(Why::LinkLocal));
        assert_eq!(why("127.0.0.53"), Some(Why::Loopback));
        assert_eq!(why("0.0.0.0"), Some(Why::Unspecified));
        assert_eq!(why("::"), Some(Why::Unspecified));
        assert_eq!(why("224.0.0.251"), Some(Why::Multicast));
        assert_eq!(why("ff02::1"), Some(Why::Multicast));
        assert_eq!(why("255.255.255.255"), Some(Why::Multicast));
    }

    #[test]
    fn everyone_else_is_not() {
        for stranger in [
            "192.0.2.2",
            "198.51.100.1",
            "2001:db8::11",
            "169.253.255.255",
            "1.1.1.1",
        ] {
            assert_eq!(why(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn each_network_stands_once_with_the_reason_that_says_more() {
        let protected = host().protected();
        let own = protected
            .iter()
            .find(|p| p.network.to_string() == "::1/128")
            .unwrap();
        assert_eq!(own.why, Why::Own);
        let mut networks: Vec<_> = protected.iter().map(|p| p.network).collect();
        networks.dedup();
        assert_eq!(networks.len(), protected.len());
    }
}
