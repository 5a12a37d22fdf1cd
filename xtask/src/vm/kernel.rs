//! Debian's kernels, downloaded and unpacked, never installed.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use anyhow::{Context as _, Result, bail};

use crate::{process, setup, toolchain};

/// The first two numbers of a kernel's version, such as 6.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Series(String);

impl FromStr for Series {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Vec<&str> = text.split('.').collect();
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if numbers.len() == 2 && numbers.iter().all(is_number) {
            return Ok(Self(text.to_owned()));
        }
        Err("two numbers are wanted, as in 6.1".to_owned())
    }
}

impl fmt::Display for Series {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One that is unpacked.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What `uname -r` says there.
    pub(super) release: String,
    root: PathBuf,
}

impl Kernel {
    /// What boots.
    pub(super) fn image(&self) -> PathBuf {
        self.root.join(format!("boot/vmlinuz-{}", self.release))
    }

    /// Its modules' folder, with the lists that depmod makes.
    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }

    /// The folder under which those of both are.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

/// The newest kernel of a series that the machine's archive has.
pub(super) fn provide(series: &Series) -> Result<Kernel> {
    let known = process::output(Command::new("apt-cache").args([
        "search",
        "--names-only",
        "^linux-image-[0-9]",
    ]))?;
    let Some(release) = newest(&known, series) else {
        bail!(
            "this Debian has no kernel of the series {series}; it has {}",
            all_series(&known).join(", ")
        );
    };
    let kernels = toolchain::cache()
        .context("neither HOME nor XDG_CACHE_HOME is set")?
        .join("kernels");
    let root = kernels.join(&release);
    if !root.is_dir() {
        unpack(&release, &kernels, &root)?;
    }
    Ok(Kernel { release, root })
}

fn unpack(release: &str, kernels: &Path, root: &Path) -> Result<()> {
    println!("test: downloading Linux {release}, about 100 MB");
    let half = kernels.join(format!("{release}.half"));
    if half.exists() {
        fs::remove_dir_all(&half).with_context(|| format!("cannot remove {}", half.display()))?;
    }
    fs::create_dir_all(&half).with_context(|| format!("cannot make {}", half.display()))?;
    let package = setup::download(&format!("linux-image-{release}"), kernels)?;
    setup::extract(&package, &half)?;
    fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))?;
    process::run(Command::new("depmod").arg("-b").arg(&half).arg(release))?;
    // Renamed when all of it is there, so that a half never counts as the whole.
    fs::rename(&half, root).with_context(|| format!("cannot make {}", root.display()))
}

/// The newest release of a series in what `apt-cache search` says. Those with a word in their
/// name are others: for clouds (which lack 9p), for real time, for debugging.
fn newest(known: &str, series: &Series) -> Option<String> {
    let prefix = format!("{series}.");
    releases(known)
        .filter(|release| release.starts_with(&prefix))
        .max_by_key(|release| numbers(release))
        .map(str::to_owned)
}

fn all_series(known: &str) -> Vec<String> {
    let mut all: Vec<Vec<u32>> = releases(known)
        .map(|release| numbers(release).into_iter().take(2).collect())
        .collect();
    all.sort_unstable();
    all.dedup();
    let written = |numbers: Vec<u32>| {
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        numbers.join(".")
    };
    all.into_iter().map(written).collect()
}

fn releases(known: &str) -> impl Iterator<Item = &str> {
    known
        .lines()
        .filter_map(|line| line.split(' ').next()?.strip_prefix("linux-image-"))
        .filter(|release| {
            let Some((version, architecture)) = release.rsplit_once('-') else {
                return false;
            };
            let words = version.split(['.', '-', '+']);
            let is_plain = |word: &str| {
                let word = word.strip_prefix("deb").unwrap_or(word);
                word.bytes().all(|b| b.is_ascii_digit())
            };
            ["amd64", "arm64"].contains(&architecture) && words.into_iter().all(is_plain)
        })
}

fn numbers(release: &str) -> Vec<u32> {
    let numbers = release.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "\
linux-image-6.1.0-9-amd64 - Linux 6.1 for 64-bit PCs (signed)
linux-image-6.1.0-56-amd64 - Linux 6.1 for 64-bit PCs (signed)
linux-image-6.1.0-57-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)
linux-image-6.1.0-58-rt-amd64 - Linux 6.1 for 64-bit PCs, PREEMPT_RT (signed)
linux-image-6.1.0-59-amd64-dbg - Debug symbols
linux-image-6.12.9+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)
linux-image-6.12.117+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)
linux-image-6.12.118+deb12-amd64-unsigned - Linux 6.12 for 64-bit PCs
linux-image-amd64 - Linux for 64-bit PCs (meta-package)
";

    fn newest_of(series: &str) -> Option<String> {
        newest(KNOWN, &series.parse().unwrap())
    }

    #[test]
    fn the_newest_plain_kernel_of_a_series_is_taken() {
        assert_eq!(newest_of("6.1").as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(newest_of("6.12").as_deref(), Some("6.12.117+deb12-amd64"));
        assert_eq!(newest_of("6.11"), None);
        assert_eq!(all_series(KNOWN), ["6.1", "6.12"]);
    }

    #[test]
    fn a_series_is_two_numbers() {
        for wrong in ["", "6", "6.", "6.1.0", "six.one", "6.1-rt"] {
            assert!(wrong.parse::<Series>().is_err(), "{wrong}");
        }
    }
}
