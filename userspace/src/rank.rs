//! The ranking of offenders by the rate at which the kernel drops their packets.
//!
//! The kernel counts packets and bytes for each offender. Each tick those counts
//! come here and become a rate: a mean that fades with a half-life, divided by
//! the share of its weight that has been watched so far, so that a newcomer's
//! rate is right at once instead of climbing for minutes; where the last seconds
//! belie it, a quicker one takes its place. A tick costs time
//! linear in the offenders that have a kernel counter or a rate; those that went
//! quiet cost memory only, until their ban ends.

mod pace;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Duration;

use ipnet::IpNet;

use pace::{Fading, Pace};

/// Packets and bytes dropped since the counter was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    /// Dropped packets.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
}

impl Counter {
    /// What was added since `earlier`. A count below the earlier one means a new
    /// counter, all of which counts.
    fn since(self, earlier: Self) -> Self {
        if self.packets < earlier.packets || self.bytes < earlier.bytes {
            return self;
        }
        Self {
            packets: self.packets - earlier.packets,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

impl AddAssign for Counter {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// How rates fade.
#[derive(Debug, Clone, PartialEq)]
pub struct RankConfig {
    /// After how long a packet counts half; 1 s to 1 h. Shorter follows a change
    /// sooner, longer is steadier. A change that chance does not explain is followed
    /// within seconds all the same.
    pub half_life: Duration,
    /// A newcomer's packets are spread over at least this long, so that a burst
    /// of a moment is not taken for a flood; zero to the half-life.
    pub warm_up: Duration,
    /// An offender below this rate, in packets/s, that has sent nothing for a
    /// half-life is idle; above 0.
    pub floor: f64,
}

impl Default for RankConfig {
    fn default() -> Self {
        Self {
            half_life: Duration::from_mins(1),
            warm_up: Duration::from_secs(5),
            floor: 0.001,
        }
    }
}

/// A banned network that still sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Offender {
    /// The network.
    pub network: IpNet,
    /// Its rate in packets/s.
    pub rate: f64,
    /// All that was dropped from it since its ban began, over evictions of its
    /// kernel counter.
    pub total: Counter,
}

impl Offender {
    /// The louder first, then the lower address.
    fn by_loudness(a: &Self, b: &Self) -> Ordering {
        b.rate
            .total_cmp(&a.rate)
            .then_with(|| a.network.cmp(&b.network))
    }
}

/// What a tick found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tick {
    /// Offenders that went quiet and still have a kernel counter, by address.
    /// Evicting those counters makes room for others. They are named again at
    /// each tick until the counter is gone.
    pub idle: Vec<IpNet>,
    /// Offenders that have a kernel counter or a rate.
    pub active: usize,
}

/// What is known of an active offender.
#[derive(Debug, Clone)]
struct Track {
    /// The kernel's count when last seen; zero once its counter is gone.
    counted: Counter,
    /// Packets/s of the tick under way.
    arrived: f64,
    pace: Pace,
    /// When it last sent, or was first seen.
    last_sent: Duration,
    total: Counter,
    /// The tick that last saw its kernel counter.
    seen: u64,
}

/// Offenders with their rates and totals.
///
/// `now` is the time since any fixed moment, given as a [`Duration`] because a
/// rate needs fractions of a second. Take it from a clock that only goes forward
/// (`CLOCK_BOOTTIME`): a step of the wall clock would bend every rate.
#[derive(Debug, Clone)]
pub struct Ranking {
    config: RankConfig,
    fading: Fading,
    last: Option<Duration>,
    ticks: u64,
    active: HashMap<IpNet, Track>,
    /// Totals of offenders that went quiet and have no kernel counter.
    quiet: HashMap<IpNet, Counter>,
}

impl Ranking {
    /// A ranking without offenders.
    pub fn new(config: RankConfig) -> Self {
        Self {
            fading: Fading::new(&config),
            config,
            last: None,
            ticks: 0,
            active: HashMap::new(),
            quiet: HashMap::new(),
        }
    }

    /// Takes in the kernel's counts: every counter that exists, each network
    /// once.
    ///
    /// The first call sets the baseline: what was counted before it has no known
    /// duration, so it enters the totals but no rate. A call whose `now` is not
    /// after the last one's changes nothing but the moment from which the next
    /// one measures.
    pub fn observe(
        &mut self,
        now: Duration,
        samples: impl IntoIterator<Item = (IpNet, Counter)>,
    ) -> Tick {
        let elapsed = match self.last.replace(now) {
            None => None,
            Some(last) if now > last => Some(now.saturating_sub(last)),
            Some(_) => return Tick::default(),
        };
        self.ticks += 1;

        for (network, counter) in samples {
            let quiet = &mut self.quiet;
            let track = self.active.entry(network).or_insert_with(|| Track {
                counted: Counter::default(),
                arrived: 0.0,
                pace: Pace::default(),
                last_sent: now,
                total: quiet.remove(&network).unwrap_or_default(),
                seen: 0,
            });
            let new = counter.since(track.counted);
            track.counted = counter;
            track.total += new;
            track.seen = self.ticks;
            if let Some(time) = elapsed
                && new.packets > 0
            {
                track.arrived = rate_of(new.packets, time.as_secs_f64());
                track.last_sent = now;
            }
        }

        let Self {
            config,
            fading,
            active,
            quiet,
            ticks,
            ..
        } = self;
        let mut idle = Vec::new();
        active.retain(|network, track| {
            let arrived = std::mem::take(&mut track.arrived);
            if let Some(time) = elapsed {
                track.pace.add(arrived, time, fading);
            }
            let rate = track.pace.rate(fading);
            let is_idle =
                rate < config.floor && now.saturating_sub(track.last_sent) >= config.half_life;
            if track.seen == *ticks {
                if is_idle {
                    idle.push(*network);
                }
                return true;
            }
            track.counted = Counter::default();
            if is_idle {
                quiet.insert(*network, track.total);
            }
            !is_idle
        });
        idle.sort_unstable();
        Tick {
            idle,
            active: self.active.len(),
        }
    }

    /// An offender's rate in packets/s; 0 for one that is quiet or unknown.
    pub fn rate(&self, network: &IpNet) -> f64 {
        self.active
            .get(network)
            .map_or(0.0, |track| track.pace.rate(&self.fading))
    }

    /// All that was dropped from a network since its ban began.
    pub fn total(&self, network: &IpNet) -> Counter {
        self.active
            .get(network)
            .map(|track| track.total)
            .or_else(|| self.quiet.get(network).copied())
            .unwrap_or_default()
    }

    /// The `k` offenders with the highest rates, the highest first; equals by
    /// address. Quiet ones are not among them.
    pub fn loudest(&self, k: usize) -> Vec<Offender> {
        self.loudest_where(k, |_| true)
    }

    /// The same among those that are `wanted`.
    pub fn loudest_where(&self, k: usize, wanted: impl Fn(&IpNet) -> bool) -> Vec<Offender> {
        let mut all: Vec<Offender> = self
            .active
            .iter()
            .filter(|(network, _)| wanted(network))
            .map(|(network, track)| Offender {
                network: *network,
                rate: track.pace.rate(&self.fading),
                total: track.total,
            })
            .filter(|offender| offender.rate > 0.0)
            .collect();
        if k < all.len() {
            all.select_nth_unstable_by(k, Offender::by_loudness);
            all.truncate(k);
        }
        all.sort_unstable_by(Offender::by_loudness);
        all
    }

    /// Forgets a network whose ban has ended.
    pub fn forget(&mut self, network: &IpNet) {
        self.active.remove(network);
        self.quiet.remove(network);
    }

    /// Measures the offenders within a network anew. Call it when the network leaves
    /// a NACL slot: the silence that the kernel counted meanwhile says nothing.
    pub fn restart_within(&mut self, network: &IpNet) {
        let within = self.active.iter_mut();
        for (_, track) in within.filter(|(offender, _)| network.contains(*offender)) {
            track.pace = Pace::default();
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no more than 53 bits"
)]
fn rate_of(packets: u64, seconds: f64) -> f64 {
    packets as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(host: u8) -> IpNet {
        format!("192.0.2.{host}/32").parse().unwrap()
    }

    fn count(packets: u64) -> Counter {
        Counter {
            packets,
            bytes: packets * 60,
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ranking() -> Ranking {
        let mut ranking = Ranking::new(RankConfig::default());
        ranking.observe(at(0), []);
        ranking
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-9 * right.abs().max(1.0)
    }

    #[test]
    fn a_steady_newcomer_has_its_rate_after_the_warm_up() {
        let mut ranking = ranking();
        for second in 1..=10 {
            ranking.observe(at(second), [(net(1), count(second * 100))]);
        }
        assert!(close(ranking.rate(&net(1)), 100.0));
    }

    #[test]
    fn a_burst_of_a_moment_is_no_flood() {
        let mut ranking = ranking();
        ranking.observe(at(1), [(net(1), count(1_000))]);
        let rate = ranking.rate(&net(1));
        assert!((195.0..210.0).contains(&rate), "{rate}");
    }

    #[test]
    fn without_a_warm_up_the_first_second_counts_in_full() {
        let mut ranking = Ranking::new(RankConfig {
            warm_up: Duration::ZERO,
            ..RankConfig::default()
        });
        ranking.observe(at(0), []);
        ranking.observe(at(1), [(net(1), count(1_000))]);
        assert!(close(ranking.rate(&net(1)), 1_000.0));
    }

    #[test]
    fn a_silent_offender_loses_half_its_rate_in_a_half_life_unless_it_was_loud() {
        for (each, left) in [(1, 0.05), (1_000, 0.0)] {
            let mut ranking = ranking();
            let mut counted = 0;
            for second in 1..=1_200 {
                counted += if second % 10 == 0 { each } else { 0 };
                ranking.observe(at(second), [(net(1), count(counted))]);
            }
            ranking.observe(at(1_260), [(net(1), count(counted))]);
            let rate = ranking.rate(&net(1));
            assert!((left - 0.01..left + 0.01).contains(&rate), "{rate}");
        }
    }

    #[test]
    fn what_was_counted_before_the_first_tick_has_no_rate() {
        let mut ranking = Ranking::new(RankConfig::default());
        let tick = ranking.observe(at(5), [(net(1), count(1_000_000))]);
        assert_eq!(ranking.rate(&net(1)).to_bits(), 0.0_f64.to_bits());
        assert_eq!(ranking.total(&net(1)), count(1_000_000));
        assert_eq!(tick.idle, [], "it may well be sending");
        assert!(ranking.loudest(9).is_empty());
    }

    #[test]
    fn a_counter_made_anew_counts_from_zero() {
        let mut ranking = ranking();
        ranking.observe(at(1), [(net(1), count(100))]);
        ranking.observe(at(2), [(net(1), count(30))]);
        assert_eq!(ranking.total(&net(1)), count(130));
        // Gone for a tick: what stands in it next is new, though it is more.
        ranking.observe(at(3), []);
        ranking.observe(at(4), [(net(1), count(50))]);
        assert_eq!(ranking.total(&net(1)), count(180));
    }

    #[test]
    fn the_idle_are_named_until_their_counter_is_gone_and_keep_their_total() {
        let mut ranking = ranking();
        ranking.observe(at(1), [(net(1), count(10)), (net(2), count(1))]);
        let quiet = [(net(1), count(10)), (net(2), count(2))];
        assert_eq!(ranking.observe(at(5_000), quiet).idle, [net(1)]);
        assert_eq!(ranking.observe(at(5_001), quiet).idle, [net(1)]);
        let tick = ranking.observe(at(5_002), [(net(2), count(2))]);
        assert_eq!((tick.idle, tick.active), (vec![], 1));
        assert_eq!(ranking.total(&net(1)), count(10));
        ranking.observe(at(5_003), [(net(1), count(7))]);
        assert_eq!(ranking.total(&net(1)), count(17));
        assert!(ranking.rate(&net(1)) > 0.0);
    }

    #[test]
    fn the_loudest_come_first_and_equals_by_address() {
        let mut ranking = ranking();
        ranking.observe(
            at(1),
            [
                (net(9), count(5)),
                (net(3), count(50)),
                (net(2), count(5)),
                (net(1), count(1)),
            ],
        );
        let order = |k| -> Vec<IpNet> {
            let loudest = ranking.loudest(k);
            loudest.iter().map(|offender| offender.network).collect()
        };
        assert_eq!(order(3), [net(3), net(2), net(9)]);
        assert_eq!(order(9), [net(3), net(2), net(9), net(1)]);
        assert!(order(0).is_empty());
    }

    #[test]
    fn a_restart_measures_anew() {
        let mut ranking = ranking();
        let mut counted = 0;
        for second in 1..=100 {
            counted += 1_000;
            ranking.observe(at(second), [(net(1), count(counted))]);
        }
        ranking.restart_within(&net(1));
        for second in 101..=110 {
            counted += 10;
            ranking.observe(at(second), [(net(1), count(counted))]);
        }
        assert!(close(ranking.rate(&net(1)), 10.0));
    }

    #[test]
    fn a_clock_that_steps_back_loses_no_packets_and_bends_no_rate() {
        let mut ranking = ranking();
        ranking.observe(at(100), [(net(1), count(100))]);
        let before = ranking.rate(&net(1));
        ranking.observe(at(50), [(net(1), count(200))]);
        assert!(close(ranking.rate(&net(1)), before));
        ranking.observe(at(60), [(net(1), count(300))]);
        assert_eq!(ranking.total(&net(1)), count(300));
    }

    #[test]
    fn a_forgotten_network_starts_from_nothing() {
        let mut ranking = ranking();
        ranking.observe(at(1), [(net(1), count(10))]);
        ranking.forget(&net(1));
        assert_eq!(ranking.total(&net(1)), Counter::default());
    }

    proptest! {
        #[test]
        fn totals_add_up_and_rates_stay_within_what_arrived(
            ticks in prop::collection::vec(
                (1_u64..100, prop::collection::vec(prop::option::of(0_u64..1_000), 4)),
                1..60,
            ),
        ) {
            let mut ranking = ranking();
            let (mut now, mut counters, mut totals) = (0, [0; 4], [0; 4]);
            let mut highest = [0.0_f64; 4];
            for (elapsed, arrivals) in ticks {
                now += elapsed;
                let mut samples = Vec::new();
                for (host, arrived) in arrivals.iter().enumerate() {
                    // None: its counter is evicted, and what comes next is new.
                    let Some(arrived) = arrived else {
                        counters[host] = 0;
                        continue;
                    };
                    counters[host] += arrived;
                    totals[host] += arrived;
                    highest[host] = highest[host].max(rate_of(*arrived, 1.0) / rate_of(elapsed, 1.0));
                    if counters[host] > 0 {
                        samples.push((net(u8::try_from(host).unwrap()), count(counters[host])));
                    }
                }
                ranking.observe(at(now), samples);
                for (host, (total, highest)) in totals.iter().zip(highest).enumerate() {
                    let network = net(u8::try_from(host).unwrap());
                    prop_assert_eq!(ranking.total(&network).packets, *total);
                    let rate = ranking.rate(&network);
                    prop_assert!(rate >= 0.0 && rate <= highest * (1.0 + 1e-9));
                }
            }
        }
    }
}
