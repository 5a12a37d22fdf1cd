//! `nicban sync`: fail2ban's bans that nicban does not enforce are enforced.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::tz::TimeZone;
use nicban_protocol::{MAX_PROBLEM, ManyBans, Reply, Request, Synced, Tally};
use nix::fcntl::{Flock, FlockArg};

use super::bulk::{self, Chunk};
use super::fail2ban_client::Fail2banClient;
use super::link::{Link, unexpected};
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
    ///
    /// A ban that is on the list no longer is left alone: a jail that stops or starts lists none
    /// either. What was unbanned between the look and its telling the daemon knows by the mark.
    fn look(&mut self) -> Result<bool, Failure> {
        let now = output::now();
        let mark = self.mark()?;
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
        let has_lost = self
            .known
            .keys()
            .any(|network| !sentences.contains_key(network));
        if has_lost {
            self.begin_anew();
        }
        let fresh: Vec<(IpNet, Sentence)> = sentences
            .iter()
            .filter(|(network, sentence)| self.known.get(*network) != Some(*sentence))
            .map(|(network, sentence)| (*network, *sentence))
            .collect();
        let is_settled = fresh.is_empty() && !has_lost;
        self.known = sentences;
        if !fresh.is_empty() {
            self.expect_action()?;
            let unbanned = self.tell(&fresh, now, mark)?;
            if unbanned > 0 {
                // Which of them were, the next look shows.
                self.begin_anew();
            }
        }
        Ok(is_settled)
    }

    /// All that is listed is told again, and counted again.
    fn begin_anew(&mut self) {
        self.known.clear();
        self.sum.unchanged = 0;
    }

    fn mark(&self) -> Result<u64, Failure> {
        match self.link.call(&Request::Mark {})? {
            Reply::Mark { mark } => Ok(mark),
            other => Err(unexpected(&other)),
        }
    }

    /// A jail lists its bans without the action, too; and a reload that took it out has lifted
    /// them, before the mark perhaps.
    fn expect_action(&self) -> Result<(), Failure> {
        if self.client.has_nicban(self.jail)? {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Failed,
            format!("{} does not have the action nicban", self.jail),
        ))
    }

    /// Has bans enforced that are not in force nor unbanned since the mark; tells how many may
    /// have been.
    fn tell(&mut self, bans: &[(IpNet, Sentence)], now: i64, mark: u64) -> Result<u32, Failure> {
        let mut unbanned = 0;
        let Self {
            link,
            jail,
            sum,
            why,
            ..
        } = self;
        bulk::send(link, restored(jail, now, mark, bans), |answered| {
            bulk::add(sum, &answered.tally);
            unbanned += answered.tally.unbanned;
            if why.is_none() {
                *why = answered
                    .tally
                    .examples
                    .into_iter()
                    .next()
                    .map(|example| example.why);
            }
        })?;
        Ok(unbanned)
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
    mark: u64,
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
                as_of: Some(mark),
                networks,
            })
        },
    )
}
