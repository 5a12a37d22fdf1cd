//! A host behind a cable, with one kind of protection, that a flood can be sent to.

use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aya::programs::XdpMode;
use nicban::xdp::{Attach, Keep};
use nix::net::if_::if_nametoindex;

use super::super::baselines::{Baseline, Loaded};
use super::super::cpu;
use super::super::sources;
use super::generator::Cable;
use crate::datapath::Datapath;
use crate::net::{Link, Namespace, veth};
use crate::process;

/// The host's MAC address.
pub(super) const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const HOST_MAC_TEXT: &str = "02:00:00:00:00:01";

/// The port that a flood goes to, and the one of those that nobody bans.
pub(super) const FLOODED: u16 = 7;
/// See [`FLOODED`].
pub(super) const SERVED: u16 = 9;

/// More datagrams than a socket's queue has room for: 212,992 bytes by default.
const QUEUE: u32 = 2_000;

/// Rules of a chain that is as long as a busy fail2ban's.
const RULES: usize = 1_000;

/// What keeps a flood from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// An XDP program that drops every frame: the least that a dropped packet can cost.
    BareDrop,
    /// nicban's program.
    Nicban,
    /// An XDP program with one lookup in a kernel hash.
    Lookup,
    /// nftables, a set in a chain of netdev's ingress hook.
    Nftables,
    /// ipset, in PREROUTING of iptables' raw table.
    Ipset,
    /// A thousand rules of iptables in the same place, walked to the end.
    Iptables,
    /// Nothing.
    Nothing,
}

impl Guard {
    /// Its name as a peer.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BareDrop => "bare XDP_DROP",
            Self::Nicban => "nicban",
            Self::Lookup => "one hash lookup",
            Self::Nftables => "nftables, netdev ingress",
            Self::Ipset => "ipset, raw PREROUTING",
            Self::Iptables => "iptables, 1,000 rules",
            Self::Nothing => "no protection",
        }
    }
}

/// What must not be dropped while the lane is in use.
#[expect(dead_code, reason = "held for what its drop does")]
enum Hold {
    Nothing,
    Baseline(Loaded),
    Nicban(Box<Datapath>),
}

/// The host and the outside. Dropped in this order: programs, sockets, namespaces.
pub(super) struct Lane {
    hold: Hold,
    _sockets: [UdpSocket; 2],
    host: Namespace,
    outside: Namespace,
    index: u32,
}

impl Lane {
    /// A protected host on which so many of [`sources::ipv4`] are banned.
    pub(super) fn new(guard: Guard, bans: u32) -> Result<Self> {
        Self::build(guard, bans).with_context(|| format!("set up {}", guard.name()))
    }

    fn build(guard: Guard, bans: u32) -> Result<Self> {
        let host = Namespace::new("flooded")?;
        let outside = Namespace::new("flooding")?;
        veth(
            Link::with_mac(&host, "eth0", HOST_MAC_TEXT),
            Link::new(&outside, "eth0"),
        )?;
        host.add_address("eth0", "198.18.0.1/15".parse()?)?;
        for variable in ["ipv4/conf/all/rp_filter", "ipv4/conf/eth0/rp_filter"] {
            host.sysctl(variable, "0")?;
        }
        let [flooded, served] = host.enter(|| [FLOODED, SERVED].map(full_socket))?;
        let index = outside
            .enter(|| if_nametoindex("eth0"))?
            .context("find the outside's interface")?;
        let mut lane = Self {
            hold: Hold::Nothing,
            _sockets: [flooded?, served?],
            host,
            outside,
            index,
        };
        lane.protect(guard, bans as usize)?;
        Ok(lane)
    }

    fn protect(&mut self, guard: Guard, bans: usize) -> Result<()> {
        let banned = sources::ipv4(bans);
        match guard {
            Guard::BareDrop => self.attach(Loaded::bare(Baseline::Drop)?),
            Guard::Lookup => self.attach(Loaded::lookup_v4(banned.into_iter())?),
            Guard::Nicban => {
                let mut datapath = Datapath::load_with(|options| {
                    options.max_bans = u32::try_from(bans.max(64)).unwrap_or(u32::MAX);
                    // As many counters as the daemon has by default.
                    options.max_offenders = 1 << 16;
                })?;
                for ban in sources::bans(false, bans) {
                    datapath.tables.put(&ban, 0)?;
                }
                let links = &mut datapath.links;
                self.host
                    .enter(|| links.attach("eth0", Attach::Native, Keep::Pinned).map(drop))?
                    .context("attach nicban")?;
                self.hold = Hold::Nicban(Box::new(datapath));
                Ok(())
            }
            Guard::Nftables => {
                self.receive_without_xdp()?;
                crate::net::apply_nft(&self.host, &nft_set(&banned))
            }
            Guard::Ipset => {
                self.receive_without_xdp()?;
                self.host
                    .run_with_input(&["ipset", "restore"], &ipset(&banned))?;
                let rule = "-t raw -A PREROUTING -m set --match-set banned src -j DROP";
                self.iptables(rule)
            }
            Guard::Iptables => {
                self.receive_without_xdp()?;
                self.host
                    .run_with_input(&["iptables-restore"], &rules(&others(bans)))
                    .map(drop)
            }
            Guard::Nothing => self.receive_without_xdp(),
        }
    }

    fn attach(&mut self, mut loaded: Loaded) -> Result<()> {
        self.host
            .enter(|| {
                let program = loaded.program()?;
                program.attach("eth0", XdpMode::Driver).map(drop)?;
                anyhow::Ok(())
            })?
            .context("attach a program")?;
        self.hold = Hold::Baseline(loaded);
        Ok(())
    }

    fn iptables(&self, rule: &str) -> Result<()> {
        let words: Vec<&str> = std::iter::once("iptables").chain(rule.split(' ')).collect();
        self.host.run(&words).map(drop)
    }

    /// A veth takes frames that another program sends where it has an XDP program itself,
    /// or where it merges segments.
    fn receive_without_xdp(&self) -> Result<()> {
        self.host
            .run(&["ethtool", "-K", "eth0", "gro", "on"])
            .map(drop)
    }

    /// Gives both ends a queue for each of two processors.
    pub(super) fn use_two_queues(&self) -> Result<()> {
        for end in [&self.host, &self.outside] {
            end.run(&["ethtool", "-L", "eth0", "rx", "2", "tx", "2"])?;
        }
        Ok(())
    }

    /// From now on the host takes packets from the cable on one processor of its own, and
    /// loses what its queue has no room for, as it does with a network card.
    pub(super) fn receive_on(&self, processor: usize) -> Result<()> {
        let before = receivers()?;
        // `ip netns exec` mounts the /sys that belongs to the namespace.
        let on = "echo 1 > /sys/class/net/eth0/threaded";
        process::run(Command::new("ip").args(["netns", "exec", self.host.name(), "sh", "-c", on]))?;
        let mut new = receivers()?;
        new.retain(|pid| !before.contains(pid));
        ensure!(
            !new.is_empty(),
            "the kernel made no thread for the host's queue"
        );
        for pid in &new {
            cpu::put(*pid, processor)?;
            // Interrupts don't wait for programs either. Not SCHED_FIFO, which the kernel
            // halts for a twentieth of each second.
            process::run(Command::new("renice").args(["-n", "-20", "-p", &pid.to_string()]))?;
        }
        Ok(())
    }

    /// Where a flood starts.
    pub(super) fn cable(&self) -> Cable<'_> {
        Cable {
            outside: &self.outside,
            index: self.index,
        }
    }

    /// Frames that the host has taken from the cable.
    pub(super) fn received(&self) -> Result<u64> {
        let text = self.proc_net("dev")?;
        received(&text).with_context(|| format!("no eth0 in {text}"))
    }

    /// Packets that came as far as the socket of a port.
    pub(super) fn arrived(&self, port: u16) -> Result<u64> {
        let text = self.proc_net("udp")?;
        arrived(&text, port).with_context(|| format!("no socket of port {port} in {text}"))
    }

    fn proc_net(&self, name: &str) -> Result<String> {
        let file = format!("/proc/thread-self/net/{name}");
        self.host
            .enter(|| fs::read_to_string(&file))?
            .with_context(|| format!("read {file}"))
    }
}

/// A socket that nobody reads from, with a full queue: the kernel counts what arrives from
/// now on, and answers nothing.
fn full_socket(port: u16) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(("0.0.0.0", port)).with_context(|| format!("bind port {port}"))?;
    let filler = UdpSocket::bind(("127.0.0.1", 0)).context("bind a port")?;
    for _ in 0..QUEUE {
        filler
            .send_to(&[0; 18], ("127.0.0.1", port))
            .context("fill a socket's queue")?;
    }
    Ok(socket)
}

/// The kernel's threads that receive packets for interfaces called `eth0`.
fn receivers() -> Result<Vec<u32>> {
    cpu::processes(|name| name.starts_with("napi/eth0-"))
}

/// The received packets of `eth0` in `/proc/net/dev`, see proc(5).
fn received(dev: &str) -> Option<u64> {
    let fields = dev
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("eth0:"))?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// The drops in `/proc/net/udp` of the socket that is bound to a port: its last field.
fn arrived(udp: &str, port: u16) -> Option<u64> {
    let ending = format!(":{port:04X}");
    let line = udp.lines().find(|line| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|local| local.ends_with(&ending))
    })?;
    line.split_whitespace().last()?.parse().ok()
}

fn text(address: [u8; 4]) -> String {
    std::net::Ipv4Addr::from(address).to_string()
}

fn nft_set(banned: &[[u8; 4]]) -> String {
    let elements: Vec<String> = banned.iter().copied().map(text).collect();
    format!(
        "table netdev bench {{
            set banned {{ type ipv4_addr; size {}; elements = {{ {} }} }}
            chain ingress {{
                type filter hook ingress device eth0 priority -500; policy accept;
                ip saddr @banned drop
            }}
        }}",
        banned.len(),
        elements.join(", ")
    )
}

fn ipset(banned: &[[u8; 4]]) -> String {
    let mut lines = format!("create banned hash:ip maxelem {}\n", banned.len());
    for address in banned {
        // Writing to a string can't fail.
        writeln!(lines, "add banned {}", text(*address)).ok();
    }
    lines
}

/// Addresses for all rules but the last, none of which the flood comes from.
fn others(bans: usize) -> Vec<[u8; 4]> {
    sources::ipv4(bans + RULES - 1).split_off(bans)
}

/// The last one drops whatever those before have not.
fn rules(others: &[[u8; 4]]) -> String {
    let mut lines = String::from("*raw\n:PREROUTING ACCEPT [0:0]\n");
    for address in others {
        writeln!(lines, "-A PREROUTING -s {} -j DROP", text(*address)).ok();
    }
    lines.push_str("-A PREROUTING -s 10.0.0.0/8 -j DROP\nCOMMIT\n");
    lines
}

/// A guard that lets a flood through protects nothing, and is not to be compared.
pub(super) fn expect_dropped(guard: Guard, arrived: u64) -> Result<()> {
    ensure!(
        arrived == 0,
        "{arrived} packets of banned sources came through {}",
        guard.name()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_packets_are_the_second_field() {
        let dev = "Inter-|   Receive\n    lo:   10  1 0\n  eth0: 9000 150 0 2\n";
        assert_eq!(received(dev), Some(150));
        assert_eq!(received("    lo: 1 2\n"), None);
    }

    #[test]
    fn what_a_full_socket_dropped_has_arrived() {
        let udp = "   sl  local_address rem_address   st\n\
                   12: 00000000:0007 00000000:0000 07 00000000:00000000 00:00 0 0 0 91 2 ff 5\n\
                   14: 00000000:0009 00000000:0000 07 00000000:00000000 00:00 0 0 0 92 2 ff 77\n";
        assert_eq!((arrived(udp, 9), arrived(udp, 7)), (Some(77), Some(5)));
        assert_eq!(arrived(udp, 70), None);
    }

    #[test]
    fn a_thousand_rules_are_a_thousand() {
        let rules = rules(&others(2_000));
        assert_eq!(rules.matches("-A PREROUTING").count(), 1_000);
        for banned in sources::ipv4(2_000) {
            assert!(!rules.contains(&format!(" {} ", text(banned))));
        }
    }

    #[test]
    fn a_leak_is_told_with_the_guard() {
        let error = expect_dropped(Guard::Ipset, 3).unwrap_err().to_string();
        assert!(
            error.contains("3 packets") && error.contains("ipset"),
            "{error}"
        );
    }
}
