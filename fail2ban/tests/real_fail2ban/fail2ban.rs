//! A fail2ban of our own: its files, its socket, its database, its process.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SERVER: &str = "fail2ban-server";
const CLIENT: &str = "fail2ban-client";

/// What the action is told to ask fail2ban with.
pub(crate) const CLIENT_OF_SYNC: &str = "asks -s /it --help";

/// How long fail2ban may take to come up.
const PATIENCE: Duration = Duration::from_mins(1);

/// What fail2ban needs beside its jails. Two failures are a ban.
const DEFAULTS: &str = "\
[DEFAULT]
enabled = true
backend = polling
filter = probe
maxretry = 2
findtime = 10m
bantime = 1h
port = ssh
protocol = tcp
chain = INPUT
";

/// A folder with all that one fail2ban reads and writes, and at most one server on it.
pub(crate) struct Fail2ban {
    folder: tempfile::TempDir,
    server: Option<Child>,
}

impl Fail2ban {
    /// Writes the configuration, with jails as given.
    pub(crate) fn configure(jails: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let new = Self {
            folder,
            server: None,
        };
        let etc = new.etc();
        for sub in ["action.d", "filter.d"] {
            fs::create_dir_all(etc.join(sub)).unwrap();
        }
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.d/nicban.conf");
        fs::copy(shipped, etc.join("action.d/nicban.conf")).unwrap();
        let filter = "[Definition]\nfailregex = ^ probe from <HOST>$\ndatepattern = ^EPOCH\n";
        fs::write(etc.join("filter.d/probe.conf"), filter).unwrap();
        let at = |name: &str| new.path(name).display().to_string();
        fs::write(
            etc.join("fail2ban.conf"),
            format!(
                "[Definition]\nloglevel = DEBUG\nlogtarget = {}\nsyslogsocket = auto\n\
                 socket = {}\npidfile = {}\ndbfile = {}\ndbpurgeage = 1d\ndbmaxmatches = 10\n\
                 allowipv6 = auto\n",
                at("log"),
                at("f2b.sock"),
                at("f2b.pid"),
                at("db")
            ),
        )
        .unwrap();
        new.write_sync();
        new.set_jails(jails);
        new
    }

    /// A program in the place of `nicban`, which notes its words.
    fn write_sync(&self) {
        let script = format!(
            "#!/bin/sh\nprintf '[%s]' \"$@\" >>{0}\nprintf '\\n' >>{0}\n",
            self.path("synced").display()
        );
        fs::write(self.sync(), script).unwrap();
        fs::set_permissions(self.sync(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes that program away.
    pub(crate) fn remove_sync(&self) {
        fs::remove_file(self.sync()).unwrap();
    }

    fn sync(&self) -> PathBuf {
        self.path("sync")
    }

    /// The words of so many synchronisations, each with its own, once they have begun.
    pub(crate) fn wait_synced(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(self.path("synced")).unwrap_or_default();
            // The last line may be half of one.
            let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
            if lines.iter().filter(|line| line.ends_with('\n')).count() >= count {
                return lines;
            }
            assert!(
                Instant::now() < deadline,
                "{lines:?}, and {count} were awaited"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Writes the jails, each a name and lines of configuration.
    pub(crate) fn set_jails(&self, jails: &[(&str, &str)]) {
        // As Debian's jail.conf puts an action together, the two pairs of brackets included.
        let mut text = format!(
            "{DEFAULTS}banaction = nicban[nicban=\"{}\", socket=\"{}\", sync=\"{}\", client=\"{}\"]\n\
             action = %(banaction)s[port=\"%(port)s\", protocol=\"%(protocol)s\", \
             chain=\"%(chain)s\"]\n",
            env!("CARGO_BIN_EXE_nicban-action"),
            self.daemon_socket().display(),
            self.sync().display(),
            CLIENT_OF_SYNC,
        );
        for (name, lines) in jails {
            let log = self.jail_log(name);
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&log)
                .unwrap();
            writeln!(text, "[{name}]\nlogpath = {}\n{lines}", log.display()).unwrap();
        }
        fs::write(self.etc().join("jail.conf"), text).unwrap();
    }

    /// Where the action looks for the daemon.
    pub(crate) fn daemon_socket(&self) -> PathBuf {
        self.path("nicban.sock")
    }

    /// Starts the server, and comes back when it answers.
    pub(crate) fn start(&mut self) {
        assert!(self.server.is_none());
        let mut server = self
            .command(SERVER)
            .args(["-x", "-f", "start"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(File::create(self.path("stderr")).unwrap())
            .spawn()
            .unwrap_or_else(|error| missing(SERVER, &error));
        let deadline = Instant::now() + PATIENCE;
        while !self
            .command(CLIENT)
            .arg("ping")
            .output()
            .is_ok_and(|out| out.status.success())
        {
            if let Some(status) = server.try_wait().unwrap() {
                panic!("{SERVER} ended with {status}:\n{}", self.log());
            }
            if Instant::now() > deadline {
                stop_by_force(&mut server);
                panic!("{SERVER} does not answer:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.server = Some(server);
    }

    /// Stops the server as systemd does, and comes back when it is gone.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        self.client(&["stop"]);
        server.wait().unwrap();
    }

    /// Tells the server something, and comes back when it is done.
    pub(crate) fn client(&self, words: &[&str]) {
        let output = self
            .command(CLIENT)
            .args(words)
            .output()
            .unwrap_or_else(|error| missing(CLIENT, &error));
        assert!(
            output.status.success(),
            "{CLIENT} {words:?}: {output:?}\n{}",
            self.log()
        );
    }

    /// Writes a failure of each address to a jail's log, often enough for a ban.
    pub(crate) fn attack(&self, jail: &str, addresses: &[&str]) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let line = |address: &&str| format!("{now} probe from {address}\n").repeat(2);
        let lines: String = addresses.iter().map(line).collect();
        let mut log = OpenOptions::new()
            .append(true)
            .open(self.jail_log(jail))
            .unwrap();
        log.write_all(lines.as_bytes()).unwrap();
    }

    /// Comes back when fail2ban has finished so many bans since the beginning, the restored ones
    /// included: it logs `Banned COUNT / …` when all actions of a round have ended.
    pub(crate) fn settle(&self, bans: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            let rounds = log
                .lines()
                .filter_map(|line| line.split_once(" Banned ")?.1.split_once(" / "));
            let done: usize = rounds
                .filter_map(|(count, _)| count.parse::<usize>().ok())
                .sum();
            if done >= bans {
                return;
            }
            assert!(Instant::now() < deadline, "{done} of {bans} bans are done");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What fail2ban has logged, and what it said before it could log.
    pub(crate) fn log(&self) -> String {
        ["log", "stderr"]
            .map(|name| fs::read_to_string(self.path(name)).unwrap_or_default())
            .join("")
    }

    /// What a jail reads. fail2ban would take a space for the end of the path.
    fn jail_log(&self, jail: &str) -> PathBuf {
        self.path(&format!("{}.log", jail.replace(' ', "_")))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.etc());
        command
    }

    fn etc(&self) -> PathBuf {
        self.path("etc")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What the distribution's configuration together with our files comes down to.
pub(crate) fn dump_with_shipped_files() -> String {
    let stock = Path::new("/etc/fail2ban");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path();
    let entries = fs::read_dir(stock).unwrap_or_else(|error| missing("/etc/fail2ban", &error));
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name();
        // What an administrator of this machine has added is no part of the question.
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            fs::copy(entry.path(), etc.join(name)).unwrap();
        }
    }
    std::os::unix::fs::symlink(stock.join("filter.d"), etc.join("filter.d")).unwrap();
    for sub in ["action.d", "jail.d"] {
        fs::create_dir(etc.join(sub)).unwrap();
        for file in fs::read_dir(shipped.join(sub)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), etc.join(sub).join(file.file_name())).unwrap();
        }
    }
    let output = Command::new(CLIENT)
        .arg("-c")
        .arg(etc)
        .arg("-d")
        .output()
        .unwrap_or_else(|error| missing(CLIENT, &error));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for Fail2ban {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
        if let Some(server) = &mut self.server {
            stop_by_force(server);
        }
    }
}

fn missing(program: &str, error: &std::io::Error) -> ! {
    panic!("cannot run {program}: {error}; this test needs fail2ban: apt-get install fail2ban")
}

fn stop_by_force(server: &mut Child) {
    server.kill().unwrap();
    server.wait().unwrap();
}
