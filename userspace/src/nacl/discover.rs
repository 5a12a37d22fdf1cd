//! Finds the NACLs in front of this host.
//!
//! The instance metadata knows, for each interface's MAC, the subnet; EC2 knows,
//! for each subnet, the NACL.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Serialize;

use super::acl::{Acl, is_id};
use super::api::AclApi;
use super::caller::{CallError, Caller};
use super::clock::Clock;
use crate::config::Region;

/// The instance metadata, by path ("Instance metadata categories", Amazon EC2 User
/// Guide).
pub trait Metadata: Send + Sync {
    /// The text at a path such as `/latest/meta-data/instance-id`; `None` where
    /// there is none (404).
    fn get(&self, path: &str)
    -> impl Future<Output = Result<Option<String>, MetadataError>> + Send;
}

/// The instance metadata service failed.
#[derive(Debug, thiserror::Error)]
#[error("instance metadata {path}: {problem}")]
pub struct MetadataError {
    /// What was asked for.
    pub path: String,
    /// What happened.
    pub problem: &'static str,
    /// The client's error below it.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Discovery failed.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The service failed.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// It does not say what it says on every instance in a VPC.
    #[error("the instance metadata has no {path}")]
    Missing {
        /// What is missing.
        path: String,
    },
    /// It says what can't be.
    #[error("the instance metadata {path} says {value:?}")]
    Invalid {
        /// Where.
        path: String,
        /// What.
        value: String,
    },
    /// EC2 knows none of the host's interfaces.
    #[error("none of {wanted} is a network interface of this instance; EC2 knows the MACs {known}")]
    NoInterface {
        /// The host's interfaces.
        wanted: String,
        /// EC2's.
        known: String,
    },
}

/// An interface as Linux sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name, such as `ens5`.
    pub name: String,
    /// Its MAC, such as `0e:49:61:0f:c3:11`.
    pub mac: String,
}

/// An interface as EC2 sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name in Linux, where that was given.
    pub name: Option<String>,
    /// Its MAC, in lower case.
    pub mac: String,
    /// `eni-…`.
    pub id: String,
    /// `subnet-…`.
    pub subnet: String,
    /// `vpc-…`.
    pub vpc: String,
    /// The account that owns the interface.
    pub owner: String,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// The networks of its VPC.
    pub vpc_networks: Vec<IpNet>,
}

/// Where this host stands in EC2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discovery {
    /// Such as `eu-central-1`.
    pub region: String,
    /// The account that the instance runs in.
    pub account: String,
    /// `i-…`.
    pub instance: String,
    /// The interfaces asked for, in the order of their MACs.
    pub interfaces: Vec<Interface>,
    /// The subnets whose NACLs are used: those of the interfaces, each once, unless
    /// others are named.
    pub subnets: BTreeSet<String>,
}

impl Discovery {
    /// The subnets whose NACLs are used, each once.
    pub fn subnets(&self) -> Vec<String> {
        self.subnets.iter().cloned().collect()
    }

    /// The NACLs of those subnets as they are now, each once.
    pub async fn observe<A: AclApi, C: Clock>(
        &self,
        caller: &mut Caller<A, C>,
    ) -> Result<Vec<Acl>, CallError> {
        caller.describe_by_subnets(&self.subnets()).await
    }
}

/// Characters of what was said that an error repeats.
const ECHO: usize = 64;

const MACS: &str = "/latest/meta-data/network/interfaces/macs/";

/// Asks the instance metadata about these interfaces, or about all that EC2 knows
/// if none is given. Interfaces that EC2 does not know (bridges, tunnels) are left
/// out, unless that leaves none.
pub async fn discover<M: Metadata>(
    metadata: &M,
    links: &[Link],
) -> Result<Discovery, DiscoverError> {
    let known: BTreeSet<String> = lines(&required(metadata, MACS).await?)
        .map(|line| mac(line.trim_end_matches('/')).ok_or_else(|| invalid(MACS, line)))
        .collect::<Result<_, _>>()?;
    let mut interfaces = Vec::new();
    for mac in &known {
        let link = links.iter().find(|link| link.mac.eq_ignore_ascii_case(mac));
        if link.is_some() || links.is_empty() {
            interfaces.push(interface(metadata, mac, link).await?);
        }
    }
    let Some(first) = interfaces.first() else {
        return Err(DiscoverError::NoInterface {
            wanted: join(links.iter().map(|l| format!("{} ({})", l.name, l.mac))),
            known: join(known.into_iter()),
        });
    };
    Ok(Discovery {
        region: region(metadata).await?,
        account: match account(metadata).await? {
            Some(account) => account,
            None => first.owner.clone(),
        },
        instance: id(metadata, "/latest/meta-data/instance-id").await?,
        subnets: interfaces.iter().map(|it| it.subnet.clone()).collect(),
        interfaces,
    })
}

async fn interface<M: Metadata>(
    metadata: &M,
    mac: &str,
    link: Option<&Link>,
) -> Result<Interface, DiscoverError> {
    let at = |name: &str| format!("{MACS}{mac}/{name}");
    let mut addresses: Vec<IpAddr> = parsed(metadata, &at("local-ipv4s")).await?;
    addresses.extend(parsed::<_, IpAddr>(metadata, &at("ipv6s")).await?);
    let mut vpc_networks: Vec<IpNet> = parsed(metadata, &at("vpc-ipv4-cidr-blocks")).await?;
    vpc_networks.extend(parsed::<_, IpNet>(metadata, &at("vpc-ipv6-cidr-blocks")).await?);
    Ok(Interface {
        name: link.map(|link| link.name.clone()),
        mac: mac.to_owned(),
        id: id(metadata, &at("interface-id")).await?,
        subnet: id(metadata, &at("subnet-id")).await?,
        vpc: id(metadata, &at("vpc-id")).await?,
        owner: id(metadata, &at("owner-id")).await?,
        addresses,
        vpc_networks,
    })
}

/// The account of the instance. An interface's owner may be another one, where a
/// service has attached it.
async fn account<M: Metadata>(metadata: &M) -> Result<Option<String>, DiscoverError> {
    let path = "/latest/dynamic/instance-identity/document";
    let Some(text) = metadata.get(path).await? else {
        return Ok(None);
    };
    let document: serde_json::Value =
        serde_json::from_str(&text).map_err(|_| invalid(path, &text))?;
    match document["accountId"].as_str() {
        Some(account) if !is_id(account) => Err(invalid(path, account)),
        account => Ok(account.map(str::to_owned)),
    }
}

/// The Region, which becomes a part of the name of the host that is asked with the role's
/// credentials.
async fn region<M: Metadata>(metadata: &M) -> Result<String, DiscoverError> {
    let path = "/latest/meta-data/placement/region";
    let region = required(metadata, path).await?;
    match region.parse::<Region>() {
        Ok(_) => Ok(region),
        Err(_) => Err(invalid(path, &region)),
    }
}

/// An id such as `subnet-0123456789abcdef0`, or an account's number.
async fn id<M: Metadata>(metadata: &M, path: &str) -> Result<String, DiscoverError> {
    let id = required(metadata, path).await?;
    if is_id(&id) {
        Ok(id)
    } else {
        Err(invalid(path, &id))
    }
}

/// A MAC such as `0e:49:61:0f:c3:11`, in lower case. It becomes a part of paths.
fn mac(written: &str) -> Option<String> {
    let octet = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let sound = written.split(':').count() == 6 && written.split(':').all(octet);
    sound.then(|| written.to_ascii_lowercase())
}

fn invalid(path: &str, value: &str) -> DiscoverError {
    DiscoverError::Invalid {
        path: path.to_owned(),
        value: value.chars().take(ECHO).collect(),
    }
}

async fn required<M: Metadata>(metadata: &M, path: &str) -> Result<String, DiscoverError> {
    match metadata.get(path).await? {
        Some(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => Err(DiscoverError::Missing {
            path: path.to_owned(),
        }),
    }
}

/// What each line of an optional list says.
async fn parsed<M: Metadata, T: FromStr>(
    metadata: &M,
    path: &str,
) -> Result<Vec<T>, DiscoverError> {
    let text = metadata.get(path).await?.unwrap_or_default();
    lines(&text)
        .map(|line| line.parse().map_err(|_| invalid(path, line)))
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::fake::{FakeApi, acl, caller};
    use std::collections::BTreeMap;

    struct Pages(BTreeMap<String, String>);

    impl Metadata for Pages {
        async fn get(&self, path: &str) -> Result<Option<String>, MetadataError> {
            Ok(self.0.get(path).cloned())
        }
    }

    impl Pages {
        fn instance() -> Self {
            let mut pages = Self(BTreeMap::new());
            pages.set("/latest/meta-data/placement/region", "eu-central-1");
            pages.set("/latest/meta-data/instance-id", "i-1");
            pages.set(MACS, "0e:00:00:00:00:01/\n0e:00:00:00:00:02/");
            for n in 1..=2 {
                let mut at = |name: &str, value: &str| {
                    pages.set(&format!("{MACS}0e:00:00:00:00:0{n}/{name}"), value);
                };
                at("interface-id", &format!("eni-{n}"));
                at("subnet-id", "subnet-1");
                at("vpc-id", "vpc-1");
                at("owner-id", "123456789012");
                at("local-ipv4s", &format!("10.0.0.{n}\n10.0.1.{n}"));
                at("vpc-ipv4-cidr-blocks", "10.0.0.0/16");
            }
            pages
        }

        fn set(&mut self, path: &str, value: &str) {
            self.0.insert(path.into(), value.into());
        }
    }

    fn link(name: &str, mac: &str) -> Link {
        Link {
            name: name.into(),
            mac: mac.into(),
        }
    }

    #[tokio::test]
    async fn the_named_interface_alone() {
        let mut pages = Pages::instance();
        pages.set(&format!("{MACS}0e:00:00:00:00:02/ipv6s"), "2001:db8::2");
        pages.set(
            &format!("{MACS}0e:00:00:00:00:02/vpc-ipv6-cidr-blocks"),
            "2001:db8::/56",
        );
        let links = [
            link("ens6", "0E:00:00:00:00:02"),
            link("docker0", "02:42:00:00:00:01"),
        ];
        let found = discover(&pages, &links).await.unwrap();
        assert_eq!(
            found,
            Discovery {
                region: "eu-central-1".into(),
                account: "123456789012".into(),
                instance: "i-1".into(),
                interfaces: vec![Interface {
                    name: Some("ens6".into()),
                    mac: "0e:00:00:00:00:02".into(),
                    id: "eni-2".into(),
                    subnet: "subnet-1".into(),
                    vpc: "vpc-1".into(),
                    owner: "123456789012".into(),
                    addresses: vec![
                        "10.0.0.2".parse().unwrap(),
                        "10.0.1.2".parse().unwrap(),
                        "2001:db8::2".parse().unwrap(),
                    ],
                    vpc_networks: vec![
                        "10.0.0.0/16".parse().unwrap(),
                        "2001:db8::/56".parse().unwrap(),
                    ],
                }],
                subnets: ["subnet-1".to_owned()].into(),
            }
        );
    }

    #[tokio::test]
    async fn a_subnet_of_two_interfaces_comes_once_and_so_does_its_nacl() {
        let found = discover(&Pages::instance(), &[]).await.unwrap();
        assert_eq!(found.interfaces.len(), 2);
        assert_eq!(found.subnets(), ["subnet-1"]);
        let api = FakeApi::with(acl("acl-1"));
        api.associate("subnet-1", "acl-1");
        let nacls = found.observe(&mut caller(api)).await.unwrap();
        assert_eq!(nacls, [acl("acl-1")]);
    }

    #[tokio::test]
    async fn the_account_is_the_instances_own() {
        let mut pages = Pages::instance();
        pages.set(
            "/latest/dynamic/instance-identity/document",
            r#"{"accountId": "210987654321", "region": "eu-central-1"}"#,
        );
        let found = discover(&pages, &[]).await.unwrap();
        assert_eq!(found.account, "210987654321");
    }

    #[tokio::test]
    async fn interfaces_that_ec2_does_not_know_are_named() {
        let links = [link("wg0", "02:00:00:00:00:09")];
        let error = discover(&Pages::instance(), &links).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "none of wg0 (02:00:00:00:00:09) is a network interface of this instance; \
             EC2 knows the MACs 0e:00:00:00:00:01, 0e:00:00:00:00:02"
        );
    }

    #[tokio::test]
    async fn what_could_lead_elsewhere_or_forge_a_line_is_refused() {
        let mac = format!("{MACS}0e:00:00:00:00:01");
        for (path, value) in [
            (MACS.to_owned(), "../../dynamic/\n"),
            (MACS.to_owned(), "0e:00:00:00:00:01?x/"),
            (
                "/latest/meta-data/placement/region".to_owned(),
                "x.example.org/#",
            ),
            (
                "/latest/meta-data/placement/region".to_owned(),
                "eu-1\nRegion",
            ),
            ("/latest/meta-data/instance-id".to_owned(), "i-1\u{1b}[2J"),
            (
                format!("{mac}/subnet-id"),
                "subnet-1\n2026 nicban: all is well",
            ),
            (format!("{mac}/vpc-id"), "vpc 1"),
            (
                "/latest/dynamic/instance-identity/document".to_owned(),
                r#"{"accountId": "1\n2"}"#,
            ),
        ] {
            let mut pages = Pages::instance();
            pages.set(&path, value);
            let error = discover(&pages, &[]).await.unwrap_err();
            assert!(
                matches!(&error, DiscoverError::Invalid { path: of, .. } if *of == path),
                "{error}"
            );
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        // However long it is.
        let mut pages = Pages::instance();
        pages.set("/latest/meta-data/instance-id", &"i".repeat(1 << 20));
        let error = discover(&pages, &[]).await.unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
    }

    #[tokio::test]
    async fn what_is_missing_or_odd_is_named_with_its_path() {
        let mut pages = Pages::instance();
        let path = format!("{MACS}0e:00:00:00:00:01/subnet-id");
        pages.0.remove(&path);
        let error = discover(&pages, &[]).await.unwrap_err();
        assert!(error.to_string().contains(&path));

        let mut pages = Pages::instance();
        let path = format!("{MACS}0e:00:00:00:00:01/local-ipv4s");
        pages.set(&path, "10.0.0.256");
        let error = discover(&pages, &[]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the instance metadata {path} says \"10.0.0.256\"")
        );
    }
}
