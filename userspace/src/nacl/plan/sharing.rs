//! Networks in which several banned neighbours share one slot.
//!
//! A botnet that sends from all over a /24 would need a slot for each of its addresses,
//! and new ones as it moves on. Where enough banned neighbours are at it, one deny of
//! the narrowest network around them stands for all. It also denies neighbours that
//! nobody has banned, so it takes [`SharingConfig::members`] of them that send, never
//! an allowed address among them, and it ends when half of them are no longer banned.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::survey::overlap;
use crate::nacl::acl::Family;
use crate::nacl::market::{Candidate, ConfigError};

/// The knobs of sharing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharingConfig {
    /// Banned neighbours that send, from which on they share a slot; 2 to 128, or 0:
    /// never.
    pub members: usize,
    /// The shortest prefix of a shared IPv4 slot; 16 to 31 bits.
    pub widest_v4: u8,
    /// The shortest prefix of a shared IPv6 slot; 32 to 63 bits.
    pub widest_v6: u8,
}

impl Default for SharingConfig {
    fn default() -> Self {
        Self {
            members: 8,
            widest_v4: 24,
            widest_v6: 56,
        }
    }
}

impl SharingConfig {
    /// Fails with the first knob that is out of its range.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let knobs = [
            ("sharing.members", self.members, 2..=128, "2 to 128, or 0"),
            (
                "sharing.widest_v4",
                self.widest_v4.into(),
                16..=31,
                "16 to 31",
            ),
            (
                "sharing.widest_v6",
                self.widest_v6.into(),
                32..=63,
                "32 to 63",
            ),
        ];
        for (knob, value, allowed, words) in knobs {
            let off = knob == "sharing.members" && value == 0;
            if !off && !allowed.contains(&value) {
                return Err(ConfigError {
                    knob,
                    value: value.to_string(),
                    allowed: words.to_owned(),
                });
            }
        }
        Ok(())
    }

    const fn widest(&self, family: Family) -> u8 {
        match family {
            Family::V4 => self.widest_v4,
            Family::V6 => self.widest_v6,
        }
    }

    /// Members with which a slot that is shared goes on being so.
    const fn least(&self) -> usize {
        self.members.div_ceil(2)
    }
}

/// What is known of who might share.
pub(super) struct Neighbours<'a> {
    /// The banned, by network.
    pub(super) candidates: &'a BTreeMap<IpNet, Candidate>,
    /// Networks that hold a slot, or did until their trial.
    pub(super) incumbents: &'a BTreeSet<IpNet>,
    /// Networks that send: as counted, or, in a slot, as remembered.
    pub(super) sending: &'a BTreeSet<IpNet>,
    /// Networks that must never be denied.
    pub(super) allowed: &'a [IpNet],
}

/// The networks that compete as one, with those of the candidates that they stand for.
pub(super) fn shared(
    neighbours: &Neighbours<'_>,
    config: &SharingConfig,
) -> BTreeMap<IpNet, Vec<Candidate>> {
    let mut shared = BTreeMap::new();
    if config.members == 0 {
        return shared;
    }
    let mut rest: BTreeSet<IpNet> = neighbours.candidates.keys().copied().collect();
    for network in neighbours.incumbents {
        let is_shared = !neighbours.candidates.contains_key(network);
        let fits = network.prefix_len() >= config.widest(Family::of(network));
        let members = within(&rest, network);
        if is_shared
            && fits
            && members.len() >= config.least()
            && overlap(neighbours.allowed, network).is_none()
        {
            enter(&mut shared, &mut rest, neighbours, *network);
        }
    }
    let mut sending: BTreeMap<IpNet, Vec<IpNet>> = BTreeMap::new();
    for network in &rest {
        let widest = config.widest(Family::of(network));
        if neighbours.sending.contains(network)
            && network.prefix_len() > widest
            && !is_covered(network, neighbours.candidates)
        {
            let around = cut(network, widest);
            sending.entry(around).or_default().push(*network);
        }
    }
    for members in sending.into_values() {
        gather(
            &members,
            neighbours.allowed,
            config.members,
            &mut |network| {
                // One that is banned itself competes by itself.
                if !neighbours.candidates.contains_key(&network) {
                    enter(&mut shared, &mut rest, neighbours, network);
                }
            },
        );
    }
    shared
}

/// Whether a network around this one is banned too, and competes for all within it.
fn is_covered(network: &IpNet, candidates: &BTreeMap<IpNet, Candidate>) -> bool {
    (0..network.prefix_len()).any(|bits| candidates.contains_key(&cut(network, bits)))
}

/// Finds the narrowest networks around enough of these members, all of one network.
fn gather(members: &[IpNet], allowed: &[IpNet], least: usize, found: &mut impl FnMut(IpNet)) {
    let (Some(lowest), Some(highest)) = (members.first(), members.last()) else {
        return;
    };
    if members.len() < least {
        return;
    }
    let around = around(lowest, highest);
    if overlap(allowed, &around).is_none() {
        found(around);
        return;
    }
    let half = cut(highest, around.prefix_len() + 1);
    let at = members.partition_point(|member| !half.contains(member));
    let (lower, upper) = members.split_at(at);
    // With one half empty there is nothing narrower that holds the members.
    if !lower.is_empty() && !upper.is_empty() {
        gather(lower, allowed, least, found);
        gather(upper, allowed, least, found);
    }
}

/// The narrowest network around two.
fn around(first: &IpNet, last: &IpNet) -> IpNet {
    let most = first.prefix_len().min(last.prefix_len());
    let equal = match (first, last) {
        (IpNet::V4(a), IpNet::V4(b)) => (a.addr().to_bits() ^ b.addr().to_bits()).leading_zeros(),
        (IpNet::V6(a), IpNet::V6(b)) => (a.addr().to_bits() ^ b.addr().to_bits()).leading_zeros(),
        _ => 0,
    };
    cut(first, most.min(u8::try_from(equal).unwrap_or(most)))
}

/// The network of `bits` around a narrower one.
fn cut(network: &IpNet, bits: u8) -> IpNet {
    match network {
        IpNet::V4(net) => {
            Ipv4Net::new(net.addr(), bits).map_or(*network, |net| IpNet::V4(net.trunc()))
        }
        IpNet::V6(net) => {
            Ipv6Net::new(net.addr(), bits).map_or(*network, |net| IpNet::V6(net.trunc()))
        }
    }
}

/// Those that a network contains.
fn within(networks: &BTreeSet<IpNet>, around: &IpNet) -> Vec<IpNet> {
    networks
        .range(around..)
        .take_while(|network| around.contains(*network))
        .copied()
        .collect()
}

/// Enters a shared slot, with all the banned that it denies.
fn enter(
    shared: &mut BTreeMap<IpNet, Vec<Candidate>>,
    rest: &mut BTreeSet<IpNet>,
    neighbours: &Neighbours<'_>,
    network: IpNet,
) {
    let mut members = Vec::new();
    for member in within(rest, &network) {
        rest.remove(&member);
        members.push(neighbours.candidates[&member].clone());
    }
    // A wider one takes in what a narrower one held.
    while let Some((inner, _)) = shared.iter().find(|(inner, _)| network.contains(*inner)) {
        let inner = *inner;
        members.extend(shared.remove(&inner).unwrap_or_default());
    }
    shared.insert(network, members);
}

/// The members as one candidate.
pub(super) fn as_one(network: IpNet, members: &[Candidate]) -> Candidate {
    let forever = members.iter().any(|member| member.until.is_none());
    let last = members.iter().filter_map(|member| member.until).max();
    Candidate {
        network,
        rate: members.iter().map(|member| member.rate).sum(),
        bancount: members.iter().map(|it| it.bancount).max().unwrap_or(1),
        banned_since: members.iter().map(|it| it.banned_since).max().unwrap_or(0),
        until: if forever { None } else { last },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn banned(networks: impl IntoIterator<Item = String>, rate: f64) -> BTreeMap<IpNet, Candidate> {
        let candidate = |text: String| {
            let network = net(&text);
            let candidate = Candidate {
                network,
                rate,
                bancount: 1,
                banned_since: 0,
                until: Some(100),
            };
            (network, candidate)
        };
        networks.into_iter().map(candidate).collect()
    }

    fn hosts(hosts: impl IntoIterator<Item = u8>, rate: f64) -> BTreeMap<IpNet, Candidate> {
        let text = |host| format!("203.0.113.{host}/32");
        banned(hosts.into_iter().map(text), rate)
    }

    fn found(
        candidates: &BTreeMap<IpNet, Candidate>,
        incumbents: &[&str],
        allowed: &[&str],
    ) -> Vec<(String, usize)> {
        let incumbents = incumbents.iter().map(|text| net(text)).collect();
        let loud = |it: &&Candidate| it.rate > 0.0;
        let sending = candidates.values().filter(loud).map(|it| it.network);
        let allowed: Vec<IpNet> = allowed.iter().map(|text| net(text)).collect();
        let neighbours = Neighbours {
            candidates,
            incumbents: &incumbents,
            sending: &sending.collect(),
            allowed: &allowed,
        };
        shared(&neighbours, &SharingConfig::default())
            .into_iter()
            .map(|(network, members)| (network.to_string(), members.len()))
            .collect()
    }

    fn one(network: &str, members: usize) -> Vec<(String, usize)> {
        vec![(network.to_owned(), members)]
    }

    #[test]
    fn eight_that_send_share_the_narrowest_network_around_them() {
        assert_eq!(found(&hosts(1..=7, 1.0), &[], &[]), []);
        assert_eq!(
            found(&hosts(1..=8, 1.0), &[], &[]),
            one("203.0.113.0/28", 8)
        );
        assert_eq!(
            found(&hosts((0..8).map(|n| n * 32), 1.0), &[], &[]),
            one("203.0.113.0/24", 8)
        );
        assert_eq!(found(&hosts(1..=8, 0.0), &[], &[]), [], "they are quiet");
    }

    #[test]
    fn the_banned_that_are_quiet_are_members_too_but_do_not_count() {
        let mut candidates = hosts(1..=8, 1.0);
        candidates.extend(hosts(9..=15, 0.0));
        assert_eq!(found(&candidates, &[], &[]), one("203.0.113.0/28", 15));
    }

    #[test]
    fn never_wider_than_the_widest() {
        let spread = (0..16).map(|part| format!("198.51.{part}.1/32"));
        assert_eq!(found(&banned(spread, 9.0), &[], &[]), []);
        let v6 = |parts: std::ops::Range<u32>| {
            banned(parts.map(|part| format!("2001:db8:0:{part:x}::/64")), 9.0)
        };
        assert_eq!(found(&v6(0..256), &[], &[]), one("2001:db8::/56", 256));
        assert_eq!(found(&v6(252..260), &[], &[]), []);
    }

    #[test]
    fn never_over_an_allowed_address_but_beside_it() {
        let candidates = hosts((1..=8).chain(129..=136), 1.0);
        assert_eq!(found(&candidates, &[], &[]), one("203.0.113.0/24", 16));
        assert_eq!(
            found(&candidates, &[], &["203.0.113.140/32"]),
            one("203.0.113.0/28", 8)
        );
        assert_eq!(found(&candidates, &[], &["203.0.0.0/16"]), []);
    }

    #[test]
    fn it_is_split_again_when_half_of_them_are_left() {
        let seated = ["203.0.113.0/28"];
        // In the slot nobody is seen to send.
        assert_eq!(
            found(&hosts(1..=4, 0.0), &seated, &[]),
            one("203.0.113.0/28", 4)
        );
        assert_eq!(found(&hosts(1..=3, 0.0), &seated, &[]), []);
        assert_eq!(found(&hosts(1..=8, 0.0), &seated, &["203.0.113.9/32"]), []);
    }

    #[test]
    fn it_grows_with_those_that_come() {
        let mut candidates = hosts(1..=8, 0.0);
        candidates.extend(hosts(100..=107, 5.0));
        assert_eq!(
            found(&candidates, &["203.0.113.0/28"], &[]),
            vec![
                ("203.0.113.0/28".to_owned(), 8),
                ("203.0.113.96/28".to_owned(), 8)
            ]
        );
        candidates.extend(hosts((0..8).map(|n| 20 + 30 * n), 5.0));
        assert_eq!(
            found(&candidates, &["203.0.113.0/28"], &[]),
            one("203.0.113.0/24", 24)
        );
    }

    #[test]
    fn as_one_they_send_all_that_each_sends_until_the_last_one_ends() {
        let mut members: Vec<Candidate> = hosts(1..=3, 2.0).into_values().collect();
        members[1].until = Some(700);
        members[2].bancount = 4;
        let one = as_one(net("203.0.113.0/30"), &members);
        assert!((one.rate - 6.0).abs() < 1e-9);
        assert_eq!((one.bancount, one.until), (4, Some(700)));
        members[0].until = None;
        assert_eq!(as_one(net("203.0.113.0/30"), &members).until, None);
    }
}
