//! Builds what is measured as it is released, then becomes the bench.

use std::{convert::Infallible, ffi::OsString, path::PathBuf, process::Command};

use anyhow::{Result, ensure};

use crate::{action, demo, process, setup};

/// The bench, and what it measures.
struct Programs {
    bench: PathBuf,
    nicban: PathBuf,
    action: PathBuf,
}

/// Replaces this process by the bench. `unoptimised` shows that it works, with the programs that
/// the tests have built.
pub(crate) fn run(unoptimised: bool, arguments: &[OsString]) -> Result<Infallible> {
    ensure!(
        !unoptimised || arguments.iter().any(|argument| argument == "--quick"),
        "--unoptimised is for --quick alone: such figures are not for docs/benchmarks.md"
    );
    setup::ensure(setup::Scope::Bench)?;
    setup::need_root("the bench makes network namespaces and attaches XDP programs")?;
    let programs = if unoptimised {
        as_tested()?
    } else {
        as_released()?
    };
    let mut bench = Command::new(programs.bench);
    bench
        .arg("--nicban")
        .arg(programs.nicban)
        .arg("--action")
        .arg(programs.action)
        .args(arguments);
    process::replace(bench)
}

fn as_tested() -> Result<Programs> {
    demo::build(setup::Scope::Bench)?;
    Ok(Programs {
        bench: demo::program("nicban-bench"),
        nicban: demo::program("nicban"),
        action: demo::program("nicban-action"),
    })
}

fn as_released() -> Result<Programs> {
    println!("bench: building (the first time takes some minutes)");
    // Without the EC2 client, of which nothing is measured.
    for (package, binary, profile) in [
        ("nicban", "nicban", "release"),
        ("nicban-tests", "nicban-bench", "simulate"),
    ] {
        process::run(
            process::cargo()
                .args(["build", "--quiet", "--no-default-features"])
                .args(["--package", package, "--bin", binary])
                .args(["--profile", profile]),
        )?;
    }
    Ok(Programs {
        action: action::build()?,
        bench: process::target().join("simulate/nicban-bench"),
        nicban: process::target().join("release/nicban"),
    })
}
