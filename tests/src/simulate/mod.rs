//! Nicban's choice of offenders for the slots, tried on attacks beside other policies.
//!
//! The daemon's ranking, roster and planner run as they are, on a simulated host
//! and EC2; nothing here reads a clock, and each trace comes from a seed or was
//! recorded, so that a run repeats itself to the last figure.

mod bound;
mod causal;
mod ec2;
mod law;
mod nicban;
mod optimum;
mod options;
mod peers;
mod plot;
mod random;
mod report;
mod seats;
mod slots;
mod tally;
mod trace;
mod traces;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ::nicban::config::Config;
use anyhow::{Context as _, Result, bail};

use bound::Bound;
use nicban::Settings;
pub use options::Options;
use report::{CALLS, Figure, Outcome, Row, SHARE};
use slots::LATENCY;
use tally::Tally;
use traces::Kind;

/// Runs what is asked for, and writes the table, the plot and the JSON. Whether
/// all went as it has to.
pub fn run(options: &Options) -> Result<bool> {
    let settings = settings(options)?;
    let kinds = chosen(&options.traces)?;
    fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot create {}", options.out.display()))?;
    let mut out = std::io::stdout().lock();
    let outcomes = simulate_all(&kinds, options, &settings)?;
    for (kind, outcome) in kinds.iter().zip(&outcomes) {
        writeln!(out, "{}: {}\n{outcome}", kind.name, kind.about)?;
    }
    let rows: Vec<Row> = outcomes.iter().flat_map(Outcome::rows).collect();
    let json = options.out.join("simulate.json");
    fs::write(&json, serde_json::to_vec_pretty(&rows)?)
        .with_context(|| format!("cannot write {}", json.display()))?;
    let svg = options.out.join("simulate.svg");
    plot::draw(&outcomes, &svg)?;
    writeln!(out, "written: {}, {}", json.display(), svg.display())?;

    let mut good = true;
    for outcome in &outcomes {
        if outcome.is_worse() {
            good = false;
            writeln!(out, "{}: worse than it was", outcome.trace)?;
        }
        if options.strict && outcome.misses_what_can_be_met() {
            good = false;
            writeln!(out, "{}: the goal is missed", outcome.trace)?;
        }
    }
    Ok(good)
}

fn settings(options: &Options) -> Result<Settings> {
    let Some(file) = &options.config else {
        return Ok(Settings::default());
    };
    let config = Config::load(Some(file))?;
    Ok(Settings {
        rank: config.rank,
        nacl: config.nacl,
    })
}

fn chosen(names: &[String]) -> Result<Vec<Kind>> {
    if names.is_empty() {
        return Ok(traces::ALL.to_vec());
    }
    let find = |name: &String| {
        let kind = traces::ALL.iter().find(|kind| kind.name == name);
        let Some(kind) = kind else {
            let known: Vec<_> = traces::ALL.iter().map(|kind| kind.name).collect();
            bail!("there is no trace {name}; there are {}", known.join(", "));
        };
        Ok(*kind)
    };
    names.iter().map(find).collect()
}

/// Simulates each trace, as many at a time as there are processors.
fn simulate_all(kinds: &[Kind], options: &Options, settings: &Settings) -> Result<Vec<Outcome>> {
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(kind) = kinds.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((kind.name, simulate(kind, options, settings)));
        }
        done
    };
    let mut done = BTreeMap::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    kinds
        .iter()
        .map(|kind| {
            done.remove(kind.name)
                .context("a trace is asked for once")?
        })
        .collect()
}

fn simulate(kind: &Kind, options: &Options, settings: &Settings) -> Result<Outcome> {
    let trace = (kind.make)(options.seed, options.length());
    let nicban = nicban::run(&trace, settings)?;
    let optimum = optimum::run(&trace);
    let bound = Bound::of(&trace);
    let nacl = &settings.nacl;
    let length = u32::try_from(trace.seconds.len()).unwrap_or(u32::MAX);
    // What the token bucket lets through in all.
    let budget = f64::from(nacl.calls_burst.get()) + nacl.calls_per_second * f64::from(length);
    let budgeted = Tally {
        stopped: bound.with(budget),
        changes: optimum.changes.min(random::whole(budget).into()),
        ..optimum
    };
    let mut loudest = peers::LoudestNow::new(&trace, settings.rank.ranking());
    let late = peers::run(&trace, &mut peers::LateOptimum::default());
    let figure = |policy, tally| Figure { policy, tally };
    let mut figures = vec![
        figure("nicban", nicban),
        figure("first-come", peers::run(&trace, &mut peers::FirstCome)),
        figure("lru", peers::run(&trace, &mut peers::LeastRecent)),
        figure("loudest-now", peers::run(&trace, &mut loudest)),
        figure("late-optimum", late),
    ];
    let causal = [("late-causal", LATENCY), ("causal-optimum", 0)];
    figures.extend(causal.into_iter().filter_map(|(policy, late)| {
        let tally = causal::run(&trace, late)?;
        Some(figure(policy, tally))
    }));
    figures.push(figure("optimum", optimum));
    figures.push(figure("optimum-budget", budgeted));
    Ok(Outcome {
        trace: trace.name,
        seed: trace.seed,
        figures,
        optimum,
        late,
        calls_needed: bound.calls_for(SHARE * optimum.stopped),
        most_in_few_calls: bound.with(CALLS * report::float(optimum.calls())),
        calls_of_full_slots: bound::entries_of_full_slots(&trace),
        floor: options.config.as_ref().map_or(kind.floor, |_| 0.0),
    })
}
