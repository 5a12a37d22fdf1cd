//! Frames on a cable, as the network card would send and see them.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::os::fd::AsFd as _;

use super::frame::Frame;
use super::namespace::Namespace;

/// Sends frames out of an interface, past the whole network stack.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
    interface: LinkAddr,
}

impl Sender {
    /// A sender on a namespace's interface.
    ///
    /// # Errors
    /// The interface is unknown, or a packet socket is refused.
    pub fn new(namespace: &Namespace, interface: &str) -> Result<Self> {
        namespace.enter(|| {
            let interface = getifaddrs()
                .context("list the interfaces")?
                .filter(|found| found.interface_name == interface)
                .find_map(|found| found.address?.as_link_addr().copied())
                .with_context(|| format!("no interface {interface} in {}", namespace.name()))?;
            Ok(Self {
                socket: packet_socket(None)?,
                interface,
            })
        })?
    }

    /// The interface's own MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.interface.addr().unwrap_or_default()
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The interface is down, or the frame is longer than its MTU.
    pub fn send(&self, frame: &Frame) -> Result<()> {
        sendto(
            self.socket.as_raw_fd(),
            frame.bytes(),
            &self.interface,
            MsgFlags::empty(),
        )
        .map(drop)
        .with_context(|| format!("send {} bytes", frame.bytes().len()))
    }
}

/// Sees every frame that reaches or leaves a host: what XDP drops never gets here.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
}

impl Tap {
    /// A tap that sees from now on what passes in a namespace.
    ///
    /// # Errors
    /// A packet socket is refused.
    pub fn new(namespace: &Namespace) -> Result<Self> {
        Ok(Self {
            socket: namespace.enter(|| packet_socket(Some(SockProtocol::EthAll)))??,
        })
    }

    /// Whether a frame that ends with `ending` comes by within `limit`.
    ///
    /// # Errors
    /// The socket fails.
    pub fn sees(&self, ending: &[u8], limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        let mut buffer = [0; 2_048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut waiting, timeout).context("wait for a frame")? == 0 {
                return Ok(false);
            }
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) if buffer[..length].ends_with(ending) => return Ok(true),
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(error) => return Err(error).context("read a frame"),
            }
        }
    }
}

fn packet_socket(protocol: Option<SockProtocol>) -> Result<OwnedFd> {
    socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )
    .context("open a packet socket")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Link, veth};

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn a_tap_sees_what_was_sent_and_nothing_else() {
        let (near, far) = (
            Namespace::new("near").unwrap(),
            Namespace::new("far").unwrap(),
        );
        veth(
            Link::new(&near, "eth0"),
            Link::with_mac(&far, "eth0", "02:00:00:00:00:02"),
        )
        .unwrap();
        let sender = Sender::new(&near, "eth0").unwrap();
        let tap = Tap::new(&far).unwrap();
        let frame = |payload| {
            let addresses = (
                "192.0.2.1:1".parse().unwrap(),
                "192.0.2.2:2".parse().unwrap(),
            );
            Frame::udp(
                (&sender.mac(), &[2, 0, 0, 0, 0, 2]),
                addresses.0,
                addresses.1,
                payload,
            )
        };
        sender.send(&frame(b"plain")).unwrap();
        assert!(tap.sees(b"plain", LIMIT).unwrap());
        sender.send(&frame(b"tagged").tagged(0x8100, 7)).unwrap();
        assert!(tap.sees(b"tagged", LIMIT).unwrap());
        assert!(!tap.sees(b"unsent", Duration::from_millis(50)).unwrap());
    }
}
