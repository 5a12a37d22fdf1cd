//! An honest client, who must not notice what goes on around it.

use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::keys::Keys;
use super::ssh;
use crate::net::Namespace;
use crate::process;

/// Between the end of one session and the beginning of the next.
const PAUSE: Duration = Duration::from_millis(400);

/// How long a session may take, in seconds.
const LIMIT_S: &str = "15";

/// What the honest client got.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Sessions in which a command ran on the bastion and answered.
    pub served: u32,
    /// Why the others failed.
    pub failures: Vec<String>,
    /// The longest session that was served.
    pub slowest: Duration,
}

impl Served {
    /// Whether every session was served, and there was at least one.
    pub fn ok(&self) -> bool {
        self.served > 0 && self.failures.is_empty()
    }
}

/// A client that logs in by key and runs a command, over and over, until it is dropped.
#[derive(Debug)]
pub struct Honest {
    served: Arc<Mutex<Served>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Honest {
    /// Starts on a host, taking turns between the addresses of the bastion.
    pub fn start(host: &Namespace, keys: &Keys, bastion: &[IpAddr]) -> Self {
        let served = Arc::new(Mutex::new(Served::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let commands: Vec<(Command, String)> =
            bastion.iter().map(|to| login(host, keys, *to)).collect();
        let thread = {
            let (served, stop) = (Arc::clone(&served), Arc::clone(&stop));
            thread::spawn(move || log_in_until(&stop, commands, &served))
        };
        Self {
            served,
            stop,
            thread: Some(thread),
        }
    }

    /// What it got until now.
    pub fn served(&self) -> Served {
        self.served
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends it with the session that is going on, and gives what it got.
    pub fn stop(mut self) -> Served {
        self.end();
        self.served()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the honest client's thread panicked");
        }
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.end();
    }
}

fn login(host: &Namespace, keys: &Keys, to: IpAddr) -> (Command, String) {
    let answer = format!("served over {to}");
    let mut command = host.command("timeout");
    command.args(["--foreground", LIMIT_S, "ssh"]);
    ssh::by_key(&mut command, keys).args([
        "-o",
        "ConnectTimeout=10",
        &format!("root@{to}"),
        &format!("echo {answer}"),
    ]);
    (command, answer)
}

fn log_in_until(stop: &AtomicBool, mut commands: Vec<(Command, String)>, served: &Mutex<Served>) {
    while !stop.load(Ordering::Relaxed) {
        for (command, answer) in &mut commands {
            let start = Instant::now();
            let outcome = session(command, answer);
            let mut served = served.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(()) => {
                    served.served += 1;
                    served.slowest = served.slowest.max(start.elapsed());
                }
                Err(error) => served.failures.push(format!("{error:#}")),
            }
            drop(served);
            thread::sleep(PAUSE);
        }
    }
}

fn session(command: &mut Command, answer: &str) -> Result<()> {
    let output = process::run(command)?;
    anyhow::ensure!(
        output.trim() == answer,
        "the bastion answered {output:?} and not {answer:?}"
    );
    Ok(())
}
