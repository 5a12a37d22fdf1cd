//! The control socket under clumsy and hostile peers.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nicban_protocol::{MAX_LINE, Outcome, Reply, Request};
use nicban_tests::daemon::Site;

use crate::now;

const LIMIT: Duration = Duration::from_secs(10);

/// A connection that sends what it is told to.
struct Raw {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Raw {
    fn new(site: &Site) -> Result<Self> {
        let stream = UnixStream::connect(site.socket())?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let lines = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, lines })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut line = String::new();
        ensure!(self.lines.read_line(&mut line)? > 0, "hung up");
        serde_json::from_str(&line).with_context(|| format!("not a reply: {line}"))
    }

    /// Sends a line: the message of the refusal that comes back.
    fn refused(&mut self, line: &[u8], kind: &str) -> Result<String> {
        self.send(line)?;
        self.send(b"\n")?;
        match self.reply()? {
            Reply::Refused(refusal) if refusal.kind.to_string() == kind => Ok(refusal.message),
            other => anyhow::bail!(
                "{other:?}, not {kind}, to {:?}",
                String::from_utf8_lossy(line)
            ),
        }
    }
}

fn ban(address: &str) -> String {
    format!(
        r#"{{"op":"ban","holder":"sshd","address":"{address}","time":{},"bantime":600}}"#,
        now()
    )
}

#[test]
fn a_bad_line_gets_an_error_and_harms_nothing() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", "198.51.100.7", now(), 600)?;
    let mut raw = Raw::new(&site)?;
    for line in [
        &b"not json"[..],
        b"{}",
        b"[]",
        b"null",
        b"{\"op\":\"explode\"}",
        b"{\"op\":\"check\",\"holder\":\"sshd\",\"surprise\":1}",
        b"{\"op\":\"unban\",\"address\":7}",
        b"{\"op\":\"unban\",\"address\":\"198.51.100.7\",\"holder\":\"sshd\"",
        b"\xff\xfe\x00",
    ] {
        raw.refused(line, "malformed")?;
    }
    for line in [
        &b"{\"op\":\"unban\",\"address\":\"example.org\"}"[..],
        b"{\"op\":\"check\",\"holder\":\"\"}",
        b"{\"op\":\"ban\",\"holder\":\"sshd\",\"address\":\"198.51.100.8\",\"time\":-1,\"bantime\":1}",
        b"{\"op\":\"ban\",\"holder\":\"sshd\",\"address\":\"198.51.100.8\",\"time\":1,\"bantime\":-2}",
    ] {
        raw.refused(line, "invalid")?;
    }
    // Longer than any request, in one piece and across the buffers.
    for length in [MAX_LINE + 1, 4 * MAX_LINE] {
        let message = raw.refused(&vec![b'x'; length], "malformed")?;
        assert!(message.contains(&MAX_LINE.to_string()), "{message}");
    }
    // The same connection still serves, and nothing has changed.
    raw.send(ban("198.51.100.8").as_bytes())?;
    raw.send(b"\n")?;
    assert!(matches!(
        raw.reply()?,
        Reply::Done {
            outcome: Outcome::Enforced,
            ..
        }
    ));
    wire.blocked("198.51.100.7")?;
    wire.blocked("198.51.100.8")?;
    assert_eq!(daemon.bans()?.len(), 2);
    Ok(())
}

#[test]
fn one_connection_carries_many_requests() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config())?;
    let mut raw = Raw::new(&site)?;
    // All at once, before any answer is read.
    let lines: String = (0..200)
        .map(|n| ban(&format!("198.51.100.{n}")) + "\n")
        .collect();
    let mut writer = raw.stream.try_clone()?;
    let sending = thread::spawn(move || writer.write_all(lines.as_bytes()));
    for n in 0..200 {
        let reply = raw.reply()?;
        assert!(
            matches!(
                reply,
                Reply::Done {
                    outcome: Outcome::Enforced,
                    ..
                }
            ),
            "{n}: {reply:?}"
        );
    }
    sending.join().unwrap()?;
    assert_eq!(site.pins().banned_v4()?.len(), 200);
    assert_eq!(daemon.bans()?.len(), 200);
    Ok(())
}

#[test]
fn slow_and_half_open_peers_keep_nobody_waiting() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config())?;
    let mut peers = Vec::new();
    for n in 0..60 {
        let mut raw = Raw::new(&site)?;
        match n % 3 {
            // Says nothing.
            0 => {}
            // Half a request.
            1 => raw.send(b"{\"op\":\"sta")?,
            // Asks and never reads, until its buffer is full.
            _ => {
                raw.stream.set_nonblocking(true)?;
                while raw.stream.write(b"{\"op\":\"status\"}\n").is_ok() {}
            }
        }
        peers.push(raw);
    }
    let before = Instant::now();
    for n in 0..20 {
        daemon.ban("sshd", &format!("198.51.100.{n}"), now(), 600)?;
    }
    let took = before.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?} for 20 bans");
    // One that hung up in the middle of a request did not make it.
    let mut cut = Raw::new(&site)?;
    cut.send(ban("198.51.100.99").as_bytes())?;
    drop(cut);
    assert_eq!(daemon.bans()?.len(), 20);
    // The one that stopped in the middle is served once it goes on.
    let half = &mut peers[1];
    half.send(b"tus\"}\n")?;
    assert!(matches!(half.reply()?, Reply::Status(_)));
    Ok(())
}

#[test]
fn what_was_acknowledged_is_in_the_kernel_and_in_the_store() -> Result<()> {
    const CLIENTS: u8 = 64;
    const EACH: u8 = 8;
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let time = now();
    let acknowledged: BTreeSet<Ipv4Addr> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let daemon = &daemon;
                scope.spawn(move || {
                    let mut own = Vec::new();
                    for n in 0..EACH {
                        let address = Ipv4Addr::new(10, 7, client, n);
                        let outcome = daemon.ban("sshd", &address.to_string(), time, 600)?;
                        ensure!(outcome == Outcome::Enforced, "{address}: {outcome:?}");
                        own.push(address);
                    }
                    Ok(own)
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(acknowledged.len(), usize::from(CLIENTS) * usize::from(EACH));
    assert_eq!(site.pins().banned_v4()?, acknowledged);
    daemon.kill()?;
    assert_eq!(site.pins().banned_v4()?, acknowledged);
    let daemon = site.start(&site.config())?;
    assert_eq!(site.pins().banned_v4()?, acknowledged);
    let stored: BTreeSet<Ipv4Addr> = daemon
        .bans()?
        .iter()
        .map(|row| row.address.parse())
        .collect::<Result<_, _>>()?;
    assert_eq!(stored, acknowledged);
    wire.blocked("10.7.63.7")?;
    wire.arrives("10.7.63.8")
}

#[test]
fn a_kill_amid_bans_loses_none_that_was_acknowledged() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config())?;
    let time = now();
    let socket = site.socket();
    let clients: Vec<_> = (0..4_u8)
        .map(|client| {
            let socket = socket.clone();
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for n in 0..=255_u8 {
                    let address = Ipv4Addr::new(10, 8, client, n);
                    let request = serde_json::from_str(&format!(
                        r#"{{"op":"ban","holder":"sshd","address":"{address}","time":{time},"bantime":600}}"#
                    ))
                    .unwrap();
                    let reply = nicban_protocol::Client::connect(&socket, LIMIT)
                        .and_then(|mut client| client.call(&request));
                    match reply {
                        Ok(Reply::Done { .. }) => acknowledged.push(address),
                        // The daemon is dead.
                        _ => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    daemon.until_status("bans come in", |status| status.bans > 20)?;
    daemon.kill()?;
    let acknowledged: BTreeSet<Ipv4Addr> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect();
    let _daemon = site.start(&site.config())?;
    let kept = site.pins().banned_v4()?;
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(
        lost.is_empty(),
        "{lost:?} of {} are lost",
        acknowledged.len()
    );
    Ok(())
}

#[test]
fn more_peers_than_places_keep_nobody_out() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config())?;
    let idle: Vec<UnixStream> = (0..300)
        .map(|_| UnixStream::connect(site.socket()))
        .collect::<Result<_, _>>()?;
    let before = Instant::now();
    daemon.ban("sshd", "198.51.100.7", now(), 600)?;
    let took = before.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?} behind idle peers");
    drop(idle);
    daemon.does(&Request::Check {
        holder: "sshd".to_owned(),
    })?;
    Ok(())
}
