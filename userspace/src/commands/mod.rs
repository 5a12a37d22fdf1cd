//! The operator's commands.

mod allow;
mod attach;
mod ban;
mod bulk;
mod confirm;
mod daemon;
mod direct;
mod export;
mod fail2ban_client;
mod hand_over;
mod import;
mod link;
mod list;
mod mode;
pub mod nacl;
mod output;
mod pages;
#[cfg(test)]
mod standin;
mod status;
mod sync;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::exit::{self, Failure};

/// Bans at the NIC: XDP on the host, the network ACL at the subnet.
#[derive(Debug, Parser)]
#[command(name = "nicban", version, after_help = exit::HELP)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// The daemon's socket [default: that of the configuration]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The configuration [default: /etc/nicban/nicban.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Daemon(daemon::Args),
    /// Drop an address or a network
    Ban(ban::BanArgs),
    /// Lift a ban
    Unban(ban::UnbanArgs),
    /// Ban what is on a list: addresses and networks, or a dump of ipset or nft
    Import(import::Args),
    /// Write the bans in force as a list, which import reads again
    Export(export::Args),
    /// Enforce what fail2ban's jails have banned and is not in force
    Sync(sync::Args),
    /// List the bans in force
    List(list::Args),
    /// Show what is dropped where, and what is wrong
    Status(status::Args),
    /// Change or show the list of networks that are never dropped
    #[command(subcommand)]
    Allow(allow::Command),
    /// Attach the XDP program to an interface
    Attach(attach::AttachArgs),
    /// Keep what `attach --confirm` attached
    Confirm,
    /// Detach the XDP program, also when no daemon runs; nothing is dropped then
    Detach(attach::DetachArgs),
    /// Count what would be dropped, and pass it
    Observe,
    /// Drop what is banned
    Enforce,
    /// Look at the network ACL, or leave it
    #[command(subcommand)]
    Nacl(nacl::Command),
    /// The same as `nicban nacl release`
    Release(nacl::Release),
    /// Give the folder of the pins to the daemon's user; nicban-pins.service runs it
    #[command(hide = true)]
    HandOver(hand_over::Args),
}

/// Runs a command.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let globals = cli.globals;
    output::reader_may_leave(match cli.command {
        Command::Daemon(args) => daemon::run(&globals, &args),
        Command::Ban(args) => ban::ban(&globals, args),
        Command::Unban(args) => ban::unban(&globals, args),
        Command::Import(args) => import::run(&globals, &args),
        Command::Export(args) => export::run(&globals, &args),
        Command::Sync(args) => sync::run(&globals, &args),
        Command::List(args) => list::run(&globals, args),
        Command::Status(args) => status::run(&globals, &args),
        Command::Allow(command) => allow::run(&globals, command),
        Command::Attach(args) => attach::attach(&globals, args),
        Command::Confirm => attach::confirm(&globals),
        Command::Detach(args) => attach::detach(&globals, args),
        Command::Observe => mode::set(&globals, nicban_protocol::Mode::Observe),
        Command::Enforce => mode::set(&globals, nicban_protocol::Mode::Enforce),
        Command::Nacl(command) => nacl::run(&globals, &command),
        Command::Release(args) => nacl::run(&globals, &nacl::Command::Release(args)),
        Command::HandOver(args) => hand_over::run(&args),
    })
}

/// Runs a diagnostic that waits for others.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    Ok(runtime.block_on(work)?)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_documents_the_exit_statuses() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("  3  the daemon cannot be reached"), "{help}");
    }

    #[test]
    fn what_is_wrong_is_refused_before_anyone_is_asked() {
        for wrong in [
            &["ban"][..],
            &["ban", "example.org"],
            &["ban", "192.0.2.1", "--for", "1h", "--permanent"],
            &["ban", "192.0.2.1", "--for", "0s"],
            &["ban", "192.0.2.1", "--for", "60"],
            &["attach", "--confirm", "1s"],
            &["attach", "a/b"],
            &["list", "nonsense"],
            &["unban"],
            &["unban", "--all"],
            &["unban", "--all", "--holder", "sshd", "192.0.2.1"],
            &["import"],
            &["import", "-"],
            &["import", "list.txt", "--allow-empty"],
            &["import", "list.txt", "--format", "yaml"],
            &["export", "--format", "yaml"],
            &["sync", "--client", " "],
            &["sync", "--settle", "60"],
            &["sync", "sshd"],
        ] {
            let line = std::iter::once("nicban").chain(wrong.iter().copied());
            let error = Cli::try_parse_from(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn globals_stand_before_or_after_the_command() {
        for right in [
            &["--socket", "/s", "status", "--json"][..],
            &["status", "--json", "--socket", "/s"],
            &["ban", "2001:db8::/32", "--permanent", "--reason", "scanner"],
            &["ban", "192.0.2.1", "--for", "1h 30m"],
            &["attach", "eth0", "--confirm", "60s"],
            &["unban", "--all", "--holder", "import:list"],
            &["import", "list.txt", "--replace", "--for", "2d"],
            &[
                "import", "-", "--name", "list", "--set", "a", "--set", "b", "--format", "nft-json",
            ],
            &["export", "--holder", "sshd", "--format", "ipset"],
            &[
                "sync",
                "--jail=--help",
                "--client=fail2ban-client -s /s",
                "--settle=60s",
            ],
            &["nacl", "release", "--direct"],
            &["release", "--direct"],
            &["hand-over", "--user", "nicban", "/sys/fs/bpf/nicban"],
        ] {
            let line = std::iter::once("nicban").chain(right.iter().copied());
            Cli::try_parse_from(line).unwrap();
        }
    }
}
