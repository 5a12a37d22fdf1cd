//! Whatever outlives a process is named after its pid, so that it can be found and removed.
//!
//! A drop removes it in the ordinary case and after a panic, the signal thread
//! on SIGINT and SIGTERM, and the next run's sweep after a SIGKILL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::process;

const BPF_FS: &str = "/sys/fs/bpf";
const NETNS: &str = "/run/netns";

/// Whether a signal has come: what fails from then on fails because of the clean-up.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A name for something that outlives a process: `nicban-PID-COUNT-role`.
pub fn own_name(role: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
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
        for pid in pids {
            // ESRCH: it has ended by itself in the meantime.
            if let Err(error) = kill(pid, Signal::SIGKILL)
                && error != nix::Error::ESRCH
            {
                eprintln!("kill {pid} in {name}: {error}");
            }
        }
        thread::sleep(std::time::Duration::from_millis(20));
    }
    let exists = || Path::new(NETNS).join(name).exists();
    if exists()
        && let Err(error) = process::run(Command::new("ip").args(["netns", "del", name]))
        && exists()
    {
        eprintln!("{error:#}");
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
            eprintln!("no clean-up on signals: {error}");
            return;
        }
    };
    let signal = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        std::io::Result::Ok(tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        })
    });
    match signal {
        Ok(signal) => {
            INTERRUPTED.store(true, Ordering::Relaxed);
            eprintln!("\ninterrupted: cleaning up");
            // Again, because the other threads went on until here.
            remove_all_of(std::process::id());
            remove_all_of(std::process::id());
            std::process::exit(128 + signal.as_raw_value());
        }
        Err(error) => eprintln!("no clean-up on signals: {error}"),
    }
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
        eprintln!("{what} {}: {error}", path.display());
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
    fn a_dropped_scratch_folder_is_gone() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "content").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
