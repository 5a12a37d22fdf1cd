//! Who competes for the slots by rate: the few bans, of maybe a million, that are worth one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use ipnet::IpNet;

use super::acl::{FAMILIES, Family};
use super::market::Candidate;
use crate::rank::Ranking;

/// Candidates of each kind for each family: a NACL has 39 slots at the most.
const CANDIDATES: usize = 128;

/// A ban, as far as it matters to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence {
    /// How often the network has been banned, this time included.
    pub bancount: u32,
    /// When the ban began, in seconds since the Unix epoch.
    pub since: i64,
    /// When it ends; `None` if it does not.
    pub until: Option<i64>,
}

/// Offences, the ban's beginning, the network: the greatest is most worth a slot.
pub type Repeated = (u32, i64, IpNet);

/// The bans in force.
pub trait Register {
    /// All that there are of a family.
    fn all(&self, family: Family) -> impl Iterator<Item = Repeated>;

    /// One of them.
    fn sentence(&self, network: &IpNet) -> Option<Sentence>;

    /// Those within a network, itself included.
    fn within(&self, network: &IpNet) -> impl Iterator<Item = IpNet>;
}

/// Who holds slots, as far as the planner knows.
#[derive(Debug, Clone)]
pub struct Incumbents {
    /// Those that the last plan seated.
    pub seated: BTreeSet<IpNet>,
    /// Those that the ledger names. After a restart it knows all of them; later it
    /// keeps one that has left until EC2 has shown that it is gone.
    pub recorded: BTreeSet<IpNet>,
    /// The families of which the last plan left a slot free, or which none has
    /// looked at yet. A free slot is any ban's, a contested one goes by rate alone.
    pub vacant: BTreeSet<Family>,
}

impl Default for Incumbents {
    fn default() -> Self {
        Self {
            seated: BTreeSet::new(),
            recorded: BTreeSet::new(),
            vacant: BTreeSet::from(FAMILIES),
        }
    }
}

impl Incumbents {
    /// All of them, and of a slot that several share those that are banned in it.
    pub(super) fn with_members(&self, bans: &impl Register) -> BTreeSet<IpNet> {
        let mut networks: BTreeSet<IpNet> = self.recorded.union(&self.seated).copied().collect();
        let shared: Vec<IpNet> = networks
            .iter()
            .filter(|network| bans.sentence(network).is_none())
            .copied()
            .collect();
        for network in shared {
            networks.extend(bans.within(&network).take(CANDIDATES));
        }
        networks
    }

    /// The families of which a slot is free, or gets free, since nobody in it is banned
    /// any more: whoever follows there does so in the same call.
    fn vacated(&self, bans: &impl Register) -> BTreeSet<Family> {
        let ended = self
            .recorded
            .union(&self.seated)
            .filter(|network| bans.within(network).next().is_none());
        ended
            .map(Family::of)
            .chain(self.vacant.iter().copied())
            .collect()
    }
}

impl Sentence {
    /// The network as a candidate, of this rate in packets/s, or of so many faded failures.
    pub(super) const fn candidate(self, network: IpNet, rate: f64) -> Candidate {
        Candidate {
            network,
            rate,
            bancount: self.bancount,
            banned_since: self.since,
            until: self.until,
        }
    }
}

/// The one that draws up the list of candidates.
#[derive(Debug, Default)]
pub struct Roster {
    seated: BTreeSet<IpNet>,
}

impl Roster {
    /// The incumbents that are still banned, who is banned in a slot that several
    /// share, and of each family the loudest and, where a slot is free, the most
    /// repeated; among equals the latest.
    ///
    /// Looking for the most repeated takes time linear in the bans, all else in the
    /// offenders that send.
    ///
    /// Who is no longer seated is measured anew: what the NACL kept away from the
    /// counters was no silence.
    pub fn candidates(
        &mut self,
        incumbents: Incumbents,
        ranking: &mut Ranking,
        bans: &impl Register,
    ) -> Vec<Candidate> {
        for network in self.seated.difference(&incumbents.seated) {
            ranking.restart_within(network);
        }
        let mut networks = incumbents.with_members(bans);
        let vacant = incumbents.vacated(bans);
        self.seated = incumbents.seated;
        for family in FAMILIES {
            let loudest =
                ranking.loudest_where(CANDIDATES, |network| Family::of(network) == family);
            networks.extend(loudest.iter().map(|offender| offender.network));
        }
        for family in vacant {
            networks.extend(greatest(bans.all(family), |(_, _, network)| *network));
        }
        networks
            .into_iter()
            .filter_map(|network| {
                let sentence = bans.sentence(&network)?;
                Some(sentence.candidate(network, ranking.rate(&network)))
            })
            .collect()
    }
}

/// The networks of each family's greatest bans.
pub(super) fn greatest<T: Ord>(
    bans: impl Iterator<Item = T>,
    network: impl Fn(&T) -> IpNet,
) -> impl Iterator<Item = IpNet> {
    let mut best: BTreeMap<Family, BinaryHeap<Reverse<T>>> = BTreeMap::new();
    for ban in bans {
        let heap = best.entry(Family::of(&network(&ban))).or_default();
        heap.push(Reverse(ban));
        if heap.len() > CANDIDATES {
            heap.pop();
        }
    }
    best.into_values()
        .flatten()
        .map(move |Reverse(ban)| network(&ban))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rank::{Counter, RankConfig};

    /// Bans by network, with how often each was banned.
    #[derive(Default)]
    struct Book(BTreeMap<IpNet, u32>);

    impl Book {
        fn once(networks: impl IntoIterator<Item = IpNet>) -> Self {
            Self(networks.into_iter().map(|network| (network, 1)).collect())
        }
    }

    impl Register for Book {
        fn all(&self, family: Family) -> impl Iterator<Item = Repeated> {
            let bans = self.0.iter();
            bans.filter(move |(network, _)| Family::of(network) == family)
                .map(|(network, count)| (*count, 0, *network))
        }

        fn sentence(&self, network: &IpNet) -> Option<Sentence> {
            self.0.get(network).map(|bancount| Sentence {
                bancount: *bancount,
                since: 0,
                until: None,
            })
        }

        fn within(&self, network: &IpNet) -> impl Iterator<Item = IpNet> {
            self.0.keys().filter(|it| network.contains(*it)).copied()
        }
    }

    fn v4(host: usize) -> IpNet {
        format!("10.0.{}.{}/32", host / 256, host % 256)
            .parse()
            .unwrap()
    }

    fn counted(packets: u64) -> Counter {
        Counter {
            packets,
            bytes: 60 * packets,
        }
    }

    fn ranking(counts: Vec<(IpNet, Counter)>) -> Ranking {
        let mut ranking = Ranking::new(RankConfig::default());
        ranking.observe(Duration::ZERO, []);
        ranking.observe(Duration::from_secs(1), counts);
        ranking
    }

    fn networks(candidates: &[Candidate]) -> BTreeSet<IpNet> {
        candidates.iter().map(|it| it.network).collect()
    }

    #[test]
    fn a_flood_of_one_family_does_not_hide_the_loudest_of_the_other() {
        let loud = "2001:db8:0:1::/64".parse().unwrap();
        let mut counts: Vec<_> = (0..300).map(|host| (v4(host), counted(900))).collect();
        counts.push((loud, counted(800)));
        let mut bans = Book::once(counts.iter().map(|(network, _)| *network));
        // Those that the flood's equals would hide.
        bans.0.insert(v4(0), 0);
        let candidates =
            Roster::default().candidates(Incumbents::default(), &mut ranking(counts), &bans);
        let v6 = networks(&candidates);
        assert!(v6.contains(&loud));
        let v4s = v6.iter().filter(|it| matches!(it, IpNet::V4(_))).count();
        assert!(v4s <= 2 * CANDIDATES);
    }

    #[test]
    fn the_most_repeated_come_along_and_the_unbanned_do_not() {
        let bans = (0..199).map(|host| (v4(host), u32::try_from(host).unwrap()));
        let incumbents = Incumbents {
            seated: BTreeSet::from([v4(199)]),
            ..Incumbents::default()
        };
        let candidates =
            Roster::default().candidates(incumbents, &mut ranking(vec![]), &Book(bans.collect()));
        let expected: BTreeSet<IpNet> = (199 - CANDIDATES..199).map(v4).collect();
        assert_eq!(networks(&candidates), expected);
    }

    #[test]
    fn the_most_repeated_are_looked_for_where_a_slot_is_free_only() {
        let v6: IpNet = "2001:db8::/64".parse().unwrap();
        let bans = Book::once([v4(1), v6]);
        let incumbents = Incumbents {
            vacant: BTreeSet::from([Family::V6]),
            ..Incumbents::default()
        };
        let candidates = Roster::default().candidates(incumbents, &mut ranking(vec![]), &bans);
        assert_eq!(networks(&candidates), BTreeSet::from([v6]));
    }

    #[test]
    fn a_slot_whose_ban_has_ended_counts_as_free() {
        let waiting = |bans: &Book| {
            let incumbents = Incumbents {
                seated: BTreeSet::from([v4(9)]),
                recorded: BTreeSet::new(),
                vacant: BTreeSet::new(),
            };
            let found = Roster::default().candidates(incumbents, &mut ranking(vec![]), bans);
            networks(&found).contains(&v4(1))
        };
        assert!(!waiting(&Book::once([v4(1), v4(9)])));
        assert!(waiting(&Book::once([v4(1)])));
    }

    #[test]
    fn the_banned_in_a_shared_slot_come_along_quiet_as_they_are() {
        let shared: IpNet = "10.0.0.0/28".parse().unwrap();
        // Others are banned more often.
        let bans = (0..400).map(|host| (v4(host), u32::try_from(host).unwrap()));
        let incumbents = Incumbents {
            seated: BTreeSet::from([shared]),
            ..Incumbents::default()
        };
        let candidates =
            Roster::default().candidates(incumbents, &mut ranking(vec![]), &Book(bans.collect()));
        let inside = networks(&candidates);
        assert!((0..16).all(|host| inside.contains(&v4(host))));
        assert!(!inside.contains(&shared), "nobody banned it");
    }

    #[test]
    fn who_left_a_slot_is_measured_anew() {
        let mut ranking = ranking(vec![(v4(1), counted(900)), (v4(2), counted(900))]);
        let mut roster = Roster::default();
        let mut call = |incumbents: &[usize], ranking: &mut Ranking| {
            let incumbents = Incumbents {
                seated: incumbents.iter().copied().map(v4).collect(),
                // The ledger keeps the record until EC2 shows the change.
                recorded: BTreeSet::from([v4(1), v4(2)]),
                vacant: BTreeSet::new(),
            };
            roster.candidates(incumbents, ranking, &Book::once([v4(1), v4(2)]))
        };
        call(&[1, 2], &mut ranking);
        assert!(ranking.rate(&v4(2)) > 0.0);
        let candidates = call(&[1], &mut ranking);
        assert!(ranking.rate(&v4(1)) > 0.0);
        assert!(ranking.rate(&v4(2)) <= 0.0);
        assert_eq!(networks(&candidates), BTreeSet::from([v4(1), v4(2)]));
    }
}
