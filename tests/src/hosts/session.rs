//! An SSH session that stays open: what is said comes back, for as long as packets travel.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::keys::Keys;
use super::ssh;
use crate::net::Namespace;

/// How long a login may take on a busy machine.
const LOGIN: Duration = Duration::from_secs(20);

/// A session, ended on drop.
#[derive(Debug)]
pub struct Session {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Session {
    /// Logs in by key as root from an address, and waits for the first echo.
    ///
    /// # Errors
    /// The login fails, or takes more than twenty seconds.
    pub fn open(host: &Namespace, keys: &Keys, from: IpAddr, to: IpAddr) -> Result<Self> {
        let mut child = ssh::by_key(&mut host.command("ssh"), keys)
            .args(["-T", "-b", &from.to_string(), &format!("root@{to}"), "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start ssh")?;
        let stdin = child.stdin.take().context("ssh's stdin")?;
        let stdout = child.stdout.take().context("ssh's stdout")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Whoever asked may be gone.
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut session = Self {
            child,
            stdin,
            lines,
        };
        session.say("hello")?;
        ensure!(session.hears("hello", LOGIN), "no session from {from}");
        Ok(session)
    }

    /// Sends a line.
    ///
    /// # Errors
    /// ssh has ended.
    pub fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.stdin, "{line}").context("write to ssh")
    }

    /// Whether the line comes back within `limit`.
    pub fn hears(&self, line: &str, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(heard) if heard == line => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("end ssh: {error}");
        }
    }
}
