//! A machine that systemd runs, with nicban installed as its README says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nicban_tests::daemon::{Program, Ran, Site, Wire, program};
use nicban_tests::net::Scratch;
use nicban_tests::process::Process;
use nicban_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long systemd may take over anything on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Lines for [`Machine::boot`]: nicban as after its installation.
pub(crate) const INSTALL: &str =
    "sh /machine/sources/packaging/install.sh --from /machine/programs\n";

/// Lines for [`Machine::boot`]: started at boot, and not for the first time.
pub(crate) const ENABLE: &str = "\
    systemctl enable nicban.socket nicban.service\n\
    rm /var/lib/nicban/detached\n";

/// Whether what dead tests have left is gone.
static SWEPT: Once = Once::new();

/// A machine. Its network is the host of a [`Site`].
pub(crate) struct Machine {
    init: Pid,
    outer: Process,
    folder: Scratch,
    site: Site,
}

impl Machine {
    /// Boots, after these lines of shell have run in the machine.
    ///
    /// # Errors
    /// systemd doesn't start, or one of its units fails.
    pub(crate) fn boot(prepare: &str) -> Result<Self> {
        let site = Site::new()?;
        let folder = Scratch::new("machine")?;
        SWEPT.call_once(|| report(sweep(folder.path())));
        let script = folder.path().join("prepare");
        fs::write(&script, prepare).context("write what runs before systemd")?;
        let nicban = program(Program::Nicban)?;
        program(Program::Action)?;
        let programs = nicban.parent().context("a program lies in a folder")?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the tests lie in the workspace")?;
        let mut command = site.host().command("sh");
        command
            .arg(boot_script())
            .arg("enter")
            .args([folder.path(), programs, sources, &script]);
        let mut outer = Process::spawn("systemd", &mut command)?;
        let pid = folder.path().join("pid");
        let init = wait::until("the machine has a first process", PATIENCE, || {
            outer.expect_alive()?;
            let text = fs::read_to_string(&pid).unwrap_or_default();
            Ok(text.ends_with('\n').then(|| text.trim().to_owned()))
        })?;
        let mut machine = Self {
            init: Pid::from_raw(init.parse().context("the first process's id")?),
            outer,
            folder,
            site,
        };
        machine.wait_until_up()?;
        Ok(machine)
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let state = wait::until("systemd is up", PATIENCE, || {
            self.outer.expect_alive()?;
            let state = self.ran("systemctl is-system-running")?.stdout;
            let over = ["running", "degraded", "maintenance"].contains(&state.trim());
            Ok(over.then_some(state))
        })?;
        if state.trim() != "running" {
            bail!(
                "the machine is {}: {}{}",
                state.trim(),
                self.shell("systemctl --failed --no-legend --plain")?,
                self.shell("journalctl -b --no-pager -p warning")?
            );
        }
        Ok(())
    }

    /// Its network, and the outside.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Packets from outside.
    pub(crate) fn wire(&self) -> Result<Wire<'_>> {
        self.site.wire()
    }

    /// A command that runs a line of shell in the machine, as its root.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.init))
            .args([
                "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
            ])
            .args([
                "env",
                "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL=C.UTF-8",
            ])
            .args(["timeout", "60", "sh", "-c", line]);
        command
    }

    /// Runs a line of shell to its end.
    pub(crate) fn ran(&self, line: &str) -> Result<Ran> {
        Ran::to_end(&mut self.command(line))
    }

    /// Runs a line of shell that has to end well, and gives what it wrote.
    pub(crate) fn shell(&self, line: &str) -> Result<String> {
        self.ran(line)?.well().with_context(|| line.to_owned())
    }

    /// A property of a unit, as `systemctl show` has it.
    pub(crate) fn property(&self, unit: &str, name: &str) -> Result<String> {
        let value = self.shell(&format!("systemctl show --property={name} --value {unit}"))?;
        Ok(value.trim().to_owned())
    }

    /// Waits until a property of the service is as expected.
    pub(crate) fn becomes(&self, name: &str, value: &str) -> Result<()> {
        wait::until(
            &format!("the service's {name} is {value}"),
            PATIENCE,
            || Ok((self.property("nicban.service", name)? == value).then_some(())),
        )
    }

    /// The process of the service.
    pub(crate) fn main_pid(&self) -> Result<u32> {
        let pid = self.property("nicban.service", "MainPID")?.parse()?;
        ensure!(pid != 0, "the service does not run");
        Ok(pid)
    }

    /// Sets directives of the service, from its next start on.
    pub(crate) fn set(&self, directives: &str) -> Result<()> {
        let folder = "/run/systemd/system/nicban.service.d";
        self.shell(&format!(
            "mkdir -p {folder}; printf '[Service]\\n{directives}\\n' >{folder}/tests.conf; \
             systemctl daemon-reload"
        ))
        .map(drop)
    }

    /// Starts the distribution's fail2ban. Its unit counts as started before it answers.
    pub(crate) fn start_fail2ban(&self) -> Result<()> {
        self.shell("systemctl start fail2ban.service")?;
        let answers = wait::until("fail2ban answers", PATIENCE, || {
            Ok((self.ran("fail2ban-client ping")?.code == 0).then_some(()))
        });
        answers.with_context(|| {
            let state =
                self.ran("systemctl status --no-pager fail2ban.service; cat /var/log/fail2ban.log");
            state.map_or_else(|error| format!("{error:#}"), |ran| ran.stdout)
        })
    }

    /// What the service itself has written: priority and message of each line.
    pub(crate) fn journal(&self) -> Result<Vec<(String, String)>> {
        let lines = self.shell(
            "journalctl --sync; \
             journalctl --no-pager --all --output=json _SYSTEMD_UNIT=nicban.service",
        )?;
        let line = |line: &str| {
            let entry: Value = serde_json::from_str(line)?;
            let field = |name: &str| entry[name].as_str().unwrap_or("none").to_owned();
            Ok((field("PRIORITY"), field("MESSAGE")))
        };
        lines.lines().map(line).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The others die with the first. ESRCH: it is dead already.
        if let Err(error) = kill(self.init, Signal::SIGKILL)
            && error != nix::Error::ESRCH
        {
            eprintln!("kill the machine's first process: {error}");
        }
        let ended = self
            .outer
            .wait(PATIENCE)
            .map_err(|error| error.context("wait for the machine's end"));
        report(ended.and_then(|_| remove_groups("clean", self.folder.path())));
    }
}

/// Removes the control groups of machines whose tests are dead: killed, or ended by a
/// signal, which leaves no time for it. `folder` is empty.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    remove_groups("sweep", folder)
}

/// A stage of the script that has to wait until no process is left in the groups.
fn remove_groups(stage: &str, folder: &Path) -> Result<()> {
    let mut command = Command::new("sh");
    command.arg(boot_script()).arg(stage).arg(folder);
    wait::until("the machines' control groups are empty", PATIENCE, || {
        Ok((Ran::to_end(&mut command)?.code == 0).then_some(()))
    })
}

fn report(result: Result<()>) {
    if let Err(error) = result {
        eprintln!("{error:#}");
    }
}

fn boot_script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/boot.sh")
}
