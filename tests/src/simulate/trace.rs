//! An attack, second by second, as the bans see it.

use fastrand::Rng;
use ipnet::IpNet;
use nicban::nacl::acl::Family;

use super::law::Law;
use super::random;

/// How long fail2ban takes to ban a source that starts: some failed logins, in s.
const NOTICED: u32 = 5;

/// The first ban: fail2ban's default `bantime`, in s.
const FIRST_BAN: u32 = 600;

/// The longest, in s: a week.
const LONGEST_BAN: u32 = 604_800;

/// A time during which a source sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Phase {
    /// The first second.
    pub(super) from: u32,
    /// The first second after it.
    pub(super) until: u32,
    /// Packets/s.
    pub(super) rate: f64,
}

/// A ban of a source: from one second until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ban {
    pub(super) from: u32,
    pub(super) until: u32,
    /// How many it makes with those before.
    pub(super) count: u32,
}

impl Ban {
    /// The ban that follows these, from a second on, where the first is this long:
    /// each further one is double, up to a week (`bantime.increment`).
    pub(super) fn next(before: &[Self], from: u32, first: u32) -> Self {
        let count = u32::try_from(before.len()).unwrap_or(u32::MAX) + 1;
        let time = first
            .saturating_mul(1 << (count - 1).min(20))
            .min(LONGEST_BAN);
        Self {
            from,
            until: from + time,
            count,
        }
    }

    pub(super) fn covers(&self, second: u32) -> bool {
        (self.from..self.until).contains(&second)
    }
}

/// A source, or what is banned with it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) network: IpNet,
    /// In order, apart from each other.
    pub(super) bans: Vec<Ban>,
    /// None of one that was recorded.
    pub(super) drawn: Option<Drawn>,
}

/// What a generated source does, and how that was drawn.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    /// In order, apart from each other.
    pub(super) phases: Vec<Phase>,
    pub(super) law: Law,
}

impl Source {
    pub(super) fn family(&self) -> Family {
        Family::of(&self.network)
    }
}

/// What a banned source sends in a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) source: u32,
    /// Packets/s as it sends in the mean, by which offenders are compared. Never 0.
    pub(super) rate: f32,
    /// Packets that arrive this second: a Poisson draw, or those recorded.
    pub(super) packets: u32,
}

/// An attack.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) name: &'static str,
    /// None if it was recorded.
    pub(super) seed: Option<u64>,
    pub(super) sources: Vec<Source>,
    /// What banned sources send, each source once a second. Packets of those that
    /// are not banned are nobody's to stop.
    pub(super) seconds: Vec<Vec<Arrival>>,
}

/// The sources of a trace in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    sources: Vec<(IpNet, Vec<Phase>, Option<Law>)>,
}

impl Draft {
    /// Adds a source, whose phases are in order and apart from each other.
    pub(super) fn add(&mut self, network: IpNet, phases: Vec<Phase>) {
        self.sources.push((network, phases, None));
    }

    /// Adds one that was drawn by a law, independently of the others.
    pub(super) fn draw(&mut self, network: IpNet, phases: Vec<Phase>, law: Law) {
        self.sources.push((network, phases, Some(law)));
    }

    /// The trace of this many seconds.
    pub(super) fn trace(self, name: &'static str, seed: u64, length: u32) -> Trace {
        let mut rng = Rng::with_seed(seed ^ 0xA5A5_5A5A);
        let mut seconds: Vec<Vec<Arrival>> = (0..length).map(|_| Vec::new()).collect();
        let mut sources = Vec::new();
        for (index, (network, phases, law)) in (0_u32..).zip(self.sources) {
            let bans = bans(&phases, length);
            for phase in &phases {
                for ban in &bans {
                    let from = phase.from.max(ban.from);
                    for second in from..phase.until.min(ban.until).min(length) {
                        seconds[second as usize].push(Arrival {
                            source: index,
                            #[expect(clippy::cast_possible_truncation, reason = "a rate")]
                            rate: phase.rate as f32,
                            packets: random::poisson(&mut rng, phase.rate),
                        });
                    }
                }
            }
            sources.push(Source {
                network,
                bans,
                drawn: law.map(|law| Drawn { phases, law }),
            });
        }
        Trace {
            name,
            seed: Some(seed),
            sources,
            seconds,
        }
    }
}

/// The bans that fail2ban gives a source for what it sends: it sees packets of a
/// source that is not banned only.
fn bans(phases: &[Phase], length: u32) -> Vec<Ban> {
    let mut bans: Vec<Ban> = Vec::new();
    let mut free_from = 0;
    for phase in phases {
        loop {
            let seen = phase.from.max(free_from) + NOTICED;
            if seen >= phase.until.min(length) {
                break;
            }
            let ban = Ban::next(&bans, seen, FIRST_BAN);
            free_from = ban.until;
            bans.push(ban);
        }
    }
    bans
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASE: Phase = Phase {
        from: 100,
        until: 2_000,
        rate: 4.0,
    };

    #[test]
    fn a_source_that_goes_on_is_banned_again_for_longer() {
        let found = bans(&[PHASE], 10_000);
        let times: Vec<_> = found
            .iter()
            .map(|ban| (ban.from, ban.until, ban.count))
            .collect();
        assert_eq!(times, [(105, 705, 1), (710, 1_910, 2), (1_915, 4_315, 3)]);
    }

    #[test]
    fn only_what_the_banned_send_is_in_the_trace() {
        let mut draft = Draft::default();
        draft.add("192.0.2.1/32".parse().unwrap(), vec![PHASE]);
        let trace = draft.trace("test", 1, 1_000);
        let sends: Vec<_> = (0..1_000)
            .filter(|second| !trace.seconds[*second].is_empty())
            .collect();
        let expected: Vec<_> = (105..705).chain(710..1_000).collect();
        assert_eq!(sends, expected);
    }
}
