//! What a ban is on: one network in its canonical form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The widest IPv4 network that may be banned. IANA hands a regional registry
/// a /8 at a time, so anything wider is a slip of the hand.
pub const WIDEST_V4: u8 = 8;

/// The widest IPv6 network that may be banned: what IANA hands a regional
/// registry at a time ("IPv6 Global Unicast Address Assignments").
pub const WIDEST_V6: u8 = 12;

/// Bytes of what was given that an error repeats.
const ECHO: usize = 64;

/// The prefix length at which single IPv6 addresses are banned, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Prefix(u8);

impl Ipv6Prefix {
    /// The lengths that may be configured. A subscriber gets at least a /64
    /// (RFC 6177), a provider's whole allocation is usually a /32.
    pub const RANGE: std::ops::RangeInclusive<u8> = 32..=64;

    /// A prefix of `bits`, or `None` outside [`Self::RANGE`].
    pub fn new(bits: u8) -> Option<Self> {
        Self::RANGE.contains(&bits).then_some(Self(bits))
    }

    /// Its length in bits.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl Default for Ipv6Prefix {
    fn default() -> Self {
        Self(64)
    }
}

/// The network that a ban is on: host bits cleared, never IPv4 in IPv6's clothes,
/// never one that no sane ban is on. Ordered by family, address, prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(IpNet);

/// An address or network as it was asked for, beside what the ban is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// What the ban is on.
    pub target: Target,
    /// What was given: a single IPv6 address is still a /128 here. The allow
    /// list is asked about this.
    pub given: IpNet,
}

/// Which kernel map holds a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Map {
    /// Exact IPv4 addresses.
    HashV4,
    /// IPv6 networks of the configured [`Ipv6Prefix`].
    HashV6,
    /// IPv4 networks.
    TrieV4,
    /// IPv6 networks of any other length.
    TrieV6,
}

impl Map {
    /// All four, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::HashV4, Self::HashV6, Self::TrieV4, Self::TrieV6];

    /// The key of the configuration that sets its size.
    pub const fn key(self) -> &'static str {
        match self {
            Self::HashV4 | Self::HashV6 => "max_bans",
            Self::TrieV4 | Self::TrieV6 => "max_nets",
        }
    }
}

/// A target as its kernel map's key. Addresses are in network byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// In [`Map::HashV4`].
    HashV4([u8; 4]),
    /// In [`Map::HashV6`]: the network's address, the bits behind the prefix zero.
    HashV6([u8; 16]),
    /// In [`Map::TrieV4`].
    TrieV4 {
        /// The network's address.
        network: [u8; 4],
        /// The prefix length in bits.
        bits: u8,
    },
    /// In [`Map::TrieV6`].
    TrieV6 {
        /// The network's address.
        network: [u8; 16],
        /// The prefix length in bits.
        bits: u8,
    },
}

impl Place {
    /// The key of a network without host bits: an IPv4 address and an IPv6 network
    /// of the length `prefix` stand in a hash map, all else in a trie.
    pub const fn of(network: IpNet, prefix: Ipv6Prefix) -> Self {
        match network {
            IpNet::V4(network) if network.prefix_len() == 32 => {
                Self::HashV4(network.addr().octets())
            }
            IpNet::V4(network) => Self::TrieV4 {
                network: network.addr().octets(),
                bits: network.prefix_len(),
            },
            IpNet::V6(network) if network.prefix_len() == prefix.bits() => {
                Self::HashV6(network.addr().octets())
            }
            IpNet::V6(network) => Self::TrieV6 {
                network: network.addr().octets(),
                bits: network.prefix_len(),
            },
        }
    }

    /// The map.
    pub const fn map(self) -> Map {
        match self {
            Self::HashV4(_) => Map::HashV4,
            Self::HashV6(_) => Map::HashV6,
            Self::TrieV4 { .. } => Map::TrieV4,
            Self::TrieV6 { .. } => Map::TrieV6,
        }
    }
}

/// Why something can't be banned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither an address nor a network.
    #[error(
        "{given:?} is no address: allowed is an IPv4 or IPv6 address, or a network such as 192.0.2.0/24"
    )]
    NotAnAddress {
        /// The text, shortened where it is long.
        given: String,
    },
    /// A prefix length that the family does not have.
    #[error("the prefix length of {given:?} is out of range: allowed is 0 to {longest}")]
    PrefixLength {
        /// The text, shortened where it is long.
        given: String,
        /// The family's longest, in bits.
        longest: u8,
    },
    /// A network so wide that it can only be a mistake.
    #[error("{given} is too wide to ban: allowed is /{widest} or longer")]
    TooWide {
        /// The network.
        given: IpNet,
        /// The widest that is allowed, in bits.
        widest: u8,
    },
    /// No packet from outside has such a source.
    #[error(
        "{given} is {what}, which is never the source of a packet from outside: give the offender's own address"
    )]
    NotASource {
        /// The address or network.
        given: IpNet,
        /// What it is: `a multicast address` and the like.
        what: &'static str,
    },
}

impl TargetError {
    /// Whether an address or a network was given, though not one to ban.
    pub const fn is_an_address(&self) -> bool {
        matches!(self, Self::TooWide { .. } | Self::NotASource { .. })
    }
}

/// Reads an address or a network. An address is a network of its family's full
/// length; host bits are cleared, and IPv4-mapped IPv6 becomes IPv4.
pub fn parse_network(text: &str) -> Result<IpNet, TargetError> {
    let echo = || text.chars().take(ECHO).collect::<String>();
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address
        .parse()
        .map_err(|_| TargetError::NotAnAddress { given: echo() })?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => longest,
        // `u8::from_str` would take a sign, too.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse::<u8>()
            .ok()
            .filter(|bits| *bits <= longest)
            .ok_or_else(|| TargetError::PrefixLength {
                given: echo(),
                longest,
            })?,
        Some(_) => return Err(TargetError::NotAnAddress { given: echo() }),
    };
    Ok(canonical(address, bits))
}

/// The network of an address; `bits` is within the address's family.
pub(crate) fn canonical(address: IpAddr, bits: u8) -> IpNet {
    match address {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::new_assert(address, bits).trunc()),
        IpAddr::V6(address) => match (address.to_ipv4_mapped(), bits.checked_sub(96)) {
            (Some(address), Some(bits)) => IpNet::V4(Ipv4Net::new_assert(address, bits).trunc()),
            _ => IpNet::V6(Ipv6Net::new_assert(address, bits).trunc()),
        },
    }
}

impl Target {
    /// Reads what fail2ban or an operator gave. A single IPv6 address stands for
    /// its network of the length `prefix`; a network stays as it is.
    pub fn parse(text: &str, prefix: Ipv6Prefix) -> Result<Asked, TargetError> {
        let given = parse_network(text)?;
        let checked = Self::from_network(given)?;
        let target = match given {
            IpNet::V6(network) if !text.contains('/') => Self::from_network(IpNet::V6(
                Ipv6Net::new_assert(network.addr(), prefix.bits()).trunc(),
            ))?,
            _ => checked,
        };
        Ok(Asked { target, given })
    }

    /// A network as it stands, its host bits cleared.
    pub fn from_network(network: IpNet) -> Result<Self, TargetError> {
        let network = canonical(network.addr(), network.prefix_len());
        let widest = match network {
            IpNet::V4(_) => WIDEST_V4,
            IpNet::V6(_) => WIDEST_V6,
        };
        let refuse = |what| {
            Err(TargetError::NotASource {
                given: network,
                what,
            })
        };
        if network.prefix_len() < widest {
            return Err(TargetError::TooWide {
                given: network,
                widest,
            });
        }
        match network.addr() {
            address if address.is_multicast() => refuse("a multicast address"),
            address if address.is_loopback() => refuse("a loopback address"),
            address if address.is_unspecified() => refuse("around the unspecified address"),
            // A prefix that ends within the mapped range's own holds all of IPv4.
            IpAddr::V6(_) if network.contains(&MAPPED) => Err(TargetError::TooWide {
                given: network,
                widest: 97,
            }),
            _ => Ok(Self(network)),
        }
    }

    /// The network.
    pub const fn network(&self) -> IpNet {
        self.0
    }

    /// Its key in the kernel, where single IPv6 addresses are banned at `prefix`.
    pub const fn place(&self, prefix: Ipv6Prefix) -> Place {
        Place::of(self.0, prefix)
    }

    /// The map of [`Self::place`].
    pub const fn map(&self, prefix: Ipv6Prefix) -> Map {
        self.place(prefix).map()
    }

    /// Itself, then the networks around it that could be banned, narrowest first.
    pub fn around(self) -> impl Iterator<Item = Self> {
        let widest = match self.0 {
            IpNet::V4(_) => WIDEST_V4,
            IpNet::V6(_) => WIDEST_V6,
        };
        (widest..=self.0.prefix_len())
            .rev()
            .map(move |bits| Self(canonical(self.0.addr(), bits)))
    }
}

/// An address of the IPv4-mapped range (RFC 4291, 2.5.5.2).
const MAPPED: IpAddr = IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped());

/// In CIDR notation, unless it is one IPv4 address.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpNet::V4(network) if network.prefix_len() == 32 => network.addr().fmt(f),
            network => network.fmt(f),
        }
    }
}

const _: () = assert!(size_of::<Target>() == 18 && size_of::<Ipv6Addr>() == 16);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text, Ipv6Prefix::default()).unwrap().target
    }

    fn refused(text: &str) -> TargetError {
        Target::parse(text, Ipv6Prefix::default()).unwrap_err()
    }

    #[test]
    fn forms_are_canonical() {
        for (given, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:c000:207", "192.0.2.7"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
            ("2001:db8::1/128", "2001:db8::1/128"),
            ("2001:db8:ffff::/40", "2001:db8:ff00::/40"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2a00::/12", "2a00::/12"),
        ] {
            assert_eq!(target(given).to_string(), shown, "{given}");
        }
    }

    #[test]
    fn a_single_ipv6_address_is_banned_by_the_configured_prefix() {
        let asked = Target::parse("2001:db8:1:2::3", Ipv6Prefix::new(48).unwrap()).unwrap();
        assert_eq!(asked.target.to_string(), "2001:db8:1::/48");
        assert_eq!(asked.given.to_string(), "2001:db8:1:2::3/128");
        assert_eq!(Ipv6Prefix::new(31), None);
        assert_eq!(Ipv6Prefix::new(65), None);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = "x".repeat(10_000);
        for given in [
            "",
            "/",
            "192.0.2",
            "192.0.2.01",
            "192.0.2.1 ",
            " 192.0.2.1",
            "192.0.2.1/+8",
            "192.0.2.1/-1",
            "192.0.2.1/8/8",
            "fe80::1%eth0",
            "[2001:db8::1]",
            "example.org",
            &long,
        ] {
            let error = refused(given);
            assert!(
                matches!(error, TargetError::NotAnAddress { .. }) || given.ends_with('/'),
                "{given}: {error}"
            );
            assert!(error.to_string().len() < 300);
        }
    }

    #[test]
    fn prefix_lengths_are_checked() {
        for given in [
            "192.0.2.1/33",
            "2001:db8::/129",
            "192.0.2.1/256",
            "192.0.2.1/",
        ] {
            assert!(
                matches!(refused(given), TargetError::PrefixLength { .. }),
                "{given}"
            );
        }
    }

    #[test]
    fn what_would_ban_the_world_is_refused() {
        for given in [
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/7",
            "2000::/3",
            "2a00::/11",
            "::ffff:0:0/96",
            "::ffff:192.0.2.7/90",
        ] {
            assert!(
                matches!(refused(given), TargetError::TooWide { .. }),
                "{given}: {}",
                refused(given)
            );
        }
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for given in [
            "127.0.0.1",
            "127.0.0.0/8",
            "::1",
            "::1/128",
            "::",
            "0.0.0.0",
            "0.0.0.0/8",
            "::/64",
            "224.0.0.1",
            "239.1.2.0/24",
            "ff02::1",
            "ff00::/16",
            "::ffff:127.0.0.1",
        ] {
            assert!(
                matches!(refused(given), TargetError::NotASource { .. }),
                "{given}"
            );
        }
        assert_eq!(
            refused("127.0.0.1").to_string(),
            "127.0.0.1/32 is a loopback address, which is never the source of a packet from outside: give the offender's own address"
        );
    }

    #[test]
    fn the_place_tells_the_map() {
        let prefix = Ipv6Prefix::default();
        assert_eq!(
            target("192.0.2.7").place(prefix),
            Place::HashV4([192, 0, 2, 7])
        );
        assert_eq!(
            target("192.0.2.0/24").place(prefix),
            Place::TrieV4 {
                network: [192, 0, 2, 0],
                bits: 24
            }
        );
        assert_eq!(target("2001:db8::1").map(prefix), Map::HashV6);
        assert_eq!(target("2001:db8::/64").map(prefix), Map::HashV6);
        assert_eq!(target("2001:db8::1/128").map(prefix), Map::TrieV6);
        assert_eq!(
            target("2001:db8::/64").map(Ipv6Prefix::new(48).unwrap()),
            Map::TrieV6
        );
    }

    #[test]
    fn networks_around_go_up_to_the_widest() {
        let around: Vec<_> = target("192.0.2.7").around().collect();
        assert_eq!(around.len(), 25);
        assert_eq!(around[0], target("192.0.2.7"));
        assert_eq!(around[8], target("192.0.2.0/24"));
        assert_eq!(around[24], target("192.0.0.0/8"));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bits in any::<u128>(), v4 in any::<bool>(), length in 0u8..=128) {
            let address = if v4 {
                IpAddr::V4(Ipv4Addr::from(u32::try_from(bits >> 96).unwrap()))
            } else {
                IpAddr::V6(Ipv6Addr::from(bits))
            };
            let longest = if v4 { 32 } else { 128 };
            if let Ok(target) = Target::from_network(canonical(address, length.min(longest))) {
                let again = Target::parse(&target.to_string(), Ipv6Prefix::default()).unwrap();
                prop_assert_eq!(again.target, target);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            if let Ok(asked) = Target::parse(&text, Ipv6Prefix::default()) {
                prop_assert!(asked.target.network().contains(&asked.given.addr()));
            }
        }
    }
}
