//! Guessing passwords over SSH, as the bots do.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::ssh;
use crate::net::Namespace;
use crate::process::Process;

/// What bots try first: the invalid users make sshd's other kind of line.
const GUESSES: [(&str, &str); 6] = [
    ("root", "123456"),
    ("admin", "admin"),
    ("root", "password"),
    ("ubuntu", "ubuntu"),
    ("oracle", "oracle"),
    ("test", "test123"),
];

/// How long a guess may take: a connection that a ban cuts off never answers.
const LIMIT: Duration = Duration::from_secs(10);

/// What became of a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// sshd said no.
    Refused,
    /// sshd gave no answer, or the guess was given up.
    NoAnswer,
}

/// Tries to log in from an address, with the `attempt`th guess. Gives up as soon
/// as `give_up` says so.
///
/// # Errors
/// sshpass or ssh is not installed, or the guess was right.
pub fn guess(
    host: &Namespace,
    from: IpAddr,
    to: IpAddr,
    attempt: usize,
    give_up: impl Fn() -> bool,
) -> Result<Guess> {
    let (user, password) = GUESSES[attempt % GUESSES.len()];
    let mut command = host.command("sshpass");
    command.env("SSHPASS", password).args(["-e", "ssh"]);
    ssh::by_password(&mut command).args([
        "-o",
        "ConnectTimeout=5",
        "-b",
        &from.to_string(),
        &format!("{user}@{to}"),
        "true",
    ]);
    let mut process = Process::spawn("an intruder's ssh", &mut command)?;
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline && !give_up() {
        let Some(status) = process.ended_within(Duration::from_millis(50))? else {
            continue;
        };
        return match status.code() {
            Some(0) => bail!("{user} could log in from {from}"),
            Some(255) if process.output().contains("Permission denied") => Ok(Guess::Refused),
            Some(127) => bail!("sshpass and ssh must be installed: {}", process.output()),
            _ => Ok(Guess::NoAnswer),
        };
    }
    Ok(Guess::NoAnswer)
}
