//! The privileged tests on other kernels: Debian's, in virtual machines.
//!
//! A guest runs the programs that were built here, from this machine's own files, which it sees
//! read-only with a layer of its own above. See docs/decisions/0018-virtual-machines.md.

mod binaries;
mod guest;
mod initrd;
mod kernel;
mod outcome;
mod reboot;
mod script;

use std::{path::PathBuf, process::ExitCode, thread, time::Duration};

use anyhow::{Context as _, Result};

pub(crate) use kernel::Series;

use crate::{process, setup};
use guest::{Ended, Guest};
use kernel::Kernel;
use outcome::Outcome;

/// Runs the privileged tests, or those whose name holds `filter`, on each kernel, all of them at
/// once; then the reboot test. A guest that goes on for longer than `limit` is ended.
pub(crate) fn test(series: &[Series], filter: Option<&str>, limit: Duration) -> Result<ExitCode> {
    setup::ensure(setup::Scope::Kernels)?;
    setup::need_root("the guests run from this machine's own files")?;
    let kernels = series.iter().map(kernel::provide);
    let kernels: Vec<Kernel> = kernels.collect::<Result<_>>()?;
    println!("test: building for the guests");
    let programs = binaries::build()?;
    let suites = script::suites(&programs, filter)?;
    let ended: Vec<Result<Vec<String>>> = thread::scope(|scope| {
        let running: Vec<_> = kernels
            .iter()
            .map(|kernel| {
                let (suites, programs) = (&suites, &programs);
                scope.spawn(move || {
                    // The reboot is no suite's test: its name asks for it alone.
                    let mut failures = match filter {
                        Some(reboot::NAME) => Vec::new(),
                        _ => run_suites(kernel, suites, filter, limit)?,
                    };
                    if filter.is_none_or(|filter| filter == reboot::NAME) {
                        failures.extend(reboot::run(kernel, programs, limit)?);
                    }
                    Ok(failures)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|guest| guest.join().expect("a guest's thread does not panic"))
            .collect()
    });
    let mut code = ExitCode::SUCCESS;
    for (kernel, failures) in kernels.iter().zip(ended) {
        let failures = failures.with_context(|| format!("Linux {}", kernel.release))?;
        if failures.is_empty() {
            println!("test: Linux {}: all passed", kernel.release);
            continue;
        }
        for failure in failures {
            println!("test: Linux {}: FAILED {failure}", kernel.release);
        }
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

fn run_suites(
    kernel: &Kernel,
    suites: &str,
    filter: Option<&str>,
    limit: Duration,
) -> Result<Vec<String>> {
    let guest = Guest::new(kernel, "suites", limit)?;
    let ended = guest.run(suites, &[])?;
    let outcome = Outcome::read(&guest.shared(), filter)?;
    println!("test: Linux {}: {outcome}", kernel.release);
    let mut failures = outcome.failures();
    match ended {
        Ended::With(0) => {}
        // Tests that failed say more.
        Ended::With(status) if failures.is_empty() => {
            failures.push(format!("the guest's script ended with {status}"));
        }
        Ended::With(_) => {}
        Ended::Without(why) => failures.insert(0, why),
    }
    Ok(failures)
}

/// Where a guest's console is kept, and what it shares with this machine.
fn folder(kernel: &Kernel, purpose: &str) -> PathBuf {
    process::target()
        .join("vm")
        .join(format!("{}-{purpose}", kernel.release))
}
