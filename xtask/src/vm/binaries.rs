//! The programs that guests run, built here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;

/// Built programs by the names of their targets.
pub(super) struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// The program of a suite, or one that is no test.
    pub(super) fn get(&self, name: &str) -> Result<&Path> {
        let program = self.0.get(name).map(PathBuf::as_path);
        program.with_context(|| format!("cargo built nothing called {name}"))
    }
}

/// Builds every program and every test, as they are for a run without a guest.
pub(super) fn build() -> Result<Programs> {
    let said = process::output(process::cargo().args([
        "build",
        "--quiet",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--message-format=json",
    ]))?;
    Ok(Programs(executables(&said)))
}

/// Reads cargo's messages (the cargo book, "External tools"): a line of JSON each.
fn executables(said: &str) -> BTreeMap<String, PathBuf> {
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter_map(|message| {
            let target = message.get("target")?;
            let kind = target["kind"][0].as_str()?;
            let is_unit_test = message["profile"]["test"].as_bool()? && kind != "test";
            let executable = message["executable"].as_str()?;
            (!is_unit_test).then(|| {
                let name = target["name"].as_str().unwrap_or_default();
                (name.to_owned(), PathBuf::from(executable))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_programs_are_found_and_unit_tests_are_not() {
        let line = |name: &str, kind: &str, test: bool, file: &str| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "target": { "name": name, "kind": [kind] },
                "profile": { "test": test },
                "executable": file,
            })
            .to_string()
        };
        let said = [
            "warning: something".to_owned(),
            line("packets", "test", true, "/t/deps/packets-1"),
            line("nicban-reboot", "bin", false, "/t/nicban-reboot"),
            line("nicban-reboot", "bin", true, "/t/deps/nicban_reboot-2"),
            serde_json::json!({ "reason": "build-finished", "success": true }).to_string(),
        ]
        .join("\n");
        let found = executables(&said);
        assert_eq!(found.len(), 2);
        assert_eq!(found["packets"], Path::new("/t/deps/packets-1"));
        assert_eq!(found["nicban-reboot"], Path::new("/t/nicban-reboot"));
    }
}
