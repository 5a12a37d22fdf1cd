//! `[rank]`: how offenders are compared.

use std::time::Duration;

use super::reader::Section;
use super::values;
use crate::rank::RankConfig;

/// `[rank]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank {
    /// How long until a sample counts half: 1 s to 1 h, never below `tick`.
    pub half_life: Duration,
    /// A newcomer's packets are spread over at least this long, so that a burst
    /// is not taken for a flood: 0 s to `half_life`.
    pub warm_up: Duration,
    /// Between two readings of the kernel's counters: 100 ms to 1 min.
    pub tick: Duration,
}

impl Default for Rank {
    fn default() -> Self {
        Self {
            half_life: Duration::from_mins(1),
            warm_up: Duration::from_secs(5),
            tick: Duration::from_secs(1),
        }
    }
}

impl Rank {
    /// The ranking's knobs.
    pub fn ranking(&self) -> RankConfig {
        RankConfig {
            half_life: self.half_life,
            warm_up: self.warm_up,
            ..RankConfig::default()
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let half_lives = Duration::from_secs(1)..=Duration::from_hours(1);
        let ticks = Duration::from_millis(100)..=Duration::from_mins(1);
        let rank = Self {
            half_life: section.get("half_life", default.half_life, values::duration(half_lives)),
            warm_up: section.get(
                "warm_up",
                default.warm_up,
                values::duration(Duration::ZERO..=Duration::from_hours(1)),
            ),
            tick: section.get("tick", default.tick, values::duration(ticks)),
        };
        for (name, other) in [("tick", rank.tick), ("warm_up", rank.warm_up)] {
            if rank.half_life < other {
                section.conflict(
                    "half_life",
                    name,
                    format!(
                        "{} is shorter than {name}, {}",
                        humantime::format_duration(rank.half_life),
                        humantime::format_duration(other)
                    ),
                );
            }
        }
        rank
    }
}
