//! `ban-once`: one ban, from the start of the program that asks for it to its end, when
//! the kernel drops the address and, with nicban, the store has it.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};

use super::Bench;
use super::families::Scale;
use super::figure::Figure;
use super::guarded::Guarded;
use super::rounds::{Subject, alternate};
use super::row::{Goal, Row};
use crate::clock::now;
use crate::net::Namespace;
use crate::process;

const NAME: &str = "ban-once";

/// The rows that there are.
pub(super) fn names(_scale: Scale) -> Vec<String> {
    vec![NAME.to_owned()]
}

/// Measures them.
pub(super) fn run(bench: &Bench, _wanted: &[String]) -> Result<Vec<Row>> {
    bench.progress.step(NAME);
    let guarded = Guarded::new(1 << 16)?;
    let daemon = guarded.start(bench)?;
    let times = if bench.scale.full { 60 } else { 15 };
    let peers = [nft(times), ipset(times), iptables(times)];
    let socket = guarded.site().socket();
    let host = guarded.site().host();
    let mut next = 0;
    let nicban = Subject::new("nicban", || {
        median_of(host, times, || {
            next += 1;
            let mut command = Command::new(&bench.action);
            command
                .arg("--socket")
                .arg(&socket)
                .args(["ban", "--", "bench"])
                .arg(address(next))
                .arg(now().to_string())
                .args(["3600", "1", "5", "0"]);
            command
        })
    });
    let names = ["nft add element", "ipset add", "iptables -I"];
    let mut subjects = vec![nicban];
    subjects.extend(names.into_iter().zip(peers).map(|(name, peer)| match peer {
        Ok(peer) => Subject::new(name, peer),
        Err(error) => Subject::failed(name, &error),
    }));
    let samples = alternate(bench.rounds, subjects);
    // What was acknowledged is there.
    if samples[0].is_ok() {
        let last = address(bench.rounds * times);
        ensure!(
            daemon.ban_of(last.parse()?)?.is_some(),
            "{last} is not banned"
        );
    }
    let rows = names.into_iter().zip(&samples[1..]).map(|(name, peer)| {
        // Below, not at, the peer's: medians of floats don't tie.
        Row::beside(NAME, "ms", &samples[0], name, peer).goal(Goal::RatioAtMost(1.0))
    });
    Ok(rows.collect())
}

type Sample = Box<dyn FnMut() -> Result<f64>>;

fn nft(times: u32) -> Result<Sample> {
    let host = Namespace::new("nft")?;
    let set = "add table inet bench\nadd set inet bench banned { type ipv4_addr; }\n";
    crate::net::apply_nft(&host, set)?;
    Ok(Box::new(move || {
        host.run(&["nft", "flush", "set", "inet", "bench", "banned"])?;
        let mut next = 0;
        median_of(&host, times, || {
            next += 1;
            let mut command = Command::new("nft");
            command
                .args(["add", "element", "inet", "bench", "banned", "{"])
                .arg(address(next))
                .arg("}");
            command
        })
    }))
}

fn ipset(times: u32) -> Result<Sample> {
    let host = Namespace::new("ipset")?;
    host.run(&["ipset", "create", "banned", "hash:ip"])?;
    Ok(Box::new(move || {
        host.run(&["ipset", "flush", "banned"])?;
        let mut next = 0;
        median_of(&host, times, || {
            next += 1;
            let mut command = Command::new("ipset");
            command.args(["add", "banned"]).arg(address(next));
            command
        })
    }))
}

fn iptables(times: u32) -> Result<Sample> {
    let host = Namespace::new("iptables")?;
    host.run(&["iptables", "-S"])?;
    Ok(Box::new(move || {
        host.run(&["iptables", "-F", "INPUT"])?;
        let mut next = 0;
        median_of(&host, times, || {
            next += 1;
            let mut command = Command::new("iptables");
            command
                .args(["-I", "INPUT", "-s"])
                .arg(address(next))
                .args(["-j", "DROP"]);
            command
        })
    }))
}

fn address(number: u32) -> String {
    Ipv4Addr::from_bits((10 << 24) + number).to_string()
}

/// ms that a program takes on a host, from before its start to its end. It is started from
/// there: no other program helps it in.
fn median_of(
    host: &Namespace,
    times: u32,
    mut command: impl FnMut() -> Command + Send,
) -> Result<f64> {
    let took = host.enter(|| {
        let mut took = Vec::new();
        for _ in 0..times {
            let mut command = command();
            command.stdin(Stdio::null());
            let start = Instant::now();
            process::run(&mut command)?;
            took.push(start.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::Ok(took)
    })??;
    let figure = Figure::of(&took);
    ensure!(figure.is_some(), "nothing was run");
    Ok(figure.map_or(f64::NAN, |figure| figure.median))
}
