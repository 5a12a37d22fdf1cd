//! Packets from any source, and a count of those that arrive.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::site::{HONEST, HONEST_V6};
use crate::net::{Arrivals, Frame, Namespace, Sender};
use crate::wait;

/// Packets of one try.
const VOLLEY: u64 = 3;

/// How long packets may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Where packets go.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The interface's.
    pub mac: [u8; 6],
    /// The host's address.
    pub v4: Ipv4Addr,
    /// The host's IPv6 address.
    pub v6: Ipv6Addr,
}

impl Target {
    /// A packet of a source to the address of its family.
    pub fn frame(&self, sender: &Sender, source: IpAddr) -> Frame {
        let address: IpAddr = if source.is_ipv4() {
            self.v4.into()
        } else {
            self.v6.into()
        };
        Frame::udp(
            (&sender.mac(), &self.mac),
            SocketAddr::new(source, 4_000),
            SocketAddr::new(address, 9),
            b"let me in",
        )
    }
}

/// One interface of the outside, the host behind it, and a counter there.
#[derive(Debug)]
pub struct Wire<'a> {
    sender: Arc<Sender>,
    target: Target,
    arrivals: Arrivals<'a>,
    watched: Mutex<BTreeSet<IpAddr>>,
}

impl<'a> Wire<'a> {
    /// Packets over an interface of the outside, which the host's is at the other end of.
    /// `purpose` keeps the counters of one host apart.
    ///
    /// # Errors
    /// There is no such interface, or nft fails.
    pub fn new(
        (outside, interface): (&Namespace, &str),
        (host, target): (&'a Namespace, Target),
        purpose: &str,
    ) -> Result<Self> {
        Ok(Self {
            sender: Arc::new(Sender::new(outside, interface)?),
            target,
            arrivals: Arrivals::new(host, purpose)?,
            watched: Mutex::default(),
        })
    }

    /// Expects that packets of a source get through, every one.
    ///
    /// # Errors
    /// One doesn't.
    pub fn arrives(&self, source: &str) -> Result<()> {
        let source = address(source)?;
        let before = self.count(source)?;
        self.send(source, VOLLEY)?;
        wait::until(&format!("packets of {source} arrive"), LIMIT, || {
            Ok((self.count(source)? >= before + VOLLEY).then_some(()))
        })?;
        let count = self.count(source)? - before;
        ensure!(
            count == VOLLEY,
            "{count} of {VOLLEY} packets of {source} arrived"
        );
        Ok(())
    }

    /// Expects that packets of a source don't get through, while those of an
    /// honest one, sent after them, do.
    ///
    /// # Errors
    /// One gets through.
    pub fn blocked(&self, source: &str) -> Result<()> {
        let source = address(source)?;
        let before = self.count(source)?;
        self.send(source, VOLLEY)?;
        self.arrives(if source.is_ipv4() { HONEST } else { HONEST_V6 })?;
        let count = self.count(source)? - before;
        ensure!(
            count == 0,
            "{count} packets of {source}, which is banned, arrived"
        );
        Ok(())
    }

    /// Sends packets of a source.
    ///
    /// # Errors
    /// The interface is down.
    pub fn send(&self, source: IpAddr, packets: u64) -> Result<()> {
        let frame = self.target.frame(&self.sender, source);
        (0..packets).try_for_each(|_| self.sender.send(&frame))
    }

    /// Bytes of one packet of a source, from the Ethernet header on.
    pub fn frame_bytes(&self, source: IpAddr) -> u64 {
        let frame = self.target.frame(&self.sender, source);
        frame.bytes().len() as u64
    }

    /// Counts the packets of these sources from now on, where it does not yet.
    ///
    /// # Errors
    /// nft fails.
    pub fn watch(&self, sources: &[IpAddr]) -> Result<()> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<IpAddr> = sources
            .iter()
            .copied()
            .filter(|source| watched.insert(*source))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        self.arrivals.watch(&new)
    }

    /// Packets of a source that have arrived since it was first asked for.
    ///
    /// # Errors
    /// nft fails.
    pub fn count(&self, source: IpAddr) -> Result<u64> {
        self.watch(&[source])?;
        self.arrivals.count(source)
    }

    /// Sends packets of these sources, in turn and without end, until told to stop.
    ///
    /// # Errors
    /// nft fails.
    pub fn traffic(&self, sources: &[&str]) -> Result<Traffic> {
        let sources = sources
            .iter()
            .map(|source| address(source))
            .collect::<Result<Vec<_>>>()?;
        for source in &sources {
            self.count(*source)?;
        }
        let frames: Vec<Frame> = sources
            .iter()
            .map(|source| self.target.frame(&self.sender, *source))
            .collect();
        let rounds = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (sender, counted, stop) = (
            Arc::clone(&self.sender),
            Arc::clone(&rounds),
            Arc::clone(&over),
        );
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                frames.iter().try_for_each(|frame| sender.send(frame))?;
                counted.fetch_add(1, Ordering::Relaxed);
                // Some thousands a second: no queue of the cable overflows.
                thread::sleep(Duration::from_micros(200));
            }
            Ok(())
        });
        Ok(Traffic {
            rounds,
            over,
            thread: Some(thread),
        })
    }
}

/// Packets that go on being sent.
#[derive(Debug)]
pub struct Traffic {
    rounds: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

impl Traffic {
    /// Packets of each source so far.
    pub fn sent(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Waits until so many more packets of each source have been sent.
    ///
    /// # Errors
    /// The sending has stopped.
    pub fn go_on_for(&self, packets: u64) -> Result<()> {
        let goal = self.sent() + packets;
        wait::until("the traffic goes on", Duration::from_secs(20), || {
            Ok((self.sent() >= goal).then_some(()))
        })
    }

    /// Ends it: packets that were sent of each source.
    ///
    /// # Errors
    /// A packet could not be sent.
    pub fn end(mut self) -> Result<u64> {
        self.over.store(true, Ordering::Relaxed);
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Ok(result)) => result?,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => {}
        }
        Ok(self.sent())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn address(text: &str) -> Result<IpAddr> {
    text.parse()
        .with_context(|| format!("{text} as an address"))
}
