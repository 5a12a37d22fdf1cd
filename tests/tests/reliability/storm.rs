//! Bans from 64 clients at once, and who is told what of them.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nicban_protocol::{Client, Reply, Request};
use nicban_tests::clock::now;
use nicban_tests::daemon::{self, Daemon, Site};
use nix::sys::signal::Signal;

use crate::scene::{Scene, random, times, were_dropped};

const CLIENTS: usize = 64;

/// In CI, and with `cargo xtask test --full`.
const KILLS: (u32, u32) = (40, 400);

/// What a client was told of its bans, as fail2ban is: by the action's exit status.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<Ipv4Addr>,
    failed: BTreeSet<Ipv4Addr>,
}

impl Told {
    fn take(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.failed.extend(other.failed);
    }
}

#[test]
fn no_acknowledged_ban_is_lost_while_the_daemon_is_killed_throughout() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    let config = site.config().set("xdp", "max_bans", "200000");
    let listener = UnixListener::bind(site.socket())?;
    let start = || site.start_activated(&config, listener.try_clone()?.into());
    let begun = Instant::now();
    let daemon = start()?.ready()?;
    let to_its_feet = begun.elapsed();
    Scene::ban(&daemon)?;
    let flood = scene.flood();
    let kills = times(KILLS.0, KILLS.1);
    let mut random = random("storm")?;
    let over = AtomicBool::new(false);
    let (daemon, told) = thread::scope(|scope| -> Result<_> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let over = &over;
                scope.spawn(move || ban_until(site, client, over))
            })
            .collect();
        let killed = (0..kills).try_fold(daemon, |daemon, _| {
            // Now and then it gets to serve for a while, or there would be nothing to lose.
            thread::sleep(to_its_feet.mul_f64(0.5 + random.f64() * 2.5));
            daemon.kill()?;
            start()
        });
        over.store(true, Ordering::Relaxed);
        let mut told = Told::default();
        for client in clients {
            told.take(client.join().expect("a client does not panic")?);
        }
        Ok((killed?.ready()?, told))
    })?;
    daemon.kill()?;

    // What a dead daemon leaves behind.
    let in_kernel = site.pins().banned_v4()?;
    let in_store = stored(&site.folder().join("state/nicban.db"))?;
    let lost = |place: &BTreeSet<Ipv4Addr>| told.acknowledged.difference(place).count();
    println!(
        "storm: {CLIENTS} clients, {kills} kills, {} bans acknowledged, {} reported as failed; lost in the kernel {}, in the store {}",
        told.acknowledged.len(),
        told.failed.len(),
        lost(&in_kernel),
        lost(&in_store)
    );
    ensure!(
        lost(&in_kernel) == 0 && lost(&in_store) == 0,
        "bans are lost"
    );
    ensure!(told.acknowledged.len() > CLIENTS, "no storm");
    ensure!(
        !told.failed.is_empty(),
        "no ban failed: nothing was at stake"
    );

    // And what the next one makes of it: both say the same, and no more than was asked for.
    let daemon = start()?.ready()?;
    let listed: BTreeSet<Ipv4Addr> = daemon
        .bans()?
        .iter()
        .filter_map(|row| row.address.parse().ok())
        .collect();
    ensure!(site.pins().banned_v4()? == listed, "kernel and list differ");
    ensure!(told.acknowledged.is_subset(&listed), "bans are lost");
    let asked = &told.acknowledged | &told.failed;
    let of_the_storm = listed.iter().filter(|it| it.octets()[0] == 10);
    ensure!(
        of_the_storm.clone().all(|it| asked.contains(it)),
        "nobody asked"
    );
    let count = scene.judge(flood)?;
    count.is_tight()?;
    let wire = site.wire()?;
    for address in told
        .acknowledged
        .iter()
        .step_by(told.acknowledged.len() / 8)
    {
        wire.blocked(&address.to_string())?;
    }
    Ok(())
}

/// Bans one address after the other by what fail2ban starts. Every other client takes no
/// answer for a no, as one whose patience is over does.
fn ban_until(site: &Site, client: usize, over: &AtomicBool) -> Result<Told> {
    let mut told = Told::default();
    let wait = if client.is_multiple_of(2) { "0" } else { "5" };
    let jail = format!("jail{client}");
    for number in 0_u16.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let [high, low] = number.to_be_bytes();
        let address = Ipv4Addr::from([10, u8::try_from(client)?, high, low]);
        let (text, time) = (address.to_string(), now().to_string());
        let ran = site.action(&["--wait", wait, "ban", "--", &jail, &text, &time, "86400"])?;
        if ran.code == 0 {
            told.acknowledged.insert(address);
        } else {
            // fail2ban logs this line, and that the action failed.
            ensure!(ran.stderr.contains(&text), "{address}: {}", ran.stderr);
            told.failed.insert(address);
        }
    }
    Ok(told)
}

/// The IPv4 addresses that a store holds.
fn stored(path: &Path) -> Result<BTreeSet<Ipv4Addr>> {
    let store = rusqlite::Connection::open(path)?;
    let mut query = store.prepare("SELECT target FROM holds")?;
    let targets = query.query_map([], |row| row.get::<_, String>(0))?;
    let mut addresses = BTreeSet::new();
    for target in targets {
        let target = target?;
        addresses.extend(target.trim_end_matches("/32").parse::<Ipv4Addr>().ok());
    }
    Ok(addresses)
}

fn ban(client: usize, number: u16) -> Result<Request> {
    let [high, low] = number.to_be_bytes();
    let address = Ipv4Addr::from([10, u8::try_from(client)?, high, low]);
    let holder = format!("jail{client}");
    Ok(Request::Ban(daemon::ban(
        &holder,
        &address.to_string(),
        now(),
        600,
    )))
}

/// Transactions in the store's journal: a frame of its header that names the database's
/// size ends one (<https://sqlite.org/fileformat2.html#walformat>).
fn transactions(daemon_folder: &Path) -> Result<usize> {
    let wal = fs::read(daemon_folder.join("state/nicban.db-wal"))?;
    let number = |at: usize| -> Result<u32> {
        let bytes = wal.get(at..at + 4).context("a journal that is cut off")?;
        Ok(u32::from_be_bytes(bytes.try_into()?))
    };
    let page = usize::try_from(number(8)?)?;
    let salt = number(16)?;
    let mut count = 0;
    for frame in (32..wal.len()).step_by(24 + page) {
        if wal.len() < frame + 24 || number(frame + 8)? != salt {
            break;
        }
        count += usize::from(number(frame + 4)? != 0);
    }
    Ok(count)
}

#[test]
fn clients_that_come_at_once_share_transactions_and_wait_for_no_more_than_those() -> Result<()> {
    const BANS: u16 = 50;
    let scene = Scene::new()?;
    let site = &scene.site;
    let daemon = site.start(&site.config().set("xdp", "max_bans", "200000"))?;
    Scene::ban(&daemon)?;
    let flood = scene.flood();

    // One alone, for the length of a transaction.
    let before = transactions(site.folder())?;
    let alone = bans_of_one_client(&daemon, CLIENTS, 200)?;
    ensure!(
        transactions(site.folder())? == before + 200,
        "one ban, one transaction"
    );

    // All of them ask before the first is served.
    daemon.signal(Signal::SIGSTOP)?;
    let before = transactions(site.folder())?;
    let (waits, served) = thread::scope(|scope| -> Result<_> {
        let asking: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let daemon = &daemon;
                scope.spawn(move || -> Result<Instant> {
                    asked(&mut daemon.client()?, &ban(client, 0)?)?;
                    Ok(Instant::now())
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        daemon.signal(Signal::SIGCONT)?;
        let mut waits = Vec::new();
        for asking in asking {
            let answered = asking.join().expect("a client does not panic")?;
            waits.push(answered.duration_since(begun));
        }
        Ok((waits, transactions(site.folder())? - before))
    })?;
    let (first, last) = (waits.iter().min(), waits.iter().max());
    println!(
        "at once: {CLIENTS} bans in {served} transactions, answered after {first:?} to {last:?}; one alone takes {alone:?} (median)"
    );
    ensure!(
        served * 4 <= CLIENTS,
        "{served} transactions for {CLIENTS} bans"
    );

    // And so without an end: each asks as soon as it has its answer.
    let before = transactions(site.folder())?;
    let mut waits = thread::scope(|scope| -> Result<Vec<Duration>> {
        let asking: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let daemon = &daemon;
                scope.spawn(move || waits_of_one_client(daemon, client, BANS))
            })
            .collect();
        let mut waits = Vec::new();
        for asking in asking {
            waits.extend(asking.join().expect("a client does not panic")?);
        }
        Ok(waits)
    })?;
    let served = transactions(site.folder())? - before;
    waits.sort_unstable();
    let bans = waits.len();
    let (median, longest) = (waits[bans / 2], waits[bans - 1]);
    println!(
        "throughout: {bans} bans in {served} transactions, waits {median:?} (median), {longest:?} (longest)"
    );
    ensure!(served * 4 <= bans, "{served} transactions for {bans} bans");
    // Nobody is passed over: a machine that is busy with other tests takes its time, but
    // no client waits for many rounds of the others.
    ensure!(
        longest <= median * 20 + Duration::from_millis(200),
        "someone waited {longest:?}, the median is {median:?}"
    );
    let expected = 4 + 200 + CLIENTS + bans;
    ensure!(daemon.bans()?.len() == expected, "bans are lost");
    let count = scene.judge(flood)?;
    count.is_tight()?;
    were_dropped(&daemon, count.banned)
}

/// The median of one client's waits.
fn bans_of_one_client(daemon: &Daemon, client: usize, bans: u16) -> Result<Duration> {
    let mut waits = waits_of_one_client(daemon, client, bans)?;
    waits.sort_unstable();
    waits.get(waits.len() / 2).copied().context("no ban")
}

fn waits_of_one_client(daemon: &Daemon, client: usize, bans: u16) -> Result<Vec<Duration>> {
    let mut connection = daemon.client()?;
    (1..=bans)
        .map(|number| {
            let request = ban(client, number)?;
            let begun = Instant::now();
            asked(&mut connection, &request)?;
            Ok(begun.elapsed())
        })
        .collect()
}

fn asked(client: &mut Client, request: &Request) -> Result<()> {
    match client.call(request)? {
        Reply::Done { .. } => Ok(()),
        other => bail!("{request:?} was answered by {other:?}"),
    }
}
