//! Child processes that end with their owner.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::patient;

/// Lines of output that a process keeps for whoever asks what went wrong.
const KEPT_LINES: usize = 400;

/// How long a process may take over SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(3);

/// How often a process that is to end is looked at.
const POLL: Duration = Duration::from_millis(10);

/// A child process: terminated on drop, its output kept.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts a command whose output is kept.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        Self::spawn_with(name, command, |_| ())
    }

    /// Starts a command whose lines, of stdout as of stderr, also go to `on_line`.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn spawn_with(
        name: &str,
        command: &mut Command,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name} ({})", shown(command)))?;
        let output = Arc::new(Mutex::new(VecDeque::new()));
        let on_line = Arc::new(Mutex::new(on_line));
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|s| Box::new(s) as _),
            child.stderr.take().map(|s| Box::new(s) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let (output, on_line) = (Arc::clone(&output), Arc::clone(&on_line));
            thread::spawn(move || {
                for_each_line(stream, |line| {
                    on_line.lock().unwrap_or_else(PoisonError::into_inner)(line);
                    let mut kept = output.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() == KEPT_LINES {
                        kept.pop_front();
                    }
                    kept.push_back(line.to_owned());
                });
            });
        }
        Ok(Self {
            name: name.to_owned(),
            child,
            output,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last lines that it wrote.
    pub fn output(&self) -> String {
        let kept = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Fails with its output when it has ended.
    ///
    /// # Errors
    /// It has ended, or its state can't be read.
    pub fn expect_alive(&mut self) -> Result<()> {
        if let Some(status) = self
            .child
            .try_wait()
            .with_context(|| format!("wait for {}", self.name))?
        {
            bail!(
                "{} has ended ({status}); its last words:\n{}",
                self.name,
                self.output()
            );
        }
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("a pid above i32")?);
        kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// It goes on for longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match self.ended_within(patient(limit))? {
            Some(status) => Ok(status),
            None => bail!("{} still runs after {limit:?}", self.name),
        }
    }

    /// Ends it, first by SIGTERM, then by SIGKILL.
    ///
    /// # Errors
    /// It can't be waited for.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended_within(Duration::ZERO)? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        if let Some(status) = self.ended_within(patient(GRACE))? {
            return Ok(status);
        }
        self.child
            .kill()
            .with_context(|| format!("kill {}", self.name))?;
        self.child
            .wait()
            .with_context(|| format!("wait for {}", self.name))
    }

    /// Waits for it to end by itself, for no longer than `limit`.
    ///
    /// # Errors
    /// It can't be waited for.
    pub fn ended_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .with_context(|| format!("wait for {}", self.name))?
            {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{}: {error:#}", self.name);
        }
    }
}

/// Runs a command to its end, and gives what it wrote to stdout.
///
/// # Errors
/// It can't be started, or fails; the error holds what it wrote to stderr.
pub fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, "")
}

/// As [`run`], with `input` on stdin.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", shown(command)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that fails early closes its stdin; its own message says more.
        match stdin.write_all(input.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(error).with_context(|| format!("write to {}", shown(command)));
            }
            _ => drop(stdin),
        }
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for {}", shown(command)))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote no UTF-8", shown(command)))
}

/// Where a program is.
///
/// # Errors
/// It is in none of the folders of `PATH`; the error says so by its name.
pub fn find_program(name: &str) -> Result<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // Debian leaves these out of an ordinary user's PATH.
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("the program {name} is not installed"))
}

fn for_each_line(stream: impl Read, mut take: impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(read) if read > 0) {
        take(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(std::ffi::OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_has_ended() {
        let process = Process::spawn("sleep", Command::new("sleep").arg("60")).unwrap();
        let pid = process.pid();
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn the_output_of_both_streams_is_kept() {
        let mut process = Process::spawn(
            "sh",
            Command::new("sh").args(["-c", "echo out; echo err >&2"]),
        )
        .unwrap();
        process.wait(Duration::from_secs(5)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while process.output().lines().count() < 2 && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        let mut lines: Vec<_> = process.output().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["err", "out"]);
    }

    #[test]
    fn an_early_end_is_told_with_the_last_words() {
        let mut process = Process::spawn("sh", Command::new("sh").args(["-c", "exit 3"])).unwrap();
        process.wait(Duration::from_secs(5)).unwrap();
        let error = process.expect_alive().unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_failed_command_tells_its_stderr() {
        let error =
            run(Command::new("sh").args(["-c", "echo no such thing >&2; exit 1"])).unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
    }

    #[test]
    fn input_reaches_the_command() {
        assert_eq!(
            run_with_input(&mut Command::new("cat"), "both ways").unwrap(),
            "both ways"
        );
    }
}
