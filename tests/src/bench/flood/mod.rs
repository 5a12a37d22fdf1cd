//! `flood-*`: floods of live frames over a cable, against each kind of protection.

mod generator;
mod lane;

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use super::baselines::INNOCENT_SHARE;
use super::families::{Scale, short};
use super::figure::Figure;
use super::rounds::{Subject, alternate};
use super::row::{Goal, Row, growth_rows, net};
use super::sources;
use crate::wait;
pub(super) use generator::{Cable, Generator};
use lane::{FLOODED, Guard, Lane, SERVED, expect_dropped};

/// Banned sources that send.
const SENDERS: [u32; 4] = [1, 1_000, 10_000, 100_000];

/// The rows are `DROP` and `GOODPUT` with a number of senders, and this one.
const TWO_CPUS: &str = "flood-two-cpus";

const DROP: &str = "flood-drop-";
const GOODPUT: &str = "flood-goodput-";

/// What a queue of some hundred packets takes at the very most.
const SETTLE: Duration = Duration::from_millis(10);

/// ns from one frame to the next: no host is to lose packets at the slowest, and no
/// processor sends as fast as the fastest.
const SLOWEST: u32 = 600;
/// See [`SLOWEST`].
const FASTEST: u32 = 40;

/// How often each is tried.
const TRIES: u32 = 3;

/// With what a dropped packet's cost is compared, and at most how much of it nicban may
/// take: in a flood from one source, and from 100,000.
const PEERS: [(Guard, Option<f64>, Option<f64>); 5] = [
    (Guard::Lookup, None, Some(0.4)),
    (Guard::Nftables, Some(1.0 / 8.0), Some(1.0 / 5.0)),
    (Guard::Ipset, Some(1.0 / 10.0), Some(1.0 / 8.0)),
    (Guard::Iptables, Some(1.0 / 90.0), Some(1.0 / 45.0)),
    (Guard::Nothing, None, None),
];

fn bans(scale: Scale) -> u32 {
    if scale.full { 100_000 } else { 10_000 }
}

fn senders(scale: Scale) -> impl Iterator<Item = u32> {
    SENDERS
        .into_iter()
        .filter(move |count| *count <= bans(scale))
}

/// The rows that there are.
pub(super) fn names(scale: Scale) -> Vec<String> {
    let named =
        |prefix: &'static str| senders(scale).map(move |count| format!("{prefix}{}", short(count)));
    named(DROP)
        .chain(named(GOODPUT))
        .chain([TWO_CPUS.to_owned()])
        .collect()
}

/// Measures those of the rows that are wanted.
pub(super) fn run(bench: &Bench, wanted: &[String]) -> Vec<Row> {
    let mut lanes = Lanes::new(bans(bench.scale));
    let mut rows = Vec::new();
    for (prefix, measure) in [
        (
            DROP,
            drops as fn(&Bench, &mut Lanes, u32, &str) -> Result<Vec<Row>>,
        ),
        (GOODPUT, goodput),
    ] {
        for count in senders(bench.scale) {
            let name = format!("{prefix}{}", short(count));
            if wanted.contains(&name) {
                bench.progress.step(&name);
                rows.extend(
                    measure(bench, &mut lanes, count, &name).unwrap_or_else(|error| {
                        vec![Row::failed(&name, "", &format!("{error:#}")).size(count)]
                    }),
                );
            }
        }
    }
    drop(lanes);
    if wanted.iter().any(|name| name == TWO_CPUS) {
        bench.progress.step(TWO_CPUS);
        rows.extend(
            two_cpus(bench)
                .unwrap_or_else(|error| vec![Row::failed(TWO_CPUS, "", &format!("{error:#}"))]),
        );
    }
    rows
}

/// The lanes, each set up when it is first asked for, or why it could not be.
struct Lanes {
    bans: u32,
    known: HashMap<&'static str, Result<Lane, String>>,
    apart: bool,
}

impl Lanes {
    fn new(bans: u32) -> Self {
        Self {
            bans,
            known: HashMap::new(),
            apart: false,
        }
    }

    /// Sets up what is missing of these.
    fn prepare(&mut self, guards: &[Guard]) {
        for guard in guards {
            let bans = self.bans;
            self.known
                .entry(guard.name())
                .or_insert_with(|| Lane::new(*guard, bans).map_err(|error| format!("{error:#}")));
        }
    }

    /// Gives the host of each lane a processor of its own, if it hasn't one yet.
    fn receive_apart(&mut self) -> Result<()> {
        if !self.apart {
            for lane in self.known.values().flatten() {
                lane.receive_on(1)?;
            }
            self.apart = true;
        }
        Ok(())
    }

    fn get(&self, guard: Guard) -> Result<&Lane, anyhow::Error> {
        match self
            .known
            .get(guard.name())
            .context("a lane that was prepared")?
        {
            Ok(lane) => Ok(lane),
            Err(error) => Err(anyhow::anyhow!("{error}")),
        }
    }
}

/// How long one processor works on one sample.
fn budget(scale: Scale) -> Duration {
    Duration::from_millis(if scale.full { 400 } else { 60 })
}

fn drops(bench: &Bench, lanes: &mut Lanes, count: u32, name: &str) -> Result<Vec<Row>> {
    let mut guards = vec![Guard::BareDrop, Guard::Nicban];
    guards.extend(PEERS.map(|(guard, _, _)| guard));
    lanes.prepare(&guards);
    let senders = senders_of(lanes.bans, count);
    let budget = budget(bench.scale);
    let lanes = &*lanes;
    let mut generators = Vec::new();
    for _ in &guards {
        generators.push(Generator::new(&senders, &[])?);
    }
    let subjects = guards
        .iter()
        .zip(&mut generators)
        .map(|(guard, generator)| {
            Subject::new(guard.name(), move || {
                cost(lanes.get(*guard)?, *guard, generator, budget)
            })
        });
    let samples = alternate(bench.rounds, subjects.collect());
    let own = net(&samples[1], &samples[0]);
    let mut rows = Vec::new();
    for ((guard, from_one, from_many), sample) in PEERS.into_iter().zip(&samples[2..]) {
        let peer = net(sample, &samples[0]);
        let row = Row::beside(name, "ns/packet", &own, guard.name(), &peer).size(count);
        let goal = match count {
            1 => from_one,
            100_000 => from_many,
            _ => None,
        };
        rows.push(match goal {
            Some(most) => row.goal(Goal::RatioAtMost(most)),
            None => row,
        });
    }
    Ok(rows)
}

fn senders_of(bans: u32, count: u32) -> Vec<[u8; 4]> {
    let mut all = sources::ipv4(bans as usize);
    all.truncate(count as usize);
    all
}

/// ns of processor time for each packet that the host takes, sending it included.
fn cost(lane: &Lane, guard: Guard, generator: &mut Generator, budget: Duration) -> Result<f64> {
    generator.warm_up(lane.cable(), 0)?;
    let (received, arrived) = (lane.received()?, lane.arrived(FLOODED)?);
    let sent = generator.flood(lane.cable(), 0, budget)?;
    let received = lane.received()? - received;
    let arrived = lane.arrived(FLOODED)? - arrived;
    ensure!(
        received >= u64::from(sent.frames / 2),
        "{received} of {} frames arrived",
        sent.frames
    );
    if guard == Guard::Nothing {
        ensure!(arrived > 0, "nothing came through to an unprotected host");
    } else {
        expect_dropped(guard, arrived)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    let received = received as f64;
    Ok(sent.time.as_secs_f64() * 1e9 / received)
}

/// The share of the packets of innocent sources that arrives. One processor sends, another
/// one is the host's; the flood is one of which an unprotected host loses half.
fn goodput(bench: &Bench, lanes: &mut Lanes, count: u32, name: &str) -> Result<Vec<Row>> {
    let guards = [
        Guard::Nicban,
        Guard::Lookup,
        Guard::Nftables,
        Guard::Ipset,
        Guard::Iptables,
        Guard::Nothing,
    ];
    lanes.prepare(&guards);
    lanes.receive_apart()?;
    let senders = senders_of(lanes.bans, count);
    let innocent = sources::innocent_ipv4(count as usize);
    let length = budget(bench.scale);
    let lanes = &*lanes;
    let interval = interval(lanes.get(Guard::Nothing)?, &senders, &innocent, length)?;
    let mut generators = Vec::new();
    for _ in &guards {
        generators.push(Generator::paced(&senders, &innocent, interval)?);
    }
    let subjects = guards
        .iter()
        .zip(&mut generators)
        .map(|(guard, generator)| {
            Subject::new(guard.name(), move || {
                kept(lanes.get(*guard)?, generator, length)
            })
        });
    let samples = alternate(bench.rounds, subjects.collect());
    let rows = guards[1..]
        .iter()
        .zip(&samples[1..])
        .map(|(guard, sample)| {
            Row::beside(name, "% kept", &samples[0], guard.name(), sample)
                .goal(Goal::AtLeast(90.0))
                .size(count)
        });
    Ok(rows.collect())
}

/// ns from one frame to the next in a flood that costs an unprotected host half of the
/// innocent packets, or in the fastest that one processor sends.
fn interval(
    lane: &Lane,
    senders: &[[u8; 4]],
    innocent: &[[u8; 4]],
    length: Duration,
) -> Result<u32> {
    let mut interval = SLOWEST;
    loop {
        let mut generator = Generator::paced(senders, innocent, interval)?;
        let mut several = Vec::new();
        for _ in 0..TRIES {
            several.push(kept(lane, &mut generator, length)?);
        }
        let kept = Figure::of(&several).map_or(0.0, |figure| figure.median);
        let faster = interval * 4 / 5;
        if kept <= 50.0 || faster < FASTEST {
            return Ok(interval);
        }
        interval = faster;
    }
}

fn kept(lane: &Lane, generator: &mut Generator, length: Duration) -> Result<f64> {
    generator.warm_up(lane.cable(), 0)?;
    let before = settled(lane)?;
    let sent = generator.flood(lane.cable(), 0, length)?;
    let arrived = settled(lane)? - before;
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    let arrived = arrived as f64;
    Ok(100.0 * arrived * f64::from(INNOCENT_SHARE) / f64::from(sent.frames))
}

/// What has arrived of the innocent once the host's queue is empty.
fn settled(lane: &Lane) -> Result<u64> {
    let mut last = lane.arrived(SERVED)?;
    wait::until("the host's queue is empty", Duration::from_secs(10), || {
        thread::sleep(SETTLE);
        let now = lane.arrived(SERVED)?;
        Ok((std::mem::replace(&mut last, now) == now).then_some(now))
    })
}

/// Drops per second of processor time on one processor and on two, from one source.
fn two_cpus(bench: &Bench) -> Result<Vec<Row>> {
    ensure!(
        super::cpu::processors()? >= 2,
        "this takes two processors, and one may be used"
    );
    let bans = bans(bench.scale);
    let lanes = [Guard::Nicban, Guard::BareDrop].map(|guard| {
        let lane = Lane::new(guard, bans)?;
        lane.use_two_queues()?;
        anyhow::Ok(lane)
    });
    let budget = budget(bench.scale);
    let source = senders_of(bans, 1);
    let subjects = lanes.iter().flat_map(|lane| {
        [1, 2].map(|processors| {
            let source = &source;
            let name = format!("{processors} processors");
            match lane {
                Ok(lane) => Subject::new(name, move || rate(lane, source, processors, budget)),
                Err(error) => Subject::failed(name, error),
            }
        })
    });
    let samples = alternate(bench.rounds, subjects.collect());
    Ok(growth_rows(TWO_CPUS, &samples))
}

fn rate(lane: &Lane, source: &[[u8; 4]], processors: usize, budget: Duration) -> Result<f64> {
    let mut generators = Vec::new();
    for _ in 0..processors {
        generators.push(Generator::new(source, &[])?);
    }
    for (processor, generator) in generators.iter_mut().enumerate() {
        generator.warm_up(lane.cable(), processor)?;
    }
    let received = lane.received()?;
    let sent = thread::scope(|scope| {
        let floods: Vec<_> = generators
            .iter_mut()
            .enumerate()
            .map(|(processor, generator)| {
                scope.spawn(move || generator.flood(lane.cable(), processor, budget))
            })
            .collect();
        floods
            .into_iter()
            .map(|flood| match flood.join() {
                Ok(sent) => sent,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect::<Result<Vec<_>>>()
    })?;
    let received = lane.received()? - received;
    let frames: u64 = sent.iter().map(|sent| u64::from(sent.frames)).sum();
    ensure!(received >= frames, "{received} of {frames} frames arrived");
    let rates = sent
        .iter()
        .map(|sent| f64::from(sent.frames) / sent.time.as_secs_f64());
    Ok(rates.sum())
}
