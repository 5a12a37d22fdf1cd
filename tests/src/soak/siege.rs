//! Banned sources that send without a pause, whatever happens to the daemon meanwhile.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use fastrand::Rng;

use super::model::Model;
use crate::clock::now;
use crate::daemon::{Daemon, Traffic, Wire};

/// Holds them while they send, so that no jail's unban lets them in.
const HOLDER: &str = "flood";

/// How many send at once.
const SOURCES: usize = 8;

/// Seconds that they are banned: the siege ends long before.
const BANTIME: i64 = 24 * 3600;

/// Sources under way, with what had arrived of each before.
pub(super) struct Siege {
    sources: Vec<(IpAddr, u64)>,
    traffic: Traffic,
}

impl Siege {
    /// Bans some sources, then lets them send.
    pub(super) fn begin(
        daemon: &Daemon,
        model: &mut Model,
        wire: &Wire<'_>,
        sources: &[IpAddr],
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut sources = sources.to_vec();
        rng.shuffle(&mut sources);
        sources.truncate(SOURCES);
        let time = now();
        for source in &sources {
            daemon.ban(HOLDER, &source.to_string(), time, BANTIME)?;
            model.hold(*source, HOLDER, Some(time + BANTIME));
        }
        let before = sources
            .iter()
            .map(|source| Ok((*source, wire.count(*source)?)));
        let before = before.collect::<Result<_>>()?;
        let names: Vec<String> = sources.iter().map(IpAddr::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Self {
            sources: before,
            traffic: wire.traffic(&names)?,
        })
    }

    /// Ends it, and unbans them: packets that were sent, and how many of those arrived.
    pub(super) fn end(
        self,
        daemon: &Daemon,
        model: &mut Model,
        wire: &Wire<'_>,
    ) -> Result<(u64, u64)> {
        let rounds = self.traffic.end()?;
        // What was sent before an honest packet that has arrived is not under way any more.
        wire.arrives(crate::daemon::HONEST)?;
        let mut leaked = 0;
        for (source, before) in &self.sources {
            leaked += wire.count(*source)? - before;
            daemon.unban(HOLDER, &source.to_string())?;
            model.release(*source, HOLDER);
        }
        let each = u64::try_from(self.sources.len()).context("a count above u64")?;
        Ok((rounds * each, leaked))
    }
}
