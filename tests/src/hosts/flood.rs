//! Packets from many sources, each at a rate of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::net::Namespace;

/// How often packets that are due are sent.
const TICK: Duration = Duration::from_millis(5);

/// The longest pause that is made up for: a thread that didn't run for long must
/// not send everything that it missed in one burst.
const LONGEST_TICK: Duration = Duration::from_millis(100);

/// What each packet carries.
const PAYLOAD: &[u8] = &[0; 64];

/// A sender of UDP packets, until it is dropped.
#[derive(Debug)]
pub struct Flood {
    sources: Arc<Mutex<BTreeMap<IpAddr, Source>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Source {
    socket: UdpSocket,
    rate: f64,
    due: f64,
    sent: u64,
}

impl Flood {
    /// A flood that has no sources as yet; each is added with its destination.
    pub fn new() -> Self {
        let sources = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (sources, stop) = (Arc::clone(&sources), Arc::clone(&stop));
            thread::spawn(move || send_until(&stop, &sources))
        };
        Self {
            sources,
            stop,
            thread: Some(thread),
        }
    }

    /// Sends `rate` packets/s from one address of a host to another host, from now on.
    ///
    /// # Errors
    /// `from` is not an address of the host, or there is no route.
    pub fn add(&self, host: &Namespace, from: IpAddr, to: SocketAddr, rate: f64) -> Result<()> {
        let socket = host.enter(|| {
            let socket = UdpSocket::bind((from, 0))?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            std::io::Result::Ok(socket)
        })?;
        let socket = socket.with_context(|| format!("send from {from} to {to}"))?;
        locked(&self.sources).insert(
            from,
            Source {
                socket,
                rate,
                due: 0.0,
                sent: 0,
            },
        );
        Ok(())
    }

    /// Changes a source's rate to `rate` packets/s; 0 silences it.
    ///
    /// # Errors
    /// It is not one of the flood's.
    pub fn pace(&self, from: IpAddr, rate: f64) -> Result<()> {
        let mut sources = locked(&self.sources);
        let source = sources
            .get_mut(&from)
            .with_context(|| format!("{from} is not in the flood"))?;
        source.rate = rate;
        Ok(())
    }

    /// Packets that each source has sent.
    pub fn sent(&self) -> BTreeMap<IpAddr, u64> {
        locked(&self.sources)
            .iter()
            .map(|(address, source)| (*address, source.sent))
            .collect()
    }
}

impl Default for Flood {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the flood's thread panicked");
        }
    }
}

fn send_until(stop: &AtomicBool, sources: &Mutex<BTreeMap<IpAddr, Source>>) {
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        let now = Instant::now();
        let elapsed = now.duration_since(last).min(LONGEST_TICK).as_secs_f64();
        last = now;
        for source in locked(sources).values_mut() {
            source.due += source.rate * elapsed;
            while source.due >= 1.0 {
                source.due -= 1.0;
                // A refusal that came back for an earlier packet is told here, once;
                // a full queue is the network's answer, as it is for any sender.
                if source.socket.send(PAYLOAD).is_ok() {
                    source.sent += 1;
                }
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
