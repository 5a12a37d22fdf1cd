//! Lists of bans as files: read in the formats that others write, written in those that
//! they read.
//!
//! Nothing here asks the daemon or opens a file. `now` is in seconds since the Unix epoch.

mod detect;
mod error;
mod fold;
mod ipset;
mod json;
mod nft;
mod nft_json;
mod plain;
mod range;
pub mod write;

#[cfg(test)]
mod properties;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::target::{canonical, parse_network};

pub use error::{Bad, Place};
pub use fold::{Folded, fold};

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An address or a network a line
    Plain,
    /// `nicban export --format json`: an object a line
    Json,
    /// `ipset save`
    Ipset,
    /// `nft list ruleset`, `nft list set`
    Nft,
    /// `nft -j list ruleset`
    NftJson,
}

/// One network of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The address as written, an IPv4-mapped one as IPv4.
    pub address: IpAddr,
    /// The prefix length; `None` for a single address, which is not the same as the longest:
    /// a single IPv6 address is banned by its network.
    pub prefix: Option<u8>,
    /// The end that the list itself names, in seconds since the Unix epoch.
    pub until: Option<i64>,
    /// Where it stands.
    pub place: Place,
}

/// What a list says.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Its networks, in its order.
    pub listed: Vec<Listed>,
    /// What is no network where one must stand.
    pub bad: Vec<Bad>,
    /// The sets of a dump that were read, each with its number of elements.
    pub sets: Vec<(String, usize)>,
    /// Sets of a dump that were left out, each with the reason.
    pub left_out: Vec<(String, String)>,
}

/// Why a set was left out that is not among those that were asked for.
pub const NOT_ASKED_FOR: &str = "not asked for";

impl Parsed {
    /// Counts elements of a set that was read: it may be added to in many commands.
    fn add_to_set(&mut self, name: &str, elements: usize) {
        match self.sets.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known += elements,
            None => self.sets.push((name.to_owned(), elements)),
        }
    }
}

/// What is asked of a dump.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Only sets of these names; empty means all that hold addresses.
    pub sets: &'a [String],
}

impl Wanted<'_> {
    fn includes(&self, set: &str) -> bool {
        self.sets.is_empty() || self.sets.iter().any(|wanted| wanted == set)
    }
}

/// Reads a list. Without a `format` its content tells.
pub fn parse(text: &str, format: Option<Format>, wanted: Wanted<'_>, now: i64) -> Parsed {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format.unwrap_or_else(|| detect::format(text)) {
        Format::Plain => plain::parse(text),
        Format::Json => json::parse(text),
        Format::Ipset => ipset::parse(text, wanted, now),
        Format::Nft => nft::parse(text, wanted, now),
        Format::NftJson => nft_json::parse(text, wanted, now),
    }
}

/// An address, a network, or a range of addresses (`192.0.2.1-192.0.2.9`), which may be several
/// networks.
fn read_element(
    text: &str,
    until: Option<i64>,
    place: Place,
    into: &mut Vec<Listed>,
) -> Result<(), String> {
    if let Some((first, last)) = text.split_once('-') {
        let nets = range::networks(first.trim(), last.trim())?;
        let nets = nets.map(|net| canonical(net.addr(), net.prefix_len()));
        into.extend(nets.map(|net| Listed {
            address: net.addr(),
            prefix: Some(net.prefix_len()),
            until,
            place,
        }));
        return Ok(());
    }
    let (address, prefix) = network(text)?;
    into.push(Listed {
        address,
        prefix,
        until,
        place,
    });
    Ok(())
}

/// An address or a network.
fn network(text: &str) -> Result<(IpAddr, Option<u8>), String> {
    if !text.contains('/')
        && let Ok(address) = text.parse::<IpAddr>()
    {
        return Ok((address.to_canonical(), None));
    }
    let net = parse_network(text).map_err(|error| error.to_string())?;
    Ok((net.addr(), Some(net.prefix_len())))
}

impl Listed {
    /// The network as it was given: an address is one of its family's full length.
    pub fn network(&self) -> IpNet {
        let longest = if self.address.is_ipv4() { 32 } else { 128 };
        IpNet::new_assert(self.address, self.prefix.unwrap_or(longest)).trunc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Ipv6Prefix, Target};

    #[test]
    fn an_ipv4_address_in_ipv6s_clothes_is_the_ipv4_address() {
        for (format, text) in [
            (Format::Plain, "::ffff:192.0.2.1"),
            (Format::Plain, "::ffff:192.0.2.1-::ffff:192.0.2.1"),
            (Format::Json, "{\"address\":\"::ffff:192.0.2.1\"}"),
            (Format::Ipset, "add b ::ffff:192.0.2.1"),
            (Format::Nft, "add element ip6 t b { ::ffff:192.0.2.1 }"),
        ] {
            let parsed = parse(text, Some(format), Wanted::default(), 0);
            assert_eq!(parsed.listed.len(), 1, "{text}: {parsed:?}");
            let listed = parsed.listed[0];
            assert_eq!(listed.network(), "192.0.2.1/32".parse().unwrap(), "{text}");
            // What `import --replace` leaves in force.
            let asked = Target::parse("::ffff:192.0.2.1", Ipv6Prefix::default()).unwrap();
            assert_eq!(
                listed.target(Ipv6Prefix::default()),
                Some(asked.target),
                "{text}"
            );
        }
    }
}
