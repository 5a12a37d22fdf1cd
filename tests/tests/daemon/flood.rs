//! More peers on the control socket than it serves, each with its own way to hold its place:
//! what the daemon takes is bounded, and fail2ban's action gets through.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, ensure};
use nicban_protocol::MAX_LINE;
use nicban_tests::daemon::{Daemon, Site};
use nicban_tests::resources::Resources;
use nicban_tests::wait;

use crate::now;

/// Connections that the daemon serves at a time.
const PLACES: usize = 256;

/// Connections that want to be.
const PEERS: usize = 400;

const THREADS: usize = 8;

/// Between two things that a peer does: well below the second after which one that does nothing
/// has to go.
const BEAT: Duration = Duration::from_millis(200);

/// What 256 places may take, in KiB: each reads a line of at most 64 KiB, whose buffer may be
/// twice as large while it grows, and answers with another. And some room for the allocator.
const MEMORY: u64 = PLACES as u64 * 3 * 64 + 16 * 1024;

/// Descriptors beside the peers': some of the store and of the log.
const FILES: usize = 16;

/// What a peer does with its connection.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Nothing.
    Idle,
    /// Writes the most of a long line, then a byte at a time, and never ends it.
    Slow,
    /// Asks again as soon as it has its answer.
    Eager,
    /// Asks and never reads, until nothing more can be sent.
    Deaf,
}

impl Manner {
    fn begin(self, socket: &Path) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        if matches!(self, Self::Slow) {
            // The socket holds it until there is a place.
            stream.write_all(&vec![b' '; MAX_LINE - 4096])?;
        }
        Ok(stream)
    }

    /// Fails once the daemon has hung up.
    fn go_on(self, stream: &mut UnixStream) -> io::Result<()> {
        const REQUEST: &[u8] = b"{\"op\":\"allow_list\"}\n";
        match self {
            Self::Idle => heard(stream),
            Self::Slow => {
                done(stream.write(b" "))?;
                heard(stream)
            }
            Self::Eager => {
                done(stream.write(REQUEST))?;
                heard(stream)
            }
            Self::Deaf => {
                while done(stream.write(REQUEST))? > 0 {}
                Ok(())
            }
        }
    }
}

/// Takes what the daemon has said; only a read tells that it has hung up.
fn heard(stream: &mut UnixStream) -> io::Result<()> {
    match stream.read(&mut [0; 4096]) {
        Ok(0) => Err(io::ErrorKind::BrokenPipe.into()),
        other => done(other).map(|_| ()),
    }
}

/// What was done of it, where that may be nothing for now.
fn done(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Peers that come back as soon as they are sent away; until it is dropped.
struct Flood {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn begin(socket: &Path, manner: Manner) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS)
            .map(|_| {
                let (socket, over) = (socket.to_owned(), Arc::clone(&over));
                thread::spawn(move || run(&socket, manner, &over))
            })
            .collect();
        Self { over, threads }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a peer does not panic");
        }
    }
}

fn run(socket: &Path, manner: Manner, over: &AtomicBool) {
    let mut peers: Vec<Option<UnixStream>> = (0..PEERS / THREADS).map(|_| None).collect();
    while !over.load(Ordering::Relaxed) {
        for peer in &mut peers {
            if peer.is_none() {
                *peer = manner.begin(socket).ok();
            }
            if let Some(stream) = peer
                && manner.go_on(stream).is_err()
            {
                *peer = None;
            }
            if over.load(Ordering::Relaxed) {
                return;
            }
        }
        thread::sleep(BEAT);
    }
}

fn get_through(manner: Manner) -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let first = Resources::of(daemon.pid())?;
    let flood = Flood::begin(&site.socket(), manner);
    let mut most = first;
    let mut look = |daemon: &Daemon| -> Result<Resources> {
        let now = Resources::of(daemon.pid())?;
        most = most.most(now);
        Ok(now)
    };
    wait::until("every place is taken", Duration::from_mins(1), || {
        Ok((look(&daemon)?.files >= first.files + PLACES - FILES).then_some(()))
    })?;
    for n in 0..5 {
        let offender = format!("198.51.100.{n}");
        let time = now().to_string();
        // With the time limits that fail2ban's action has: too late is a failure.
        site.action(&["ban", "--", "sshd", &offender, &time, "600"])?
            .well()?;
        wire.blocked(&offender)?;
        look(&daemon)?;
    }
    wire.arrives("198.51.100.9")?;
    drop(flood);
    ensure!(
        most.files <= first.files + PLACES + FILES,
        "{most:?}, at first {first:?}"
    );
    ensure!(
        most.memory <= first.memory + MEMORY,
        "{most:?}, at first {first:?}"
    );
    wait::until("all are gone", Duration::from_mins(1), || {
        let now = Resources::of(daemon.pid())?;
        Ok((now.files <= first.files + FILES).then_some(()))
    })?;
    ensure!(daemon.bans()?.len() == 5, "the bans that got through");
    daemon.stop()
}

#[test]
fn a_ban_gets_through_idle_peers() -> Result<()> {
    get_through(Manner::Idle)
}

#[test]
fn a_ban_gets_through_slow_writers() -> Result<()> {
    get_through(Manner::Slow)
}

#[test]
fn a_ban_gets_through_peers_that_always_ask() -> Result<()> {
    get_through(Manner::Eager)
}

#[test]
fn a_ban_gets_through_peers_that_never_read() -> Result<()> {
    get_through(Manner::Deaf)
}
