//! What runs on the hosts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nicban_protocol::AttachMode;

use super::options::Options;
use super::story::Story;
use super::topology::{BASTION, BASTION_MAC, BASTION_V4, EC2, INSIDE, SUBNET, Topology};
use crate::daemon::{self, Daemon};
use crate::hosts::{
    Boundary, Cloud, CloudConfig, Edition, Fail2ban, Fail2banConfig, Honest, Keys, Sshd,
};
use crate::process::find_program;
use crate::wait;

/// What has to be installed.
const PROGRAMS: [&str; 11] = [
    "ip",
    "nft",
    "nsenter",
    "unshare",
    "timeout",
    "sshd",
    "ssh",
    "ssh-keygen",
    "sshpass",
    "fail2ban-server",
    "fail2ban-client",
];

/// The services, in the order in which they have to end.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) fail2ban: Fail2ban,
    pub(super) sshd: Sshd,
    pub(super) daemon: Daemon,
    pub(super) boundary: Boundary,
    pub(super) cloud: Cloud,
    keys: Keys,
}

impl Services {
    /// Starts them one after another, each up before the next.
    pub(super) fn start(topology: &Topology, options: &Options) -> Result<Self> {
        let folder = topology.folder.path();
        let cloud = Cloud::start(
            &topology.boundary,
            folder,
            &CloudConfig {
                program: standin_program(options)?,
                ec2: EC2.parse().context("the EC2 stand-in's address")?,
                imds: "169.254.169.254:80".parse().context("IMDS' address")?,
                mac: BASTION_MAC.to_owned(),
                instance: BASTION_V4,
                subnet: SUBNET.parse().context("the subnet")?,
            },
        )?;
        let boundary = Boundary::start(&topology.boundary, INSIDE, cloud.control())?;
        let daemon = Daemon::start(&topology.bastion, folder, &daemon_start(topology, options)?)?;
        let keys = Keys::generate(folder, "visitor")?;
        let sshd = Sshd::start(&topology.bastion, folder, &keys)?;
        let fail2ban = Fail2ban::start(
            &topology.bastion,
            folder,
            &Fail2banConfig {
                edition: Edition::installed(),
                shipped: existing(&options.fail2ban_dir)?,
                jail_local: jail_local(sshd.log()),
                action: existing(&options.action)?,
                socket: socket(topology),
            },
        )?;
        Ok(Self {
            fail2ban,
            sshd,
            daemon,
            boundary,
            cloud,
            keys,
        })
    }

    /// What is up.
    pub(super) fn introduction(&self) -> Result<String> {
        let status = self.daemon.status()?;
        let attached = status
            .attachments
            .iter()
            .map(|attachment| {
                let mode = match attachment.mode {
                    Some(AttachMode::Native) => "native XDP",
                    Some(AttachMode::Generic) => "generic XDP",
                    None => "not attached",
                };
                format!("{} ({mode})", attachment.interface)
            })
            .collect::<Vec<_>>()
            .join(", ");
        let fail2ban = self.fail2ban.client(&["version"])?;
        Ok(format!(
            "nicban {} on {attached}; fail2ban {}; NACL {}",
            status.version,
            fail2ban.trim(),
            self.cloud.acl_id()
        ))
    }

    /// Starts the honest client, and waits for its first session.
    pub(super) fn start_honest_client(
        &mut self,
        topology: &Topology,
        story: &Story,
    ) -> Result<Honest> {
        let honest = Honest::start(&topology.honest, &self.keys, &BASTION);
        wait::until(
            "the honest client is served over IPv4 and IPv6",
            Duration::from_secs(20),
            || {
                self.expect_alive()?;
                let served = honest.served();
                ensure!(
                    served.failures.is_empty(),
                    "the honest client is turned away: {:?}",
                    served.failures
                );
                Ok((served.served >= 2).then_some(()))
            },
        )?;
        story.say("served over IPv4 and IPv6");
        Ok(honest)
    }

    /// Fails when one of them has ended.
    pub(super) fn expect_alive(&mut self) -> Result<()> {
        self.daemon.expect_alive()?;
        self.sshd.expect_alive()?;
        self.fail2ban.expect_alive()?;
        self.cloud.expect_alive()
    }
}

/// Looks for every program that the demo runs, before it begins.
///
/// # Errors
/// One of them is not installed; the error names all that are not.
pub(super) fn check_programs() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|program| find_program(program).is_err())
        .collect();
    ensure!(
        missing.is_empty(),
        "not installed: {} (on Debian: apt-get install iproute2 nftables openssh-server openssh-client sshpass \
         fail2ban util-linux)",
        missing.join(", ")
    );
    Ok(())
}

fn daemon_start(topology: &Topology, options: &Options) -> Result<daemon::Start> {
    let socket = socket(topology);
    let config = format!(
        "[daemon]\n\
         socket = \"{}\"\n\
         state_dir = \"{}\"\n\
         [xdp]\n\
         interfaces = [\"eth0\"]\n\
         pin_dir = \"{}\"\n\
         # Everything quicker than by default: the demo's hours are minutes.\n\
         [rank]\n\
         half_life = \"2s\"\n\
         warm_up = \"1s\"\n\
         tick = \"500ms\"\n\
         [nacl]\n\
         enabled = \"on\"\n\
         min_term = \"10s\"\n\
         first_term = \"20s\"\n\
         longest_term = \"5m\"\n\
         probation = \"5s\"\n\
         # Each attacker for itself, so that one sees who is where.\n\
         share_slot = 0\n\
         observe_every = \"5s\"\n\
         calls_burst = 50\n\
         calls_per_second = 5.0\n\
         [metrics]\n\
         listen = \"127.0.0.1:0\"\n",
        socket.display(),
        topology.folder.path().join("state").display(),
        topology.pins.path().display(),
    );
    let environment = vec![("AWS_ENDPOINT_URL_EC2".to_owned(), format!("http://{EC2}"))];
    Ok(daemon::Start {
        program: existing(&options.nicban)?,
        config,
        socket,
        environment,
    })
}

/// Only what the demo can't do without: its own log, and a short patience.
fn jail_local(log: &Path) -> String {
    format!(
        "[sshd]\n\
         enabled = true\n\
         backend = auto\n\
         logpath = {}\n\
         maxretry = 3\n\
         findtime = 10m\n\
         bantime = 1h\n",
        log.display()
    )
}

fn socket(topology: &Topology) -> PathBuf {
    topology.folder.path().join("nicban.sock")
}

fn standin_program(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.standin {
        return existing(path);
    }
    let own = std::env::current_exe().context("this program's own path")?;
    existing(&own.with_file_name("nicban-standin"))
}

fn existing(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("{} is needed", path.display()))
}
