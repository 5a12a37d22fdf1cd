//! The soak: a daemon that lives through everything at once, beside a model of what must hold.
//!
//! Every deed that the daemon acknowledged goes into the model; every second it is compared with
//! the daemon's list, with the kernel's map, with what becomes of real packets, and with the NACL.

mod checks;
mod deeds;
mod model;
mod options;
mod outcome;
mod scene;
mod siege;

use std::time::{Duration, Instant};
use std::{net::IpAddr, thread};

use anyhow::{Context as _, Result, bail};
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressStyle};
use nicban_protocol::{Ban, Outcome as Answer, Request};

pub use options::Options;
pub use outcome::Outcome;

use crate::clock::now;
use crate::daemon::{self, Daemon, Wire};
use crate::resources::Resources;
use crate::wait;
use deeds::Deed;
use model::Model;
use scene::Scene;
use siege::Siege;

/// Between two deeds.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two checks.
const CHECK: Duration = Duration::from_secs(1);

/// After so many checks the first daemon has settled.
const SETTLED: u64 = 10;

/// How long the NACL may take to be right once AWS works again and nobody is banned anew.
const CONVERGES: Duration = Duration::from_mins(2);

/// Goes on for as long as it is told, and leaves nothing behind.
///
/// # Errors
/// Something did not hold; the error says what, and with which seed.
pub fn run(options: &Options) -> Result<Outcome> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("soak: {} min, --seed {seed}", options.minutes);
    let scene = Scene::new(options)?;
    let wire = scene.site.wire()?;
    let mut soak = Soak::begin(&scene, &wire, seed)?;
    let held = soak.go_on_for(Duration::from_secs(60 * u64::from(options.minutes)));
    let held = held.and_then(|()| soak.end());
    held.with_context(|| format!("--seed {seed}, the daemon's log:\n{}", soak.last_lines()))?;
    Ok(soak.outcome)
}

struct Soak<'a> {
    scene: &'a Scene,
    wire: &'a Wire<'a>,
    rng: Rng,
    sources: Vec<IpAddr>,
    model: Model,
    /// None while it is being replaced.
    daemon: Option<Daemon>,
    siege: Option<Siege>,
    starts: u64,
    begun: Instant,
    first: Option<Resources>,
    outcome: Outcome,
}

impl<'a> Soak<'a> {
    fn begin(scene: &'a Scene, wire: &'a Wire<'a>, seed: u64) -> Result<Self> {
        let daemon = scene.start()?;
        Scene::wait_for_the_tier(&daemon)?;
        let sources = deeds::sources();
        wire.watch(&sources)?;
        Ok(Self {
            scene,
            wire,
            rng: Rng::with_seed(seed),
            sources,
            model: Model::default(),
            daemon: Some(daemon),
            siege: None,
            starts: 1,
            begun: Instant::now(),
            first: None,
            outcome: Outcome {
                seed,
                ..Outcome::default()
            },
        })
    }

    fn go_on_for(&mut self, length: Duration) -> Result<()> {
        let bar = bar(length);
        let mut next_check = Instant::now() + CHECK;
        while self.begun.elapsed() < length {
            let deed = deeds::draw(&mut self.rng, &self.sources, &self.model, now());
            self.does(&deed).with_context(|| format!("{deed:?}"))?;
            self.model.forget_ended(now());
            if Instant::now() >= next_check {
                self.check()?;
                next_check = Instant::now() + CHECK;
                bar.set_position(self.begun.elapsed().as_secs());
                bar.set_message(format!("{} checks", self.outcome.checks));
            }
            thread::sleep(PAUSE);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn daemon(&self) -> Result<&Daemon> {
        self.daemon.as_ref().context("there is no daemon")
    }

    fn does(&mut self, deed: &Deed) -> Result<()> {
        let kind = match deed {
            Deed::Ban(address, jail, bantime) => {
                self.ban(*address, jail, *bantime)?;
                "ban"
            }
            Deed::Prolong(address, jail, seconds) => {
                self.prolong(*address, jail, *seconds)?;
                "prolong"
            }
            Deed::Unban(address, jail) => {
                self.daemon()?.unban(jail, &address.to_string())?;
                self.model.release(*address, jail);
                "unban"
            }
            Deed::Lift(jail) => {
                self.daemon()?.does(&Request::Lift {
                    holder: (*jail).to_owned(),
                })?;
                self.model.release_all(jail);
                "unban --all"
            }
            Deed::Flood => {
                self.begin_or_end_siege()?;
                "flood"
            }
            Deed::Restart => {
                self.replace(Daemon::stop)?;
                "restart"
            }
            Deed::Kill => {
                self.replace(Daemon::kill)?;
                "kill"
            }
            Deed::Fault(order) => {
                self.scene.order(order)?;
                "fault"
            }
            Deed::Mend => {
                self.mend()?;
                "mend"
            }
        };
        *self.outcome.deeds.entry(kind).or_default() += 1;
        Ok(())
    }

    /// As fail2ban does: who is banned by a jail is not banned by it again.
    fn ban(&mut self, address: IpAddr, jail: &'static str, bantime: i64) -> Result<()> {
        if self.model.is_held_by(address, jail) {
            return Ok(());
        }
        let time = now();
        let answer = self
            .daemon()?
            .ban(jail, &address.to_string(), time, bantime)?;
        if answer != Answer::Enforced && answer != Answer::Unchanged && answer != Answer::Prolonged
        {
            bail!("a new ban was answered by {answer:?}");
        }
        let until = (bantime >= 0).then_some(time + bantime);
        self.model.hold(address, jail, until);
        Ok(())
    }

    fn prolong(&mut self, address: IpAddr, jail: &'static str, seconds: i64) -> Result<()> {
        let time = now();
        self.daemon()?.does(&Request::Prolong(Ban {
            bancount: 2,
            ..daemon::ban(jail, &address.to_string(), time, seconds)
        }))?;
        self.model.hold(address, jail, Some(time + seconds));
        Ok(())
    }

    fn replace(&mut self, end: impl FnOnce(Daemon) -> Result<()>) -> Result<()> {
        end(self.daemon.take().context("there is no daemon")?)?;
        self.daemon = Some(self.scene.start()?);
        self.starts += 1;
        Ok(())
    }

    fn mend(&self) -> Result<()> {
        deeds::mended()
            .iter()
            .try_for_each(|order| self.scene.order(order))
    }

    fn begin_or_end_siege(&mut self) -> Result<()> {
        if let Some(siege) = self.siege.take() {
            let daemon = self.daemon.as_ref().context("there is no daemon")?;
            let (sent, leaked) = siege.end(daemon, &mut self.model, self.wire)?;
            self.outcome.flood_packets += sent;
            self.outcome.leaked_packets += leaked;
            if leaked > 0 {
                bail!("{leaked} packets of {sent} of banned sources arrived");
            }
            return Ok(());
        }
        let daemon = self.daemon.as_ref().context("there is no daemon")?;
        let siege = Siege::begin(
            daemon,
            &mut self.model,
            self.wire,
            &self.sources,
            &mut self.rng,
        )?;
        self.siege = Some(siege);
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        let daemon = self.daemon.as_ref().context("there is no daemon")?;
        checks::bans(self.scene, daemon, &self.model, &self.sources)?;
        checks::packets(self.wire, &self.model, &self.sources, &mut self.rng)?;
        let seconds = self.begun.elapsed().as_secs() + 1;
        checks::nacl(self.scene, self.starts, seconds)?;
        self.look_at_resources()?;
        self.outcome.checks += 1;
        Ok(())
    }

    fn look_at_resources(&mut self) -> Result<()> {
        let now = Resources::of(self.daemon()?.pid())?;
        if self.outcome.checks < SETTLED {
            self.first = Some(self.first.map_or(now, |first| first.most(now)));
        }
        let first = self.first.context("the first check is the first")?;
        now.is_flat(first)?;
        let [_, memory] = self.outcome.memory_kib;
        let [_, files] = self.outcome.file_descriptors;
        self.outcome
            .resources(first, now.most(Resources { memory, files }));
        Ok(())
    }

    /// Ends the flood and the faults: the NACL comes right, and all of it still holds.
    fn end(&mut self) -> Result<()> {
        if self.siege.is_some() {
            self.begin_or_end_siege()?;
        }
        self.mend()?;
        wait::until("the NACL is right", CONVERGES, || {
            let is_right = checks::nacl_is_right(self.scene, &self.model, &self.sources)?;
            Ok(is_right.then_some(()))
        })?;
        self.check()?;
        self.outcome.seconds = self.begun.elapsed().as_secs();
        self.outcome.nacl_changes = self.scene.changes()?;
        Ok(())
    }

    fn last_lines(&self) -> String {
        let log = self.daemon.as_ref().map(Daemon::log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(60).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn bar(length: Duration) -> ProgressBar {
    let bar = ProgressBar::new(length.as_secs());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} s, {msg}") {
        bar.set_style(style);
    }
    bar
}
