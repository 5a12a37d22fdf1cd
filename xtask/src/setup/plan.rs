//! The steps that lead from this machine as it is to one that has everything.

use std::{env, fmt, path::Path};

use anyhow::{Context as _, Result, bail};

use super::{
    crates::{self, Tool},
    fail2ban, linker, moto, need, qemu,
};
use crate::{musl, process, toolchain};

/// Where BPF objects are pinned.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

/// The sources of `core` for Debian's compiler, in rust-web-src.
const DEBIANS_CORE: &str = "/usr/lib/rustlib/src/rust/library/core";

/// What is to be done afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Compile.
    Build,
    /// Lint.
    Lint,
    /// Fuzz the parsers.
    Fuzz,
    /// Run the demo.
    Demo,
    /// Measure beside the peers.
    Bench,
    /// Run every test.
    Test,
    /// Run them on other kernels as well.
    Kernels,
    /// Lint, test, fuzz: what every change must pass on this kernel.
    Contribute,
}

impl Scope {
    /// Whether it needs what the other one needs.
    fn takes_in(self, other: Self) -> bool {
        match other {
            Self::Build => true,
            Self::Lint | Self::Fuzz => self == other || self == Self::Contribute,
            Self::Demo => !matches!(self, Self::Build | Self::Lint | Self::Fuzz),
            Self::Test => matches!(self, Self::Test | Self::Kernels | Self::Contribute),
            Self::Bench | Self::Kernels | Self::Contribute => self == other,
        }
    }
}

/// One thing to provide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Debian packages.
    Packages(Vec<&'static str>),
    /// Debian's compiler as a toolchain of rustup's.
    LinkToolchain,
    /// `bpf-linker`, built with this major version of LLVM; the toolchain says which.
    Linker { llvm: Option<u32> },
    /// A subcommand of cargo's.
    Tool(Tool),
    /// The EC2 double that tests compare nicban's own with.
    Moto,
    /// A newer fail2ban than the machine's own, which tests run as well.
    Fail2ban,
    /// The emulator of other machines, which cannot be installed beside what is.
    Qemu,
    /// The file system that holds pinned BPF objects.
    BpfFs,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(packages) => write!(out, "Debian packages {}", packages.join(" ")),
            Self::LinkToolchain => write!(
                out,
                "rustup toolchain {}, a link to the compiler in /usr",
                toolchain::LINKED
            ),
            Self::Linker { llvm: Some(llvm) } => write!(
                out,
                "bpf-linker {} with LLVM {llvm} (compiles for about a minute)",
                linker::VERSION
            ),
            Self::Linker { llvm: None } => write!(
                out,
                "bpf-linker {} with the LLVM of that toolchain",
                linker::VERSION
            ),
            Self::Tool(Tool { name, version }) => {
                write!(out, "{name} {version} (compiles for a minute or three)")
            }
            Self::Moto => write!(out, "moto {} from PyPI", moto::VERSION),
            Self::Fail2ban => write!(
                out,
                "fail2ban {} of Debian 13, unpacked for the tests and not installed",
                fail2ban::SERIES
            ),
            Self::Qemu => write!(
                out,
                "Debian package {}, unpacked for the tests and not installed, since another qemu is there",
                qemu::PACKAGE
            ),
            Self::BpfFs => write!(out, "the bpf file system, mounted on {BPFFS}"),
        }
    }
}

/// A program, the Debian package that brings it, and the least scope that runs it.
const PROGRAMS: &[(&str, &str, Scope)] = &[
    ("cc", "gcc", Scope::Build),
    ("pkg-config", "pkg-config", Scope::Build),
    ("c++", "g++", Scope::Fuzz),
    ("ip", "iproute2", Scope::Demo),
    ("nft", "nftables", Scope::Demo),
    ("bpftool", "bpftool", Scope::Demo),
    ("fail2ban-server", "fail2ban", Scope::Demo),
    ("sshd", "openssh-server", Scope::Demo),
    ("ssh", "openssh-client", Scope::Demo),
    ("sshpass", "sshpass", Scope::Demo),
    ("modprobe", "kmod", Scope::Demo),
    ("systemctl", "systemd", Scope::Test),
    ("faketime", "faketime", Scope::Test),
    ("mkfs.ext4", "e2fsprogs", Scope::Test),
    ("busybox", "busybox-static", Scope::Kernels),
    ("cpio", "cpio", Scope::Kernels),
    ("xz", "xz-utils", Scope::Kernels),
    ("xdp-filter", "xdp-tools", Scope::Bench),
    ("ipset", "ipset", Scope::Bench),
    ("iptables", "iptables", Scope::Bench),
    ("ethtool", "ethtool", Scope::Bench),
];

/// What those need besides, by a path of it: with this module fail2ban reads the journal.
const MODULES: &[(&str, &str, Scope)] = &[(
    "/usr/lib/python3/dist-packages/systemd",
    "python3-systemd",
    Scope::Test,
)];

/// What is missing, in the order in which to provide it.
pub(crate) fn missing(scope: Scope) -> Result<Vec<Step>> {
    let programs = PROGRAMS
        .iter()
        .filter(|(program, _, _)| !need::program(program));
    let modules = MODULES
        .iter()
        .filter(|(folder, _, _)| !Path::new(folder).is_dir());
    let mut packages: Vec<&str> = programs
        .chain(modules)
        .filter(|(_, _, first)| scope.takes_in(*first))
        .map(|(_, package, _)| *package)
        .collect();
    let mut steps = Vec::new();

    if !musl::has_std() {
        if !need::program(musl::LINKER) {
            packages.push("musl-tools");
        }
        if !Path::new(musl::UNWINDER).is_file() {
            packages.push("libgcc-11-dev");
        }
    }

    let linker = linker::present()?;
    match toolchain::choose() {
        Ok(name) => {
            if name == toolchain::LINKED && !Path::new("/usr/bin/cargo-clippy").is_file() {
                packages.push("rust-web-clippy");
            }
            if !linker {
                let llvm = llvm_major(&name)?;
                packages.extend(linker::packages(llvm)?);
                steps.push(Step::Linker { llvm: Some(llvm) });
            }
        }
        // Named by the user: nothing here may stand in for it.
        Err(error) if env::var_os(toolchain::OVERRIDE).is_some() => return Err(error),
        Err(_) => {
            if !Path::new(DEBIANS_CORE).is_dir() {
                packages.extend(["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"]);
            } else if !toolchain::has_rustup() {
                bail!("without rustup, the rustc on PATH has to be Debian's, in /usr/bin");
            }
            if toolchain::has_rustup() {
                steps.push(Step::LinkToolchain);
            }
            if !linker {
                steps.push(Step::Linker { llvm: None });
            }
        }
    }

    for (tool, first) in [(crates::DENY, Scope::Lint), (crates::FUZZ, Scope::Fuzz)] {
        if scope.takes_in(first) && !tool.present() {
            steps.push(Step::Tool(tool));
        }
    }
    if scope.takes_in(Scope::Test) && !moto::present() {
        if !moto::can_make_venv() {
            packages.push("python3-venv");
        }
        steps.push(Step::Moto);
    }
    if scope.takes_in(Scope::Test) && !fail2ban::present() {
        steps.push(Step::Fail2ban);
    }
    if scope.takes_in(Scope::Kernels) && !qemu::present() {
        if qemu::is_in_conflict()? {
            steps.push(Step::Qemu);
        } else {
            packages.push(qemu::PACKAGE);
        }
    }
    if scope.takes_in(Scope::Demo) && !need::mounted("bpf", BPFFS)? {
        steps.push(Step::BpfFs);
    }
    if !packages.is_empty() {
        steps.insert(0, Step::Packages(packages));
    }
    Ok(steps)
}

/// The major version of the LLVM that the toolchain's compiler writes bitcode with.
///
/// The linker reads that bitcode, so its LLVM must not be older.
fn llvm_major(toolchain: &str) -> Result<u32> {
    let said = process::output(toolchain::rustc(toolchain).arg("-vV"))?;
    said.lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .and_then(|version| version.split('.').next())
        .and_then(|major| major.parse().ok())
        .with_context(|| format!("the compiler of {toolchain} does not name its LLVM"))
}
