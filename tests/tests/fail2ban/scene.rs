//! A bastion with the daemon, sshd and fail2ban, and a cable to the outside.

use std::cell::{Ref, RefCell};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use nicban_protocol::{BanRow, Holder, Reply, Request};
pub(crate) use nicban_tests::clock::now;
use nicban_tests::daemon::{Daemon, Program, Start, program};
use nicban_tests::hosts::{
    Edition, Fail2ban, Fail2banConfig, Flood, Guess, Keys, Session, Sshd, guess,
};
use nicban_tests::net::{Arrivals, Link, Namespace, Scratch, arrives, veth};
use nicban_tests::{process, wait};

/// Who tries to get in.
pub(crate) const BAD: &str = "198.51.100.7";
/// Another one.
pub(crate) const WORSE: &str = "198.51.100.8";
/// Who does over IPv6.
pub(crate) const BAD_V6: &str = "2001:db8:bad::7";
/// In the same /64.
pub(crate) const NEAR_V6: &str = "2001:db8:bad::8";
/// In the /64 beside it.
pub(crate) const BESIDE_V6: &str = "2001:db8:bad:1::7";
/// Whom the daemon protects.
pub(crate) const FRIEND: &str = "203.0.113.9";

/// Settings for the action alone, without `nicban-unban` and without a synchronisation.
pub(crate) const ALONE: &str = "banaction = nicban\nbanaction_allports = nicban";

const HONEST: &str = "203.0.113.200";
const HONEST_V6: &str = "2001:db8:600d::1";
const BASTION: &str = "192.0.2.1";
const BASTION_V6: &str = "2001:db8::1";
const MAC: &str = "02:00:00:00:00:01";
const PORT: u16 = 9;

/// What stands in a log before anything happens.
const FIRST_LINE: &str =
    "2026-01-01T00:00:00.000000Z bastion sshd[1]: Server listening on 0.0.0.0 port 22.\n";

/// How long fail2ban may take over anything on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Packets/s of each source of constant traffic.
const RATE: f64 = 500.0;

/// The hosts and what runs on them. Fields drop in this order.
pub(crate) struct Scene {
    fail2ban: RefCell<Option<Fail2ban>>,
    daemon: RefCell<Option<Daemon>>,
    sshd: Option<Sshd>,
    keys: Keys,
    edition: Edition,
    jails: String,
    action: PathBuf,
    outside: Namespace,
    bastion: Namespace,
    pins: Scratch,
    folder: Scratch,
}

impl Scene {
    /// The jails `sshd` and `web`, for an hour; `settings` changes them all.
    pub(crate) fn new(settings: &str) -> Result<Self> {
        Self::with(Edition::under_test(), settings)
    }

    /// The same with a certain fail2ban.
    pub(crate) fn with(edition: Edition, settings: &str) -> Result<Self> {
        let folder = Scratch::new("fail2ban")?;
        let mut scene = Self {
            fail2ban: RefCell::default(),
            daemon: RefCell::default(),
            sshd: None,
            keys: Keys::generate(folder.path(), "visitor")?,
            edition,
            jails: String::new(),
            action: program(Program::Action)?,
            outside: Namespace::new("outside")?,
            bastion: Namespace::new("bastion")?,
            pins: Scratch::pins("fail2ban"),
            folder,
        };
        scene.connect()?;
        for log in ["auth.log", "web.log"] {
            fs::write(scene.path(log), FIRST_LINE).context("make a log")?;
        }
        scene.jails = scene.jails(settings, "");
        scene.start_daemon()?;
        scene.start_fail2ban()?;
        Ok(scene)
    }

    fn connect(&self) -> Result<()> {
        let (outside, bastion) = (&self.outside, &self.bastion);
        veth(
            Link::with_mac(bastion, "eth0", MAC),
            Link::new(outside, "eth0"),
        )?;
        for address in [&format!("{BASTION}/24"), &format!("{BASTION_V6}/64")] {
            bastion.add_address("eth0", address.parse()?)?;
        }
        let strangers = [BAD, WORSE, FRIEND, HONEST].map(|address| format!("{address}/32"));
        let strangers_v6 =
            [BAD_V6, NEAR_V6, BESIDE_V6, HONEST_V6].map(|address| format!("{address}/128"));
        let gateways = ["192.0.2.254/24", "2001:db8::fe/64"].map(str::to_owned);
        for address in gateways.iter().chain(&strangers).chain(&strangers_v6) {
            outside.add_address("eth0", address.parse()?)?;
        }
        bastion.add_route(&["0.0.0.0/0", "via", "192.0.2.254"])?;
        bastion.add_route(&["::/0", "via", "2001:db8::fe"])?;
        // A banned source can't even ask for the neighbour: it has to know it, so
        // that its packets leave at all.
        for address in [BASTION, BASTION_V6] {
            outside.ip(&[
                "neigh",
                "replace",
                address,
                "lladdr",
                MAC,
                "dev",
                "eth0",
                "nud",
                "permanent",
            ])?;
        }
        Ok(())
    }

    /// `jail.local`: settings of all jails, and of `sshd` alone. Behind nicban's actions each
    /// has fail2ban's own `dummy`, which notes what it is told in a file.
    pub(crate) fn jails(&self, settings: &str, of_sshd: &str) -> String {
        // fail2ban refuses a setting that stands there twice.
        let bantime = if settings.contains("bantime =") {
            ""
        } else {
            "bantime = 1h"
        };
        format!(
            "[DEFAULT]\n\
             backend = polling\n\
             findtime = 10m\n\
             maxretry = 2\n\
             {bantime}\n\
             action = %(action_)s\n         dummy[target=\"{}\"]\n\
             {settings}\n\
             [sshd]\n\
             backend = polling\n\
             logpath = {}\n\
             {of_sshd}\n\
             [web]\n\
             enabled = true\n\
             filter = sshd\n\
             logpath = {}\n",
            self.path("told-%(__name__)s").display(),
            self.path("auth.log").display(),
            self.path("web.log").display()
        )
    }

    pub(crate) fn start_daemon(&self) -> Result<()> {
        let socket = self.path("nicban.sock");
        let config = format!(
            "[daemon]\nsocket = \"{}\"\nstate_dir = \"{}\"\n\
             [xdp]\ninterfaces = [\"eth0\"]\npin_dir = \"{}\"\nmax_bans = 4096\nmax_nets = 256\n\
             [nacl]\nenabled = \"off\"\n\
             [metrics]\nenabled = false\n",
            socket.display(),
            self.path("state").display(),
            self.pins.path().display(),
        );
        let start = Start {
            program: program(Program::Nicban)?,
            config,
            socket,
            environment: Vec::new(),
        };
        let daemon = Daemon::start(&self.bastion, self.folder.path(), &start)?;
        self.daemon.replace(Some(daemon));
        Ok(())
    }

    /// Forgets all that nicban knows, in the kernel too. No daemon may run.
    pub(crate) fn forget_all(&self) -> Result<()> {
        fs::remove_dir_all(self.path("state")).context("remove the store")?;
        let pins = self.pins.path();
        for pin in fs::read_dir(pins).context("read the pins")? {
            fs::remove_file(pin?.path()).context("remove a pin")?;
        }
        Ok(())
    }

    /// Runs `nicban sync` for all jails: what it tells.
    pub(crate) fn sync(&self) -> Result<String> {
        self.sync_by(&self.client_command())
    }

    /// The same, where a shell's `lines` stand in for the client when it is asked for a jail's
    /// bans. They have the client as `$client`, its answer as `$answer`, and how often it was
    /// asked as `$asked`.
    pub(crate) fn sync_where(&self, lines: &str) -> Result<String> {
        let script = self.path("client");
        let text = format!(
            "#!/bin/sh\n\
             client='{client}'\n\
             answer=$($client \"$@\") || exit 1\n\
             case \"$*\" in *banip*)\n\
             echo >>{asked}\n\
             asked=$(wc -l <{asked})\n\
             {lines}\n\
             esac\n\
             printf '%s\\n' \"$answer\"\n",
            client = self.client_command(),
            asked = self.path("asked").display(),
        );
        write_script(&script, &text)?;
        self.sync_by(&script.display().to_string())
    }

    fn client_command(&self) -> String {
        format!(
            "fail2ban-client -c {} -s {}",
            self.path("fail2ban").display(),
            self.path("fail2ban.sock").display()
        )
    }

    fn sync_by(&self, client: &str) -> Result<String> {
        process::run(
            std::process::Command::new(program(Program::Nicban)?)
                .arg("sync")
                .arg("--socket")
                .arg(self.path("nicban.sock"))
                .arg("--client")
                .arg(client),
        )
    }

    /// As a crash or the OOM killer ends it.
    pub(crate) fn kill_daemon(&self) -> Result<()> {
        let daemon = self.daemon.take().context("no daemon runs")?;
        daemon.kill()
    }

    pub(crate) fn start_fail2ban(&self) -> Result<()> {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fail2ban");
        let config = Fail2banConfig {
            edition: self.edition.clone(),
            shipped: shipped.canonicalize().context("the shipped files")?,
            jail_local: self.jails.clone(),
            action: self.action.clone(),
            socket: self.path("nicban.sock"),
        };
        let fail2ban = Fail2ban::start(&self.bastion, self.folder.path(), &config)?;
        wait::until("the jail web is up", PATIENCE, || {
            Ok(fail2ban.client(&["status", "web"]).ok())
        })?;
        self.fail2ban.replace(Some(fail2ban));
        Ok(())
    }

    /// Has what fail2ban runs noted, from its next start on.
    pub(crate) fn note_calls(&mut self) -> Result<()> {
        let folder = self.path("noted");
        fs::create_dir(&folder).context("make a folder")?;
        let calls = self.path("calls");
        for (name, program) in [
            ("nicban-action", program(Program::Action)?),
            ("nicban", program(Program::Nicban)?),
        ] {
            let script = folder.join(name);
            // The process stays the same: the action looks who has started it.
            let text = format!(
                "#!/bin/sh\necho \"{name} $*\" >>{}\nexec {} \"$@\"\n",
                calls.display(),
                program.display()
            );
            write_script(&script, &text)?;
        }
        self.action = folder.join("nicban-action");
        Ok(())
    }

    /// What fail2ban ran that holds a text, since calls are noted.
    pub(crate) fn calls(&self, text: &str) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let calls = calls.lines().filter(|call| call.contains(text));
        calls.map(str::to_owned).collect()
    }

    pub(crate) fn stop_fail2ban(&self) -> Result<()> {
        let mut fail2ban = self.fail2ban.take().context("no fail2ban runs")?;
        fail2ban.stop()
    }

    pub(crate) fn start_sshd(&mut self) -> Result<()> {
        self.sshd = Some(Sshd::start(&self.bastion, self.folder.path(), &self.keys)?);
        Ok(())
    }

    pub(crate) fn daemon(&self) -> Ref<'_, Daemon> {
        Ref::map(self.daemon.borrow(), |daemon| {
            daemon.as_ref().expect("a daemon runs")
        })
    }

    pub(crate) fn fail2ban(&self) -> Ref<'_, Fail2ban> {
        Ref::map(self.fail2ban.borrow(), |fail2ban| {
            fail2ban.as_ref().expect("a fail2ban runs")
        })
    }

    pub(crate) fn client(&self, words: &[&str]) -> Result<String> {
        self.fail2ban().client(words)
    }

    /// Lets a jail ban an address, and waits until fail2ban has done it: the daemon holds the
    /// ban before fail2ban knows that, and a flush or an unban in between runs no command.
    pub(crate) fn ban(&self, jail: &str, address: &str) -> Result<()> {
        let before = self.times_told(jail, address);
        self.client(&["set", jail, "banip", address])?;
        self.until_held(address, jail)?;
        self.until_told_again(jail, address, before)
    }

    /// Waits until a jail has run its actions for a ban, one that it restored as well.
    pub(crate) fn until_told(&self, jail: &str, address: &str) -> Result<()> {
        self.until_told_again(jail, address, 0)
    }

    fn until_told_again(&self, jail: &str, address: &str, before: usize) -> Result<()> {
        let told = wait::until("fail2ban has run all actions", PATIENCE, || {
            Ok((self.times_told(jail, address) > before).then_some(()))
        });
        told.with_context(|| format!("fail2ban's log:\n{}", self.fail2ban().output()))
    }

    /// How often a jail's last action was told of an address's ban since it started.
    fn times_told(&self, jail: &str, address: &str) -> usize {
        let told = fs::read_to_string(self.path(&format!("told-{jail}"))).unwrap_or_default();
        let ban = format!("+{address}");
        told.lines().filter(|line| *line == ban).count()
    }

    /// Waits until the daemon holds an address for a jail.
    pub(crate) fn until_held(&self, address: &str, jail: &str) -> Result<Holder> {
        let held = wait::until(&format!("{jail} holds {address}"), PATIENCE, || {
            self.held(address, jail)
        });
        held.with_context(|| format!("fail2ban's log:\n{}", self.fail2ban().output()))
    }

    /// Waits until a jail's ban of an address lasts for so many seconds at least.
    pub(crate) fn until_ends_after(
        &self,
        address: &str,
        jail: &str,
        length: i64,
    ) -> Result<Holder> {
        wait::until("the ban is a long one", PATIENCE, || {
            let long = |held: &Holder| held.until.is_none_or(|end| end - held.since >= length);
            Ok(self.held(address, jail)?.filter(long))
        })
    }

    /// Waits until the daemon doesn't hold an address any more.
    pub(crate) fn until_free(&self, address: &str) -> Result<()> {
        wait::until(&format!("{address} is free"), PATIENCE, || {
            Ok(self.row(address)?.is_none().then_some(()))
        })
    }

    /// What the daemon has of an address for a jail.
    pub(crate) fn held(&self, address: &str, jail: &str) -> Result<Option<Holder>> {
        let row = self.row(address)?;
        Ok(row.and_then(|row| row.holders.into_iter().find(|held| held.name == jail)))
    }

    fn row(&self, address: &str) -> Result<Option<BanRow>> {
        self.daemon().ban_of(address.parse()?)
    }

    /// Expects that packets of a source arrive.
    pub(crate) fn arrives(&self, source: &str) -> Result<()> {
        let count = self.volley(source)?;
        ensure!(count == 3, "{count} of 3 packets of {source} arrived");
        Ok(())
    }

    /// Expects that packets of a source don't arrive, while honest ones sent after them do.
    pub(crate) fn blocked(&self, source: &str) -> Result<()> {
        let count = self.volley(source)?;
        ensure!(count == 0, "{count} of 3 packets of {source} arrived");
        Ok(())
    }

    fn volley(&self, source: &str) -> Result<u64> {
        let source: IpAddr = source.parse()?;
        let honest = if source.is_ipv4() { HONEST } else { HONEST_V6 };
        let to = Self::bastion_at(source)?;
        arrives(
            (&self.outside, source, honest.parse()?),
            (&self.bastion, to),
            3,
        )
    }

    fn bastion_at(source: IpAddr) -> Result<SocketAddr> {
        let own = if source.is_ipv4() {
            BASTION
        } else {
            BASTION_V6
        };
        Ok((own.parse::<IpAddr>()?, PORT).into())
    }

    /// Constant traffic of banned sources, and a count of what arrives of it.
    pub(crate) fn under_fire(&self, sources: &[&str]) -> Result<Fire<'_>> {
        let sources: Vec<IpAddr> = sources
            .iter()
            .map(|source| source.parse())
            .collect::<Result<_, _>>()?;
        let leaked = Arrivals::new(&self.bastion, "leaked")?;
        leaked.watch(&sources)?;
        let flood = Flood::new();
        for source in sources {
            flood.add(&self.outside, source, Self::bastion_at(source)?, RATE)?;
        }
        let fire = Fire { flood, leaked };
        fire.go_on()?;
        Ok(fire)
    }

    /// Guesses passwords from an address until the daemon holds it.
    pub(crate) fn break_in(&self, from: &str) -> Result<Holder> {
        let address = from.parse()?;
        let banned = || matches!(self.row(from), Ok(Some(_)));
        for attempt in 0..40 {
            if banned() {
                break;
            }
            match guess(
                &self.outside,
                address,
                Self::bastion_at(address)?.ip(),
                attempt,
                banned,
            )? {
                Guess::Refused | Guess::NoAnswer => {}
            }
        }
        self.until_held(from, "sshd")
    }

    /// Opens an SSH session by key.
    pub(crate) fn session(&self, from: &str) -> Result<Session> {
        let from = from.parse()?;
        Session::open(
            &self.outside,
            &self.keys,
            from,
            Self::bastion_at(from)?.ip(),
        )
    }

    /// Opens an SSH session of the honest client.
    pub(crate) fn honest_session(&self, ipv6: bool) -> Result<Session> {
        self.session(if ipv6 { HONEST_V6 } else { HONEST })
    }

    /// Tries to log in over SSH under any name. ssh refuses some on its command line, and
    /// none in its configuration.
    pub(crate) fn log_in_as(&self, user: &str, from: &str) -> Result<()> {
        let config = self.path("hostile_ssh_config");
        fs::write(&config, format!("User \"{}\"\n", user.replace('"', "\\\"")))
            .context("write ssh's configuration")?;
        let status = self
            .outside
            .command("timeout")
            .args(["10", "ssh", "-F"])
            .arg(config)
            .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-b", from, BASTION])
            .output()
            .context("run ssh")?;
        ensure!(!status.status.success(), "{user} could log in");
        Ok(())
    }

    pub(crate) fn allow(&self, network: &str) -> Result<()> {
        let network = network.to_owned();
        match self.daemon().ask(&Request::AllowAdd { network })? {
            Reply::Done { .. } => Ok(()),
            other => bail!("{other:?}"),
        }
    }

    /// Two failed logins of a user, as sshd writes them, in the log of `web`.
    pub(crate) fn fail_twice(&self, user: &str, from: &str) -> Result<()> {
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        let line = format!(
            "{now} bastion sshd[77]: Failed password for invalid user {user} from {from} port 4000 ssh2\n"
        );
        OpenOptions::new()
            .append(true)
            .open(self.path("web.log"))
            .and_then(|mut log| log.write_all(line.repeat(2).as_bytes()))
            .context("write to the log")
    }

    /// Waits until fail2ban's log holds a text, and gives its line.
    pub(crate) fn until_logged(&self, text: &str) -> Result<String> {
        let found = wait::until(&format!("fail2ban logs {text:?}"), PATIENCE, || {
            let log = self.fail2ban().output();
            Ok(log
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned))
        });
        found.with_context(|| format!("its log:\n{}", self.fail2ban().output()))
    }

    /// Waits until the daemon's log tells how a synchronisation went.
    pub(crate) fn until_synced(&self, said: &str) {
        let line = format!("synchronised with fail2ban: {said}");
        wait::until(&format!("the daemon logs {line:?}"), PATIENCE, || {
            Ok(self.daemon().log().contains(&line).then_some(()))
        })
        .unwrap();
    }

    /// In how many seconds the kernel lets an IPv4 address go by itself; `None` is never.
    pub(crate) fn kernel_expiry(&self, address: &str) -> Result<Option<i64>> {
        let text = process::run(
            std::process::Command::new(process::find_program("bpftool")?)
                .args(["-j", "map", "dump", "pinned"])
                .arg(self.pins.path().join("bans_v4")),
        )?;
        let octets: Vec<u64> = address
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let entries: Vec<serde_json::Value> =
            serde_json::from_str(&text).context("bpftool's JSON")?;
        let key: serde_json::Value = octets.iter().map(|byte| format!("{byte:#04x}")).collect();
        let entry = entries
            .iter()
            .find(|entry| entry["key"] == key)
            .with_context(|| format!("{address} is not in {text}"))?;
        let at = entry["formatted"]["value"]["expires_at"]
            .as_u64()
            .with_context(|| format!("no expiry in {entry}"))?;
        if at == 0 {
            return Ok(None);
        }
        let boot = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
        Ok(Some(i64::try_from(at / 1_000_000_000)? - boot.tv_sec()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).context("write a script")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("let it be run")
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The daemon tells its own.
            let fail2ban = self.fail2ban.borrow().as_ref().map(Fail2ban::output);
            eprintln!("--- fail2ban's log ---\n{}", fail2ban.unwrap_or_default());
        }
    }
}

/// Traffic of banned sources that goes on.
pub(crate) struct Fire<'a> {
    flood: Flood,
    leaked: Arrivals<'a>,
}

impl Fire<'_> {
    /// Waits until each source has sent a good many packets more.
    pub(crate) fn go_on(&self) -> Result<()> {
        let before = self.flood.sent();
        wait::until("the traffic goes on", PATIENCE, || {
            let sent = self.flood.sent();
            Ok(before
                .iter()
                .all(|(source, count)| sent[source] >= count + 100)
                .then_some(()))
        })
    }

    /// Packets that arrived.
    pub(crate) fn leaked(&self) -> Result<u64> {
        Ok(self.leaked.counts()?.values().sum())
    }
}
