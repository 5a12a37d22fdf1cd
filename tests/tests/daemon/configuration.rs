//! Configurations that are wrong.

use anyhow::Result;
use nicban_tests::daemon::{Ran, Site};

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_is_allowed() -> Result<()> {
    let site = Site::new()?;
    for (section, key, value, names) in [
        ("xdp", "max_ban", "7", &["xdp.max_ban", "max_bans"][..]),
        ("xdp", "max_bans", "0", &["xdp.max_bans", "1", "16777216"]),
        (
            "xdp",
            "mode",
            "\"drop\"",
            &["xdp.mode", "enforce", "observe"],
        ),
        ("xdp", "expiry_grace", "\"8d\"", &["xdp.expiry_grace", "7d"]),
        (
            "daemon",
            "socket_mode",
            "4096",
            &["daemon.socket_mode", "0o777"],
        ),
        (
            "allow",
            "networks",
            "[\"0.0.0.0/0\"]",
            &["allow.networks", "/0"],
        ),
        ("speed", "turbo", "true", &["speed"]),
    ] {
        let config = site.config().set(section, key, value);
        let toml = config.to_toml();
        let wrong = toml
            .lines()
            .position(|line| line.starts_with(&format!("{key} =")) || line == "[speed]")
            .unwrap();
        let error = site.start_in_vain(&config)?.with_code(4)?;
        let line = format!(":{}: ", wrong + 1);
        assert!(error.contains(&line), "no{line}in: {error}");
        for name in names {
            assert!(error.contains(name), "no {name:?} in: {error}");
        }
    }
    // Nothing was started, made or attached.
    assert!(!site.socket().exists());
    assert!(!site.pins().path("prog").exists());
    let file = site.write(&site.config().set("xdp", "max_bans", "\"many\""))?;
    assert!(file.exists());
    site.nicban(&["daemon", "--check"])?.with_code(4)?;
    site.write(&site.config())?;
    site.nicban(&["daemon", "--check"])?.well()?;
    Ok(())
}

#[test]
fn the_commands_tell_a_missing_daemon_from_a_refusal() -> Result<()> {
    let site = Site::new()?;
    site.write(&site.config())?;
    let error: fn(Ran) -> Result<String> = |ran| ran.with_code(3);
    error(site.nicban(&["status"])?)?;
    site.nicban(&["ban", "example.org"])?.with_code(2)?;
    let missing = site.folder().join("missing.toml").display().to_string();
    site.nicban(&["--config", &missing])?.with_code(2)?;
    Ok(())
}
