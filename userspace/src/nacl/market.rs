//! Who holds the slots: the state of a NACL's incumbents, and of those who were.
//!
//! Being in a slot blinds the counter: what the NACL drops never reaches the
//! host. So an incumbent keeps the rate that was last measured, which fades
//! slowly, and serves a term. Its first part, the minimum term, protects it from
//! any challenger; from then on a challenger needs a clear lead; and once the
//! term is over the incumbent may be put on trial by a lesser one, its guest: out
//! of its slot, still dropped on the host, counted again. As soon as it has a clear
//! lead over its guest it takes the slot back, for a term that is longer by half; one
//! that keeps silent has lost it.
//!
//! A trial costs the packets of one that does send. So it is made only where those of
//! a probation are fewer than the guest would have sent since the incumbent got its
//! slot: the longer that is ago, the likelier is its silence, and the more it costs.
//!
//! Where slots go by failures ([`Measure::Failures`]) nothing is blind: an incumbent's
//! worth is known at every moment, so there is no term, trial or probation, and only
//! the minimum term and the clear lead are left.
//!
//! Moments are whole seconds since the Unix epoch, as in the ledger, from which
//! this state is rebuilt after a restart.

mod config;
mod contest;
mod worth;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;

use crate::nacl::acl::{Position, Rule};

pub use config::{ConfigError, MarketConfig};
pub(crate) use contest::{Challenge, Field, Seating, Wins, contest};
pub use worth::{Measure, Worth};

/// A banned network that may hold a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The network.
    pub network: IpNet,
    /// Its rate on the host in packets/s; what is in a slot is counted no more,
    /// so an incumbent's is near 0. Where slots go by failures: those, faded.
    pub rate: f64,
    /// How often it has been banned so far, this ban included.
    pub bancount: u32,
    /// When its ban began.
    pub banned_since: i64,
    /// When its ban ends; `None` if it does not.
    pub until: Option<i64>,
}

/// What is known of a network in a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Incumbent {
    /// The network.
    pub network: IpNet,
    /// When it got its slot.
    pub since: i64,
    /// The rate last measured, in packets/s; `None` where that is not known,
    /// after a restart.
    pub rate: Option<f64>,
    /// When that rate was measured.
    pub measured: i64,
    /// How long it may stay without being put on probation.
    pub term: Duration,
}

impl Incumbent {
    /// An incumbent known from the ledger alone.
    pub fn rebuilt(network: IpNet, since: i64, config: &MarketConfig) -> Self {
        Self {
            network,
            since,
            rate: None,
            measured: since,
            term: config.first_term,
        }
    }

    /// Its rate in packets/s as it is believed to be now: that last measured,
    /// faded by the blind half-life.
    pub fn remembered(&self, now: i64, config: &MarketConfig) -> Option<f64> {
        let faded = left(self.measured, now, config.blind_half_life);
        self.rate.map(|rate| rate * faded)
    }

    /// How long it has held its slot.
    pub fn served(&self, now: i64) -> Duration {
        elapsed(self.since, now)
    }

    /// Whether a challenger with a clear lead may take its slot.
    pub fn may_be_beaten(&self, now: i64, config: &MarketConfig) -> bool {
        self.served(now) >= config.minimum_term
    }

    /// Whether it may be put on probation. What is seen all the while needs none.
    pub fn term_is_over(&self, now: i64, config: &MarketConfig) -> bool {
        config.measure.is_blinded() && self.served(now) >= self.term.max(config.minimum_term)
    }

    /// Its standing in words: how long it has been in, and what is known of it.
    pub fn standing(&self, now: i64, config: &MarketConfig) -> String {
        let served = humantime::format_duration(self.served(now));
        let term = humantime::format_duration(self.term);
        match self.remembered(now, config) {
            Some(rate) => format!(
                "in for {served} of a term of {term}, at about {}",
                config.worth(rate)
            ),
            None => format!("in for {served} of a term of {term}, rate not known"),
        }
    }

    /// Takes in what is measured of it. Where the slot blinds, only a rate above the
    /// remembered one is news: the NACL does not stop all of it.
    fn measure(&mut self, rate: f64, now: i64, config: &MarketConfig) {
        let remembered = self.remembered(now, config);
        if !config.measure.is_blinded() || remembered.is_some_and(|known| rate > known) {
            self.rate = Some(rate);
            self.measured = now;
        }
    }
}

/// Packets that an incumbent's last rate lets one expect before its silence says
/// something: of a source that still sends one hears nothing in 1 of 20 cases then
/// (Poisson).
const DUE: f64 = 3.0;

/// A network that held a slot not long ago.
#[derive(Debug, Clone, PartialEq)]
pub struct Former {
    /// What it was in its slot.
    pub incumbent: Incumbent,
    /// When it lost the slot.
    pub since: i64,
    /// How it lost it.
    pub left: Left,
}

/// How an incumbent lost its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// To a louder one, or with the slot itself.
    Outright,
    /// To a lesser one, until it is seen whether it still sends.
    OnTrial {
        /// The lesser one.
        guest: IpNet,
    },
    /// With its ban.
    BanEnded,
}

impl Former {
    /// Whether it is on probation: being counted, at this rate in packets/s since it
    /// lost its slot, and can't contest any yet. Of whom nothing at all was counted
    /// for a third of the time, on trial, has shown enough, if [`DUE`] packets were due.
    pub fn is_on_probation(&self, rate: f64, now: i64, config: &MarketConfig) -> bool {
        let out = elapsed(self.since, now);
        let due = self.incumbent.rate.unwrap_or(f64::INFINITY) * out.as_secs_f64();
        let silent = matches!(self.left, Left::OnTrial { .. }) && rate <= 0.0;
        let long = if silent && due >= DUE {
            config.probation / 3
        } else {
            config.probation
        };
        config.measure.is_blinded() && self.left != Left::BanEnded && out < long
    }
}

/// A rule number that is left alone, and one slot with it, because someone
/// removed our entry from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawn {
    /// What our entry denied.
    pub network: IpNet,
    /// Until when it is left alone.
    pub until: i64,
    /// For how long it is left alone this time.
    pub wait: Duration,
}

/// The state of one NACL's slots, both families.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Market {
    /// Those in a slot.
    pub incumbents: BTreeMap<IpNet, Incumbent>,
    /// Those that held one not long ago.
    pub former: BTreeMap<IpNet, Former>,
    /// Rule numbers left alone, now or not long ago.
    pub withdrawn: BTreeMap<Position, Withdrawn>,
    /// Our entries that EC2 has acknowledged or shown.
    pub confirmed: BTreeSet<Rule>,
}

impl Market {
    /// The term for a network that gets a slot now: the first one, or, for one that is
    /// back and still sends, the one before, longer by half if it was on trial.
    ///
    /// By half, and not to the double: of who sends half of the time, half of the trials
    /// find it sending. Doubled at each, its terms would add up to as much at each
    /// length, and most of its time would be in long ones, half of it in silence.
    fn term_for(&self, candidate: &Candidate, config: &MarketConfig) -> Duration {
        let before = self.former.get(&candidate.network);
        let Some(before) = before.filter(|_| candidate.rate >= config.floor) else {
            return config.first_term;
        };
        let term = before.incumbent.term;
        match before.left {
            Left::Outright | Left::BanEnded => term,
            Left::OnTrial { .. } => {
                let longer = term.as_secs().saturating_mul(3).div_ceil(2);
                Duration::from_secs(longer).min(config.longest_term)
            }
        }
    }
}

/// The state of every NACL's slots, by the NACL's id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MarketState {
    /// Each NACL's market.
    pub acls: BTreeMap<String, Market>,
}

impl MarketState {
    /// EC2 has acknowledged an entry of ours.
    pub fn confirm(&mut self, acl: &str, rule: Rule) {
        if let Some(market) = self.acls.get_mut(acl) {
            market.confirmed.insert(rule);
        }
    }
}

/// The part of a worth that is left at a later moment, when half of it goes in each
/// half-life.
pub(crate) fn left(from: i64, to: i64, half_life: Duration) -> f64 {
    (-elapsed(from, to).as_secs_f64() / half_life.as_secs_f64()).exp2()
}

/// The time from one moment to a later one; zero if the clock stepped back.
pub(crate) fn elapsed(from: i64, to: i64) -> Duration {
    Duration::from_secs(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incumbent(rate: Option<f64>) -> Incumbent {
        Incumbent {
            network: "203.0.113.7/32".parse().unwrap(),
            since: 1_000,
            rate,
            measured: 1_000,
            term: Duration::from_mins(5),
        }
    }

    #[test]
    fn a_blind_rate_halves_in_its_half_life_and_never_grows() {
        let config = MarketConfig::default();
        let incumbent = incumbent(Some(100.0));
        let at = |now| incumbent.remembered(now, &config).unwrap();
        assert!((at(1_000 + 1_800) - 50.0).abs() < 1e-9);
        assert!((at(0) - 100.0).abs() < 1e-9, "a clock that stepped back");
    }

    #[test]
    fn what_is_still_counted_replaces_a_lower_memory_only() {
        let config = MarketConfig::default();
        let mut known = incumbent(Some(100.0));
        known.measure(99.0, 1_000, &config);
        assert_eq!(known.rate, Some(100.0));
        known.measure(101.0, 1_060, &config);
        assert_eq!((known.rate, known.measured), (Some(101.0), 1_060));
        // After a restart a trickle is not all that it may be sending.
        let mut unknown = incumbent(None);
        unknown.measure(3.0, 1_060, &config);
        assert_eq!(unknown.rate, None);
    }

    #[test]
    fn standing_reads_as_a_sentence() {
        let config = MarketConfig::default();
        assert_eq!(
            incumbent(Some(812.0)).standing(1_000, &config),
            "in for 0s of a term of 5m, at about 812 packets/s"
        );
        assert_eq!(
            incumbent(None).standing(1_060, &config),
            "in for 1m of a term of 5m, rate not known"
        );
    }
}
