//! By which clock the store's times are told.

use std::fmt;
use std::time::Duration;

/// The wall clock that the times were told by: what it showed when the machine booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Which boot, as the kernel names it.
    pub boot_id: String,
    /// Since the Unix epoch.
    pub epoch: Duration,
}

impl Clock {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (boot_id, epoch) = text.split_once(' ')?;
        Some(Self {
            boot_id: boot_id.to_owned(),
            epoch: Duration::from_nanos(epoch.parse().ok()?),
        })
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.boot_id, self.epoch.as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let clock = Clock {
            boot_id: "6f0c7a5e".to_owned(),
            epoch: Duration::from_nanos(1_795_789_963_905_195_701),
        };
        assert_eq!(Clock::read(&clock.to_string()), Some(clock));
        for damaged in ["", "6f0c7a5e", "6f0c7a5e ", "6f0c7a5e soon"] {
            assert_eq!(Clock::read(damaged), None, "{damaged}");
        }
    }
}
