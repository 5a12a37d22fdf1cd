//! A virtual machine: started, listened to, and ended if it goes on for too long.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{initrd, kernel::Kernel, script};
use crate::setup;

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(200);

/// How a guest ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its script came to its end, with this status.
    With(i32),
    /// It did not; why.
    Without(String),
}

/// One that can be started.
pub(super) struct Guest<'a> {
    kernel: &'a Kernel,
    folder: PathBuf,
    limit: Duration,
}

impl<'a> Guest<'a> {
    /// One for a purpose, which names its folder. Each run of it is ended after `limit`.
    pub(super) fn new(kernel: &'a Kernel, purpose: &str, limit: Duration) -> Result<Self> {
        let folder = super::folder(kernel, purpose);
        let guest = Self {
            kernel,
            folder,
            limit,
        };
        let shared = guest.shared();
        if shared.exists() {
            fs::remove_dir_all(&shared)
                .with_context(|| format!("cannot remove {}", shared.display()))?;
        }
        fs::create_dir_all(&shared).with_context(|| format!("cannot make {}", shared.display()))?;
        Ok(guest)
    }

    /// The folder that it can write to.
    pub(super) fn shared(&self) -> PathBuf {
        self.folder.join("shared")
    }

    /// Boots it, has it run a script, and waits for its end. `drives` are files that it has as
    /// disks, in this order.
    pub(super) fn run(&self, script: &str, drives: &[&Path]) -> Result<Ended> {
        let status = self.shared().join(script::STATUS);
        if status.exists() {
            fs::remove_file(&status).context("cannot remove the last status")?;
        }
        let file = self.folder.join("script");
        fs::write(&file, script::whole(self.kernel, script))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let initrd = self.folder.join("initrd");
        initrd::write(self.kernel, &file, &initrd)?;
        let mut qemu = self.qemu(&initrd, drives);
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let console = child.stdout.take().context("the console is piped")?;
        let errors = child.stderr.take().context("errors are piped")?;
        let run = thread::scope(|scope| {
            scope.spawn(|| self.keep(console, "console"));
            scope.spawn(|| self.keep(errors, "qemu"));
            wait(&mut child, self.limit)
        })?;
        println!(
            "test: Linux {}: this guest ran for {} s",
            self.kernel.release,
            run.took.as_secs()
        );
        let written = fs::read_to_string(&status).ok();
        Ok(
            match (
                written.and_then(|text| text.trim().parse().ok()),
                run.by_itself,
            ) {
                (Some(status), _) => Ended::With(status),
                (None, true) => Ended::Without(format!(
                    "the guest ended without a status; its console is {}",
                    self.folder.join("console").display()
                )),
                (None, false) => Ended::Without(format!(
                    "the guest went on for {} min and was ended; its console is {}",
                    self.limit.as_secs() / 60,
                    self.folder.join("console").display()
                )),
            },
        )
    }

    fn qemu(&self, initrd: &Path, drives: &[&Path]) -> Command {
        // A task that is killed takes its guests with it.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL"])
            .args(setup::qemu())
            .args(["-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "3G"])
            .args(accelerator())
            .args(["-nographic", "-no-reboot", "-nic", "none", "-kernel"])
            .arg(self.kernel.image())
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", "console=ttyS0 panic=-1 quiet"]);
        let mut share = |tag: &str, path: &Path, more: &str| {
            qemu.arg("-fsdev").arg(format!(
                "local,id={tag},path={},security_model=none{more}",
                path.display()
            ));
            qemu.args([
                "-device",
                &format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
            ]);
        };
        share("root", Path::new("/"), ",readonly=on,multidevs=remap");
        share("shared", &self.shared(), "");
        for drive in drives {
            qemu.arg("-drive")
                .arg(format!("file={},format=raw,if=virtio", drive.display()));
        }
        qemu
    }

    /// Keeps what comes out of it, and shows it line by line.
    fn keep(&self, from: impl Read, name: &str) {
        let file = fs::File::create(self.folder.join(name));
        let mut lines = BufReader::new(from).split(b'\n');
        let mut file = file.ok();
        while let Some(Ok(line)) = lines.next() {
            if let Some(file) = &mut file {
                // The console is shown all the same.
                file.write_all(&line)
                    .and_then(|()| file.write_all(b"\n"))
                    .ok();
            }
            let line = String::from_utf8_lossy(&line);
            println!("{}: {}", self.kernel.release, line.trim_end());
        }
    }
}

/// KVM where a guest gets on with it: a machine may have the device and hang in it, as some
/// virtual ones do. So it is taken only where this machine is none itself.
fn accelerator() -> &'static [&'static str] {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let is_virtual = cpu
        .lines()
        .any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor"));
    if Path::new("/dev/kvm").exists() && !is_virtual {
        &["-accel", "kvm"]
    } else {
        &["-accel", "tcg,thread=multi"]
    }
}

/// How long a process ran, and whether it ended by itself.
struct Run {
    took: Duration,
    by_itself: bool,
}

/// Waits for its end, for so long at the most, then ends it.
#[expect(
    clippy::disallowed_methods,
    reason = "a guest is an edge: it hangs by the real clock"
)]
fn wait(child: &mut Child, limit: Duration) -> Result<Run> {
    let start = Instant::now();
    loop {
        let by_itself = child.try_wait().context("cannot wait for qemu")?.is_some();
        let took = start.elapsed();
        if by_itself {
            return Ok(Run { took, by_itself });
        }
        if took >= limit {
            child.kill().context("cannot end qemu")?;
            child.wait().context("cannot wait for qemu")?;
            return Ok(Run { took, by_itself });
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_hangs_is_ended() {
        let mut hangs = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(
            !wait(&mut hangs, Duration::from_millis(10))
                .unwrap()
                .by_itself
        );
        let mut ends = Command::new("true").spawn().unwrap();
        assert!(wait(&mut ends, Duration::from_mins(1)).unwrap().by_itself);
    }
}
