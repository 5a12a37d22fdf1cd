//! What a guest runs.

use std::{fmt::Write as _, path::Path};

use anyhow::{Result, bail};

use super::{binaries::Programs, kernel::Kernel};
use crate::process;

/// The file in the shared folder that holds the exit status of a guest's script.
pub(super) const STATUS: &str = "status";

/// Where a guest has the shared folder.
pub(super) const SHARED: &str = "/mnt";

/// A suite, and the parts of it that run where no filter says which; none stand for all.
#[derive(Debug)]
pub(super) struct Suite {
    /// The test target of the crate `tests`.
    pub(super) name: &'static str,
    /// What the names of its tests begin with.
    pub(super) parts: &'static [&'static str],
}

/// What runs: all of a suite takes too long where every instruction is emulated.
pub(super) const SUITES: &[Suite] = &[
    Suite {
        name: "packets",
        parts: &[],
    },
    Suite {
        name: "daemon",
        parts: &["attach::", "restart::"],
    },
    Suite {
        name: "fail2ban",
        parts: &["pair::", "restart::"],
    },
];

/// The file in the shared folder that holds what a suite said. The console has it too, but the
/// kernel's own lines get between there.
pub(super) fn said(suite: &Suite) -> String {
    format!("{}.log", suite.name)
}

/// Tests that a guest runs at once: it has two processors, and both are slow.
const AT_ONCE: u32 = 3;

/// Cases that a property is tried with at the most.
const CASES: u32 = 10;

/// How many times as long as on the machine itself a test waits before it gives up.
const PATIENCE: u32 = 5;

/// The suites, one after the other; the status tells whether all passed.
pub(super) fn suites(programs: &Programs, filter: Option<&str>) -> Result<String> {
    if filter.is_some_and(|filter| filter.contains(['\'', '\n'])) {
        bail!("a filter for guests has no quotes and no line breaks");
    }
    let mut script = format!(
        "cd '{}'\nset -o pipefail\nstatus=0\n\
         export RUST_TEST_THREADS={AT_ONCE} PROPTEST_CASES={CASES} NICBAN_PATIENCE={PATIENCE}\n",
        process::root().join("tests").display()
    );
    for suite in SUITES {
        let program = programs.get(suite.name)?;
        let filters = filter.map_or(suite.parts, |_| &[]).iter().copied();
        let filters: String = filters
            .chain(filter)
            .fold(String::new(), |line, part| line + " '" + part + "'");
        // Writing to a string can't fail.
        writeln!(
            script,
            "'{}' --color never{filters} | tee {SHARED}/{} || status=1",
            program.display(),
            said(suite),
        )
        .ok();
    }
    script.push_str("exit $status\n");
    Ok(script)
}

/// A script with what every guest needs around it.
pub(super) fn whole(kernel: &Kernel, script: &str) -> String {
    format!(
        r#"export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME='{home}'
mkdir -p /lib/modules/{release} {SHARED}
mount --bind '{modules}' /lib/modules/{release}
mount -t 9p -o trans=virtio,version=9p2000.L shared {SHARED}
mount -t tmpfs run /run
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
echo "Linux $(uname -r)"
(
{script}
)
echo $? >{SHARED}/{STATUS}
sync
echo o >/proc/sysrq-trigger
sleep 60
"#,
        home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned()),
        release = kernel.release,
        modules = shown(&kernel.modules()),
    )
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
