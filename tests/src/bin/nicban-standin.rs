//! Runs the EC2 and IMDS stand-ins until it is told to end.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use nicban_tests::standin::pair::{Config, Pair};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "usage: nicban-standin [--config FILE.json] [--ec2 ADDR:PORT] [--imds ADDR:PORT]

Without a file: one subnet (subnet-0123456789abcdef0) with one NACL
(acl-0123456789abcdef0) and one interface (06:00:00:00:00:01).
Once both listen, one line of JSON on standard output says where:
{\"ec2\":\"http://…\",\"imds\":\"http://…\"}. SIGINT or SIGTERM ends it.";

#[derive(Debug, Default)]
struct Args {
    config: Option<PathBuf>,
    ec2: Option<SocketAddr>,
    imds: Option<SocketAddr>,
}

fn args() -> anyhow::Result<Args> {
    let mut args = Args::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .context(format!("{word} needs a value\n\n{USAGE}"))
        };
        match word.as_str() {
            "--config" => args.config = Some(value()?.into()),
            "--ec2" => args.ec2 = Some(value()?.parse().context("--ec2")?),
            "--imds" => args.imds = Some(value()?.parse().context("--imds")?),
            "-h" | "--help" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            _ => anyhow::bail!("{word} is unknown\n\n{USAGE}"),
        }
    }
    Ok(args)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = args()?;
    let mut config = match &args.config {
        None => Config::default(),
        Some(file) => {
            let text = std::fs::read(file).with_context(|| file.display().to_string())?;
            serde_json::from_slice(&text).with_context(|| file.display().to_string())?
        }
    };
    if let Some(addr) = args.ec2 {
        config.ec2.listen = addr;
    }
    if let Some(addr) = args.imds {
        config.imds.listen = addr;
    }
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let pair = Pair::start(config).await?;
    println!(
        "{}",
        serde_json::json!({ "ec2": pair.ec2.endpoint(), "imds": pair.imds.endpoint() })
    );
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("SIGINT")?,
        _ = terminate.recv() => {}
    }
    pair.stop().await;
    Ok(())
}
