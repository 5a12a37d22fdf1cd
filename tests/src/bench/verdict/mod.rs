//! `verdict-*`: what a verdict on one frame costs, by `BPF_PROG_TEST_RUN`, less what a
//! program costs that only returns the verdict.

mod filled;
mod frame;

use std::thread;

use anyhow::{Result, ensure};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};

use super::Bench;
use super::baselines::{Baseline, Loaded, XDP_DROP, XDP_PASS};
use super::cpu::{self, Pinned};
use super::families::{Scale, short};
use super::rounds::{Subject, alternate};
use super::row::{Goal, Row, growth_rows, net};
use super::xdp_filter::XdpFilter;
use crate::net::Frame;
use filled::{Filled, Set};
use frame::{V4_BANNED, V6_BANNED};

const UNIT: &str = "ns/packet";

/// Parts of one sample, of which the quickest counts: an interrupt hits one.
const PARTS: u32 = 3;

/// The times of one hash lookup, and of xdp-filter, that nicban may take.
const OF_LOOKUP: Goal = Goal::RatioAtMost(0.8);
const OF_XDP_FILTER: Goal = Goal::RatioAtMost(0.3);

/// Bans of a run in full; what is dropped is banned, so there the least is one.
const SIZES: [u32; 5] = [0, 1_000, 100_000, 1_000_000, 10_000_000];

/// Bytes of memory that the largest size takes, generously: nicban's map and the lookup's.
const LARGEST_NEEDS: u64 = 8 << 30;

/// What a frame is, and what bans it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// IPv4, banned by its address.
    Ipv4,
    /// IPv6, banned by its /64.
    Ipv6,
    /// IPv4, banned by a network; where it passes, a network is banned beside it.
    Network,
    /// IPv4 with a VLAN tag, banned by its address.
    Vlan,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Ipv4, "ipv4"),
    (Kind::Ipv6, "ipv6"),
    (Kind::Network, "network"),
    (Kind::Vlan, "vlan"),
];

/// A row, or several with different peers.
#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    drop: bool,
    bans: u32,
    name: String,
}

fn cases(scale: Scale) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, word) in KINDS {
        for size in SIZES {
            let fits = match size {
                0..=100_000 => true,
                1_000_000 => scale.full,
                _ => scale.full && kind == Kind::Ipv4 && scale.available >= LARGEST_NEEDS,
            };
            if !fits {
                continue;
            }
            for drop in [true, false] {
                let bans = if drop { size.max(1) } else { size };
                let way = if drop { "drop" } else { "pass" };
                let name = format!("verdict-{way}-{word}-{}", short(bans));
                cases.push(Case {
                    kind,
                    drop,
                    bans,
                    name,
                });
            }
        }
    }
    cases
}

/// The rows that there are.
pub(super) fn names(scale: Scale) -> Vec<String> {
    let names = cases(scale).into_iter().map(|case| case.name);
    names.chain([TWO_CPUS.to_owned()]).collect()
}

/// The same source on two processors at once.
const TWO_CPUS: &str = "verdict-two-cpus";

/// Measures those of the rows that are wanted.
pub(super) fn run(bench: &Bench, wanted: &[String]) -> Vec<Row> {
    let banned = [V4_BANNED.to_string(), V6_BANNED.to_string()];
    let xdp_filter = XdpFilter::new(&banned);
    let mut rows = Vec::new();
    let mut cases = cases(bench.scale);
    cases.retain(|case| wanted.contains(&case.name));
    // To fill takes longer than to measure: what is filled alike comes together.
    cases.sort_by_key(|case| (case.kind.set() as u8, case.bans));
    let mut filled: Option<Filled> = None;
    for case in cases {
        bench.progress.step(&case.name);
        let measured = case
            .filled(&mut filled)
            .and_then(|filled| measure(bench, &case, filled, xdp_filter.as_ref()));
        rows.extend(measured.unwrap_or_else(|error| {
            vec![Row::failed(&case.name, UNIT, &format!("{error:#}")).size(case.bans)]
        }));
    }
    rows.sort_by_key(|row| wanted.iter().position(|name| *name == row.name));
    if wanted.iter().any(|name| name == TWO_CPUS) {
        bench.progress.step(TWO_CPUS);
        rows.extend(
            two_cpus(bench)
                .unwrap_or_else(|error| vec![Row::failed(TWO_CPUS, UNIT, &format!("{error:#}"))]),
        );
    }
    rows
}

/// Drops per second of processor time, of one source: on two processors, and on one.
fn two_cpus(bench: &Bench) -> Result<Vec<Row>> {
    let case = Case {
        kind: Kind::Ipv4,
        drop: true,
        bans: 1_000,
        name: TWO_CPUS.to_owned(),
    };
    let frame = case.frame();
    let mut filled = None;
    let nicban: &Xdp = case.filled(&mut filled)?.nicban.links.program()?;
    let mut bare = Loaded::bare(Baseline::Drop)?;
    let bare: &Xdp = bare.program()?;
    let repeat = if bench.scale.full {
        10_000_000
    } else {
        1_000_000
    };
    let rate = |program: &Xdp, processors: usize| {
        let costs = thread::scope(|scope| {
            let all: Vec<_> = (0..processors)
                .map(|processor| {
                    scope.spawn({
                        let frame = frame.bytes();
                        move || cost_on(processor, program, frame, repeat, true)
                    })
                })
                .collect();
            all.into_iter()
                .map(|one| {
                    one.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(costs.iter().map(|cost| 1e9 / cost).sum())
    };
    let samples = alternate(
        bench.rounds,
        vec![
            Subject::new("nicban on one processor", || rate(nicban, 1)),
            Subject::new("nicban on two", || rate(nicban, 2)),
            Subject::new("the bare program on one", || rate(bare, 1)),
            Subject::new("the bare program on two", || rate(bare, 2)),
        ],
    );
    Ok(growth_rows(TWO_CPUS, &samples))
}

fn measure(
    bench: &Bench,
    case: &Case,
    filled: &mut Filled,
    xdp_filter: Result<&XdpFilter, &anyhow::Error>,
) -> Result<Vec<Row>> {
    let (frame, plain) = (case.frame(), case.plain_frame());
    let Filled { nicban, lookup, .. } = filled;
    let mut bare = Loaded::bare(if case.drop {
        Baseline::Drop
    } else {
        Baseline::Pass
    })?;
    let repeat = if bench.scale.full { 1_000_000 } else { 100_000 };
    let cost = |program: &Xdp, frame: &[u8]| cost(program, frame, repeat, case.drop);

    let mut subjects = vec![
        Subject::new("the bare program", || cost(bare.program()?, frame.bytes())),
        Subject::new("nicban", || cost(nicban.links.program()?, frame.bytes())),
        match lookup {
            Ok(lookup) => Subject::new("a bare lookup", || cost(lookup.program()?, plain.bytes())),
            Err(error) => Subject::failed("a bare lookup", error),
        },
    ];
    // It knows no networks.
    if case.kind != Kind::Network {
        subjects.push(match xdp_filter {
            Ok(filter) => Subject::new("xdp-filter", || cost(filter.program(), frame.bytes())),
            Err(error) => Subject::failed("xdp-filter", error),
        });
    }
    let samples = alternate(bench.rounds, subjects);
    let bare = &samples[0];
    let own = net(&samples[1], bare);
    let beside = |peer: &str, at: usize, goal| {
        let peers = net(samples.get(at)?, bare);
        let row = Row::beside(&case.name, UNIT, &own, peer, &peers);
        Some(row.goal(goal).size(case.bans))
    };
    let rows = [
        beside("one hash lookup", 2, OF_LOOKUP),
        beside("xdp-filter, 2 addresses", 3, OF_XDP_FILTER),
    ];
    Ok(rows.into_iter().flatten().collect())
}

/// ns that a verdict takes, call and all.
fn cost(program: &Xdp, frame: &[u8], repeat: u32, drop: bool) -> Result<f64> {
    cost_on(0, program, frame, repeat, drop)
}

fn cost_on(processor: usize, program: &Xdp, frame: &[u8], repeat: u32, drop: bool) -> Result<f64> {
    let expected = if drop { XDP_DROP } else { XDP_PASS };
    let run = |repeat| {
        let ran = program.test_run(TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::default()
        })?;
        let verdict = ran.return_value;
        ensure!(
            verdict == expected,
            "the verdict was {verdict}, not {expected}"
        );
        anyhow::Ok(())
    };
    let _pinned = Pinned::to(processor)?;
    let part = repeat.div_ceil(PARTS);
    run(part / 10)?;
    let mut least = f64::INFINITY;
    for _ in 0..PARTS {
        let before = cpu::thread_time()?;
        run(part)?;
        let took = cpu::thread_time()?.saturating_sub(before);
        least = least.min(took.as_secs_f64() * 1e9 / f64::from(part));
    }
    Ok(least)
}

impl Case {
    fn frame(&self) -> Frame {
        let plain = self.plain_frame();
        match self.kind {
            Kind::Vlan => plain.tagged(0x8100, 5),
            _ => plain,
        }
    }

    /// Without a VLAN tag: what the bare lookup can read.
    fn plain_frame(&self) -> Frame {
        frame::frame(self.kind == Kind::Ipv6, self.drop)
    }

    /// The programs, filled as this takes it: those that there are if they are.
    fn filled<'a>(&self, known: &'a mut Option<Filled>) -> Result<&'a mut Filled> {
        let set = self.kind.set();
        match known.take().filter(|filled| filled.is(set, self.bans)) {
            Some(filled) => Ok(known.insert(filled)),
            None => Ok(known.insert(Filled::new(set, self.bans)?)),
        }
    }
}

impl Kind {
    fn set(self) -> Set {
        match self {
            Self::Ipv4 | Self::Vlan => Set::Ipv4,
            Self::Ipv6 => Set::Ipv6,
            Self::Network => Set::Network,
        }
    }
}
