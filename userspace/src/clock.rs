//! The two clocks that nicban lives by. Only this file reads them.

use std::{env, fs, io, time::Duration};

use nix::{
    errno::Errno,
    time::{ClockId, clock_gettime},
};

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the Unix epoch. fail2ban tells sentences by it; it may be set.
    pub wall: Duration,
    /// Since the boot, suspended time included (`CLOCK_BOOTTIME`). The kernel's
    /// expiry counts by it; it only goes forward.
    pub boot: Duration,
}

impl Now {
    /// This moment.
    pub fn read() -> Result<Self, Errno> {
        Ok(Self {
            wall: read(ClockId::CLOCK_REALTIME)?,
            boot: read(ClockId::CLOCK_BOOTTIME)?,
        })
    }

    /// Whole seconds since the Unix epoch.
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.wall.as_secs()).unwrap_or(i64::MAX)
    }

    /// The wall clock's reading at boot: it changes when the wall clock is set.
    pub fn epoch(&self) -> Duration {
        self.wall.saturating_sub(self.boot)
    }
}

/// Holds the boot's name where the service may not see `/proc/sys`: `%b` of systemd.unit(5).
const BOOT_ID: &str = "NICBAN_BOOT_ID";

/// Names this boot (random(4)): `CLOCK_BOOTTIME` counts from it.
pub fn boot_id() -> io::Result<String> {
    let id = match env::var(BOOT_ID) {
        Ok(id) if !id.is_empty() => id,
        _ => fs::read_to_string("/proc/sys/kernel/random/boot_id")?,
    };
    // systemd writes it without the dashes.
    Ok(id.trim().replace('-', ""))
}

fn read(clock: ClockId) -> Result<Duration, Errno> {
    clock_gettime(clock).map(Duration::from)
}
