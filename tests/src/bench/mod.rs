//! nicban measured beside what else can drop a banned source's packets.
//!
//! Everything is measured alternately, round by round, in one run, on hosts of its own;
//! what is compared are medians. A peer that fails is shown as failed.

mod ban;
mod baselines;
mod cpu;
mod daemon;
mod families;
mod figure;
mod flood;
mod guarded;
mod load;
mod machine;
mod options;
mod plot;
mod progress;
mod report;
mod restart;
mod rounds;
mod row;
mod sources;
mod verdict;
mod xdp_filter;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::net;
use families::Scale;
use machine::Machine;
pub use options::Options;
use progress::Progress;
use report::Report;
use row::Row;

/// What the families measure with.
struct Bench {
    scale: Scale,
    rounds: u32,
    progress: Progress,
    nicban: PathBuf,
    action: PathBuf,
}

/// Measures what is asked for, and writes the table, bench.json and, when everything was
/// measured in full, benchmarks.md with its plots. Whether everything could be measured;
/// a goal that is not met is no failure.
pub fn run(options: &Options) -> Result<bool> {
    let scale = Scale {
        full: !options.quick,
        available: machine::available(),
    };
    let chosen = families::choose(&options.only, scale)?;
    net::prepare()?;
    let absolute = |path: &PathBuf| {
        path.canonicalize().with_context(|| {
            format!(
                "{} is not there: `cargo xtask bench` builds it",
                path.display()
            )
        })
    };
    let bench = Bench {
        scale,
        rounds: options.rounds(),
        progress: Progress::new(chosen.iter().map(|(_, rows)| rows.len()).sum()),
        nicban: absolute(&options.nicban)?,
        action: absolute(&options.action)?,
    };
    let mut report = Report {
        machine: Machine::look(),
        rounds: bench.rounds,
        quick: options.quick,
        families: Vec::new(),
    };
    for (family, wanted) in chosen {
        let rows = (family.run)(&bench, &wanted);
        report.families.push((family, rows));
    }
    bench.progress.finish();
    write(options, &report)?;
    Ok(report.rows().all(|row| row.error.is_none()))
}

fn write(options: &Options, report: &Report) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", report.text())?;
    let create = |folder: &PathBuf| {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
    };
    create(&options.out)?;
    let json = options.out.join("bench.json");
    fs::write(&json, report.json()?).with_context(|| format!("cannot write {}", json.display()))?;
    writeln!(out, "written: {}", json.display())?;
    if !options.quick && options.only.is_empty() {
        create(&options.docs)?;
        let rows: Vec<&Row> = report.rows().collect();
        let plots = plot::draw_all(&rows, &options.docs)?;
        let page = options.docs.join("benchmarks.md");
        fs::write(&page, report.markdown(&plots))
            .with_context(|| format!("cannot write {}", page.display()))?;
        writeln!(out, "written: {} and its plots", page.display())?;
    }
    Ok(())
}
