//! Who competes for the slots by failures: where a load balancer hides the sources from
//! the host's counters, what fail2ban reads in a log is all that tells bans apart.
//!
//! The failures of a ban fade with its age. All fade alike, so that of two bans the one
//! that is worth more stays so until one of them is told anew, and the market swaps
//! nobody in the meantime.

use std::time::Duration;

use ipnet::IpNet;

use super::market::{Candidate, left};
use super::roster::{Incumbents, Register, greatest};

/// What one holder of a ban has told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// When: its ban's beginning, in seconds since the Unix epoch.
    pub at: i64,
}

/// How failures lose their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fading {
    /// After how long they count half; above 0.
    pub half_life: Duration,
}

impl Fading {
    /// What failures are worth at `now`, in seconds since the Unix epoch: their number,
    /// faded by the age of each.
    pub fn worth(self, failures: impl Iterator<Item = Failures>, now: i64) -> f64 {
        failures
            .map(|Failures { count, at }| f64::from(count) * left(at, now, self.half_life))
            .sum()
    }
}

/// The bans in force, with the failures behind them.
pub trait Docket: Register {
    /// All that there are.
    fn charges(&self) -> impl Iterator<Item = (IpNet, impl Iterator<Item = Failures>)>;

    /// Those behind one ban; none where there is no ban.
    fn charged(&self, network: &IpNet) -> impl Iterator<Item = Failures>;
}

/// The incumbents that are still banned, who is banned in a slot that several share, and
/// of each family those of the most and latest failures. A candidate's rate is what its
/// failures are worth.
pub fn candidates(
    incumbents: &Incumbents,
    bans: &impl Docket,
    fading: Fading,
    now: i64,
) -> Vec<Candidate> {
    let worths = bans.charges().map(|(network, failures)| {
        // The bits of numbers that are not negative stand in the numbers' order.
        (fading.worth(failures, now).to_bits(), network)
    });
    let mut networks = incumbents.with_members(bans);
    networks.extend(greatest(worths, |(_, network)| *network));
    networks
        .into_iter()
        .filter_map(|network| {
            let sentence = bans.sentence(&network)?;
            let worth = fading.worth(bans.charged(&network), now);
            Some(sentence.candidate(network, worth))
        })
        .collect()
}

#[cfg(test)]
mod tests;
