//! `nicban import`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use ipnet::IpNet;
use nicban_protocol::{IMPORT, ManyBans, Reply, Request, Tally};

use super::bulk::{self, Chunk};
use super::link::{Link, unexpected};
use super::{Globals, ban, output};
use crate::exit::{Exit, Failure};
use crate::lists::{self, Bad, Folded, Format, Listed, Parsed, Wanted};
use crate::target::Target;

/// The largest list, in bytes: tens of millions of addresses.
const LARGEST: u64 = 1 << 30;

/// Lines of one kind that are told one by one.
const TOLD: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The list; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// The list's name: its bans are held by import:NAME [default: the file's name without its
    /// extension]
    #[arg(long, required_if_eq("file", "-"))]
    name: Option<String>,
    /// Then lift what import:NAME held before and the list has no more
    #[arg(long)]
    replace: bool,
    /// Let an empty list replace one that is not
    #[arg(long, requires = "replace")]
    allow_empty: bool,
    /// How long those are banned for which the list names no end, such as 12h, 7d [default:
    /// until someone lifts them]
    #[arg(long = "for", value_name = "TIME", value_parser = ban::sentence)]
    time: Option<Duration>,
    /// How the list is written [default: its content tells]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Of a dump of ipset or nft, only the set of this name; may be given more than once
    #[arg(long = "set", value_name = "SET")]
    sets: Vec<String>,
    /// Leave out lines that are wrong, and take the rest
    #[arg(long)]
    skip_bad: bool,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<(), Failure> {
    let clock = started();
    let now = output::now();
    let source = args.file.display().to_string();
    let name = match &args.name {
        Some(name) => name.clone(),
        None => stem(&args.file)?,
    };
    let holder = format!("{IMPORT}{name}");
    check(&holder)?;
    let text = read(&args.file)?;
    let wanted = Wanted { sets: &args.sets };
    let parsed = lists::parse(&text, args.format, wanted, now);
    drop(text);
    told(&source, &parsed, args)?;
    let bad = parsed.bad.len();
    let read = parsed.listed.len();
    let until = args.time.map(|time| {
        now.saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
            .min(nicban_protocol::MAX_TIME)
    });
    let list = lists::fold(parsed.listed, until);
    if args.replace && list.listed.is_empty() && !args.allow_empty {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{source} is empty, and would lift all that {holder} holds; if that is meant, say --allow-empty"
            ),
        ));
    }
    let link = Link::new(globals)?;
    has_room(&link, &list.listed)?;
    let mut import = Import {
        link: &link,
        source: &source,
        holder: &holder,
        now,
        until,
        sum: Tally::default(),
        told: 0,
    };
    import.put(&list.listed)?;
    if args.replace {
        import.lift_the_rest(&list.listed)?;
    }
    let said = import.said(read, bad, &list, clock.elapsed());
    output::text(&said)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command is an edge: how long it took is what it tells"
)]
fn started() -> Instant {
    Instant::now()
}

/// The name that a file gives its list.
fn stem(file: &Path) -> Result<String, Failure> {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    stem.map(str::to_owned).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("{} gives the list no name: say --name", file.display()),
        )
    })
}

/// Whether the protocol takes the name.
fn check(holder: &str) -> Result<(), Failure> {
    let request = Request::BanMany(ManyBans {
        holder: holder.to_owned(),
        time: 0,
        until: None,
        as_of: None,
        networks: "192.0.2.1".to_owned(),
    });
    let valid = request.validate();
    valid.map_err(|error| Failure::new(Exit::Usage, format!("--name: {error}")))
}

fn read(file: &Path) -> Result<String, Failure> {
    let what = || format!("cannot read {}", file.display());
    let source: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(fs::File::open(file).with_context(what)?)
    };
    let mut bytes = Vec::new();
    source
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .with_context(what)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} is larger than {LARGEST} bytes, which is the limit",
                file.display()
            ),
        ));
    }
    // Other bytes may stand in comments; elsewhere the line is bad, and told as such.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Tells what was left out; fails where something is wrong and was not to be skipped.
fn told(source: &str, parsed: &Parsed, args: &Args) -> Result<(), Failure> {
    for (name, why) in &parsed.left_out {
        if why != lists::NOT_ASKED_FOR {
            eprintln!("nicban: {source}: set {name:?} is left out: {why}");
        }
    }
    for wanted in &args.sets {
        if !parsed.sets.iter().any(|(name, _)| name == wanted) {
            return Err(Failure::new(
                Exit::Failed,
                format!("{source} has no set {wanted:?} of addresses: nothing was imported"),
            ));
        }
    }
    let lines = bad_lines(source, &parsed.bad);
    match parsed.bad.len() {
        0 => Ok(()),
        _ if args.skip_bad => {
            eprintln!("{lines}");
            Ok(())
        }
        1 => Err(Failure::new(
            Exit::Failed,
            format!("{lines}\nnothing was imported; --skip-bad leaves it out and takes the rest"),
        )),
        many => Err(Failure::new(
            Exit::Failed,
            format!(
                "{lines}\nnothing was imported: {many} lines are wrong; --skip-bad leaves them out and takes the rest"
            ),
        )),
    }
}

fn bad_lines(source: &str, bad: &[Bad]) -> String {
    let mut lines: Vec<String> = bad
        .iter()
        .take(TOLD)
        .map(|Bad { place, why }| format!("{source}:{place}: {why}"))
        .collect();
    if bad.len() > TOLD {
        lines.push(format!("{source}: and {} more", bad.len() - TOLD));
    }
    lines.join("\n")
}

/// Refuses what can't fit whatever is banned now. What fits beside other bans, the daemon
/// knows.
fn has_room(link: &Link, list: &[Listed]) -> Result<(), Failure> {
    let status = match link.call(&Request::Status {})? {
        Reply::Status(status) => status,
        other => return Err(unexpected(&other)),
    };
    let v4 = list.iter().filter(|item| item.address.is_ipv4());
    let (single, nets): (Vec<&Listed>, Vec<&Listed>) =
        v4.partition(|item| item.prefix.unwrap_or(32) == 32);
    for (map, key, count, what) in [
        ("bans_v4", "max_bans", single.len(), "IPv4 addresses"),
        ("nets_v4", "max_nets", nets.len(), "IPv4 networks"),
    ] {
        let fill = status.maps.iter().find(|fill| fill.map == map);
        if let Some(fill) = fill
            && fill.capacity < count as u64
        {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "the list has {count} {what}, and {key} is {}: nothing was imported; raise {key} in [xdp] and restart nicban",
                    fill.capacity
                ),
            ));
        }
    }
    Ok(())
}

/// An import under way.
struct Import<'a> {
    link: &'a Link,
    source: &'a str,
    holder: &'a str,
    now: i64,
    until: Option<i64>,
    sum: Tally,
    /// Skipped ones that were told one by one.
    told: usize,
}

impl Import<'_> {
    /// Bans what is on the list.
    fn put(&mut self, list: &[Listed]) -> Result<(), Failure> {
        let bar = bar(list.len(), "imported");
        let chunks = bans(self.holder, self.now, self.until, list);
        let sent = bulk::send(self.link, chunks, |answered| {
            bulk::add(&mut self.sum, &answered.tally);
            bar.inc(answered.count as u64);
            for example in &answered.tally.examples {
                self.told += 1;
                if self.told <= TOLD {
                    let item = list.get(answered.first + example.at as usize);
                    let place = item.map(|item| item.place.to_string()).unwrap_or_default();
                    bar.suspend(|| eprintln!("{}:{place}: {}", self.source, example.why));
                }
            }
        });
        bar.finish_and_clear();
        let skipped = self.sum.skipped() as usize;
        if skipped > TOLD {
            eprintln!("{}: and {} more", self.source, skipped - TOLD);
        }
        sent.map_err(|failure| self.stopped(&failure, list.len()))
    }

    /// Lifts what the holder has that is not on the list.
    fn lift_the_rest(&mut self, list: &[Listed]) -> Result<(), Failure> {
        let mut rest: Vec<IpNet> = Vec::new();
        let mut targets: Option<Vec<Target>> = None;
        for page in bulk::dump(self.link, Some(self.holder)) {
            let page = page?;
            let targets = targets.get_or_insert_with(|| {
                let targets = list.iter().filter_map(|item| item.target(page.ipv6_prefix));
                let mut targets: Vec<Target> = targets.collect();
                targets.sort_unstable();
                targets
            });
            let gone = page.bans.into_iter().map(|(network, _)| network);
            rest.extend(gone.filter(|network| {
                let target = Target::from_network(*network).ok();
                target.is_none_or(|target| targets.binary_search(&target).is_err())
            }));
        }
        let sent = lift(self.link, self.holder, &rest, &mut self.sum);
        sent.map_err(|failure| Failure {
            exit: failure.exit,
            error: anyhow::anyhow!(
                "{:#}\nthe new list is in force, and {} of the {} old bans that are not on it are lifted: run the same command again",
                failure.error,
                self.sum.lifted + self.sum.still_held,
                rest.len()
            ),
        })
    }

    fn stopped(&self, failure: &Failure, all: usize) -> Failure {
        let done = self.sum.enforced + self.sum.prolonged + self.sum.unchanged;
        Failure {
            exit: failure.exit,
            error: anyhow::anyhow!(
                "{:#}\n{done} of {all} were imported and stay banned, nothing was lifted; run the same command again, or take them back: nicban unban --all --holder '{}'",
                failure.error,
                self.holder
            ),
        }
    }

    /// What was done, in a line.
    fn said(&self, read: usize, bad: usize, list: &Folded, took: Duration) -> String {
        let Tally {
            enforced,
            prolonged,
            unchanged,
            expired,
            protected,
            refused,
            lifted,
            still_held,
            ..
        } = self.sum;
        let skipped: Vec<String> = [
            (bad, "bad lines"),
            (list.duplicates, "listed twice"),
            (protected as usize, "on the allow list"),
            (refused as usize, "never to be banned"),
            (expired as usize, "over already"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{count} {why}"))
        .collect();
        let skipped = match &skipped[..] {
            [] => "none skipped".to_owned(),
            reasons => format!("skipped: {}", reasons.join(", ")),
        };
        let others = match still_held {
            0 => String::new(),
            some => format!(" ({some} more are still held by others)"),
        };
        format!(
            "{}: {read} read, {enforced} imported, {unchanged} already held, {prolonged} with another end, {skipped}, {lifted} lifted{others}, took {:.1} s\n",
            self.holder,
            took.as_secs_f64()
        )
    }
}

/// Requests that ban what is on a list.
fn bans<'a>(
    holder: &'a str,
    now: i64,
    until: Option<i64>,
    list: &'a [Listed],
) -> impl Iterator<Item = Chunk> + Send + 'a {
    bulk::chunks(
        list,
        move |packer, item| {
            let own = item.until.filter(|own| Some(*own) != until);
            packer.push(item.address, item.prefix, own);
        },
        move |networks| {
            Request::BanMany(ManyBans {
                holder: holder.to_owned(),
                time: now,
                until,
                as_of: None,
                networks,
            })
        },
    )
}

/// A progress bar on stderr, if that is a terminal.
fn bar(length: usize, what: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} {msg}, {eta} left");
    ProgressBar::new(length as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

/// `nicban unban --all`: ends all of a holder's bans. Tells how many are no longer banned, and
/// how many others still hold.
pub(super) fn unban_all(link: &Link, holder: &str) -> Result<Tally, Failure> {
    let mut held: Vec<IpNet> = Vec::new();
    for page in bulk::dump(link, Some(holder)) {
        held.extend(page?.bans.into_iter().map(|(network, _)| network));
    }
    let mut sum = Tally::default();
    lift(link, holder, &held, &mut sum)?;
    Ok(sum)
}

/// Ends a holder's bans on these networks; `sum` has what was done, also where it was cut short.
fn lift(link: &Link, holder: &str, networks: &[IpNet], sum: &mut Tally) -> Result<(), Failure> {
    let bar = bar(networks.len(), "lifted");
    let chunks = bulk::chunks(
        networks,
        |packer, network| packer.push(network.addr(), Some(network.prefix_len()), None),
        |networks| Request::UnbanMany {
            holder: holder.to_owned(),
            networks,
        },
    );
    let sent = bulk::send(link, chunks, |answered| {
        bulk::add(sum, &answered.tally);
        bar.inc(answered.count as u64);
    });
    bar.finish_and_clear();
    sent
}
