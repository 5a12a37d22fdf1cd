//! `[rank]`: how offenders are compared.

use std::time::Duration;

use super::reader::Section;
use super::values;

/// `[rank]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank {
    /// How long until a sample counts half: 1 s to 1 h, never below `tick`.
    pub half_life: Duration,
    /// Between two readings of the kernel's counters: 100 ms to 1 min.
    pub tick: Duration,
}

impl Default for Rank {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(30),
            tick: Duration::from_secs(1),
        }
    }
}

impl Rank {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let half_lives = Duration::from_secs(1)..=Duration::from_hours(1);
        let ticks = Duration::from_millis(100)..=Duration::from_mins(1);
        let rank = Self {
            half_life: section.get("half_life", default.half_life, values::duration(half_lives)),
            tick: section.get("tick", default.tick, values::duration(ticks)),
        };
        if rank.half_life < rank.tick {
            section.conflict(
                "half_life",
                format!(
                    "{} is shorter than tick, {}: a rate would be one reading's noise",
                    humantime::format_duration(rank.half_life),
                    humantime::format_duration(rank.tick)
                ),
            );
        }
        rank
    }
}
