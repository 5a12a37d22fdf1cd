//! SSH brute force as two servers logged it. README.md, beside the tables, has
//! their origin, their terms and what is doubtful about them.
//!
//! A log has login attempts, and what is to be stopped is packets. So, of each:
//!
//! - **Bans** are those that fail2ban would have given: from the [`Jail`]'s n-th
//!   failure in its time on. Neither server banned anyone, so that what was logged
//!   goes on as if nothing was dropped. A bot that is dropped may rather give up.
//! - **Packets**: an attempt while its source is banned is a connection that gets
//!   no answer: its SYN and the retries, at the seconds at which Linux sends them.
//!   They are the recorded ones, and no draw.
//! - **The rate** of a second, by which offenders are compared and policies are
//!   counted, is the mean of what is under way: an attempt is under way until its
//!   kernel gives it up, and sends all its SYNs meanwhile. By single seconds hardly
//!   18 sources ever send at once, and each slot would be wanted anew all the time.
//!
//! A seed has no part in any of that.

use std::collections::{BTreeMap, VecDeque};
use std::num::ParseIntError;

use ipnet::{IpNet, Ipv4Net};

use crate::simulate::trace::{Arrival, Ban, Source, Trace};

/// When a client sends its SYN and the retries, in s after it began: each wait is
/// double the last (RFC 6298), and there are 6 (`tcp_syn_retries`, ip-sysctl of the
/// Linux kernel).
const SYNS: [u32; 7] = [0, 1, 3, 7, 15, 31, 63];

/// When it gives up, in s: after one wait more.
const GIVES_UP: u32 = 127;

/// What a jail of fail2ban is set to.
#[derive(Debug, Clone, Copy)]
struct Jail {
    /// Failures that are one too many (`maxretry`) within `find_time`, in s.
    max_retry: usize,
    find_time: u32,
    /// The first ban, in s (`bantime`).
    ban_time: u32,
}

/// fail2ban's defaults (its jail.conf).
const DEFAULT: Jail = Jail {
    max_retry: 5,
    find_time: 600,
    ban_time: 600,
};

/// A strict one: banned for a day from the second failure in an hour on.
const STRICT: Jail = Jail {
    max_retry: 2,
    find_time: 3_600,
    ban_time: 86_400,
};

/// The tables of a recording.
#[derive(Debug, Clone, Copy)]
struct Recording {
    /// Rows of second, source, tries.
    tries: &'static str,
    /// Rows of source, and the /24 it is in.
    sources: &'static str,
}

const HONEYPOT: Recording = Recording {
    tries: include_str!("ssh_honeypot_2022.csv"),
    sources: include_str!("ssh_honeypot_2022.sources.csv"),
};

const LOGHUB: Recording = Recording {
    tries: include_str!("loghub_openssh_2k.csv"),
    sources: include_str!("loghub_openssh_2k.sources.csv"),
};

/// A honeypot's log, with fail2ban's default bans.
pub(super) fn honeypot(_seed: u64, length: u32) -> Trace {
    HONEYPOT.trace("honeypot", DEFAULT, length)
}

/// The same with long bans: more are banned than there are slots.
pub(super) fn honeypot_strict(_seed: u64, length: u32) -> Trace {
    HONEYPOT.trace("honeypot-1d", STRICT, length)
}

/// The log of a laboratory's server, with fail2ban's default bans.
pub(super) fn loghub(_seed: u64, length: u32) -> Trace {
    LOGHUB.trace("loghub", DEFAULT, length)
}

impl Recording {
    /// As many seconds of it as there are, `length` at the most.
    fn trace(&self, name: &'static str, jail: Jail, length: u32) -> Trace {
        let tries: Vec<[u32; 3]> = rows(self.tries).expect("a table of tries");
        let sources: Vec<[u32; 2]> = rows(self.sources).expect("a table of sources");
        let end = tries.last().map_or(0, |[second, ..]| second + 1);
        let length = end.min(length);
        let mut seconds: Vec<Vec<Arrival>> = (0..length).map(|_| Vec::new()).collect();
        let networks = networks(sources.iter().map(|[_, group]| *group));
        let mut banned = Vec::new();
        for (index, network) in (0_u32..).zip(networks) {
            let ours = tries
                .iter()
                .filter(|[second, source, _]| *source == index && *second < length)
                .flat_map(|[second, _, count]| (0..*count).map(|_| *second));
            let ours: Vec<u32> = ours.collect();
            let bans = jail.bans(&ours);
            for (second, (packets, rate)) in dropped(&ours, &bans) {
                if let Some(arrivals) = seconds.get_mut(second as usize) {
                    arrivals.push(Arrival {
                        source: index,
                        rate,
                        packets,
                    });
                }
            }
            banned.push(Source {
                network,
                bans,
                drawn: None,
            });
        }
        Trace {
            name,
            seed: None,
            sources: banned,
            seconds,
        }
    }
}

impl Jail {
    /// The bans for a source's failures, in their order.
    fn bans(self, failures: &[u32]) -> Vec<Ban> {
        let mut bans: Vec<Ban> = Vec::new();
        let mut found = VecDeque::new();
        for second in failures {
            if bans.last().is_some_and(|ban| *second < ban.until) {
                continue;
            }
            found.push_back(*second);
            while found
                .pop_front_if(|it| *it + self.find_time <= *second)
                .is_some()
            {}
            if found.len() >= self.max_retry {
                bans.push(Ban::next(&bans, second + 1, self.ban_time));
                found.clear();
            }
        }
        bans
    }
}

/// What a source sends while it is banned, by second: packets, and the mean rate.
fn dropped(tries: &[u32], bans: &[Ban]) -> BTreeMap<u32, (u32, f32)> {
    let mut sent = BTreeMap::<u32, (u32, u32)>::new();
    for ban in bans {
        for begun in tries.iter().filter(|second| ban.covers(**second)) {
            for second in *begun..ban.until.min(begun + GIVES_UP) {
                sent.entry(second).or_default().1 += 1;
            }
            for second in SYNS.map(|after| begun + after) {
                if ban.covers(second) {
                    sent.entry(second).or_default().0 += 1;
                }
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let mean = |under_way: u32| under_way as f32 * SYNS.len() as f32 / GIVES_UP as f32;
    sent.into_iter()
        .map(|(second, (packets, under_way))| (second, (packets, mean(under_way))))
        .collect()
}

/// Addresses of sources that are in these /24, far apart within one and from one to
/// the next, as it is not known how far they were. In 198.18.0.0/15 (RFC 2544).
fn networks(groups: impl Iterator<Item = u32>) -> Vec<IpNet> {
    let mut members = BTreeMap::<u32, u32>::new();
    groups
        .map(|group| {
            let member = members.entry(group).or_default();
            // Numbers with their bits reversed lie far apart.
            let host = member.reverse_bits() >> 24;
            let net = group.reverse_bits() >> 23;
            *member += 1;
            let address = 0xC612_0000 | net << 8 | host;
            IpNet::V4(Ipv4Net::new_assert(address.into(), 32))
        })
        .collect()
}

/// The rows below a table's heading.
fn rows<const N: usize>(table: &str) -> Result<Vec<[u32; N]>, ParseIntError> {
    table
        .lines()
        .skip(1)
        .map(|line| {
            let mut row = [0; N];
            for (cell, text) in row.iter_mut().zip(line.split(',')) {
                *cell = text.parse()?;
            }
            Ok(row)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_tables_are_whole() {
        for (recording, tries, sources, groups) in
            [(HONEYPOT, 1_165, 64, 58), (LOGHUB, 552, 29, 27)]
        {
            let rows_of_tries: Vec<[u32; 3]> = rows(recording.tries).unwrap();
            assert_eq!(rows_of_tries.iter().map(|row| row[2]).sum::<u32>(), tries);
            assert!(rows_of_tries.is_sorted_by_key(|row| row[0]));
            let rows_of_sources: Vec<[u32; 2]> = rows(recording.sources).unwrap();
            let seen: BTreeSet<u32> = rows_of_tries.iter().map(|row| row[1]).collect();
            assert!(
                seen.into_iter()
                    .eq(rows_of_sources.iter().map(|row| row[0]))
            );
            assert_eq!(rows_of_sources.len(), sources);

            let networks = networks(rows_of_sources.iter().map(|row| row[1]));
            let nets: BTreeSet<_> = networks
                .iter()
                .map(|it| IpNet::new_assert(it.addr(), 24).trunc())
                .collect();
            assert_eq!(nets.len(), groups);
            assert_eq!(networks.iter().collect::<BTreeSet<_>>().len(), sources);
        }
    }

    #[test]
    fn a_ban_follows_the_failure_that_is_one_too_many() {
        let jail = |failures: &[u32]| -> Vec<_> {
            let bans = DEFAULT.bans(failures);
            bans.iter().map(|ban| (ban.from, ban.until)).collect()
        };
        assert_eq!(jail(&[0, 10, 20, 30, 599]), [(600, 1_200)]);
        assert_eq!(jail(&[0, 10, 20, 30, 600]), []);
        let again = [0, 0, 0, 0, 0, 300, 601, 601, 601, 601, 601];
        assert_eq!(jail(&again), [(1, 601), (602, 1_802)]);
    }

    #[test]
    fn an_attempt_is_its_syns_and_their_mean_while_it_is_under_way() {
        let bans = [Ban::next(&[], 100, 600)];
        let sent = dropped(&[50, 200, 201], &bans);
        let syns: Vec<_> = sent.iter().filter(|it| it.1.0 > 0).collect();
        assert_eq!(syns.len(), 13);
        assert_eq!(sent[&201].0, 2);
        assert!(sent.keys().copied().eq(200..201 + GIVES_UP));
        let rates = sent.values().map(|it| it.1).sum::<f32>();
        assert!((rates - 14.0).abs() < 1e-3, "{rates}");
        // Of one that is under way when the ban ends, what comes until then.
        let cut: u32 = dropped(&[690], &bans).values().map(|it| it.0).sum();
        assert_eq!(cut, 4);
    }
}
