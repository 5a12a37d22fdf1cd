//! What time alone brings: ends of bans, counters.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use nicban_protocol::{BanRow, FamilyCounters, Refusal};

use super::{Engine, Market, batch::Batch, words};
use crate::{
    bans::{Ban, Bans, Until},
    clock::Now,
    nacl::{
        acl::Family,
        docket::{self, Docket, Failures},
        market::Measure,
        roster::{Incumbents, Register, Repeated, Sentence},
    },
    target::Target,
    xdp::XdpError,
};

/// Offenders that `status` shows.
const SHOWN: usize = 20;

/// Bans that one pass of deadlines lifts, so that requests don't wait for a mass expiry.
const LIFTED_AT_ONCE: usize = 4096;

/// What the last reading of the counters found.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) families: [FamilyCounters; 3],
    pub(super) offenders: Arc<[BanRow]>,
    /// Offenders with a kernel counter: IPv4, IPv6.
    pub(super) counters: [usize; 2],
    read_at: Option<Duration>,
}

impl Engine {
    /// Lifts what has ended.
    pub(super) fn serve_deadlines(&mut self, now: Now, batch: &mut Batch) {
        let mut left = LIFTED_AT_ONCE;
        // A plan is about one jail's flush, or about ends: each has to be carried out before
        // those are answered who asked for it.
        while left > 0 {
            let due = self.bans.plan_due(now.seconds(), left);
            if due.is_empty() {
                break;
            }
            left = left.saturating_sub(due.len());
            if self.carry_out_all(due, now, batch).is_err()
                && let Err(refusal) = self.lift_one_by_one(now, batch)
            {
                self.troubles.note("expiry", refusal.message);
                // What the kernel keeps is tried again with the next tick, not at once.
                self.is_behind = false;
                return;
            }
        }
        self.is_behind = left == 0;
        self.troubles.clear("expiry");
        self.expire_allowed(now);
        self.roll_back_unconfirmed(now);
    }

    /// Lifts what has ended, so that what the kernel keeps does not keep the others.
    fn lift_one_by_one(&mut self, now: Now, batch: &mut Batch) -> Result<(), Refusal> {
        for change in self.bans.plan_due(now.seconds(), LIFTED_AT_ONCE) {
            self.carry_out(change, now, batch)?;
        }
        Ok(())
    }

    /// Reads the counters, unless that was done less than a tick ago.
    pub(super) fn count(&mut self, now: Now) {
        let due = self
            .tally
            .read_at
            .is_none_or(|at| now.boot.saturating_sub(at) >= self.config.tick);
        if !due {
            return;
        }
        match self.read_counters(now).and_then(|()| self.tend_index(now)) {
            Ok(()) => self.troubles.clear("counters"),
            Err(error) => self.troubles.note("counters", words::chain(&error)),
        }
        self.tally.read_at = Some(now.boot);
    }

    fn read_counters(&mut self, now: Now) -> Result<(), XdpError> {
        self.tally.families = self.counters.verdicts()?;
        let samples = self.counters.offenders()?;
        let ipv4 = samples
            .iter()
            .filter(|(network, _)| matches!(network, IpNet::V4(_)))
            .count();
        self.tally.counters = [ipv4, samples.len() - ipv4];
        // Counters of bans that have been lifted meanwhile are of no more use.
        let (banned, lifted): (Vec<_>, Vec<_>) = samples
            .into_iter()
            .partition(|(network, _)| self.is_banned(network));
        let tick = self.ranking.observe(now.boot, banned);
        for network in tick
            .idle
            .iter()
            .chain(lifted.iter().map(|(network, _)| network))
        {
            self.counters.evict(network)?;
        }
        let fill = self.tally.counters[0].max(self.tally.counters[1]);
        let mask = newcomer_mask(fill, self.config.load.max_offenders as usize);
        self.tables.set_newcomer_mask(mask)?;
        self.tally.offenders = self
            .ranking
            .loudest(SHOWN)
            .iter()
            .filter_map(|offender| self.ban_on(&offender.network))
            .map(|ban| self.row(&ban))
            .collect();
        Ok(())
    }

    /// Tells the program until when it need not look at the ends of bans.
    fn tend_index(&mut self, now: Now) -> Result<(), XdpError> {
        let first = self.bans.first_end().map_or(u64::MAX, |end| {
            words::expiry(Until::At(end), now, self.config.grace)
        });
        self.tables.tend(first)
    }

    /// Who competes for the NACL's slots.
    pub(super) fn market(&mut self, incumbents: Incumbents, now: Now) -> Market {
        let bans = &self.bans;
        Market {
            mode: self.mode,
            candidates: match self.config.compete {
                Measure::Rate => self.roster.candidates(incumbents, &mut self.ranking, bans),
                Measure::Failures => {
                    docket::candidates(&incumbents, bans, self.config.fading, now.seconds())
                }
            },
            allowed: self.allow.iter().map(|allow| allow.network).collect(),
        }
    }

    fn ban_on(&self, network: &IpNet) -> Option<Ban<'_>> {
        let target = Target::from_network(*network).ok()?;
        self.bans.get(&target)
    }

    fn is_banned(&self, network: &IpNet) -> bool {
        self.ban_on(network).is_some()
    }
}

impl Register for Bans {
    fn all(&self, family: Family) -> impl Iterator<Item = Repeated> {
        self.of(family)
            .map(|ban| (ban.offences(), ban.since(), ban.target.network()))
    }

    fn sentence(&self, network: &IpNet) -> Option<Sentence> {
        let ban = self.get(&Target::from_network(*network).ok()?)?;
        Some(Sentence {
            bancount: ban.offences(),
            since: ban.since(),
            until: ban.end().seconds(),
        })
    }

    fn within(&self, network: &IpNet) -> impl Iterator<Item = IpNet> {
        let around = Target::from_network(*network).ok();
        around
            .into_iter()
            .flat_map(|around| Self::within(self, around))
            .map(|ban| ban.target.network())
    }
}

impl Docket for Bans {
    fn charges(&self) -> impl Iterator<Item = (IpNet, impl Iterator<Item = Failures>)> {
        self.iter()
            .map(|ban| (ban.target.network(), charges_of(&ban)))
    }

    fn charged(&self, network: &IpNet) -> impl Iterator<Item = Failures> {
        let target = Target::from_network(*network).ok();
        let ban = target.and_then(|target| self.get(&target));
        ban.into_iter().flat_map(|ban| charges_of(&ban))
    }
}

fn charges_of<'a>(ban: &Ban<'a>) -> impl Iterator<Item = Failures> + use<'a> {
    ban.failures().map(|(count, at)| Failures { count, at })
}

/// How choosy the program has to be with newcomers, as a mask of random bits: all
/// get a counter while there is room; the fuller, the fewer.
fn newcomer_mask(counters: usize, capacity: usize) -> u32 {
    let free = capacity.saturating_sub(counters);
    match free.saturating_mul(8).checked_div(capacity) {
        None | Some(0) => 0xff,
        Some(1) => 0xf,
        Some(2) => 0x3,
        Some(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::newcomer_mask;

    #[test]
    fn newcomers_are_drawn_only_when_room_gets_scarce() {
        assert_eq!(newcomer_mask(0, 65_536), 0);
        assert_eq!(newcomer_mask(32_768, 65_536), 0);
        assert_eq!(newcomer_mask(48_000, 65_536), 0x3);
        assert_eq!(newcomer_mask(65_536, 65_536), 0xff);
        assert_eq!(newcomer_mask(1, 1), 0xff);
    }
}
