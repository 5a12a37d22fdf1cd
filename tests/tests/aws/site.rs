//! An instance in a subnet: a network namespace with its own EC2 and IMDS.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use nicban_protocol::{Ban, Client, NaclState, NaclStatus, Outcome, Reply, Request, Status};
pub(crate) use nicban_tests::clock::now;
use nicban_tests::daemon::{Target, Wire};
use nicban_tests::net::{Link, Namespace, Scratch, veth};
use nicban_tests::process::Process;
use nicban_tests::standin::acl::{Acl, Action};
use nicban_tests::standin::config::Ec2Config;
use nicban_tests::standin::credentials::Issued;
use nicban_tests::standin::ec2::Ec2StandIn;
use nicban_tests::standin::imds::ImdsControl;
use nicban_tests::standin::metadata::Interface;
use nicban_tests::standin::moto::{Moto, MotoError, Seeded};
use nicban_tests::standin::pair::{Config, Pair};
use nicban_tests::wait;
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;

/// The instance's interface.
pub(crate) const MAC: &str = "06:00:00:00:00:01";
/// Its subnet.
pub(crate) const SUBNET: &str = "subnet-0123456789abcdef0";
/// The subnet's NACL.
pub(crate) const ACL: &str = "acl-0123456789abcdef0";
/// Another NACL, for tests that make one.
pub(crate) const OTHER_ACL: &str = "acl-0123456789abcdef1";
/// The VPC of both.
pub(crate) const VPC: &str = "vpc-0a1b2c3d4e5f60718";

/// Where both doubles of EC2 are.
pub(crate) const REGION: &str = "eu-central-1";

/// How long anything may take that is not bound to a longer interval.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// How long a request to the daemon may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Its output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The instance. What ends first stands first.
pub(crate) struct Site {
    daemon: Option<Process>,
    /// The EC2 that nicban talks to, where it is not `cloud`'s.
    moto: Option<Moto>,
    pub(crate) cloud: Rc<Pair>,
    pins: Scratch,
    folder: Scratch,
    pub(crate) host: Rc<Namespace>,
    runtime: Rc<Runtime>,
    interfaces: Vec<String>,
    pub(crate) ec2: String,
    pub(crate) imds: String,
    /// The instance's subnet.
    pub(crate) subnet: String,
    /// The NACL that guards it.
    pub(crate) guard: String,
}

/// A test of each of these functions against either EC2: the stand-in, and moto, which
/// knows nothing of what we believe of EC2. Only where moto does as AWS does.
macro_rules! on_either {
    ($($test:ident),+ $(,)?) => {
        mod on_the_stand_in {
            $(#[test] fn $test() { super::$test(&mut $crate::site::Site::new("")); })+
        }
        mod on_moto {
            $(#[test] fn $test() { super::$test(&mut $crate::site::Site::on_moto("")); })+
        }
    };
}
pub(crate) use on_either;

impl Site {
    /// One subnet with a NACL as AWS makes it; `more` is put under `[nacl]`.
    pub(crate) fn new(more: &str) -> Self {
        Self::with(Config::default(), more)
    }

    /// One subnet with a NACL as moto makes it. IMDS is the stand-in all the same:
    /// moto's own does not work with the SDK.
    pub(crate) fn on_moto(more: &str) -> Self {
        // A namespace can't reach PyPI.
        Moto::install().unwrap();
        let mut site = Self::new(more);
        let (moto, seeded) = site
            .host
            .enter(|| {
                let moto = Moto::start()?;
                let seeded = moto.seed(REGION)?;
                Ok::<_, MotoError>((moto, seeded))
            })
            .unwrap()
            .unwrap();
        let Seeded { subnet, acl, .. } = seeded;
        let interfaces = vec![Interface::simple(MAC, &subnet)];
        let order = ImdsControl::Interfaces { interfaces };
        site.cloud.imds.control(order);
        site.ec2 = moto.endpoint();
        site.moto = Some(moto);
        (site.subnet, site.guard) = (subnet, acl);
        site
    }

    /// With stand-ins of another make.
    pub(crate) fn with(cloud: Config, more: &str) -> Self {
        let host = Namespace::new("aws").unwrap();
        let near = Link::with_mac(&host, "ens5", MAC);
        veth(near, Link::new(&host, "wire")).unwrap();
        let address = "10.0.1.10/24".parse().unwrap();
        host.add_address("ens5", address).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let cloud = host
            .enter(|| runtime.block_on(Pair::start(cloud)))
            .unwrap()
            .unwrap();
        Self::in_cloud(
            Rc::new(cloud),
            Rc::new(host),
            Rc::new(runtime),
            "ens5",
            more,
        )
    }

    /// Packets to the instance, whose namespace is `host`.
    pub(crate) fn wire(host: &Namespace) -> Wire<'_> {
        let target = Target {
            mac: [6, 0, 0, 0, 0, 1],
            v4: Ipv4Addr::new(10, 0, 1, 10),
            v6: Ipv6Addr::LOCALHOST,
        };
        Wire::new((host, "wire"), (host, target), "aws").unwrap()
    }

    /// Another EC2 that the instance can reach.
    pub(crate) fn another_ec2(&self, config: Ec2Config) -> Ec2StandIn {
        let runtime: &Runtime = &self.runtime;
        let start = || runtime.block_on(Ec2StandIn::start(config, Issued::default()));
        let started = self.host.enter(start);
        started.unwrap().unwrap()
    }

    /// Another instance in the same subnet, with this interface: it shares the namespace,
    /// because both ask the same stand-ins, and nothing else. IMDS must know of it
    /// (see [`Site::interface`]).
    pub(crate) fn neighbour(&self, interface: &str, more: &str) -> Self {
        let (cloud, host) = (Rc::clone(&self.cloud), Rc::clone(&self.host));
        Self::in_cloud(cloud, host, Rc::clone(&self.runtime), interface, more)
    }

    /// Adds an interface to the namespace.
    pub(crate) fn interface(&self, name: &str, mac: &str) {
        let near = Link::with_mac(&self.host, name, mac);
        veth(near, Link::new(&self.host, &format!("{name}-wire"))).unwrap();
    }

    /// Has the daemon work on several interfaces; a running one doesn't notice.
    pub(crate) fn use_interfaces(&mut self, interfaces: &[&str], more: &str) {
        self.interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
        self.configure(more);
    }

    fn in_cloud(
        cloud: Rc<Pair>,
        host: Rc<Namespace>,
        runtime: Rc<Runtime>,
        interface: &str,
        more: &str,
    ) -> Self {
        let folder = Scratch::new("aws").unwrap();
        let pins = Scratch::pins("aws");
        let site = Self {
            daemon: None,
            moto: None,
            ec2: cloud.ec2.endpoint(),
            imds: cloud.imds.endpoint(),
            cloud,
            pins,
            folder,
            host,
            runtime,
            interfaces: vec![interface.to_owned()],
            subnet: SUBNET.to_owned(),
            guard: ACL.to_owned(),
        };
        site.configure(more);
        site
    }

    /// Writes the configuration anew; a running daemon doesn't notice.
    pub(crate) fn configure(&self, more: &str) {
        let mut text = format!(
            "[daemon]\nsocket = \"{}\"\nstate_dir = \"{}\"\n\
             [xdp]\ninterfaces = {:?}\npin_dir = \"{}\"\n\
             max_bans = 4096\nmax_nets = 64\nmax_offenders = 1024\n\
             [metrics]\nenabled = false\n[log]\ntarget = \"stderr\"\n[nacl]\n",
            self.socket().display(),
            self.folder.path().join("state").display(),
            self.interfaces,
            self.pins.path().display(),
        );
        let defaults = [
            ("enabled", "\"on\""),
            ("observe_every", "\"5s\""),
            ("observe_at_most", "\"5s\""),
            ("calls_burst", "50"),
            ("calls_per_second", "5.0"),
        ];
        for (key, value) in defaults {
            if !more.contains(key) {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        text.push_str(more);
        fs::write(self.config(), text).unwrap();
    }

    /// The configuration as it stands.
    pub(crate) fn nicban_config(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    /// Writes it.
    pub(crate) fn write_config(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("nicban.sock")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("nicban.toml")
    }

    fn command(&self) -> Command {
        let own = std::env::current_exe().unwrap();
        let program = own.parent().unwrap().with_file_name("nicban");
        assert!(
            program.exists(),
            "{} is needed: cargo build -p nicban",
            program.display()
        );
        let mut command = self.host.command(program);
        // Nothing of the developer's own account.
        for name in std::env::vars().map(|(name, _)| name) {
            let lower = name.to_ascii_lowercase();
            if lower.starts_with("aws_") || lower.ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_ENDPOINT_URL_EC2", &self.ec2)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &self.imds);
        command
    }

    /// Starts the daemon, and waits until it answers.
    pub(crate) fn start(&mut self) {
        let mut command = self.command();
        command.arg("daemon").arg("--config").arg(self.config());
        self.daemon = Some(Process::spawn("nicban daemon", &mut command).unwrap());
        self.wait("the daemon answers", |site| {
            let running = site.daemon.as_mut().unwrap();
            running.expect_alive().unwrap();
            Client::connect(&site.folder.path().join("nicban.sock"), TIMEOUT).ok()
        });
    }

    /// As [`Site::start`], and waits until the tier is at work.
    pub(crate) fn start_tier(&mut self) {
        self.start();
        self.wait_state(NaclState::On, "reconciling");
    }

    /// Ends the daemon as systemd does.
    pub(crate) fn stop(&mut self) {
        let status = self.daemon.take().unwrap().stop().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Ends the daemon without warning.
    pub(crate) fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.signal(Signal::SIGKILL).unwrap();
        daemon.wait(LIMIT).unwrap();
    }

    /// Runs a command of the operator's to its end.
    pub(crate) fn nicban(&self, arguments: &[&str]) -> Said {
        let output = self.operator(arguments).output().unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Begins a command of the operator's.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Process {
        Process::spawn("nicban", &mut self.operator(arguments)).unwrap()
    }

    fn operator(&self, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.arg("--config").arg(self.config()).args(arguments);
        command
    }

    /// Asks the daemon.
    pub(crate) fn ask(&self, request: &Request) -> Reply {
        let mut client = Client::connect(&self.socket(), TIMEOUT).unwrap();
        client.call(request).unwrap()
    }

    /// Bans as fail2ban does: acknowledged once the kernel drops the address.
    pub(crate) fn ban_as(&self, address: &str, bantime: i64, bancount: u32) {
        let reply = self.ask(&Request::Ban(Ban {
            holder: "sshd".to_owned(),
            address: address.to_owned(),
            time: now(),
            bantime,
            bancount,
            failures: 5,
            restored: false,
            reason: None,
        }));
        assert!(
            matches!(
                reply,
                Reply::Done {
                    outcome: Outcome::Enforced,
                    ..
                }
            ),
            "{address}: {reply:?}"
        );
    }

    /// Bans for an hour.
    pub(crate) fn ban(&self, address: &str) {
        self.ban_as(address, 3600, 1);
    }

    /// Lifts a ban.
    pub(crate) fn unban(&self, address: &str) {
        let reply = self.ask(&Request::Unban {
            address: address.to_owned(),
            holder: None,
        });
        assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    }

    /// The daemon's state.
    pub(crate) fn status(&self) -> Status {
        match self.ask(&Request::Status {}) {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for something.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        match wait::until(what, LIMIT, || Ok(look(self))) {
            Ok(found) => found,
            Err(error) => panic!("{error:#}\n{}", self.story()),
        }
    }

    /// Waits for something in the tier's status.
    pub(crate) fn wait_nacl(&mut self, what: &str, is: impl Fn(&NaclStatus) -> bool) -> NaclStatus {
        self.wait(what, |site| {
            Some(site.status().nacl).filter(|nacl| is(nacl))
        })
    }

    /// Waits for a state, with a word of its reason.
    pub(crate) fn wait_state(&mut self, state: NaclState, word: &str) -> NaclStatus {
        self.wait_nacl(&format!("the tier is {state:?} ({word})"), |nacl| {
            nacl.state == state && nacl.reason.contains(word)
        })
    }

    /// Waits until the denies of the subnet's NACL before the first allow are these.
    pub(crate) fn wait_denied(&mut self, networks: &[&str]) {
        let mut wanted: Vec<String> = networks.iter().map(|n| (*n).to_owned()).collect();
        wanted.sort();
        self.wait(&format!("{wanted:?} are denied"), |site| {
            let mut denied: Vec<String> = site.denied(&site.guard).into_values().collect();
            denied.sort();
            (denied == wanted).then_some(())
        });
    }

    /// The stand-in of EC2, where nicban talks to it.
    pub(crate) fn stand_in(&self) -> Option<&Ec2StandIn> {
        self.moto.is_none().then_some(&self.cloud.ec2)
    }

    /// A NACL as it truly is.
    pub(crate) fn acl(&self, id: &str) -> Acl {
        match &self.moto {
            None => self.cloud.ec2.acl(id).unwrap(),
            Some(moto) => self.host.enter(|| moto.acl(REGION, id)).unwrap().unwrap(),
        }
    }

    /// The ingress denies of a NACL but the default ones, by number.
    pub(crate) fn denied(&self, id: &str) -> BTreeMap<u16, String> {
        let acl = self.acl(id);
        let denies = acl
            .entries
            .values()
            .filter(|entry| !entry.egress && !entry.is_protected() && entry.action == Action::Deny);
        denies
            .map(|entry| (entry.number, entry.network.to_string()))
            .collect()
    }

    /// How many entries of a family they are.
    pub(crate) fn count(&self, id: &str, v6: bool) -> usize {
        let denied = self.denied(id);
        denied.values().filter(|n| n.contains(':') == v6).count()
    }

    /// What the machine did, for whoever reads a failure.
    pub(crate) fn story(&self) -> String {
        let daemon = self.daemon.as_ref();
        format!(
            "log:\n{}\ncalls: {:#?}\ndenied: {:#?}",
            daemon.map(Process::output).unwrap_or_default(),
            self.cloud.ec2.calls(),
            self.denied(&self.guard),
        )
    }
}

/// Many addresses of 198.51.100.0/24, from 1.
pub(crate) fn v4(numbers: std::ops::RangeInclusive<u8>) -> Vec<String> {
    numbers.map(|n| format!("198.51.100.{n}")).collect()
}

/// An address as a NACL shows it.
pub(crate) fn host(address: &str) -> String {
    format!("{address}/32")
}
