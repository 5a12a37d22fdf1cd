//! Where this host stands in AWS, and what that and the configuration make of the tier.

use anyhow::Context as _;

use super::{Ec2, Imds};
use crate::{
    config::{Config, Nacl},
    host::Host,
    nacl::{
        budget::Allowance,
        caller::{Caller, Pace},
        clock::SystemClock,
        discover::{Discovery, Link, discover},
        reconcile::Place,
    },
};

/// Asks the instance metadata where the interfaces stand that nicban protects:
/// MAC, subnet, VPC. The Region and the subnets of the configuration win over the
/// metadata's.
pub async fn site(config: &Config, imds: &Imds) -> anyhow::Result<Discovery> {
    let host = Host::read().await?;
    let mut discovery = discover(imds, &links(config, &host))
        .await
        .context("cannot tell this host's subnet")?;
    if let Some(region) = &config.nacl.region {
        region.as_str().clone_into(&mut discovery.region);
    }
    let named = &config.nacl.subnets;
    if !named.is_empty() {
        discovery.subnets = named.iter().map(|id| id.as_str().to_owned()).collect();
    }
    Ok(discovery)
}

/// The one that makes this host's calls, at the pace that the configuration sets.
pub async fn caller(config: &Nacl, discovery: &Discovery) -> Caller<Ec2, SystemClock> {
    let pace = Pace {
        mutations: Allowance::per_second(config.calls_burst, config.calls_per_second),
        ..Pace::default()
    };
    let ec2 = Ec2::connect(&discovery.region).await;
    Caller::new(ec2, SystemClock, pace)
}

/// The part of the discovery that rounds need.
pub fn place(discovery: &Discovery) -> Place {
    let interfaces = &discovery.interfaces;
    let mut vpc_networks: Vec<_> = interfaces
        .iter()
        .flat_map(|interface| interface.vpc_networks.iter().copied())
        .collect();
    vpc_networks.sort();
    vpc_networks.dedup();
    Place {
        region: discovery.region.clone(),
        subnets: discovery.subnets(),
        account: discovery.account.clone(),
        vpc_networks,
    }
}

fn links(config: &Config, host: &Host) -> Vec<Link> {
    let named = &config.xdp.interfaces;
    let chosen: Vec<_> = if named.is_empty() {
        host.default_interfaces().collect()
    } else {
        named
            .iter()
            .filter_map(|name| host.interface(name.as_str()))
            .collect()
    };
    chosen
        .into_iter()
        .filter_map(|interface| {
            Some(Link {
                name: interface.name.clone(),
                mac: interface.mac?.to_string(),
            })
        })
        .collect()
}
