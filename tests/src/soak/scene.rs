//! A host with the daemon, an outside that sends, and EC2 on the host's loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nicban_protocol::NaclState;

use super::Options;
use crate::daemon::{Daemon, HOST, MAC_TEXT, Site, Start};
use crate::hosts::{Cloud, CloudConfig};
use crate::standin::acl::{Action, Entry};
use crate::standin::control::Control;
use crate::standin::state::Change;
use crate::wait;

const EC2: &str = "127.0.0.1:4566";
const IMDS: &str = "169.254.169.254";

/// The rule number, among nicban's own, of an entry that is somebody else's.
const NEIGHBOUR: u16 = 50;

/// Changes of the NACL that may be made at once, and in a second.
pub(super) const BURST: u64 = 20;
pub(super) const PER_SECOND: u64 = 2;

/// How long the daemon may take to find its NACL.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is there for the whole of the soak.
pub(super) struct Scene {
    pub(super) site: Site,
    pub(super) cloud: Cloud,
    program: PathBuf,
}

impl Scene {
    /// Hosts and EC2, with a neighbour's entry in the NACL.
    pub(super) fn new(options: &Options) -> Result<Self> {
        let site = Site::new()?;
        let host = site.host();
        host.ip(&["link", "set", "lo", "up"])?;
        host.add_address("lo", format!("{IMDS}/32").parse()?)?;
        let cloud = Cloud::start(
            host,
            site.folder(),
            &CloudConfig {
                program: options.standin()?,
                ec2: EC2.parse()?,
                imds: format!("{IMDS}:80").parse()?,
                mac: MAC_TEXT.to_owned(),
                instance: HOST.parse::<Ipv4Addr>()?,
                subnet: "192.0.2.0/24".parse()?,
            },
        )?;
        let scene = Self {
            site,
            cloud,
            program: options.nicban.clone(),
        };
        scene.order(&Control::Change {
            change: Change::PutEntry {
                acl: scene.cloud.acl_id().to_owned(),
                entry: neighbour()?,
            },
        })?;
        Ok(scene)
    }

    /// Starts the daemon, and waits until it answers.
    pub(super) fn start(&self) -> Result<Daemon> {
        let config = self
            .site
            .config()
            .set("nacl", "enabled", "\"on\"")
            .set("nacl", "min_term", "\"2s\"")
            .set("nacl", "first_term", "\"4s\"")
            .set("nacl", "longest_term", "\"30s\"")
            .set("nacl", "probation", "\"3s\"")
            .set("nacl", "observe_every", "\"5s\"")
            .set("nacl", "observe_at_most", "\"5s\"")
            .set("nacl", "calls_burst", &BURST.to_string())
            .set("nacl", "calls_per_second", &format!("{PER_SECOND}.0"))
            .set("rank", "half_life", "\"2s\"")
            .set("rank", "warm_up", "\"500ms\"");
        let start = Start {
            program: self.program.clone(),
            config: config.to_toml(),
            socket: self.site.socket(),
            environment: vec![("AWS_ENDPOINT_URL_EC2".to_owned(), format!("http://{EC2}"))],
        };
        Daemon::start(self.site.host(), self.site.folder(), &start)
    }

    /// Waits until the NACL tier is at work.
    pub(super) fn wait_for_the_tier(daemon: &Daemon) -> Result<()> {
        wait::until("the NACL tier is at work", PATIENCE, || {
            let state = daemon.status()?.nacl.state;
            Ok((state == NaclState::On).then_some(()))
        })
        .with_context(|| daemon.log())
    }

    /// Gives EC2 an order.
    pub(super) fn order(&self, order: &Control) -> Result<()> {
        self.cloud.control().order(self.site.host(), order)
    }

    /// The denies that are not AWS's own nor the neighbour's; fails if that is not as it was.
    pub(super) fn denied(&self) -> Result<Vec<Entry>> {
        let acl = self.cloud.control().acl(self.site.host())?;
        let neighbour = neighbour()?;
        ensure!(
            acl.entries.get(&neighbour.key()) == Some(&neighbour),
            "the neighbour's entry is not what it was: {:?}",
            acl.entries.get(&neighbour.key())
        );
        let allows = acl.entries.values().filter(|e| e.action == Action::Allow);
        ensure!(allows.count() == 4, "the allows are not what they were");
        let own = acl
            .entries
            .into_values()
            .filter(|e| e.action == Action::Deny && !e.is_protected() && *e != neighbour);
        Ok(own.collect())
    }

    /// Changes of the NACL that EC2 was asked for so far.
    pub(super) fn changes(&self) -> Result<u64> {
        let calls = self.cloud.control().calls(self.site.host())?;
        Ok(calls
            .iter()
            .filter(|(action, _)| !action.starts_with("Describe"))
            .flat_map(|(_, outcomes)| outcomes.values())
            .sum())
    }
}

fn neighbour() -> Result<Entry> {
    let network = IpAddr::from([100, 64, 0, 0]);
    let network = ipnet::IpNet::new(network, 24)?;
    Ok(Entry::ingress(NEIGHBOUR, Action::Deny, network))
}
