//! The demo, ended before its end: nothing of it is left.
//!
//! Needs what the demo needs: root, fail2ban, sshd, sshpass, nftables.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nicban_tests::daemon::{Program, program};
use nicban_tests::net::Scratch;
use nicban_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the clean-up, or one stage of the demo, may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn an_interrupted_siege_leaves_nothing() -> Result<()> {
    let mut demo = Demo::start()?;
    demo.until_stage(4)?;
    let own = demo.own()?;
    ensure!(own.namespaces.len() == 4, "{own:?}");
    ensure!(own.pins.len() == 1, "{own:?}");
    ensure!(!own.temporary.is_empty(), "{own:?}");
    for service in ["nicban", "sshd", "fail2ban-server", "nicban-standin"] {
        let runs = |process: &String| process.ends_with(&format!(" {service}"));
        ensure!(own.processes.iter().any(runs), "no {service} in {own:?}");
    }
    demo.kill(Signal::SIGINT)?;
    demo.ends_with(128 + Signal::SIGINT as i32)?;
    let said = demo.rest()?;
    ensure!(said.contains("interrupted: cleaning up"), "{said}");
    demo.expect_nothing_left(&own)
}

#[test]
fn services_that_are_just_starting_are_not_forgotten() -> Result<()> {
    let mut demo = Demo::start()?;
    demo.until_stage(2)?;
    let own = demo.own()?;
    ensure!(own.namespaces.len() == 4, "{own:?}");
    demo.kill(Signal::SIGTERM)?;
    demo.ends_with(128 + Signal::SIGTERM as i32)?;
    demo.expect_nothing_left(&own)
}

#[test]
fn a_lost_terminal_leaves_nothing() -> Result<()> {
    let mut demo = Demo::start()?;
    demo.until_stage(4)?;
    let own = demo.own()?;
    ensure!(!own.processes.is_empty(), "{own:?}");
    // As with a terminal: whatever is written from now on fails.
    demo.hang_up();
    demo.kill(Signal::SIGHUP)?;
    demo.ends_with(128 + Signal::SIGHUP as i32)?;
    demo.expect_nothing_left(&own)
}

#[test]
fn nohup_keeps_it_going() -> Result<()> {
    let mut demo = Demo::start_with("--ignore-signal=HUP")?;
    demo.until_stage(2)?;
    demo.kill(Signal::SIGHUP)?;
    demo.until_stage(4)?;
    let own = demo.own()?;
    demo.kill(Signal::SIGTERM)?;
    demo.ends_with(128 + Signal::SIGTERM as i32)?;
    demo.expect_nothing_left(&own)
}

/// One demo at a time: each is a host full of services.
static TURN: Mutex<()> = Mutex::new(());

/// A demo that runs.
struct Demo {
    child: Child,
    output: Option<(BufReader<ChildStdout>, ChildStderr)>,
    /// Where its temporary files are, its own and those of all that it starts.
    temp: Scratch,
    _turn: MutexGuard<'static, ()>,
}

/// What would be left of a demo.
#[derive(Debug, Default)]
struct Own {
    /// Names, and the kernel's numbers: a namespace can outlive its name.
    namespaces: BTreeSet<(String, u64)>,
    pins: Vec<PathBuf>,
    temporary: Vec<PathBuf>,
    processes: Vec<String>,
}

impl Demo {
    fn start() -> Result<Self> {
        // Whoever runs the tests may have them ignored.
        Self::start_with("--default-signal=HUP,INT,TERM")
    }

    /// With a disposition of signals, as env(1) takes it.
    fn start_with(signals: &str) -> Result<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let temp = Scratch::new("demos")?;
        let mut child = Command::new("env")
            .arg(signals)
            .arg(env!("CARGO_BIN_EXE_nicban-demo"))
            .arg("--nicban")
            .arg(program(Program::Nicban)?)
            .arg("--action")
            .arg(program(Program::Action)?)
            .arg("--fail2ban-dir")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fail2ban"))
            .env("TMPDIR", temp.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the demo")?;
        let stdout = child.stdout.take().context("the demo's stdout")?;
        let stderr = child.stderr.take().context("the demo's stderr")?;
        Ok(Self {
            child,
            output: Some((BufReader::new(stdout), stderr)),
            temp,
            _turn: turn,
        })
    }

    /// Reads on until a stage begins.
    fn until_stage(&mut self, number: u32) -> Result<()> {
        let (stdout, _) = self.output.as_mut().context("it was hung up")?;
        let heading = format!(" s] {number}. ");
        let mut told = String::new();
        loop {
            let start = told.len();
            if stdout.read_line(&mut told).context("read the story")? == 0 {
                let rest = self.rest()?;
                anyhow::bail!("the demo ended before stage {number}:\n{told}{rest}");
            }
            if told[start..].contains(&heading) {
                return Ok(());
            }
        }
    }

    /// All that it has left to say.
    fn rest(&mut self) -> Result<String> {
        let (mut stdout, mut stderr) = self.output.take().context("it was hung up")?;
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).context("read its story")?;
        stderr
            .read_to_string(&mut rest)
            .context("read its errors")?;
        Ok(rest)
    }

    fn hang_up(&mut self) {
        self.output = None;
    }

    fn kill(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("a pid above i32")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("send {signal}"))
    }

    fn ends_with(&mut self, code: i32) -> Result<()> {
        let status = wait::until("the demo ends", PATIENCE, || {
            self.child.try_wait().context("wait for the demo")
        })?;
        ensure!(status.code() == Some(code), "{status}");
        Ok(())
    }

    /// What it has at this moment.
    fn own(&self) -> Result<Own> {
        let prefix = format!("nicban-{}-", self.child.id());
        let is_own = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        };
        let namespaces = entries("/run/netns")?
            .into_iter()
            .filter(is_own)
            .map(|path| Ok((path.display().to_string(), fs::metadata(&path)?.ino())))
            .collect::<Result<BTreeSet<_>>>()?;
        Ok(Own {
            processes: self.processes(&namespaces)?,
            namespaces,
            pins: entries("/sys/fs/bpf")?.into_iter().filter(is_own).collect(),
            temporary: entries(self.temp.path())?,
        })
    }

    /// Those in its namespaces, and those that have its temporary folder, the demo aside.
    fn processes(&self, namespaces: &BTreeSet<(String, u64)>) -> Result<Vec<String>> {
        let mark = format!("TMPDIR={}", self.temp.path().display());
        let own = |process: &Path| {
            let inside = fs::metadata(process.join("ns/net"))
                .is_ok_and(|net| namespaces.iter().any(|(_, number)| *number == net.ino()));
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            inside
                || environment
                    .split(|byte| *byte == 0)
                    .any(|set| set == mark.as_bytes())
        };
        let demo = self.child.id().to_string();
        Ok(entries("/proc")?
            .into_iter()
            .filter(|process| process.file_name().is_some_and(|pid| pid != demo.as_str()))
            .filter(|process| own(process))
            .map(|process| {
                let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
                format!("{} {}", process.display(), command.trim())
            })
            .collect())
    }

    fn expect_nothing_left(&self, before: &Own) -> Result<()> {
        let left = self.own()?;
        ensure!(left.namespaces.is_empty(), "{left:?}");
        ensure!(left.pins.is_empty(), "{left:?}");
        ensure!(left.temporary.is_empty(), "{left:?}");
        // One that runs outside of the namespaces ends by itself, soon.
        let mut processes = Vec::new();
        wait::until("its processes have ended", Duration::from_secs(10), || {
            processes = self.processes(&before.namespaces)?;
            Ok(processes.is_empty().then_some(()))
        })
        .with_context(|| format!("{processes:?}"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended unless the test failed; then it gets its chance to clean up.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill(Signal::SIGTERM).ok();
            self.child.wait().ok();
        }
    }
}

fn entries(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("read {}", folder.display()))
}
