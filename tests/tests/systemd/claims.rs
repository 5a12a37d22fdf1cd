//! What SECURITY.md says that nobody can do, a test tries.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

const CLAIMS: &str = include_str!("../../../SECURITY.md");

#[test]
fn each_test_that_security_md_names_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the tests lie in the workspace")?;
    let mut named = 0;
    // Odd parts are code.
    for name in CLAIMS.split('`').skip(1).step_by(2) {
        let words: Vec<&str> = name.split("::").collect();
        let [suite, module, test] = words[..] else {
            continue;
        };
        if suite == "suite" {
            continue;
        }
        let file = ["tests/tests", "fail2ban/tests"]
            .map(|folder| root.join(folder).join(suite).join(format!("{module}.rs")))
            .into_iter()
            .find(|file| file.exists())
            .with_context(|| format!("{name}: no such module"))?;
        let source = fs::read_to_string(file)?;
        let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
        let is_test = lines.iter().enumerate().any(|(at, line)| {
            let before = &lines[at.saturating_sub(3)..at];
            line.starts_with(&format!("fn {test}(")) && before.contains(&"#[test]")
        });
        ensure!(is_test, "{name}: no such test");
        named += 1;
    }
    ensure!(named > 20, "{named} tests are named");
    Ok(())
}
