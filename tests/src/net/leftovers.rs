//! Whatever outlives a process is named after its pid, so that it can be found and removed.
//!
//! A drop removes it in the ordinary case and after a panic, the signal thread
//! on a signal that asks for an end, and the next run's sweep after a SIGKILL.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::signal::unix::{SignalKind, signal};

use crate::process;

const BPF_FS: &str = "/sys/fs/bpf";
const NETNS: &str = "/run/netns";

/// What asks for an end: Ctrl-C, `kill`, Ctrl-\, and a terminal that is gone, as after a
/// lost SSH connection.
const ENDINGS: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGQUIT,
    Signal::SIGHUP,
];

/// Whether a signal has come: what fails from then on fails because of the clean-up.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A name for something that outlives a process: `nicban-PID-COUNT-role`.
///
/// Once a signal has come there are no more of them.
pub fn own_name(role: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    give_way_to_signal();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("nicban-{}-{count}-{role}", std::process::id())
}

/// Makes the machine ready for privileged tests, once for each process: mounts
/// the BPF file system, removes what dead processes left behind, and sees to it
/// that a signal leaves nothing behind either.
///
/// # Errors
/// The process is not root's, or the BPF file system can't be mounted.
pub fn prepare() -> Result<()> {
    static ONCE: Once = Once::new();
    ensure!(
        geteuid().is_root(),
        "network namespaces and XDP need root: run as root, or with sudo"
    );
    mount_bpf_fs()?;
    ONCE.call_once(|| {
        for pid in dead_owners() {
            remove_all_of(pid);
        }
        thread::spawn(remove_all_on_signal);
    });
    Ok(())
}

/// Leaves the last word to the clean-up after a signal, if there was one: then
/// it does not return.
pub fn give_way_to_signal() {
    while INTERRUPTED.load(Ordering::Relaxed) {
        thread::park();
    }
}

/// A folder in the temporary folder, or in the BPF file system, that is removed on drop.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// An empty folder that others may look into but not change.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn new(role: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(own_name(role));
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path })
    }

    /// A folder for pins, not made yet: that is up to whoever pins.
    pub fn pins(role: &str) -> Self {
        Self {
            path: Path::new(BPF_FS).join(own_name(role)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.path.exists() {
            report("remove", fs::remove_dir_all(&self.path), &self.path);
        }
    }
}

/// Ends the processes in a namespace that this crate made, then removes it.
pub(super) fn remove_namespace(name: &str) {
    // A process may start another between the listing and its end.
    for _ in 0..10 {
        let pids = pids_in(name);
        if pids.is_empty() {
            break;
        }
        end_all(&pids);
        thread::sleep(std::time::Duration::from_millis(20));
    }
    let exists = || Path::new(NETNS).join(name).exists();
    if exists()
        && let Err(error) = process::run(Command::new("ip").args(["netns", "del", name]))
        && exists()
    {
        tell(format_args!("{error:#}"));
    }
}

fn end_all(pids: &[Pid]) {
    for pid in pids {
        // ESRCH: it has ended by itself in the meantime.
        if let Err(error) = kill(*pid, Signal::SIGKILL)
            && error != nix::Error::ESRCH
        {
            tell(format_args!("kill {pid}: {error}"));
        }
    }
}

fn pids_in(namespace: &str) -> Vec<Pid> {
    process::run(Command::new("ip").args(["netns", "pids", namespace]))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .map(Pid::from_raw)
        .filter(|pid| *pid != Pid::this())
        .collect()
}

/// The processes that this one has started and that still run.
///
/// One on its way into a namespace isn't found there yet, and would keep it alive
/// without a name.
fn children() -> Vec<Pid> {
    names_in(Path::new("/proc"))
        .filter_map(|name| name.parse().ok())
        .filter(|pid| parent_of(*pid) == Some(Pid::this().as_raw()))
        .map(Pid::from_raw)
        .collect()
}

/// The field after the state in `/proc/PID/stat`, see proc(5). The program's name
/// before them may hold anything, a bracket too.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

fn remove_all_of(owner: u32) {
    for namespace in names_in(Path::new(NETNS)).filter(|name| owner_of(name) == Some(owner)) {
        remove_namespace(&namespace);
    }
    for folder in [Path::new(BPF_FS), &std::env::temp_dir()] {
        for name in names_in(folder).filter(|name| owner_of(name) == Some(owner)) {
            let path = folder.join(name);
            report("remove", fs::remove_dir_all(&path), &path);
        }
    }
}

fn dead_owners() -> Vec<u32> {
    let temp = std::env::temp_dir();
    let mut owners: Vec<u32> = [Path::new(NETNS), Path::new(BPF_FS), &temp]
        .into_iter()
        .flat_map(names_in)
        .filter_map(|name| owner_of(&name))
        .filter(|pid| !Path::new("/proc").join(pid.to_string()).exists())
        .collect();
    owners.sort_unstable();
    owners.dedup();
    owners
}

fn names_in(folder: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// The pid in a name that [`own_name`] made.
fn owner_of(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix("nicban-")?.splitn(3, '-');
    let pid = parts.next()?.parse().ok()?;
    parts.next()?.parse::<u32>().ok()?;
    parts.next().map(|_role| pid)
}

fn remove_all_on_signal() {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("no clean-up on signals: {error}"));
            return;
        }
    };
    match runtime.block_on(ending()) {
        Ok(signal) => {
            INTERRUPTED.store(true, Ordering::Relaxed);
            tell(format_args!("\ninterrupted: cleaning up"));
            // Again, because the other threads went on until here.
            for _ in 0..2 {
                end_all(&children());
                remove_all_of(std::process::id());
            }
            std::process::exit(128 + signal as i32);
        }
        Err(error) => tell(format_args!("no clean-up on signals: {error:#}")),
    }
}

/// The first signal that asks for an end.
///
/// One that was ignored from the start stays so: `nohup` means SIGHUP to do
/// nothing, and a script's background SIGINT.
async fn ending() -> Result<Signal> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let (told, mut first) = tokio::sync::mpsc::unbounded_channel();
    for ending in ENDINGS {
        if is_ignored(ending, &status) {
            continue;
        }
        let mut stream = signal(SignalKind::from_raw(ending as i32))
            .with_context(|| format!("listen for {ending}"))?;
        let told = told.clone();
        tokio::spawn(async move {
            stream.recv().await;
            // Only the first one is asked for.
            told.send(ending).ok();
        });
    }
    first.recv().await.context("no signal can come any more")
}

/// Whether `/proc/self/status` has the signal among those ignored, see proc(5).
fn is_ignored(signal: Signal, status: &str) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as u32 - 1) & 1 == 1)
}

/// Says it on stderr, which may be gone with the terminal: that must not end the clean-up.
fn tell(words: fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "{words}").ok();
}

fn mount_bpf_fs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    let is_mounted = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(BPF_FS) && fields.next() == Some("bpf")
    };
    if !mounts.lines().any(is_mounted) {
        process::run(Command::new("mount").args(["-t", "bpf", "bpf", BPF_FS]))?;
    }
    Ok(())
}

fn report(what: &str, result: std::io::Result<()>, path: &Path) {
    // What the signal thread and a drop both remove is removed by one of them.
    if let Err(error) = result
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tell(format_args!("{what} {}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner() {
        assert_eq!(owner_of(&own_name("bastion")), Some(std::process::id()));
    }

    #[test]
    fn names_of_others_have_no_owner() {
        for name in [
            "nicban",
            "nicban-12",
            "nicban-12-x",
            "nicban-x-1-y",
            "bastion-12-1-x",
        ] {
            assert_eq!(owner_of(name), None, "{name}");
        }
    }

    #[test]
    fn an_ignored_signal_is_known_by_its_bit() {
        let status = "SigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\n";
        let ignored = ENDINGS.map(|signal| is_ignored(signal, status));
        assert_eq!(ignored, [false, false, false, true]);
        assert!(is_ignored(Signal::SIGPIPE, status));
    }

    #[test]
    fn a_child_knows_its_parent() {
        let child = process::Process::spawn("sleep", Command::new("sleep").arg("60")).unwrap();
        let pid = Pid::from_raw(child.pid().try_into().unwrap());
        assert!(children().contains(&pid));
        drop(child);
        assert!(!children().contains(&pid));
    }

    #[test]
    fn a_dropped_scratch_folder_is_gone() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "content").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
