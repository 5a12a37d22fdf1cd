//! Lists: imported, replaced, exported.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use nicban_protocol::{ManyBans, RefusalKind, Reply, Request};
use nicban_tests::daemon::{Daemon, Ran, Site};

use crate::now;

/// A list as a file of the site.
fn list(site: &Site, name: &str, text: &str) -> Result<PathBuf> {
    let file = site.folder().join(name);
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}

fn import(site: &Site, file: &Path, options: &[&str]) -> Result<Ran> {
    let file = file.display().to_string();
    site.nicban(&[&["import", &file], options].concat())
}

/// Whom a holder holds, with each end.
fn held(daemon: &Daemon, holder: &str) -> Result<BTreeSet<(String, Option<i64>)>> {
    let rows = daemon.bans()?;
    let of = rows.into_iter().filter_map(|row| {
        let held = row.holders.iter().find(|held| held.name == holder)?;
        Some((row.address, held.until))
    });
    Ok(of.collect())
}

fn shown(held: &BTreeSet<(String, Option<i64>)>) -> Vec<&str> {
    held.iter().map(|(address, _)| &**address).collect()
}

const MIXED: &str = "\
# who is bad
198.51.100.7
198.51.100.7 ; again
10.9.0.0/16 # a network
2001:db8:bad::5, \"a /64\"
2001:db8:beef::/48
";

/// Those of [`MIXED`] as they are listed, a source within each, and one that is in none.
const LISTED: [&str; 4] = [
    "10.9.0.0/16",
    "198.51.100.7",
    "2001:db8:bad::/64",
    "2001:db8:beef::/48",
];
const WITHIN: [&str; 4] = [
    "10.9.8.7",
    "198.51.100.7",
    "2001:db8:bad::ffff",
    "2001:db8:beef:1::1",
];
const OUTSIDE: &str = "198.51.100.8";

#[test]
fn a_list_is_imported_exported_lifted_and_read_again() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let file = list(&site, "bad guys.txt", MIXED)?;
    let holder = "import:bad guys";
    for source in WITHIN {
        wire.arrives(source)?;
    }
    let said = import(&site, &file, &["--for", "1h"])?.well()?;
    assert!(
        said.starts_with("import:bad guys: 5 read, 4 imported, 0 already held")
            && said.contains("skipped: 1 listed twice, 0 lifted"),
        "{said}"
    );
    let first = held(&daemon, holder)?;
    assert_eq!(shown(&first), LISTED);
    let end = first.first().and_then(|(_, until)| *until).unwrap();
    assert!((now() + 3_590..=now() + 3_600).contains(&end), "{end}");
    for format in ["plain", "json", "ipset", "nft"] {
        for source in WITHIN {
            wire.blocked(source)?;
        }
        wire.arrives(OUTSIDE)?;
        let export = ["export", "--holder", holder, "--format", format];
        let exported = site.nicban(&export)?.well()?;
        let said = site
            .nicban(&["unban", "--all", "--holder", holder])?
            .well()?;
        assert!(said.contains("4 are no longer banned"), "{said}");
        for source in WITHIN {
            wire.arrives(source)?;
        }
        assert_eq!(daemon.bans()?, []);

        let again = list(&site, "again", &exported)?;
        let options: &[&str] = if format == "plain" {
            &["--name", "bad guys", "--for", "1h"]
        } else {
            &["--name", "bad guys"]
        };
        import(&site, &again, options)?.well()?;
        let second = held(&daemon, holder)?;
        assert_eq!(shown(&second), LISTED, "{format}");
        // What counts in seconds left, counts from another second.
        let late = second
            .iter()
            .all(|(_, until)| until.is_some_and(|until| (end..end + 60).contains(&until)));
        assert!(late, "{format}: {second:?}, {end}");
    }
    Ok(())
}

#[test]
fn nft_takes_an_export_and_its_own_words_are_read_again() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config())?;
    let file = list(&site, "a.txt", MIXED)?;
    import(&site, &file, &["--for", "1h"])?.well()?;
    let exported = site.nicban(&["export", "--format", "nft"])?.well()?;
    let exported = list(&site, "export.nft", &exported)?;
    let nft = |words: &[&str]| -> Result<String> {
        Ran::to_end(site.host().command("nft").args(words))?.well()
    };
    nft(&["-f", &exported.display().to_string()])?;
    for (name, words) in [
        ("text", &["list", "ruleset"][..]),
        ("json", &["-j", "list", "ruleset"]),
    ] {
        let dumped = list(&site, name, &nft(words)?)?;
        // The site counts its packets by sets of its own.
        import(&site, &dumped, &["--set", "v4", "--set", "v6"])?.well()?;
        let read = held(&daemon, &format!("import:{name}"))?;
        // nft knows single addresses by no length, and these are networks of nicban's.
        assert_eq!(shown(&read), LISTED);
        assert!(read.iter().all(|(_, until)| until.is_some()), "{read:?}");
    }
    nft(&["delete", "table", "inet", "nicban_export"])?;
    Ok(())
}

#[test]
fn a_list_is_replaced_and_what_both_have_never_passes() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let (both, old, new) = ("198.51.100.7", "198.51.100.8", "198.51.100.9");
    let crowd = |from: u8| text(&addresses(from, 1_000));
    let one = list(&site, "one", &format!("{both}\n{old}\n{}", crowd(1)))?;
    let two = list(&site, "two", &format!("{new}\n{both}\n{}", crowd(2)))?;
    let options = ["--name", "list", "--replace"];
    import(&site, &one, &options)?.well()?;
    wire.blocked(both)?;
    let traffic = wire.traffic(&[both])?;
    traffic.go_on_for(10)?;
    for round in 0..4 {
        let (file, gone, come) = if round % 2 == 0 {
            (&two, old, new)
        } else {
            (&one, new, old)
        };
        let said = import(&site, file, &options)?.well()?;
        assert!(
            said.contains("1001 imported, 1 already held") && said.contains("1001 lifted"),
            "{said}"
        );
        wire.arrives(gone)?;
        wire.blocked(come)?;
        assert_eq!(held(&daemon, "import:list")?.len(), 1_002);
        traffic.go_on_for(10)?;
    }
    assert!(traffic.end()? > 50);
    assert_eq!(wire.count(both.parse()?)?, 0);
    // The same again changes nothing.
    let said = import(&site, &one, &options)?.well()?;
    assert!(said.contains("0 imported, 1002 already held"), "{said}");
    assert!(said.contains("0 lifted"), "{said}");
    Ok(())
}

fn addresses(second: u8, count: u32) -> BTreeSet<Ipv4Addr> {
    let first = u32::from_be_bytes([10, second, 0, 0]);
    (first..first + count).map(Ipv4Addr::from).collect()
}

fn text(addresses: &BTreeSet<Ipv4Addr>) -> String {
    let lines: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
    lines.join("\n") + "\n"
}

#[test]
fn a_replacement_that_is_cut_off_leaves_the_old_and_is_repaired_by_the_next() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config().set("xdp", "max_bans", "65536"))?;
    let (both, old, new) = (
        addresses(1, 2_000),
        addresses(2, 20_000),
        addresses(3, 20_000),
    );
    let before: BTreeSet<_> = both.union(&old).copied().collect();
    let after: BTreeSet<_> = both.union(&new).copied().collect();
    let one = list(&site, "one", &text(&before))?;
    let two = list(&site, "two", &text(&after))?;
    let options = ["--name", "list", "--replace"];
    for wait_for in [0, 3_000, 15_000] {
        import(&site, &one, &options)?.well()?;
        assert_eq!(site.pins().banned_v4()?, before);
        let mut command = site.nicban_command(&["import", &two.display().to_string()])?;
        let mut child = command
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        daemon.until_status("some of the new are in", |status| {
            status.bans >= before.len() as u64 + wait_for
        })?;
        child.kill()?;
        child.wait()?;
        // It was somewhere: what both have, and all of the old unless all of the new is in.
        let banned = site.pins().banned_v4()?;
        assert!(both.is_subset(&banned));
        assert!(old.is_subset(&banned) || new.is_subset(&banned));
        import(&site, &two, &options)?.well()?;
        assert_eq!(site.pins().banned_v4()?, after);
        assert_eq!(held(&daemon, "import:list")?.len(), after.len());
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_the_limit_and_the_room() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config().set("xdp", "max_bans", "6"))?;
    for n in 1..=3 {
        daemon.ban("sshd", &format!("198.51.100.{n}"), now(), 600)?;
    }
    let seven = list(&site, "seven", &text(&addresses(1, 7)))?;
    let error = import(&site, &seven, &[])?.with_code(1)?;
    assert!(
        error.contains("7 IPv4 addresses") && error.contains("max_bans is 6"),
        "{error}"
    );
    // Those that are banned already need no room.
    let mixed = list(
        &site,
        "mixed",
        &format!("198.51.100.1\n{}", text(&addresses(1, 4))),
    )?;
    let error = import(&site, &mixed, &[])?.with_code(1)?;
    assert!(
        error.contains("4 more bans do not fit: max_bans is 6, and there is room for 3")
            && error.contains("0 of 5 were imported"),
        "{error}"
    );
    wire.arrives("10.1.0.0")?;
    assert_eq!(daemon.status()?.bans, 3);
    assert_eq!(held(&daemon, "import:mixed")?, BTreeSet::new());

    let fits = list(
        &site,
        "fits",
        &format!("198.51.100.1\n{}", text(&addresses(1, 3))),
    )?;
    import(&site, &fits, &[])?.well()?;
    wire.blocked("10.1.0.0")?;
    assert_eq!(daemon.status()?.bans, 6);
    Ok(())
}

#[test]
fn the_kernel_refuses_in_the_middle_and_nothing_of_the_request_stays() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    // Frozen, the map takes no more; addresses are written before it, and taken back.
    let pin = site.pins().path("bans_v6").display().to_string();
    let mut freeze = site.host().command("bpftool");
    Ran::to_end(freeze.args(["map", "freeze", "pinned", &pin]))?.well()?;
    let file = list(&site, "a", "198.51.100.7\n10.9.0.0/16\n2001:db8:bad::5\n")?;
    let error = import(&site, &file, &[])?.with_code(1)?;
    assert!(error.contains("bans_v6"), "{error}");
    wire.arrives("198.51.100.7")?;
    wire.arrives("10.9.8.7")?;
    assert_eq!(daemon.bans()?, []);
    let v4 = list(&site, "a", "198.51.100.7\n10.9.0.0/16\n")?;
    import(&site, &v4, &[])?.well()?;
    wire.blocked("198.51.100.7")?;
    wire.blocked("10.9.8.7")
}

#[test]
fn the_allowed_and_the_impossible_are_told_and_left_out() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    site.nicban(&["allow", "add", "198.51.100.0/30"])?.well()?;
    let host = nicban_tests::daemon::HOST;
    let text = format!("198.51.100.1\n198.51.100.9\n{host}\n127.0.0.1\n224.0.0.0/4\n0.0.0.0/0\n");
    let file = list(&site, "a", &text)?;
    let ran = import(&site, &file, &[])?;
    for told in [
        ":1: 198.51.100.1 is not banned: 198.51.100.0/30 is on the allow list",
        &format!(":3: {host} is not banned"),
        ":4: 127.0.0.1/32 is a loopback address",
        ":5: 224.0.0.0/4 is too wide",
        ":6: 0.0.0.0/0 is too wide",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    let said = ran.well()?;
    assert!(
        said.contains("6 read, 1 imported")
            && said.contains("skipped: 2 on the allow list, 3 never to be banned"),
        "{said}"
    );
    wire.arrives("198.51.100.1")?;
    wire.blocked("198.51.100.9")?;
    assert_eq!(shown(&held(&daemon, "import:a")?), ["198.51.100.9"]);
    Ok(())
}

#[test]
fn a_bad_line_keeps_the_whole_file_out() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let old = list(&site, "a", "198.51.100.9\n")?;
    import(&site, &old, &[])?.well()?;
    let file = list(&site, "a", "198.51.100.7\n\nexample.org\n198.51.100.8/33\n")?;
    let error = import(&site, &file, &["--replace"])?.with_code(1)?;
    for told in [
        &format!(
            "{}:3: \"example.org\" is no address: allowed is",
            file.display()
        ),
        ":4: the prefix length of",
        "nothing was imported",
        "--skip-bad",
    ] {
        assert!(error.contains(told), "{told}: {error}");
    }
    wire.arrives("198.51.100.7")?;
    wire.blocked("198.51.100.9")?;

    let ran = import(&site, &file, &["--replace", "--skip-bad"])?;
    assert!(
        ran.stderr.contains(":3: ") && ran.stderr.contains(":4: "),
        "{}",
        ran.stderr
    );
    let said = ran.well()?;
    assert!(said.contains("2 bad lines"), "{said}");
    wire.blocked("198.51.100.7")?;
    wire.arrives("198.51.100.9")?;

    // An empty list is a mistake more often than a wish.
    let empty = list(&site, "a", "# nothing today\n")?;
    let error = import(&site, &empty, &["--replace"])?.with_code(1)?;
    assert!(error.contains("--allow-empty"), "{error}");
    wire.blocked("198.51.100.7")?;
    import(&site, &empty, &["--replace", "--allow-empty"])?.well()?;
    wire.arrives("198.51.100.7")?;
    assert_eq!(daemon.bans()?, []);
    // Of the name no more than of any holder's.
    import(&site, &old, &["--name", "a\nb"])?.with_code(2)?;
    import(&site, &old, &["--name", ""])?.with_code(2)?;
    Ok(())
}

#[test]
fn a_jails_ban_survives_the_list() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let (ours, theirs) = ("198.51.100.7", "198.51.100.8");
    let file = list(&site, "a", &format!("{ours}\n{theirs}\n"))?;
    daemon.ban("sshd", ours, now(), 600)?;
    let said = import(&site, &file, &[])?.well()?;
    assert!(said.contains("2 imported"), "{said}");
    let said = site
        .nicban(&["unban", "--all", "--holder", "import:a"])?
        .well()?;
    assert!(
        said.contains("1 are no longer banned, 1 are still banned by others"),
        "{said}"
    );
    wire.blocked(ours)?;
    wire.arrives(theirs)?;
    // And the other way round.
    import(&site, &file, &[])?.well()?;
    daemon.unban("sshd", ours)?;
    wire.blocked(ours)?;
    import(&site, &list(&site, "a", theirs)?, &["--replace"])?.well()?;
    wire.arrives(ours)?;
    wire.blocked(theirs)
}

#[test]
fn a_restart_keeps_lists_and_their_ends() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    import(&site, &list(&site, "a", MIXED)?, &["--for", "1h"])?.well()?;
    let text = "create b hash:ip family inet timeout 600\nadd b 198.51.100.9 timeout 1\nadd b 198.51.100.10 timeout 900\n";
    import(&site, &list(&site, "b", text)?, &[])?.well()?;
    wire.blocked("198.51.100.9")?;
    let before = (held(&daemon, "import:a")?, held(&daemon, "import:b")?);
    assert_eq!(shown(&before.0), LISTED);
    daemon.kill()?;
    for source in WITHIN {
        wire.blocked(source)?;
    }
    let daemon = site.start(&site.config())?;
    daemon.until_status("the one of a second ends", |status| status.bans == 5)?;
    wire.arrives("198.51.100.9")?;
    wire.blocked("198.51.100.10")?;
    for source in WITHIN {
        wire.blocked(source)?;
    }
    assert_eq!(held(&daemon, "import:a")?, before.0);
    daemon.stop()?;
    let daemon = site.start(&site.config())?;
    assert_eq!(held(&daemon, "import:a")?, before.0);
    assert_eq!(shown(&held(&daemon, "import:b")?), ["198.51.100.10"]);
    Ok(())
}

#[test]
fn the_socket_bounds_what_is_asked_of_it() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config())?;
    let many = |holder: &str, networks: &str| {
        Request::BanMany(ManyBans {
            holder: holder.to_owned(),
            time: now(),
            until: None,
            as_of: None,
            networks: networks.to_owned(),
        })
    };
    // One that is no address spoils the request, and none of it is done.
    for networks in ["198.51.100.7 example.org", "198.51.100.7=soon"] {
        let refusal = daemon.refuses(&many("import:a", networks))?;
        assert_eq!(refusal.kind, RefusalKind::Invalid, "{refusal:?}");
    }
    assert_eq!(daemon.bans()?, []);
    // The client does not even send what is out of bounds.
    for wrong in [
        many("sshd", "198.51.100.7"),
        many("import:", "198.51.100.7"),
        many("import:a", ""),
        many("import:a", &"198.51.100.7 ".repeat(10_000)),
    ] {
        assert!(wrong.validate().is_err());
    }
    let twice = many("import:a", "198.51.100.7 198.51.100.7=4000000000");
    let Reply::Many(tally) = daemon.ask(&twice)? else {
        anyhow::bail!("no tally");
    };
    assert_eq!((tally.enforced, tally.unchanged), (1, 1));
    Ok(())
}
