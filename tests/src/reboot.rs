//! Bans, then a power cut, then the first packets that an interface passes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::clock::now;
use crate::daemon::{Daemon, HONEST, HONEST_V6, Site, Start};
use crate::wait;

/// Addresses and a network, each with the source that is tried.
const BANNED: [(&str, &str); 3] = [
    ("198.51.100.7", "198.51.100.7"),
    ("2001:db8:bad::7", "2001:db8:bad::9"),
    ("203.0.112.0/24", "203.0.112.9"),
];

/// Another honest source.
const LAST: &str = "203.0.113.201";

/// Packets of each source that are sent once the interface is up, at the least.
const PACKETS: u64 = 200;

/// How long that may take in an emulated machine.
const LIMIT: Duration = Duration::from_mins(1);

/// What the program is told.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "nicban-reboot")]
pub struct Options {
    /// The nicban binary.
    #[arg(long, value_name = "PATH")]
    pub nicban: PathBuf,
    /// The store's folder, on a disk that outlasts the machine.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Which half.
    pub step: Step,
}

/// A half of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Before the power cut: ban.
    Ban,
    /// After it: the daemon starts, as its unit is ordered, while the interface is still down.
    Look,
}

/// Plays one half: what it found.
///
/// # Errors
/// Something did not hold.
pub fn run(options: &Options) -> Result<String> {
    let site = Site::new()?;
    match options.step {
        Step::Ban => ban(&site, options),
        Step::Look => look(&site, options),
    }
}

fn start(site: &Site, options: &Options) -> Result<Daemon> {
    let state = format!("{:?}", options.state.display().to_string());
    let config = site.config().set("daemon", "state_dir", &state);
    let start = Start {
        program: options.nicban.clone(),
        config: config.to_toml(),
        socket: site.socket(),
        environment: Vec::new(),
    };
    Daemon::start(site.host(), site.folder(), &start)
}

fn ban(site: &Site, options: &Options) -> Result<String> {
    let daemon = start(site, options)?;
    let wire = site.wire()?;
    for (ban, source) in BANNED {
        wire.arrives(source)?;
        daemon.ban("sshd", ban, now(), 24 * 3600)?;
        wire.blocked(source)?;
    }
    // The daemon is not stopped: its power goes with everybody's.
    std::mem::forget(daemon);
    Ok(format!("{} bans acknowledged", BANNED.len()))
}

fn look(site: &Site, options: &Options) -> Result<String> {
    ensure!(
        options.state.join("nicban.db").is_file(),
        "there is no store: nothing was banned"
    );
    site.host().ip(&["link", "set", "eth0", "down"])?;
    let wire = site.wire()?;
    let sources: Vec<IpAddr> = BANNED
        .iter()
        .map(|(_, source)| *source)
        .chain([HONEST, HONEST_V6])
        .map(|source| source.parse().context("an address"))
        .collect::<Result<_>>()?;
    wire.watch(&sources)?;
    let over = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    thread::scope(|scope| {
        // From before the daemon starts until after the interface is up, without a pause.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // While the other end is down nothing can be sent.
                if sources.iter().all(|source| wire.send(*source, 1).is_ok()) {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_micros(500));
            }
        });
        let found = pass(site, options, &wire, &sources, &sent);
        over.store(true, Ordering::Relaxed);
        found
    })
}

/// The daemon starts, then the interface comes up: packets that arrive of each source.
fn pass(
    site: &Site,
    options: &Options,
    wire: &crate::daemon::Wire<'_>,
    sources: &[IpAddr],
    sent: &AtomicU64,
) -> Result<String> {
    let daemon = start(site, options)?;
    let before = wire.count(sources[sources.len() - 1])?;
    ensure!(
        before == 0,
        "{before} packets arrived while the interface was down"
    );
    site.host().ip(&["link", "set", "eth0", "up"])?;
    let up = sent.load(Ordering::Relaxed);
    wait::until("the first packets pass", LIMIT, || {
        Ok((sent.load(Ordering::Relaxed) >= up + PACKETS).then_some(()))
    })?;
    // What was sent before this one, of a source that sends nothing else, is not under way.
    wire.arrives(LAST)?;
    let (banned, honest) = sources.split_at(BANNED.len());
    for source in banned {
        let leaked = wire.count(*source)?;
        ensure!(
            leaked == 0,
            "{leaked} packets of {source}, which is banned, arrived"
        );
    }
    let mut passed = Vec::new();
    for source in honest {
        let count = wire.count(*source)?;
        ensure!(count > 0, "no packet of {source} arrived");
        passed.push(count);
    }
    let dropped = daemon
        .bans()?
        .iter()
        .map(|row| row.dropped.packets)
        .sum::<u64>();
    ensure!(
        dropped > 0,
        "no packet of a banned source came as far as XDP"
    );
    Ok(format!(
        "after the power cut: {dropped} packets of banned sources dropped at least, none arrived; of honest ones {passed:?}"
    ))
}
