//! `nicban sync`: fail2ban's bans that nicban does not enforce are enforced.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::tz::TimeZone;
use nicban_protocol::{MAX_PROBLEM, ManyBans, Request, Synced, Tally};
use nix::fcntl::{Flock, FlockArg};

use super::bulk::{self, Chunk};
use super::fail2ban_client::Fail2banClient;
use super::link::Link;
use super::{Globals, ban, output};
use crate::exit::{Exit, Failure};
use crate::fail2ban::{self, Banned, Sentence};

/// How long to wait for the daemon while fail2ban starts: at boot it may come later.
const PATIENCE: Duration = Duration::from_mins(1);

/// The first pause between two looks at a list that may still grow; each further one is twice as
/// long.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks at the least while fail2ban is starting: its first bans may wait for another action.
const LOOKS: u32 = 3;

/// Looks at the most otherwise: under attack no two are the same.
const FEW: u32 = 4;

/// How much later than the second that fail2ban names a ban may have begun: it cuts fractions off,
/// and its action rounds them.
const ROUNDING: i64 = 1;

/// How far in the future a ban may have begun, in seconds.
const AHEAD: i64 = 60;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this jail [default: all that have the action nicban]
    #[arg(long, value_name = "NAME")]
    jail: Option<String>,
    /// The command that asks fail2ban: words, parted by blanks
    #[arg(long, value_name = "COMMAND", default_value = "fail2ban-client", value_parser = client)]
    client: Fail2banClient,
    /// fail2ban is starting: look again until its list stays as it is, for so long at the most
    #[arg(long, value_name = "TIME", value_parser = ban::sentence)]
    settle: Option<Duration>,
}

fn client(command: &str) -> Result<Fail2banClient, &'static str> {
    Fail2banClient::new(command).ok_or("name a program")
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<(), Failure> {
    let client = &args.client;
    let mut link = Link::new(globals)?;
    if args.settle.is_some() {
        link = link.persistent(PATIENCE);
    }
    let jails = match &args.jail {
        Some(jail) => vec![jail.clone()],
        None => client.jails_with_nicban()?,
    };
    if jails.is_empty() {
        output::text("no jail has the action nicban\n")?;
    }
    let mut outcome = Ok(());
    for jail in &jails {
        let mut sync = Sync::new(&link, client, jail);
        let done = sync.run(args.settle);
        let synced = sync.told(done.as_ref().err());
        // Into the daemon's log: what fail2ban starts has no other place to tell it.
        let noted = link.call(&Request::Synced(synced.clone()));
        output::text(&format!("{synced}\n"))?;
        outcome = outcome.and(done).and(noted.map(drop));
    }
    outcome
}

/// A synchronisation of one jail.
struct Sync<'a> {
    link: &'a Link,
    client: &'a Fail2banClient,
    jail: &'a str,
    zone: TimeZone,
    /// What fail2ban listed and the daemon was told.
    known: BTreeMap<IpNet, Sentence>,
    /// Lines of the last list that are no bans of addresses.
    others: Vec<String>,
    sum: Tally,
    lifted: u32,
    /// Why the first of those that failed did.
    why: Option<String>,
}

impl<'a> Sync<'a> {
    fn new(link: &'a Link, client: &'a Fail2banClient, jail: &'a str) -> Self {
        Self {
            link,
            client,
            jail,
            // As it is: fail2ban's environment and the machine's are ours.
            zone: TimeZone::system(),
            known: BTreeMap::new(),
            others: Vec::new(),
            sum: Tally::default(),
            lifted: 0,
            why: None,
        }
    }

    /// Looks, tells the daemon, and looks again, until fail2ban's list is as it was told.
    #[expect(
        clippy::disallowed_methods,
        reason = "a command is an edge: it waits on the real clock"
    )]
    fn run(&mut self, settle: Option<Duration>) -> Result<(), Failure> {
        let start = Instant::now();
        let mut pause = PAUSE;
        for looks in 1.. {
            let turn = settle.and_then(|_| take_turns(self.link.socket()));
            let is_settled = self.look()?;
            drop(turn);
            match settle {
                None if is_settled || looks == FEW => break,
                None => {}
                Some(_) if is_settled && looks >= LOOKS => break,
                Some(limit) => {
                    let left = limit.saturating_sub(start.elapsed());
                    if left.is_zero() {
                        break;
                    }
                    thread::sleep(pause.min(left));
                    pause *= 2;
                }
            }
        }
        Ok(())
    }

    /// One look; tells whether the list is as it was at the look before.
    fn look(&mut self) -> Result<bool, Failure> {
        let now = output::now();
        let Banned { sentences, others } =
            fail2ban::banned(&self.client.banned(self.jail)?, &self.zone);
        self.others = others;
        if let Some((network, sentence)) = sentences
            .iter()
            .find(|(_, sentence)| sentence.since > now + AHEAD)
        {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "fail2ban banned {network} {} s from now: is its time zone another than this command's? set TZ",
                    sentence.since - now
                ),
            ));
        }
        // Somebody unbanned these after they had been listed, perhaps before they were told.
        let gone = self
            .known
            .iter()
            .filter(|(network, _)| !sentences.contains_key(*network));
        let gone: Vec<(IpNet, Sentence)> = gone
            .map(|(network, sentence)| (*network, *sentence))
            .collect();
        let fresh = sentences
            .iter()
            .filter(|(network, sentence)| self.known.get(*network) != Some(*sentence));
        let fresh: Vec<(IpNet, Sentence)> = fresh
            .map(|(network, sentence)| (*network, *sentence))
            .collect();
        self.lift(&gone)?;
        self.tell(&fresh, now)?;
        if !gone.is_empty() {
            // Where several IPv6 addresses share a network, one that is still banned was lifted
            // with the one that is not.
            let counted = self.sum.clone();
            let all: Vec<_> = sentences
                .iter()
                .map(|(network, sentence)| (*network, *sentence))
                .collect();
            self.tell(&all, now)?;
            self.sum = counted;
        }
        let is_settled = gone.is_empty() && fresh.is_empty() && !self.known.is_empty()
            || self.known.is_empty() && sentences.is_empty();
        self.known = sentences;
        Ok(is_settled)
    }

    /// Has bans enforced that are not in force.
    fn tell(&mut self, bans: &[(IpNet, Sentence)], now: i64) -> Result<(), Failure> {
        let Self {
            link,
            jail,
            sum,
            why,
            ..
        } = self;
        bulk::send(link, restored(jail, now, bans), |answered| {
            bulk::add(sum, &answered.tally);
            if why.is_none() {
                *why = answered
                    .tally
                    .examples
                    .into_iter()
                    .next()
                    .map(|example| example.why);
            }
        })
    }

    /// Lifts bans unless they were made anew since.
    fn lift(&mut self, bans: &[(IpNet, Sentence)]) -> Result<(), Failure> {
        let Self {
            link, jail, lifted, ..
        } = self;
        bulk::send(link, lifts(jail, bans), |answered| {
            *lifted += answered.tally.lifted + answered.tally.still_held;
        })
    }

    /// What is told of it.
    fn told(&self, failure: Option<&Failure>) -> Synced {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let failed = self.sum.protected + self.sum.refused + self.sum.full;
        let why = failure
            .map(|failure| format!("{:#}", failure.error))
            .or_else(|| self.why.clone());
        let why = why.or_else(|| {
            let line = self.others.first()?;
            Some(format!("{line:?} is no ban of an address"))
        });
        Synced {
            holder: self.jail.to_owned(),
            listed: count(self.known.len() + self.others.len()),
            in_force: self.sum.unchanged,
            added: self.sum.enforced + self.sum.prolonged,
            failed: failed + count(self.others.len()),
            lifted: self.lifted,
            problem: why.map(|why| one_line(&why)),
        }
    }
}

/// Text as the protocol takes it.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        if line.len() + character.len_utf8() > MAX_PROBLEM {
            break;
        }
        line.push(character);
    }
    if line.is_empty() {
        line.push('?');
    }
    line
}

/// One look at a time over all jails that start together: each starts a Python interpreter. Who
/// can't have its turn goes without.
fn take_turns(socket: &Path) -> Option<Flock<File>> {
    const TRIES: u32 = 300;
    const WAIT: Duration = Duration::from_millis(100);
    let mut folder = File::open(socket.parent()?).ok()?;
    for _ in 0..TRIES {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((back, _)) => folder = back,
        }
        thread::sleep(WAIT);
    }
    None
}

/// A network's length; none where it is one address, as fail2ban lists it: then the daemon takes
/// the IPv6 network around it, as it does for the action's bans.
fn length(network: &IpNet) -> Option<u8> {
    (network.prefix_len() < network.max_prefix_len()).then_some(network.prefix_len())
}

/// Requests that have a jail's bans enforced.
fn restored<'a>(
    jail: &'a str,
    now: i64,
    bans: &'a [(IpNet, Sentence)],
) -> impl Iterator<Item = Chunk> + Send + 'a {
    bulk::chunks(
        bans,
        |packer, (network, sentence)| {
            packer.push_since(
                network.addr(),
                length(network),
                sentence.until,
                sentence.since,
            );
        },
        move |networks| {
            Request::BanMany(ManyBans {
                holder: jail.to_owned(),
                time: now,
                until: None,
                restored: true,
                networks,
            })
        },
    )
}

/// Requests that lift a jail's bans as they were listed.
fn lifts<'a>(
    jail: &'a str,
    bans: &'a [(IpNet, Sentence)],
) -> impl Iterator<Item = Chunk> + Send + 'a {
    bulk::chunks(
        bans,
        |packer, (network, sentence)| {
            let since = sentence.since.saturating_add(ROUNDING);
            packer.push_since(network.addr(), length(network), None, since);
        },
        move |networks| Request::UnbanMany {
            holder: jail.to_owned(),
            networks,
        },
    )
}
