//! The EC2 and IMDS stand-ins on a host, as one process.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ipnet::Ipv4Net;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::net::Namespace;
use crate::process::Process;
use crate::standin::acl::Acl;
use crate::standin::config::{AclConfig, Ec2Config, SubnetConfig};
use crate::standin::control::Control as Order;
use crate::standin::ec2::{Calls, Snapshot};
use crate::standin::metadata::{ImdsConfig, Interface};
use crate::standin::raw;
use crate::wait;

const VPC: &str = "vpc-0a1b2c3d4e5f60718";
const SUBNET: &str = "subnet-0a1b2c3d4e5f60718";
const ACL: &str = "acl-0a1b2c3d4e5f60718";
const AVAILABILITY_ZONE: &str = "eu-central-1a";

/// How long the stand-in may take over an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the stand-ins are started with.
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// The `nicban-standin` binary.
    pub program: PathBuf,
    /// Where EC2 listens.
    pub ec2: SocketAddr,
    /// Where IMDS listens: 169.254.169.254:80 is the real one's.
    pub imds: SocketAddr,
    /// The MAC address of the instance's interface.
    pub mac: String,
    /// The instance's own address.
    pub instance: Ipv4Addr,
    /// Its subnet, with IPv6, guarded by a NACL as AWS makes it.
    pub subnet: Ipv4Net,
}

/// Running stand-ins.
#[derive(Debug)]
pub struct Cloud {
    process: Process,
    control: Control,
}

/// The EC2 stand-in's back door, which AWS doesn't have.
#[derive(Debug, Clone, Copy)]
pub struct Control {
    ec2: SocketAddr,
}

impl Cloud {
    /// Starts them, and waits until EC2 answers. Their configuration goes into `folder`.
    ///
    /// # Errors
    /// They end, or don't answer within ten seconds.
    pub fn start(host: &Namespace, folder: &Path, config: &CloudConfig) -> Result<Self> {
        let file = folder.join("standin.json");
        let text = json!({ "ec2": ec2_config(config), "imds": imds_config(config) }).to_string();
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let mut command = host.command(&config.program);
        let mut process = Process::spawn(
            "the EC2 and IMDS stand-ins",
            command.arg("--config").arg(&file),
        )?;
        let control = Control { ec2: config.ec2 };
        wait::until("the EC2 stand-in answers", Duration::from_secs(10), || {
            process.expect_alive()?;
            Ok(control.acl(host).ok())
        })?;
        Ok(Self { process, control })
    }

    /// The NACL's id.
    pub fn acl_id(&self) -> &'static str {
        ACL
    }

    /// Its back door.
    pub fn control(&self) -> Control {
        self.control
    }

    /// Fails when they have ended.
    ///
    /// # Errors
    /// They have ended.
    pub fn expect_alive(&mut self) -> Result<()> {
        self.process.expect_alive()
    }
}

impl Control {
    /// The NACL as it is, as seen from a host of the subnet.
    ///
    /// # Errors
    /// EC2 doesn't answer, or answers something else.
    pub fn acl(self, host: &Namespace) -> Result<Acl> {
        let snapshot: Snapshot = self.get(host, "/_control/acls")?;
        snapshot
            .acls
            .get(ACL)
            .cloned()
            .with_context(|| format!("{ACL} is not among EC2's NACLs"))
    }

    /// The API calls since the start, by action and outcome.
    ///
    /// # Errors
    /// EC2 doesn't answer, or answers something else.
    pub fn calls(self, host: &Namespace) -> Result<Calls> {
        self.get(host, "/_control/calls")
    }

    /// Gives EC2 an order, from a host of the subnet.
    ///
    /// # Errors
    /// EC2 doesn't answer, or doesn't follow.
    pub fn order(self, host: &Namespace, order: &Order) -> Result<()> {
        let body = serde_json::to_string(order).context("the order as JSON")?;
        let reply = host
            .enter(|| raw::send(self.ec2, "POST", "/_control", &[], &body, TIMEOUT))?
            .with_context(|| format!("order {body} of EC2"))?;
        ensure!(reply.status == 200, "EC2 refuses {body}: {}", reply.body);
        Ok(())
    }

    fn get<T: DeserializeOwned>(self, host: &Namespace, path: &str) -> Result<T> {
        let body = host
            .enter(|| get(self.ec2, path))?
            .with_context(|| format!("get {path} from EC2"))?;
        serde_json::from_str(&body).with_context(|| format!("{path} of EC2: {body}"))
    }
}

/// HTTP 1.0: the body ends with the connection.
fn get(server: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200 "), "{status}: {body}");
    Ok(body.to_owned())
}

fn ec2_config(config: &CloudConfig) -> Ec2Config {
    Ec2Config {
        listen: config.ec2,
        subnets: vec![SubnetConfig {
            id: SUBNET.to_owned(),
            vpc: VPC.to_owned(),
            cidr: config.subnet,
            ipv6_cidr: None,
            availability_zone: AVAILABILITY_ZONE.to_owned(),
        }],
        acls: vec![AclConfig {
            id: ACL.to_owned(),
            vpc: VPC.to_owned(),
            owner: None,
            is_default: true,
            ipv6: true,
            default_allows: true,
            tags: BTreeMap::new(),
            subnets: vec![SUBNET.to_owned()],
            entries: Vec::new(),
        }],
        ..Ec2Config::default()
    }
}

fn imds_config(config: &CloudConfig) -> ImdsConfig {
    ImdsConfig {
        listen: config.imds,
        interfaces: vec![Interface {
            mac: config.mac.clone(),
            id: "eni-0a1b2c3d4e5f60718".to_owned(),
            subnet: SUBNET.to_owned(),
            vpc: VPC.to_owned(),
            ipv4: vec![config.instance],
            ipv6: Vec::new(),
            subnet_ipv4_cidr: config.subnet,
            vpc_ipv4_cidrs: vec![config.subnet],
            subnet_ipv6_cidrs: Vec::new(),
        }],
        ..ImdsConfig::default()
    }
}
