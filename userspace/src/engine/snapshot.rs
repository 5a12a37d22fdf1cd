//! What the engine publishes for all who only look.

use std::sync::Arc;

use nicban_protocol::{Attachment, BanRow, FamilyCounters, Fill, Mode};

use super::Engine;
use crate::{clock::Now, target::Map, xdp::map_name};

/// The engine's state at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Observe or enforce; `None` before the first one.
    pub mode: Option<Mode>,
    /// What is wrong, each in a line that says what to do.
    pub warnings: Vec<String>,
    /// The interfaces.
    pub attachments: Vec<Attachment>,
    /// Bans in force.
    pub bans: u64,
    /// Bans by holder.
    pub holders: Vec<(Arc<str>, u64)>,
    /// How full the maps are.
    pub maps: Vec<Fill>,
    /// The verdicts: other, IPv4, IPv6.
    pub families: [FamilyCounters; 3],
    /// The loudest offenders, loudest first.
    pub offenders: Arc<[BanRow]>,
}

impl Engine {
    /// Publishes the state as it is now.
    pub(super) fn publish(&self, now: Now) {
        let attachments = self.attachments(now);
        let mut warnings: Vec<String> = self.troubles.lines().cloned().collect();
        warnings.extend(self.attachment_warnings());
        let snapshot = Snapshot {
            mode: Some(self.mode),
            warnings,
            attachments,
            bans: self.bans.len() as u64,
            holders: self
                .bans
                .holders()
                .map(|(name, bans)| (Arc::clone(name), bans as u64))
                .collect(),
            maps: self.fill(),
            families: self.tally.families,
            offenders: Arc::clone(&self.tally.offenders),
        };
        self.publish.send_replace(Arc::new(snapshot));
    }

    fn fill(&self) -> Vec<Fill> {
        use nicban_ebpf::abi::maps;
        let bans = Map::ALL.map(|map| {
            let capacity = self.bans.limits().of(map);
            (map_name(map), self.bans.used(map), capacity)
        });
        let offenders = self.config.load.max_offenders as usize;
        let [hits_v4, hits_v6] = self.tally.counters;
        bans.into_iter()
            .chain([
                (maps::HITS_V4, hits_v4, offenders),
                (maps::HITS_V6, hits_v6, offenders),
            ])
            .map(|(map, entries, capacity)| Fill {
                map: map.to_owned(),
                entries: entries as u64,
                capacity: capacity as u64,
            })
            .collect()
    }
}
