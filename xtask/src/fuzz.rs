//! Hostile input for every parser, by libFuzzer: `tests/fuzz`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::{process, setup, toolchain};

/// The fuzzer's workspace.
pub(crate) const MANIFEST: &str = "tests/fuzz/Cargo.toml";

/// Targets that run at a time: a small machine has two processors.
const AT_ONCE: usize = 2;

/// The longest that one input may take, in seconds. They are some KiB long, and take a
/// millisecond or less; the rest is for a busy machine.
const SLOWEST: u32 = 20;

/// The most memory that a target may take, in MiB.
const MEMORY: u32 = 2048;

/// A fuzz target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Frames, by the XDP program's parser
    Packet,
    /// The control socket's lines
    Protocol,
    /// Configuration files
    Config,
    /// Lists to import
    Lists,
    /// Answers of the instance metadata service
    Imds,
    /// Answers of EC2, through its SDK
    Ec2,
}

impl Target {
    /// The EC2 client's first: it is the slowest to start.
    const ALL: [Self; 6] = [
        Self::Ec2,
        Self::Imds,
        Self::Lists,
        Self::Config,
        Self::Protocol,
        Self::Packet,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Protocol => "protocol",
            Self::Config => "config",
            Self::Lists => "lists",
            Self::Imds => "imds",
            Self::Ec2 => "ec2",
        }
    }
}

/// The targets to run: one, or all, or all that do without the EC2 client.
pub(crate) fn targets(only: Option<Target>, without_aws: bool) -> Vec<Target> {
    let wanted = |target: &Target| match only {
        Some(only) => *target == only,
        None => !(without_aws && *target == Target::Ec2),
    };
    Target::ALL.into_iter().filter(wanted).collect()
}

/// Runs the targets for so many seconds each. With `keep` what is found stays in the corpus.
pub(crate) fn run(targets: &[Target], seconds: u32, keep: bool) -> Result<ExitCode> {
    setup::ensure(setup::Scope::Fuzz)?;
    println!("fuzz: building");
    build(targets)?;
    let queue = Mutex::new(targets.iter().copied());
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no thread panicked").next();
                    let Some(target) = next else { break };
                    match attack(target, seconds, keep) {
                        Ok(done) => println!("fuzz: {}: {done}", target.name()),
                        Err(error) => {
                            println!("fuzz: {}: FAILED: {error:#}", target.name());
                            failed.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    Ok(ExitCode::from(u8::from(failed.load(Ordering::Relaxed))))
}

/// Builds the targets, instrumented.
///
/// Without a sanitizer: what the targets reach is safe Rust, which panics where other code would
/// read what is not its own.
fn build(targets: &[Target]) -> Result<()> {
    let mut command = process::cargo();
    command
        .args(["fuzz", "build", "--fuzz-dir", "tests/fuzz"])
        .args(["--dev", "--sanitizer", "none", "--target-dir"])
        .arg(folder())
        .env("PATH", toolchain::path()?)
        // For the profile's `hint-mostly-unused`, which a stable cargo does not know yet: of
        // the EC2 client's operations only those that are called are compiled.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_UNSTABLE_PROFILE_HINT_MOSTLY_UNUSED", "true");
    if let [only] = targets {
        command.arg(only.name());
    }
    if !targets.contains(&Target::Ec2) {
        command.arg("--no-default-features");
    }
    process::run(&mut command)
}

/// Runs one target: what it did.
fn attack(target: Target, seconds: u32, keep: bool) -> Result<String> {
    let name = target.name();
    let fuzz = process::root().join("tests/fuzz");
    let kept = fuzz.join("corpus").join(name);
    let place = folder().join("runs").join(name);
    let found = place.join("found");
    if found.exists() {
        fs::remove_dir_all(&found).with_context(|| format!("cannot empty {}", found.display()))?;
    }
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let log = place.join("log");
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;

    let mut command = Command::new(program(name));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={SLOWEST}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-artifact_prefix={}/", place.display()))
        .arg("-print_final_stats=1");
    let words = fuzz.join("dictionaries").join(name);
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    // What is new goes to the first of the folders.
    if !keep {
        command.arg(&found);
    }
    let status = command
        .arg(&kept)
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run {}", process::line(&command)))?;

    let said = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let said = String::from_utf8_lossy(&said);
    if !status.success() {
        bail!(
            "{status}\n{}\nthe whole log: {}",
            complaint(&said),
            log.display()
        );
    }
    let tried = statistic(&said, "number_of_executed_units")?;
    let new = statistic(&said, "new_units_added")?;
    Ok(format!(
        "{tried} inputs tried, {new} of them new to the corpus"
    ))
}

/// The end of what libFuzzer says when it gives up: what failed, and where the input lies.
fn complaint(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let panicked = |line: &&str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    let from = lines.iter().position(panicked);
    let from = from.unwrap_or_else(|| lines.len().saturating_sub(40));
    lines[from..].join("\n")
}

/// A number of libFuzzer's summary.
fn statistic(said: &str, name: &str) -> Result<u64> {
    said.lines()
        .find_map(|line| {
            let (known, number) = line.strip_prefix("stat::")?.split_once(':')?;
            (known == name).then(|| number.trim().parse().ok())?
        })
        .with_context(|| format!("libFuzzer does not tell its {name}"))
}

/// What is built and found: apart from the workspace's own, which is not instrumented.
fn folder() -> PathBuf {
    process::target().join("fuzz")
}

fn program(name: &str) -> PathBuf {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    folder().join(triple).join("debug").join(Path::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read() {
        let said =
            "#1 INITED\nstat::number_of_executed_units: 81321\nstat::new_units_added:          7\n";
        assert_eq!(statistic(said, "number_of_executed_units").unwrap(), 81_321);
        assert_eq!(statistic(said, "new_units_added").unwrap(), 7);
        assert!(statistic(said, "peak_rss_mb").is_err());
    }

    #[test]
    fn a_complaint_begins_with_the_panic_and_names_the_input() {
        let said = "#1 INITED\nthread '<unnamed>' panicked at x.rs:1:2:\nno\nTest unit written to /t/crash-1\n";
        assert_eq!(
            complaint(said),
            "thread '<unnamed>' panicked at x.rs:1:2:\nno\nTest unit written to /t/crash-1"
        );
    }

    #[test]
    fn ec2_can_be_left_out_and_asked_for() {
        assert_eq!(targets(None, false), Target::ALL);
        assert_eq!(targets(None, true), Target::ALL[1..]);
        assert_eq!(targets(Some(Target::Ec2), false), [Target::Ec2]);
    }

    #[test]
    fn every_target_is_built_and_has_a_corpus() {
        let fuzz = process::root().join("tests/fuzz");
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), Target::ALL.len());
        for target in Target::ALL {
            let name = target.name();
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
            let kept = fs::read_dir(fuzz.join("corpus").join(name)).unwrap();
            assert!(kept.count() > 0, "{name}");
        }
    }
}
