//! The NACL tier in the sandbox of the shipped unit, which finds instance and NACL by itself.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Result, ensure};
use nicban_tests::daemon::{HOST, MAC_TEXT};
use nicban_tests::hosts::{Cloud, CloudConfig};
use nicban_tests::net::{Namespace, Scratch};
use nicban_tests::wait;

use crate::machine::{ENABLE, INSTALL, Machine, PATIENCE};

const BAD: &str = "198.51.100.7";
const BAD_V6: &str = "2001:db8:bad::1";

/// Where EC2 is, for the daemon and for the operator: as another endpoint than AWS's
/// would be named. IMDS is where it always is.
const EC2: &str = "192.0.2.80:8080";
const IMDS: &str = "169.254.169.254:80";
pub(crate) const ENDPOINT: &str = "AWS_ENDPOINT_URL_EC2=http://192.0.2.80:8080";

#[test]
fn the_sandbox_lets_bans_into_the_nacl_and_out_of_it() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    let status = machine.shell("nicban status")?;
    ensure!(status.contains("NACL  off: "), "without IMDS: {status}");

    let host = machine.site().host();
    let folder = Scratch::new("cloud")?;
    let cloud = start_cloud(host, folder.path())?;
    machine.set(&format!("Environment={ENDPOINT}"))?;
    machine.shell("systemctl restart nicban.service")?;
    let acl = cloud.acl_id();
    wait::until("the NACL is found", PATIENCE, || {
        let status = machine.shell("nicban status")?;
        Ok(status
            .contains(&format!("NACL  on: reconciling {acl}"))
            .then_some(()))
    })?;

    let tested = machine.shell(&format!("{ENDPOINT} nicban nacl test"))?;
    ensure!(tested.contains("The NACL tier works here."), "{tested}");
    let denies = |network: &str| -> Result<bool> {
        let acl = cloud.control().acl(host)?;
        let ours = |entry: &nicban_tests::standin::acl::Entry| entry.network.to_string() == network;
        Ok(acl.entries.values().any(ours))
    };
    for (source, network) in [(BAD, "198.51.100.7/32"), (BAD_V6, "2001:db8:bad::/64")] {
        ensure!(!denies(network)?, "{network} was there before");
        machine.shell(&format!("nicban ban {source} --for 10m"))?;
        wait::until(&format!("{network} is denied"), PATIENCE, || {
            Ok(denies(network)?.then_some(()))
        })?;
        machine.shell(&format!("nicban unban {source}"))?;
        wait::until(&format!("{network} is denied no more"), PATIENCE, || {
            Ok((!denies(network)?).then_some(()))
        })?;
    }

    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wait::until("it is denied again", PATIENCE, || {
        Ok(denies("198.51.100.7/32")?.then_some(()))
    })?;
    machine.shell("nicban release")?;
    ensure!(!denies("198.51.100.7/32")?, "it is there after a release");
    for (priority, message) in machine.journal()? {
        ensure!(priority == "6" || priority == "5", "<{priority}>{message}");
    }
    Ok(())
}

/// EC2 and IMDS, on addresses of the machine's own.
pub(crate) fn start_cloud(host: &Namespace, folder: &Path) -> Result<Cloud> {
    let (ec2, imds): (SocketAddr, SocketAddr) = (EC2.parse()?, IMDS.parse()?);
    for address in [ec2.ip(), imds.ip()] {
        host.add_address("lo", address.into())?;
    }
    let instance: IpAddr = HOST.parse()?;
    let IpAddr::V4(instance) = instance else {
        anyhow::bail!("{HOST} is not IPv4");
    };
    Cloud::start(
        host,
        folder,
        &CloudConfig {
            program: env!("CARGO_BIN_EXE_nicban-standin").into(),
            ec2,
            imds,
            mac: MAC_TEXT.to_owned(),
            instance,
            subnet: "192.0.2.0/24".parse()?,
        },
    )
}
