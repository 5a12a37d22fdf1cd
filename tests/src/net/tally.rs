//! Counting what arrives at a host, past its firewall.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::Namespace;

/// Room for what arrives while the counting thread waits for a processor, in bytes.
const QUEUE: usize = 64 << 20;

/// How soon a count that is dropped ends, in ms.
const POLL: i64 = 50;

/// What arrived of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Packets.
    pub packets: u64,
    /// When the first one was counted.
    pub first: Instant,
    /// When the last one was.
    pub last: Instant,
}

/// Counts the UDP packets of each source that reach a host, on whatever interface it has
/// or gets: behind XDP, before netfilter. So `nft flush ruleset` does not touch it, and an
/// interface may come and go.
#[derive(Debug)]
pub struct Tally {
    arrived: Arc<Mutex<BTreeMap<IpAddr, Arrived>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Tally {
    /// Counts from now on what goes to a UDP port in a namespace.
    ///
    /// # Errors
    /// A packet socket is refused.
    pub fn new(namespace: &Namespace, port: u16) -> Result<Self> {
        let socket = namespace.enter(listening)??;
        let arrived = Arc::new(Mutex::default());
        let over = Arc::new(AtomicBool::new(false));
        let (counted, stop) = (Arc::clone(&arrived), Arc::clone(&over));
        let thread = thread::spawn(move || count_until(&stop, &socket, port, &counted));
        Ok(Self {
            arrived,
            over,
            thread: Some(thread),
        })
    }

    /// What arrived of a source so far, if anything did.
    pub fn of(&self, source: IpAddr) -> Option<Arrived> {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.get(&source).copied()
    }

    /// Packets of a source so far.
    pub fn packets(&self, source: IpAddr) -> u64 {
        self.of(source).map_or(0, |arrived| arrived.packets)
    }

    /// Forgets what it has counted.
    pub fn clear(&self) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.clear();
    }

    /// Fails where the counting has ended early.
    ///
    /// # Errors
    /// It has; the error says why.
    pub fn expect_counting(&mut self) -> Result<()> {
        let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        if !ended {
            return Ok(());
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.and_then(|()| anyhow::bail!("nobody counts any more")),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => anyhow::bail!("nobody counts any more"),
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn listening() -> Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        Some(SockProtocol::EthAll),
    )
    .context("open a packet socket")?;
    setsockopt(&socket, sockopt::RcvBufForce, &QUEUE).context("size the queue")?;
    let poll = TimeVal::milliseconds(POLL);
    setsockopt(&socket, sockopt::ReceiveTimeout, &poll).context("set a time limit")?;
    Ok(socket)
}

fn count_until(
    stop: &AtomicBool,
    socket: &OwnedFd,
    port: u16,
    arrived: &Mutex<BTreeMap<IpAddr, Arrived>>,
) -> Result<()> {
    // Headers are all that is looked at.
    let mut buffer = [0; 128];
    while !stop.load(Ordering::Relaxed) {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            // Of the last one, whoever waits has stopped waiting: an interface went down.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => continue,
            Err(error) => return Err(error).context("read a packet"),
        };
        let Some(source) = source_of(&buffer[..length], port) else {
            continue;
        };
        let now = Instant::now();
        let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = arrived.entry(source).or_insert(Arrived {
            packets: 0,
            first: now,
            last: now,
        });
        counted.packets += 1;
        counted.last = now;
    }
    Ok(())
}

/// The source of a UDP packet to a port, from its IP header on.
fn source_of(packet: &[u8], port: u16) -> Option<IpAddr> {
    const UDP: u8 = 17;
    let (source, protocol, datagram) = match packet.first()? >> 4 {
        4 => {
            let words = usize::from(packet[0] & 0xf);
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            (Ipv4Addr::from(source).into(), packet[9], words * 4)
        }
        6 => {
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            (IpAddr::from(Ipv6Addr::from(source)), packet[6], 40)
        }
        _ => return None,
    };
    let to: [u8; 2] = packet.get(datagram + 2..datagram + 4)?.try_into().ok()?;
    (protocol == UDP && u16::from_be_bytes(to) == port).then_some(source)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::net::{Link, veth};
    use crate::wait;

    #[test]
    fn it_counts_by_source_what_goes_to_the_port() {
        let (near, far) = (
            Namespace::new("near").unwrap(),
            Namespace::new("far").unwrap(),
        );
        veth(Link::new(&near, "eth0"), Link::new(&far, "eth0")).unwrap();
        for (namespace, host) in [(&near, 1), (&far, 2)] {
            for address in [format!("192.0.2.{host}/24"), format!("2001:db8::{host}/64")] {
                namespace
                    .add_address("eth0", address.parse().unwrap())
                    .unwrap();
            }
        }
        let mut tally = Tally::new(&far, 9).unwrap();
        for (from, to, packets) in [
            ("192.0.2.1:0", "192.0.2.2:9", 3),
            ("192.0.2.1:0", "192.0.2.2:10", 5),
            ("[2001:db8::1]:0", "[2001:db8::2]:9", 4),
        ] {
            near.enter(|| {
                let socket = UdpSocket::bind(from).unwrap();
                for _ in 0..packets {
                    socket.send_to(b"hello", to).unwrap();
                }
            })
            .unwrap();
        }
        for (source, packets) in [("192.0.2.1", 3), ("2001:db8::1", 4)] {
            let source = source.parse().unwrap();
            wait::until("the packets arrive", Duration::from_secs(5), || {
                Ok((tally.packets(source) == packets).then_some(()))
            })
            .unwrap();
        }
        tally.expect_counting().unwrap();
        tally.clear();
        assert_eq!(tally.of("192.0.2.1".parse().unwrap()), None);
    }
}
