//! Asking fail2ban, by its own client.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::fail2ban;

/// How long one question may take: a server that restores thousands of bans answers when it is
/// through with reading them.
const LIMIT: Duration = Duration::from_mins(2);

/// The longest answer, in bytes: a million bans have less than half of it.
const LARGEST: u64 = 1 << 28;

/// The command that asks.
#[derive(Debug, Clone)]
pub(super) struct Fail2banClient {
    program: String,
    arguments: Vec<String>,
}

impl Fail2banClient {
    /// A command as it stands in a configuration: words, parted by blanks.
    pub(super) fn new(command: &str) -> Option<Self> {
        let mut words = command.split_ascii_whitespace().map(str::to_owned);
        Some(Self {
            program: words.next()?,
            arguments: words.collect(),
        })
    }

    /// The jails whose actions nicban is among.
    pub(super) fn jails_with_nicban(&self) -> anyhow::Result<Vec<String>> {
        let mut jails = fail2ban::jails(&self.ask(&["status"])?);
        let mut failed = Ok(());
        jails.retain(|jail| {
            self.has_nicban(jail).unwrap_or_else(|error| {
                failed = Err(error);
                false
            })
        });
        failed.map(|()| jails)
    }

    /// Whether nicban is among a jail's actions.
    pub(super) fn has_nicban(&self, jail: &str) -> anyhow::Result<bool> {
        let actions = self.ask(&["get", jail, "actions"])?;
        Ok(fail2ban::has_nicban(&actions))
    }

    /// A jail's bans with their times, as it prints them.
    pub(super) fn banned(&self, jail: &str) -> anyhow::Result<String> {
        self.ask(&["get", jail, "banip", "--with-time"])
    }

    fn ask(&self, question: &[&str]) -> anyhow::Result<String> {
        let shown = format!("{} {}", self.program, question.join(" "));
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .args(question)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program))?;
        let (answer, errors) = (read(child.stdout.take()), read(child.stderr.take()));
        let Ok(answer) = answer.recv_timeout(LIMIT) else {
            end(&mut child);
            bail!("{shown}: no answer within {} s", LIMIT.as_secs());
        };
        let status = child
            .wait()
            .with_context(|| format!("cannot wait for {shown}"))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if !status.success() {
            let errors = errors.recv_timeout(LIMIT).unwrap_or_default();
            let errors = String::from_utf8_lossy(&errors);
            let why = errors.lines().chain(answer.lines());
            let why = why.map(str::trim).find(|line| !line.is_empty());
            bail!("{shown}: {}", why.unwrap_or("it failed and said nothing"));
        }
        ensure!(
            (answer.len() as u64) < LARGEST,
            "{shown}: an answer of more than {LARGEST} bytes"
        );
        Ok(answer)
    }
}

/// Reads a pipe to its end, on a thread: a client that hangs must not hold this one.
fn read(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (bytes, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut all = Vec::new();
        // What could be read counts; the exit status tells the rest.
        if let Some(pipe) = pipe {
            pipe.take(LARGEST).read_to_end(&mut all).ok();
        }
        bytes.send(all).ok();
    });
    receiver
}

fn end(child: &mut Child) {
    // It may have ended just now.
    child.kill().ok();
    child.wait().ok();
}

#[cfg(test)]
mod tests {
    use super::Fail2banClient;

    #[test]
    fn words_reach_the_client_as_they_are() {
        let client = Fail2banClient::new(" echo -s  /x ").unwrap();
        let said = client.banned("$(touch trap); --help").unwrap();
        assert_eq!(said, "-s /x get $(touch trap); --help banip --with-time\n");
        assert!(Fail2banClient::new(" ").is_none());
    }

    #[test]
    fn a_failure_says_what_failed() {
        let error = |command| {
            let client = Fail2banClient::new(command).unwrap();
            format!("{:#}", client.banned("sshd").unwrap_err())
        };
        assert!(error("/nowhere/client").starts_with("cannot run /nowhere/client: "));
        let said = error("ls");
        assert!(
            said.starts_with("ls get sshd banip --with-time: ls: "),
            "{said}"
        );
        assert!(error("false").ends_with("it failed and said nothing"));
    }
}
