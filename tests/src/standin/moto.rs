//! moto, an independent double of AWS, to check what the stand-in says against.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::acl::Acl;
use super::raw::{self, Reply};
use super::xml::Element;

mod shown;

/// The release that the differences in README.md were found with.
pub const RELEASE: &str = "5.2.5";

/// How long to wait for a reply: for the first one moto loads what it knows of EC2, which
/// takes seconds of a processor that others may have.
const PATIENCE: Duration = Duration::from_mins(1);

/// A moto server on a free loopback port; it is killed when dropped.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    addr: SocketAddr,
}

/// What [`Moto::seed`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeded {
    /// `vpc-…`.
    pub vpc: String,
    /// `subnet-…`, guarded by `acl`.
    pub subnet: String,
    /// The VPC's default NACL.
    pub acl: String,
}

/// Why moto can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MotoError {
    /// Neither `XDG_CACHE_HOME` nor `HOME` says where to keep it.
    #[error("no cache folder for moto: set HOME or XDG_CACHE_HOME")]
    NoCache,
    /// A file or process of it failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// A command of its set-up ended badly.
    #[error("{command} failed (python3 with venv and PyPI are needed):\n{stderr}")]
    SetUp {
        /// The command.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// It ended before it listened.
    #[error("moto_server ended before it listened; it said:\n{0}")]
    Ended(String),
    /// It refused a call, or answered it with something else than was asked for.
    #[error("moto answered {action} with {status}: {body}")]
    Answer {
        /// The action.
        action: String,
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> MotoError {
    let what = what.into();
    |source| MotoError::Io { what, source }
}

impl Moto {
    /// Fetches it, where that is still to be done. A network namespace can't reach `PyPI`.
    pub fn install() -> Result<(), MotoError> {
        install().map(drop)
    }

    /// Starts one; the first time it is fetched into `~/.cache/nicban/moto`. Blocks the
    /// thread until it listens.
    pub fn start() -> Result<Self, MotoError> {
        let server = install()?;
        let mut child = Command::new(&server)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed(format!("starting {}", server.display())))?;
        match listening(&mut child) {
            Ok(addr) => Ok(Self { child, addr }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL for `AWS_ENDPOINT_URL_EC2`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Makes a call in a Region, which moto reads from the signature's scope.
    pub fn call(
        &self,
        region: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Reply, MotoError> {
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Authorization", &raw::authorization("AKIASTANDIN", region)),
        ];
        let body = raw::form(action, parameters);
        raw::send(self.addr, "POST", "/", &headers, &body, PATIENCE)
            .map_err(failed(format!("calling moto: {action}")))
    }

    /// Makes a VPC with one subnet; its default NACL guards it.
    pub fn seed(&self, region: &str) -> Result<Seeded, MotoError> {
        let vpc = self.find(
            region,
            "CreateVpc",
            &[("CidrBlock", "10.0.0.0/16")],
            "vpcId",
        )?;
        let subnet = [("VpcId", vpc.as_str()), ("CidrBlock", "10.0.1.0/24")];
        let subnet = self.find(region, "CreateSubnet", &subnet, "subnetId")?;
        let guarding = [
            ("Filter.1.Name", "association.subnet-id"),
            ("Filter.1.Value.1", subnet.as_str()),
        ];
        let acl = self.find(region, "DescribeNetworkAcls", &guarding, "networkAclId")?;
        Ok(Seeded { vpc, subnet, acl })
    }

    /// A NACL as moto shows it.
    pub fn acl(&self, region: &str, id: &str) -> Result<Acl, MotoError> {
        let action = "DescribeNetworkAcls";
        let reply = self.call(region, action, &[("NetworkAclId.1", id)])?;
        Element::parse(&reply.body)
            .and_then(|answer| shown::acl(&answer))
            .ok_or_else(|| MotoError::Answer {
                action: action.to_owned(),
                status: reply.status,
                body: reply.body,
            })
    }

    fn find(
        &self,
        region: &str,
        action: &str,
        parameters: &[(&str, &str)],
        element: &str,
    ) -> Result<String, MotoError> {
        let reply = self.call(region, action, parameters)?;
        Element::parse(&reply.body)
            .and_then(|body| body.find(element).map(str::to_owned))
            .filter(|_| reply.status == 200)
            .ok_or_else(|| MotoError::Answer {
                action: action.to_owned(),
                status: reply.status,
                body: reply.body,
            })
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills a child by its id and collects it.
fn end(child: &mut Child) {
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        eprintln!(
            "moto_server (process {}) can't be ended: {error}",
            child.id()
        );
    }
}

/// Reads the server's log up to the line that names its port; a thread reads the rest,
/// so that the pipe never fills.
fn listening(child: &mut Child) -> Result<SocketAddr, MotoError> {
    let stderr = child.stderr.take().expect("stderr was asked to be piped");
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    for line in lines.by_ref() {
        let line = line.map_err(failed("reading moto_server's log"))?;
        if let Some((_, url)) = line.split_once("Running on http://")
            && let Ok(addr) = url.trim().parse()
        {
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(addr);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(MotoError::Ended(said))
}

/// The path of `moto_server`, installed if it isn't yet. One process at a time.
fn install() -> Result<PathBuf, MotoError> {
    let cache = cache()?.join("nicban");
    fs::create_dir_all(&cache).map_err(failed(format!("making {}", cache.display())))?;
    let lock = cache.join("moto.lock");
    let lock = File::create(&lock).map_err(failed(format!("opening {}", lock.display())))?;
    lock.lock().map_err(failed("locking moto's folder"))?;
    let venv = cache.join("moto");
    let server = venv.join("bin/moto_server");
    let stamp = venv.join("nicban-release");
    if fs::read_to_string(&stamp).is_ok_and(|release| release == RELEASE) && server.exists() {
        return Ok(server);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&venv))?;
    install_into(&venv)?;
    fs::write(&stamp, RELEASE).map_err(failed(format!("writing {}", stamp.display())))?;
    Ok(server)
}

fn install_into(venv: &Path) -> Result<(), MotoError> {
    let package = format!("moto[server]=={RELEASE}");
    run(Command::new(venv.join("bin/pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &package,
    ]))
}

fn cache() -> Result<PathBuf, MotoError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
        .ok_or(MotoError::NoCache)
}

fn run(command: &mut Command) -> Result<(), MotoError> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(failed(format!("running {shown}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(MotoError::SetUp {
        command: shown,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[cfg(test)]
mod tests;
