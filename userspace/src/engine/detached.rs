//! What the operator has detached, remembered across restarts.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// The line that stands for every interface.
const ALL: &str = "*";

const EXPLANATION: &str =
    "# nicban attaches to none of these; `nicban attach` changes this file.\n";

/// Interfaces that the operator wants free of nicban: a file beside the store, so
/// that `nicban detach` can write it with nothing else running.
#[derive(Debug)]
pub struct Detached {
    file: PathBuf,
    lines: BTreeSet<String>,
}

impl Detached {
    /// What is remembered in a state folder; nothing where there is none.
    pub fn load(state_dir: &Path) -> io::Result<Self> {
        let file = state_dir.join("detached");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self {
            lines: lines.map(str::to_owned).collect(),
            file,
        })
    }

    /// Whether an interface is to be left alone.
    pub fn has(&self, interface: &str) -> bool {
        self.lines.contains(ALL) || self.lines.contains(interface)
    }

    /// Leaves an interface alone from now on, or every one if none is named.
    pub fn add(&mut self, interface: Option<&str>) -> io::Result<()> {
        self.lines.insert(interface.unwrap_or(ALL).to_owned());
        self.save()
    }

    /// Leaves `interfaces` alone no longer. Where every one was to be left alone,
    /// the `others` still are.
    pub fn remove(&mut self, interfaces: &[String], others: &[String]) -> io::Result<()> {
        if self.lines.remove(ALL) {
            self.lines.extend(others.iter().cloned());
        }
        for interface in interfaces {
            self.lines.remove(interface);
        }
        self.save()
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn save(&self) -> io::Result<()> {
        if self.lines.is_empty() {
            return match fs::remove_file(&self.file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut text = EXPLANATION.to_owned();
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(&self.file, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_or_one_are_remembered_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("not/there/yet");
        let load = || Detached::load(&state).unwrap();
        assert!(!load().has("eth0"));

        load().add(None).unwrap();
        assert!(load().has("eth0") && load().has("eth1"));
        load().remove(&names(&["eth0"]), &names(&["eth1"])).unwrap();
        assert!(!load().has("eth0") && load().has("eth1"));
        load().remove(&names(&["eth1"]), &[]).unwrap();
        assert!(!state.join("detached").exists());

        load().add(Some("eth1")).unwrap();
        assert!(!load().has("eth0") && load().has("eth1"));
    }
}
