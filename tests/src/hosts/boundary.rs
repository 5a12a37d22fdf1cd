//! The subnet's boundary: a router that does with packets what the NACL says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use super::cloud::Control;
use crate::net::{self, Namespace};
use crate::standin::acl::{Acl, Action, Entry};

/// How often the NACL is read.
const EVERY: Duration = Duration::from_millis(200);

/// Enforces a NACL on what a router forwards to and from a subnet, until it is dropped.
///
/// As in a VPC it is stateless, the lowest rule number that matches decides, and
/// what stays within the subnet is not filtered.
#[derive(Debug)]
pub struct Boundary {
    router: Arc<Namespace>,
    enforced: Arc<Mutex<Result<Acl, String>>>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Boundary {
    /// Starts to enforce the NACL on the interface of `router` that leads into the subnet.
    ///
    /// # Errors
    /// The NACL can't be read, or nft fails.
    pub fn start(router: &Arc<Namespace>, inside: &str, cloud: Control) -> Result<Self> {
        let acl = cloud.acl(router)?;
        net::apply_nft(router, &table(inside))?;
        net::apply_nft(router, &rules(&acl))?;
        let enforced = Arc::new(Mutex::new(Ok(acl)));
        let (stop, stopped) = mpsc::channel();
        let thread = {
            let (router, enforced) = (Arc::clone(router), Arc::clone(&enforced));
            thread::spawn(move || {
                while stopped.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                    let mut enforced = enforced.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Ok(current) = &*enforced {
                        match follow(&router, current, || cloud.acl(&router)) {
                            Ok(None) => {}
                            Ok(Some(changed)) => *enforced = Ok(changed),
                            Err(error) => *enforced = Err(format!("{error:#}")),
                        }
                    }
                }
            })
        };
        Ok(Self {
            router: Arc::clone(router),
            enforced,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The NACL that is enforced now.
    ///
    /// # Errors
    /// The NACL could not be followed.
    pub fn enforced(&self) -> Result<Acl> {
        let enforced = self.enforced.lock().unwrap_or_else(PoisonError::into_inner);
        enforced
            .clone()
            .map_err(anyhow::Error::msg)
            .context("follow the NACL")
    }

    /// Packets from each network into the subnet that a rule has denied, also of
    /// rules that are gone by now.
    ///
    /// # Errors
    /// nft fails, or prints something unknown.
    pub fn denied(&self) -> Result<BTreeMap<IpNet, u64>> {
        let counters = net::list_nft(
            &self.router,
            &["counters", "table", "inet", "nacl"],
            "counter",
        )?;
        counters
            .iter()
            .map(|counter| {
                let name = counter["name"].as_str().context("a counter's name")?;
                Ok((
                    network_of(name)?,
                    counter["packets"].as_u64().context("a counter's packets")?,
                ))
            })
            .collect()
    }
}

impl Drop for Boundary {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the boundary's thread panicked");
        }
    }
}

/// Enforces the NACL anew where it has changed, and gives it then.
fn follow(
    router: &Namespace,
    current: &Acl,
    read: impl FnOnce() -> Result<Acl>,
) -> Result<Option<Acl>> {
    let observed = read()?;
    if observed == *current {
        return Ok(None);
    }
    net::apply_nft(router, &rules(&observed))?;
    Ok(Some(observed))
}

fn table(inside: &str) -> String {
    format!(
        "table inet nacl {{
            chain ingress {{ }}
            chain egress {{ }}
            chain boundary {{
                type filter hook forward priority 0; policy accept;
                oifname \"{inside}\" jump ingress
                iifname \"{inside}\" jump egress
            }}
        }}"
    )
}

/// Both rule lists, in one transaction: no packet meets a half of them.
fn rules(acl: &Acl) -> String {
    let mut lines = vec![
        "flush chain inet nacl ingress".to_owned(),
        "flush chain inet nacl egress".to_owned(),
    ];
    // The keys' order is that of the rule numbers.
    for entry in acl.entries.values() {
        let (chain, side) = if entry.egress {
            ("egress", "daddr")
        } else {
            ("ingress", "saddr")
        };
        let family = if entry.is_v6() { "ip6" } else { "ip" };
        let counter = counter_of(&entry.network);
        let verdict = match entry.action {
            Action::Allow => "accept".to_owned(),
            Action::Deny if entry.egress || entry.is_protected() => "drop".to_owned(),
            Action::Deny => {
                // Adding what is there changes nothing, and so goes on counting.
                lines.push(format!("add counter inet nacl {counter}"));
                format!("counter name {counter} drop")
            }
        };
        lines.push(format!(
            "add rule inet nacl {chain} {family} {side} {}{} {verdict}",
            entry.network,
            matched_protocol(entry)
        ));
    }
    lines.join("\n")
}

fn matched_protocol(entry: &Entry) -> String {
    match (entry.protocol, entry.ports) {
        (-1, _) => String::new(),
        (number, Some((first, last))) => format!(" meta l4proto {number} th dport {first}-{last}"),
        (number, None) => format!(" meta l4proto {number}"),
    }
}

/// A counter's name may hold letters, digits and `_`, and must begin with a letter.
fn counter_of(network: &IpNet) -> String {
    match network {
        IpNet::V4(network) => format!(
            "v4_{:08x}_{}",
            network.addr().to_bits(),
            network.prefix_len()
        ),
        IpNet::V6(network) => format!(
            "v6_{:032x}_{}",
            network.addr().to_bits(),
            network.prefix_len()
        ),
    }
}

fn network_of(counter: &str) -> Result<IpNet> {
    let parsed = || {
        let mut parts = counter.split('_');
        let (family, bits, length) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        let address = match family {
            "v4" => {
                u32::from_str_radix(bits, 16).map(|bits| std::net::Ipv4Addr::from_bits(bits).into())
            }
            _ => u128::from_str_radix(bits, 16)
                .map(|bits| std::net::Ipv6Addr::from_bits(bits).into()),
        };
        IpNet::new(address.ok()?, length).ok()
    };
    parsed().with_context(|| format!("{counter} is not a counter of the boundary's"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::acl::{default_allows, default_denies};

    fn acl(entries: impl IntoIterator<Item = Entry>) -> Acl {
        Acl {
            id: "acl-0123abcd".to_owned(),
            vpc: "vpc-0123abcd".to_owned(),
            owner: "123456789012".to_owned(),
            is_default: true,
            tags: BTreeMap::new(),
            associations: Vec::new(),
            entries: entries
                .into_iter()
                .map(|entry| (entry.key(), entry))
                .collect(),
        }
    }

    fn deny(number: u16, network: &str) -> Entry {
        Entry::ingress(number, Action::Deny, network.parse().unwrap())
    }

    #[test]
    fn a_counters_name_tells_its_network() {
        for network in ["203.0.113.7/32", "2001:db8:a1::/64", "0.0.0.0/0"] {
            let network: IpNet = network.parse().unwrap();
            assert_eq!(network_of(&counter_of(&network)).unwrap(), network);
        }
    }

    #[test]
    fn the_lowest_number_comes_first() {
        let ruleset = rules(&acl(default_allows(true)
            .into_iter()
            .chain([deny(7, "203.0.113.7/32")])));
        let deny = ruleset.find("ip saddr 203.0.113.7/32 counter").unwrap();
        let allow = ruleset.find("ip saddr 0.0.0.0/0 accept").unwrap();
        assert!(deny < allow, "{ruleset}");
    }

    #[test]
    fn nft_takes_every_kind_of_rule_and_keeps_counters_over_a_change() {
        let router = Namespace::new("boundary").unwrap();
        net::apply_nft(&router, &table("inside")).unwrap();
        let ports = Entry {
            protocol: 6,
            ports: Some((22, 80)),
            ..Entry::egress(3, Action::Deny, "::/0".parse().unwrap())
        };
        let entries = default_denies(true).into_iter().chain(default_allows(true));
        let ours = [deny(1, "203.0.113.7/32"), deny(2, "2001:db8::/64"), ports];
        net::apply_nft(&router, &rules(&acl(entries.chain(ours)))).unwrap();
        net::apply_nft(&router, &rules(&acl([deny(1, "203.0.113.8/32")]))).unwrap();
        let counters =
            net::list_nft(&router, &["counters", "table", "inet", "nacl"], "counter").unwrap();
        assert_eq!(counters.len(), 3, "{counters:?}");
    }
}
