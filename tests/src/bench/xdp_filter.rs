//! xdp-filter, of Debian's xdp-tools, on an interface of its own.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::Xdp;
use aya_obj::programs::XdpAttachType;

use crate::net::{Link, Namespace, Scratch, veth};
use crate::process::Process;
use crate::wait;

/// What runs in a mount namespace: xdp-filter pins its things at fixed places of the
/// BPF file system, so it gets one of its own, and only the program's pin reaches ours.
/// It stays, because the pins go with it.
const SET_UP: &str = r#"
set -e
outer=$1 pin=$2
shift 2
mkdir "$outer"
mount --bind /sys/fs/bpf "$outer"
mount -t bpf bpf /sys/fs/bpf
xdp-filter load --features ipv4,ipv6 eth0
for address in "$@"; do xdp-filter ip --mode src "$address"; done
id=$(ip -json link show dev eth0 | sed 's/.*"prog":{"id":\([0-9]*\).*/\1/')
bpftool prog pin id "$id" "$outer/$pin"
exec sleep infinity
"#;

/// xdp-filter at work. Gone when dropped.
#[derive(Debug)]
pub(super) struct XdpFilter {
    // Dropped in this order: the program first, the namespaces last.
    program: Xdp,
    _keeper: Process,
    _pins: Scratch,
    _outer: Scratch,
    _host: Namespace,
    _outside: Namespace,
}

impl XdpFilter {
    /// Loads it for IPv4 and IPv6, with these addresses to drop.
    pub(super) fn new(addresses: &[String]) -> Result<Self> {
        let host = Namespace::new("filtered")?;
        let outside = Namespace::new("unfiltered")?;
        veth(Link::new(&host, "eth0"), Link::new(&outside, "eth0"))?;
        let folder = Scratch::new("xdp-filter")?;
        let pins = Scratch::pins("xdp-filter");
        fs::create_dir(pins.path()).context("make a folder for pins")?;
        let inside = pins.path().strip_prefix("/sys/fs/bpf")?.join("prog");
        let pin = pins.path().join("prog");
        let mut command = host.command("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                SET_UP,
                "sh",
            ])
            .arg(folder.path().join("bpf"))
            .arg(inside)
            .args(addresses);
        let mut keeper = Process::spawn("xdp-filter", &mut command)?;
        wait::until(
            "xdp-filter's program is pinned",
            Duration::from_secs(20),
            || {
                keeper.expect_alive()?;
                Ok(pin.exists().then_some(()))
            },
        )
        .with_context(|| keeper.output())?;
        let program =
            Xdp::from_pin(&pin, XdpAttachType::Interface).context("open xdp-filter's program")?;
        Ok(Self {
            program,
            _keeper: keeper,
            _pins: pins,
            _outer: folder,
            _host: host,
            _outside: outside,
        })
    }

    /// Its program, or the one that calls it.
    pub(super) fn program(&self) -> &Xdp {
        &self.program
    }
}
