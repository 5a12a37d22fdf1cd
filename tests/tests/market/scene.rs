//! Sources, a subnet's boundary, a bastion behind it.
//!
//! ```text
//! outside ── (outside) boundary (inside) ── bastion
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use nicban_protocol::{Ban, NaclState, Outcome, Reply, Request};
use nicban_tests::clock::now;
use nicban_tests::daemon::{Daemon, Program, Start, program};
use nicban_tests::hosts::{Boundary, Cloud, CloudConfig, Flood};
use nicban_tests::net::{Arrivals, Link, Namespace, Scratch, veth};
use nicban_tests::standin::control::Control;
use nicban_tests::standin::ec2::Calls;
use nicban_tests::wait;

/// How long anything may take: some terms and a probation.
const LIMIT: Duration = Duration::from_secs(25);

/// Slots for IPv4: a quota of this, less the allow-all and the default deny.
pub(crate) const SLOTS: u32 = 2;
const QUOTA: u32 = SLOTS + 2;

/// So many packets in a row have to meet the same fate.
const ROW: u64 = 100;

const BASTION: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
const BASTION_MAC: &str = "02:00:00:00:77:10";
const EC2: &str = "10.77.0.2:4566";

/// Where everyone sends to. Nobody listens: it is what comes before that counts.
const PORT: u16 = 9;

/// Packets of one source that were stopped, by where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped {
    pub(crate) at_boundary: u64,
    pub(crate) by_xdp: u64,
}

/// The hosts, with what runs on them; what has to end first stands first.
pub(crate) struct Scene {
    flood: Flood,
    daemon: Daemon,
    boundary: Boundary,
    cloud: Cloud,
    bastion: Namespace,
    router: Arc<Namespace>,
    outside: Namespace,
    _pins: Scratch,
    _folder: Scratch,
}

impl Scene {
    /// A tier at work with [`SLOTS`] slots, and nobody banned. Its hours are seconds.
    pub(crate) fn new(sources: &[IpAddr]) -> Result<Self> {
        let outside = Namespace::new("outside")?;
        let router = Arc::new(Namespace::new("boundary")?);
        let bastion = Namespace::new("bastion")?;
        connect(&outside, &router, &bastion, sources)?;
        let folder = Scratch::new("market")?;
        let pins = Scratch::pins("market");
        let cloud = Cloud::start(
            &router,
            folder.path(),
            &CloudConfig {
                program: env!("CARGO_BIN_EXE_nicban-standin").into(),
                ec2: EC2.parse()?,
                imds: "169.254.169.254:80".parse()?,
                mac: BASTION_MAC.to_owned(),
                instance: BASTION,
                subnet: "10.77.0.0/24".parse()?,
            },
        )?;
        let quota = Control::Quota { rules: QUOTA };
        cloud.control().order(&router, &quota)?;
        let boundary = Boundary::start(&router, "inside", cloud.control())?;
        let daemon = Daemon::start(&bastion, folder.path(), &config(&folder, &pins)?)?;
        let scene = Self {
            flood: Flood::new(),
            daemon,
            boundary,
            cloud,
            bastion,
            router,
            outside,
            _pins: pins,
            _folder: folder,
        };
        scene.wait("the tier is at work", || {
            let nacl = scene.daemon.status()?.nacl;
            let at_work = nacl.state == NaclState::On && nacl.slots_v4 == SLOTS;
            Ok(at_work.then_some(()))
        })?;
        Ok(scene)
    }

    /// Counts what arrives at the bastion, behind XDP.
    pub(crate) fn arrivals(&self, purpose: &str) -> Result<Arrivals<'_>> {
        let datagrams = format!("udp dport {PORT}");
        Arrivals::matching(&self.bastion, purpose, &datagrams)
    }

    /// Sends `rate` packets/s from one of the sources, from now on.
    pub(crate) fn send(&self, from: IpAddr, rate: f64) -> Result<()> {
        let to = SocketAddr::from((BASTION, PORT));
        self.flood.add(&self.outside, from, to, rate)
    }

    /// Changes its rate.
    pub(crate) fn pace(&self, from: IpAddr, rate: f64) -> Result<()> {
        self.flood.pace(from, rate)
    }

    /// Bans an address for an hour; once it returns, XDP drops it.
    pub(crate) fn ban(&self, address: IpAddr) -> Result<()> {
        let reply = self.daemon.ask(&Request::Ban(Ban {
            holder: "sshd".to_owned(),
            address: address.to_string(),
            time: now(),
            bantime: 3600,
            bancount: 1,
            failures: 5,
            restored: false,
            reason: None,
        }))?;
        match reply {
            Reply::Done {
                outcome: Outcome::Enforced,
                ..
            } => Ok(()),
            other => bail!("a ban of {address}: {other:?}"),
        }
    }

    /// What was stopped of a source so far.
    pub(crate) fn stopped(&self, from: IpAddr) -> Result<Stopped> {
        let at_boundary = self.boundary.denied()?;
        let ban = self.daemon.ban_of(from)?;
        Ok(Stopped {
            at_boundary: at_boundary.get(&IpNet::from(from)).copied().unwrap_or(0),
            by_xdp: ban.map_or(0, |ban| ban.dropped.packets),
        })
    }

    /// Waits until a row of a source's packets is stopped at the boundary, and none of
    /// them comes as far as XDP.
    pub(crate) fn wait_stopped_at_boundary(&self, from: IpAddr) -> Result<()> {
        let mut first = self.stopped(from)?;
        self.wait(&format!("{from} is stopped at the boundary"), || {
            let now = self.stopped(from)?;
            if now.by_xdp != first.by_xdp {
                first = now;
            }
            Ok((now.at_boundary >= first.at_boundary + ROW).then_some(()))
        })
    }

    /// Waits until a row of a source's packets is dropped by XDP, and none of them at
    /// the boundary before.
    pub(crate) fn wait_dropped_by_xdp(&self, from: IpAddr) -> Result<()> {
        let mut first = self.stopped(from)?;
        self.wait(&format!("{from} is dropped by XDP"), || {
            let now = self.stopped(from)?;
            if now.at_boundary != first.at_boundary {
                first = now;
            }
            Ok((now.by_xdp >= first.by_xdp + ROW).then_some(()))
        })
    }

    /// Calls to EC2 so far.
    pub(crate) fn calls(&self) -> Result<Calls> {
        self.cloud.control().calls(&self.router)
    }

    /// Waits for something; in vain, it tells what the daemon said.
    pub(crate) fn wait<T>(&self, what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        wait::until(what, LIMIT, look)
            .with_context(|| format!("the daemon said:\n{}", self.daemon.log()))
    }
}

fn connect(
    outside: &Namespace,
    router: &Namespace,
    bastion: &Namespace,
    sources: &[IpAddr],
) -> Result<()> {
    router.make_router()?;
    let near = Link::with_mac(bastion, "eth0", BASTION_MAC);
    veth(Link::new(router, "inside"), near)?;
    veth(Link::new(router, "outside"), Link::new(outside, "eth0"))?;
    for (host, interface, address) in [
        (router, "inside", "10.77.0.1/24"),
        (router, "inside", "10.77.0.2/24"),
        (router, "lo", "169.254.169.254/32"),
        (router, "outside", "198.18.0.1/30"),
        (bastion, "eth0", "10.77.0.10/24"),
        (outside, "eth0", "198.18.0.2/30"),
    ] {
        host.add_address(interface, address.parse()?)?;
    }
    bastion.add_route(&["0.0.0.0/0", "via", "10.77.0.1"])?;
    outside.add_route(&["0.0.0.0/0", "via", "198.18.0.1"])?;
    for source in sources {
        ensure!(source.is_ipv4(), "{source} has no way here");
        outside.add_address("eth0", (*source).into())?;
        router.add_route(&[&source.to_string(), "via", "198.18.0.2"])?;
    }
    Ok(())
}

fn config(folder: &Scratch, pins: &Scratch) -> Result<Start> {
    let socket = folder.path().join("nicban.sock");
    let config = format!(
        "[daemon]\n\
         socket = \"{}\"\n\
         state_dir = \"{}\"\n\
         [xdp]\n\
         interfaces = [\"eth0\"]\n\
         pin_dir = \"{}\"\n\
         max_bans = 4096\n\
         max_nets = 64\n\
         max_offenders = 1024\n\
         [rank]\n\
         half_life = \"1s\"\n\
         warm_up = \"500ms\"\n\
         tick = \"200ms\"\n\
         [nacl]\n\
         enabled = \"on\"\n\
         quota = {QUOTA}\n\
         min_term = \"2s\"\n\
         first_term = \"4s\"\n\
         longest_term = \"8s\"\n\
         probation = \"3s\"\n\
         observe_every = \"5s\"\n\
         observe_at_most = \"5s\"\n\
         calls_burst = 50\n\
         calls_per_second = 5.0\n\
         [metrics]\n\
         enabled = false\n\
         [log]\n\
         target = \"stderr\"\n",
        socket.display(),
        folder.path().join("state").display(),
        pins.path().display(),
    );
    Ok(Start {
        program: program(Program::Nicban)?,
        config,
        socket,
        environment: vec![("AWS_ENDPOINT_URL_EC2".to_owned(), format!("http://{EC2}"))],
    })
}
