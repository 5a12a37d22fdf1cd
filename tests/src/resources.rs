//! What a process takes of the machine.

use std::fs;

use anyhow::{Context as _, Result, ensure};

/// File descriptors that may come on top of what the first daemon had: some connections.
const MORE_FILES: usize = 16;

/// KiB that may come on top: allocators keep what they once had.
const MORE_MEMORY: u64 = 16 * 1024;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Resident memory, in KiB.
    pub memory: u64,
    /// Open file descriptors.
    pub files: usize,
}

impl Resources {
    /// What a process takes now.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).context("read its status")?;
        let memory = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next())
            .and_then(|number| number.parse().ok())
            .context("its status names no VmRSS")?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).context("list its descriptors")?;
        Ok(Self {
            memory,
            files: files.count(),
        })
    }

    /// The larger of each.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            files: self.files.max(other.files),
        }
    }

    /// Whether this is no more than `first` and some room.
    ///
    /// # Errors
    /// It is more.
    pub fn is_flat(self, first: Self) -> Result<()> {
        ensure!(
            self.files <= first.files + MORE_FILES,
            "{} open file descriptors, at first {}",
            self.files,
            first.files
        );
        ensure!(
            self.memory <= first.memory + MORE_MEMORY,
            "{} KiB of memory, at first {}",
            self.memory,
            first.memory
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_files_or_more_memory_is_not_flat() {
        let first = Resources {
            memory: 10_000,
            files: 20,
        };
        let with = |memory, files| Resources { memory, files };
        assert!(with(20_000, 36).is_flat(first).is_ok());
        assert!(with(10_000, 37).is_flat(first).is_err());
        assert!(with(27_000, 20).is_flat(first).is_err());
    }

    #[test]
    fn this_process_has_some() {
        let own = Resources::of(std::process::id()).unwrap();
        assert!(own.memory > 100 && own.files > 2, "{own:?}");
    }
}
