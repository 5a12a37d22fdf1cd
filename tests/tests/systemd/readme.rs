//! The README's commands, in its order and as they stand there, on a new machine.
//!
//! Not here: the build, which made the programs of this test, and the lines for AWS's own
//! command line, which asks AWS.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};

use crate::cloud::{ENDPOINT, start_cloud};
use crate::machine::Machine;
use nicban_tests::daemon::{HONEST, HONEST_V6};
use nicban_tests::net::Scratch;

const README: &str = include_str!("../../../README.md");

/// The tree as it is copied to a bastion, with the programs where cargo puts them, and
/// fail2ban with nothing to read but the journal.
const COPIED: &str = r"
mkdir -p /root/nicban/target/release /root/nicban/target/action
cp -R /machine/sources/packaging /machine/sources/fail2ban /root/nicban
ln -s /machine/programs/nicban /root/nicban/target/release
ln -s /machine/programs/nicban-action /root/nicban/target/action
rm -f /etc/fail2ban/*.local /etc/fail2ban/*/*.local /var/lib/fail2ban/fail2ban.sqlite3 /var/log/fail2ban.log
: >/etc/resolv.conf
";

/// A command, and what the README shows of its answer.
#[derive(Debug)]
struct Command {
    line: String,
    shown: Vec<String>,
}

#[test]
fn the_readmes_commands_do_what_it_shows() -> Result<()> {
    let machine = Machine::boot(COPIED)?;
    let folder = Scratch::new("cloud")?;
    let _cloud = start_cloud(machine.site().host(), folder.path())?;
    machine.shell(&format!(
        "mkdir -p /etc/systemd/system/nicban.service.d && \
         printf '[Service]\\nEnvironment={ENDPOINT}\\n' >/etc/systemd/system/nicban.service.d/endpoint.conf"
    ))?;
    // The one that the README tries to ban.
    let own: IpAddr = "192.0.2.10".parse()?;
    machine.site().host().add_address("eth0", own.into())?;
    let wire = machine.wire()?;

    let mut install = commands("Install it on a bastion")?;
    install.retain(|command| {
        let elsewhere = ["cargo ", "aws "];
        !elsewhere.iter().any(|word| command.line.starts_with(word))
    });
    ensure!(install.len() == 7, "{install:#?}");
    for command in &install {
        run(&machine, command)?;
    }
    // The list that the README imports: five lines, one of them twice.
    machine.shell(
        "printf '%s\\n' 203.0.113.64 203.0.113.65 203.0.113.64 203.0.113.96/28 2001:db8:1::/48 \
         >/root/nicban/blocklist.txt",
    )?;
    for command in &commands("Every day")? {
        run(&machine, command)?;
    }
    wire.blocked("198.51.100.200")?;
    wire.blocked("2001:db8:bad::2")?;
    // The allow list wins within the banned network.
    wire.arrives("198.51.100.9")?;

    for command in &commands("Locked out")? {
        run(&machine, command)?;
    }
    wire.arrives("198.51.100.200")?;
    machine.shell("nicban attach && nicban nacl resume && nicban ban 203.0.113.7")?;
    wire.blocked("198.51.100.200")?;
    wire.blocked("203.0.113.7")?;

    for command in &commands("Look inside")? {
        run(&machine, command)?;
    }
    machine.shell("systemctl stop nicban.socket nicban.service")?;
    wire.blocked("203.0.113.7")?;
    machine.shell("rm /sys/fs/bpf/nicban/link_*")?;
    wire.arrives("203.0.113.7")?;

    for command in &commands("Uninstall")? {
        run(&machine, command)?;
    }
    for source in ["198.51.100.200", "203.0.113.7", HONEST, HONEST_V6] {
        wire.arrives(source)?;
    }
    Ok(())
}

/// The commands of a section: every line of its `sh` blocks, and what stands behind
/// a prompt in its `console` blocks.
fn commands(section: &str) -> Result<Vec<Command>> {
    let heading = format!("\n## {section}\n");
    let (_, text) = README
        .split_once(&heading)
        .with_context(|| format!("no {section}"))?;
    let text = text.split("\n## ").next().unwrap_or(text);
    let mut found = Vec::new();
    // Odd parts are within a block, which begins with its language.
    for block in text.split("```").skip(1).step_by(2) {
        let (language, body) = block.split_once('\n').context("an empty block")?;
        // A command may go on in the next line.
        let body = body.replace("\\\n", " ");
        let lines = body
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty());
        for line in lines {
            let command = match language {
                "sh" => Some(line),
                "console" => line.strip_prefix("# "),
                _ => continue,
            };
            match (command, found.last_mut()) {
                (Some(line), _) => found.push(Command {
                    line: line.to_owned(),
                    shown: Vec::new(),
                }),
                (None, Some(Command { shown, .. })) => shown.push(line.to_owned()),
                (None, None) => {}
            }
        }
    }
    ensure!(!found.is_empty(), "{section} has no commands");
    Ok(found)
}

/// Runs one, in the folder that the tree was copied to. Its answer has to begin with the
/// first line that is shown, whatever the numbers and the widths of columns; a command
/// that is shown to be refused has to be.
fn run(machine: &Machine, command: &Command) -> Result<()> {
    let mut line = format!("cd /root/nicban; export {ENDPOINT}; ");
    if command.shown.iter().any(|shown| shown == "yes") {
        // It asks whoever sits at the terminal.
        write!(
            line,
            "echo yes | script -q -E never -ec '{}' /dev/null",
            command.line
        )?;
    } else {
        line.push_str(&command.line);
    }
    let ran = machine.ran(&line).with_context(|| command.line.clone())?;
    let refused = command
        .shown
        .first()
        .is_some_and(|shown| shown.starts_with("nicban: "));
    ensure!((ran.code != 0) == refused, "{}: {ran:?}", command.line);
    let answer = if refused { &ran.stderr } else { &ran.stdout };
    let mut words = answer.split_whitespace().map(numbers_aside);
    let expected = command
        .shown
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    for expected in expected.split_whitespace().map(numbers_aside) {
        let word = words.next();
        ensure!(
            word.as_ref() == Some(&expected),
            "{}: the README shows {expected:?} and not {word:?} in {ran:?}",
            command.line
        );
    }
    Ok(())
}

/// The word with a 0 for each number in it.
fn numbers_aside(word: &str) -> String {
    let mut plain = String::new();
    for c in word
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
    {
        if c != '0' || !plain.ends_with('0') {
            plain.push(c);
        }
    }
    plain
}
