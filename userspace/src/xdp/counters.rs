//! What the program counted: verdicts by family, drops by offender.

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, PerCpuHashMap, PerCpuValues},
};
use ipnet::IpNet;
use nicban_ebpf::abi::{FAMILIES, Family, Hits, OffenderV4, OffenderV6, Stats, maps};
use nicban_protocol::FamilyCounters;

use crate::rank::Counter;

use super::{
    XdpError,
    keys::{net_v4, net_v6},
    tables::{absent_is_fine, failed, typed},
};

/// The maps that the program counts in.
pub struct Counters {
    hits_v4: PerCpuHashMap<MapData, OffenderV4, Hits>,
    hits_v6: PerCpuHashMap<MapData, OffenderV6, Hits>,
    stats: PerCpuArray<MapData, Stats>,
}

impl Counters {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, XdpError> {
        Ok(Self {
            hits_v4: typed(ebpf, maps::HITS_V4)?,
            hits_v6: typed(ebpf, maps::HITS_V6)?,
            stats: typed(ebpf, maps::STATS)?,
        })
    }

    /// Every offender that has a counter, with the ban that caught it.
    pub fn offenders(&self) -> Result<Vec<(IpNet, Counter)>, XdpError> {
        let mut offenders = Vec::new();
        for entry in &self.hits_v4 {
            let (key, hits) = entry.map_err(failed("read", maps::HITS_V4, &"the counters"))?;
            offenders.push((net_v4(key.address.into(), key.prefix_len), sum(&hits)));
        }
        for entry in &self.hits_v6 {
            let (key, hits) = entry.map_err(failed("read", maps::HITS_V6, &"the counters"))?;
            offenders.push((net_v6(key.address.into(), key.prefix_len), sum(&hits)));
        }
        Ok(offenders)
    }

    /// Takes an offender's counter out, so that another may have its place.
    pub fn evict(&mut self, offender: &IpNet) -> Result<(), XdpError> {
        let prefix_len = u32::from(offender.prefix_len());
        let (evicted, map) = match offender {
            IpNet::V4(net) => {
                let address = net.network().octets();
                let key = OffenderV4 {
                    prefix_len,
                    address,
                };
                (self.hits_v4.remove(&key), maps::HITS_V4)
            }
            IpNet::V6(net) => {
                let address = net.network().octets();
                let key = OffenderV6 {
                    prefix_len,
                    address,
                };
                (self.hits_v6.remove(&key), maps::HITS_V6)
            }
        };
        evicted
            .map(|()| true)
            .or_else(absent_is_fine)
            .map(|_was_there| ())
            .map_err(failed("evict", map, offender))
    }

    /// The verdicts, in the order of [`Family`].
    pub fn verdicts(&self) -> Result<[FamilyCounters; FAMILIES as usize], XdpError> {
        let mut verdicts = [FamilyCounters::default(); FAMILIES as usize];
        for (index, family) in [Family::Other, Family::V4, Family::V6]
            .into_iter()
            .enumerate()
        {
            let key = family as u32;
            let per_cpu = self
                .stats
                .get(&key, 0)
                .map_err(failed("read", maps::STATS, &key))?;
            for stats in per_cpu.iter() {
                add(&mut verdicts[index], stats);
            }
        }
        Ok(verdicts)
    }
}

fn add(counters: &mut FamilyCounters, stats: &Stats) {
    counters.passed += stats.passed;
    counters.dropped += stats.dropped;
    counters.dropped_bytes += stats.dropped_bytes;
    counters.would_drop += stats.would_drop;
    counters.allowed += stats.allowed;
    counters.unparsed += stats.unparsed;
    counters.untracked += stats.untracked;
}

fn sum(per_cpu: &PerCpuValues<Hits>) -> Counter {
    let mut counter = Counter::default();
    for hits in per_cpu.iter() {
        counter.packets += hits.packets;
        counter.bytes += hits.bytes;
    }
    counter
}
