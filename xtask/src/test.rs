//! Every test that nicban has, in one run.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{action, process, setup};

/// How many tests cargo's harness runs at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// More than a small machine has processors: most tests wait for hosts, not for those.
const AT_ONCE: &str = "6";

/// Tells the reliability suite to kill, flush and step as often as its full counts say.
const FULL: &str = "NICBAN_FULL";

/// Runs the tests, or those whose name holds `filter`, and sums them up. `full` is the
/// reliability suite with its full counts.
pub(crate) fn run(filter: Option<&str>, full: bool) -> Result<ExitCode> {
    setup::ensure(setup::Scope::Test)?;
    setup::need_root("many tests make network namespaces and attach XDP programs")?;

    // The programs as well: the tests of one crate start those of another. All
    // in one call, for the same features, or half of it would be built twice.
    println!("test: building (the first time takes minutes, most of them for the EC2 client)");
    process::run(process::cargo().args(["build", "--workspace", "--lib", "--bins", "--tests"]))?;
    if filter.is_none() {
        action::check()?;
    }

    let mut command = process::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if let Some(filter) = filter {
        command.args(["--", filter]);
    }
    if full {
        command.env(FULL, "1");
    }
    if env::var_os(THREADS).is_none() {
        command.env(THREADS, AT_ONCE);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run `cargo test`")?;
    let stdout = child.stdout.take().context("cargo's output is piped")?;
    let mut tally = Tally::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read cargo's output")?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        tally.read(&String::from_utf8_lossy(&line));
    }
    let status = child.wait().context("cannot wait for `cargo test`")?;

    for name in &tally.failures {
        writeln!(out, "test: FAILED {name}")?;
    }
    writeln!(out, "test: {tally}")?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(ExitCode::SUCCESS)
}

/// The sum over cargo's test programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    programs: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
    failures: Vec<String>,
}

impl Tally {
    /// How many tests passed.
    pub(crate) fn passed(&self) -> u32 {
        self.passed
    }

    /// The tests that failed, by name.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Takes in one line of libtest's output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.programs += 1;
            for part in counts.split(['.', ';']) {
                let mut words = part.split_whitespace();
                let Some(Ok(count)) = words.next().map(str::parse::<u32>) else {
                    continue;
                };
                match words.next() {
                    Some("passed") => self.passed += count,
                    Some("failed") => self.failed += count,
                    Some("ignored") => self.ignored += count,
                    _ => {}
                }
            }
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|line| line.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} passed, {} failed, {} ignored in {} test programs",
            self.passed, self.failed, self.ignored, self.programs
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn sums_up_what_libtest_says() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test bans::holds ... ok",
            "test bans::lifts ... FAILED",
            "test bans::waits ... ignored, needs a clock",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.02s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally,
            Tally {
                programs: 2,
                passed: 5,
                failed: 1,
                ignored: 1,
                failures: vec!["bans::lifts".to_owned()],
            }
        );
    }
}
