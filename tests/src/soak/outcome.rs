//! What a soak went through.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::resources::Resources;

/// Counts of a soak in which everything held; shown as a line of JSON.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// What was drawn follows from it.
    pub seed: u64,
    /// How long it went on.
    pub seconds: u64,
    /// How often everything was checked.
    pub checks: u64,
    /// Things that happened, by kind.
    pub deeds: BTreeMap<&'static str, u64>,
    /// Packets of banned sources in floods, across restarts and crashes.
    pub flood_packets: u64,
    /// Those that arrived.
    pub leaked_packets: u64,
    /// Changes of the NACL.
    pub nacl_changes: u64,
    /// Resident memory of the first daemon once it had settled, and the most of any, in KiB.
    pub memory_kib: [u64; 2],
    /// The same of open file descriptors.
    pub file_descriptors: [usize; 2],
}

impl Outcome {
    pub(super) fn resources(&mut self, first: Resources, most: Resources) {
        self.memory_kib = [first.memory, most.memory];
        self.file_descriptors = [first.files, most.files];
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}
