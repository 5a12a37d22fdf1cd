//! A host that a real daemon guards, as it is built for release.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nicban::bans::{Hold, StoreChange, Until};
use nicban::store::{FILE_NAME, Store};
use nicban::target::Target;

use super::Bench;
use super::sources;
use crate::daemon::{Daemon, DaemonConfig, Site};
use crate::wait;

/// How long a daemon may take to start with a million bans.
const PATIENCE: Duration = Duration::from_mins(3);

/// Changes of one transaction.
const AT_ONCE: usize = 50_000;

/// The host, and the daemon's configuration.
pub(super) struct Guarded {
    site: Site,
    config: DaemonConfig,
}

impl Guarded {
    /// With room for so many bans, and no daemon yet.
    pub(super) fn new(max_bans: u32) -> Result<Self> {
        let site = Site::new()?;
        let config = site
            .config()
            .set("xdp", "max_bans", &max_bans.max(4_096).to_string())
            .set("xdp", "max_offenders", "65536")
            // The defaults: tests hurry.
            .set("fail2ban", "flush_hold", "\"2s\"")
            .set("rank", "tick", "\"1s\"");
        Ok(Self { site, config })
    }

    /// With another value for a key of the configuration.
    pub(super) fn set(self, section: &str, key: &str, value: &str) -> Self {
        Self {
            config: self.config.set(section, key, value),
            ..self
        }
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    /// Puts bans of so many of [`sources::ipv4`] into the store of a daemon that doesn't run.
    pub(super) fn fill_store(&self, bans: u32, now: i64) -> Result<()> {
        let folder = self.site.folder().join("state");
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let mut store = Store::open(&folder.join(FILE_NAME))?;
        for part in sources::bans(false, bans as usize).chunks(AT_ONCE) {
            let changes = part.iter().map(|network| {
                Ok(StoreChange::PutHold {
                    target: Target::from_network(*network)?,
                    hold: Hold {
                        holder: "bench".into(),
                        since: now,
                        until: Until::At(now + 7 * 86_400),
                        bancount: 1,
                        failures: 5,
                        reason: None,
                    },
                })
            });
            store.commit(&changes.collect::<Result<Vec<_>>>()?)?;
        }
        Ok(())
    }

    /// Starts the daemon, and waits until it answers.
    pub(super) fn start(&self, bench: &Bench) -> Result<Daemon> {
        let file = self.site.write(&self.config)?;
        let mut command = self.site.host().command(&bench.nicban);
        command.args(["daemon", "--config"]).arg(file);
        let log = self.site.folder().join("daemon.log");
        let mut daemon = Daemon::spawn(&mut command, &self.site.socket(), &log)?;
        wait::until("the daemon answers", PATIENCE, || {
            daemon.expect_alive()?;
            Ok(daemon.status().ok())
        })?;
        Ok(daemon)
    }
}
