//! Processor time, which other programs on the machine don't lengthen as they do time
//! by the clock.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// This thread.
const THIS: Pid = Pid::from_raw(0);

/// Keeps this thread on one processor until dropped.
#[derive(Debug)]
pub(super) struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// On one of the processors that this thread may use, counted from 0.
    pub(super) fn to(nth: usize) -> Result<Self> {
        let before = sched_getaffinity(THIS).context("which processors may this thread use")?;
        sched_setaffinity(THIS, &one_of(&before, nth)?).context("stay on one processor")?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(THIS, &self.before) {
            eprintln!("use all processors again: {error}");
        }
    }
}

fn one_of(set: &CpuSet, nth: usize) -> Result<CpuSet> {
    let allowed = processors_of(set);
    let processor = allowed.get(nth).with_context(|| {
        format!(
            "this takes {} processors, and {} may be used",
            nth + 1,
            allowed.len()
        )
    })?;
    let mut one = CpuSet::new();
    one.set(*processor).context("choose a processor")?;
    Ok(one)
}

fn processors_of(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .collect()
}

/// How many processors this thread may use.
pub(super) fn processors() -> Result<usize> {
    let set = sched_getaffinity(THIS).context("which processors may this thread use")?;
    Ok(processors_of(&set).len())
}

/// What this thread has used so far, with the interrupts that came upon it.
pub(super) fn thread_time() -> Result<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("read a thread's time")?;
    Ok(time.into())
}

/// What all threads of a process have used so far, ended ones too.
pub(super) fn process_time(pid: u32) -> Result<Duration> {
    let process = Pid::from_raw(i32::try_from(pid).context("a pid above i32")?);
    let time = clock_getcpuclockid(process)
        .and_then(clock_gettime)
        .with_context(|| format!("read the time of process {pid}"))?;
    Ok(time.into())
}

/// The kernel's own thread that receives packets on the processor that this thread is
/// pinned to, where they are too many to be received in between.
pub(super) fn softirq_thread() -> Result<u32> {
    let set = sched_getaffinity(THIS).context("which processor is this")?;
    let processor = *processors_of(&set)
        .first()
        .context("a thread without a processor")?;
    let name = format!("ksoftirqd/{processor}");
    let found = processes(|process| process == name)?;
    found
        .first()
        .copied()
        .with_context(|| format!("there is no {name} here: see `ps -e`"))
}

/// The processes whose name is as it should be.
pub(super) fn processes(is: impl Fn(&str) -> bool) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let entry = entry.context("read /proc")?;
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let comm = fs::read_to_string(entry.path().join("comm"));
        if comm.is_ok_and(|comm| is(comm.trim())) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Keeps another process on one of the processors that this thread may use.
pub(super) fn put(pid: u32, nth: usize) -> Result<()> {
    let allowed = sched_getaffinity(THIS).context("which processors may this thread use")?;
    let pid = Pid::from_raw(i32::try_from(pid).context("a pid above i32")?);
    sched_setaffinity(pid, &one_of(&allowed, nth)?)
        .with_context(|| format!("keep the process {pid} on a processor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_processor_and_all_of_them_afterwards() {
        let before = processors().unwrap();
        let pinned = Pinned::to(0).unwrap();
        assert_eq!(processors().unwrap(), 1);
        drop(pinned);
        assert_eq!(processors().unwrap(), before);
    }

    #[test]
    fn one_processor_too_many_is_told() {
        let error = Pinned::to(processors().unwrap()).unwrap_err();
        assert!(error.to_string().contains("may be used"), "{error}");
    }

    #[test]
    fn work_is_seen_in_the_time_of_thread_and_process() {
        let before = (
            thread_time().unwrap(),
            process_time(std::process::id()).unwrap(),
        );
        let mut sum = 0_u64;
        while thread_time().unwrap() < before.0 + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(process_time(std::process::id()).unwrap() > before.1);
    }
}
