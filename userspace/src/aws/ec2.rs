//! NACL calls through the EC2 client.

use std::sync::{PoisonError, RwLock};

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{Builder, IdentityCache};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{Filter, RuleAction};
use ipnet::IpNet;

use super::convert::{self, ALL_PROTOCOLS};
use super::failure::{failure, unreadable};
use crate::nacl::acl::{Acl, Direction, Position, Rule};
use crate::nacl::api::{AclApi, Mutation};
use crate::nacl::error::{ApiError, ErrorKind, Operation};

/// The EC2 client.
#[derive(Debug)]
pub struct Ec2 {
    settings: SdkConfig,
    /// Where the SDK finds the credentials itself.
    region: Option<Region>,
    client: RwLock<Client>,
}

impl Ec2 {
    /// A client for a Region such as `eu-central-1`, with the credentials that the
    /// SDK finds: on an instance, those of its role. `AWS_ENDPOINT_URL_EC2` names
    /// another endpoint. Nothing is sent yet.
    pub async fn connect(region: &str) -> Self {
        let region = Region::new(region.to_owned());
        Self {
            region: Some(region.clone()),
            ..Self::new(super::loader(region).load().await)
        }
    }

    /// As [`Ec2::connect`], for an endpoint that is not AWS's, with keys of its own:
    /// a double of EC2 on this machine, such as `http://127.0.0.1:5000`.
    pub async fn at(endpoint: &str, region: &str, access_key: &str, secret: &str) -> Self {
        let keys = Credentials::new(access_key, secret, None, None, "given");
        let loader = super::loader(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .credentials_provider(keys);
        Self::new(loader.load().await)
    }

    /// A client with these settings of the SDK's, as they are.
    pub fn new(settings: SdkConfig) -> Self {
        let client = RwLock::new(Client::new(&settings));
        Self {
            settings,
            region: None,
            client,
        }
    }

    fn client(&self) -> Client {
        let client = self.client.read();
        client.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The SDK keeps credentials until their own end, which may be hours away,
    /// also when EC2 refuses them; goes on with them while it can't fetch others; and
    /// keeps the session token of the instance metadata for as long, also when that is
    /// refused. The next call begins with nothing of all that.
    async fn heed(&self, error: ApiError) -> ApiError {
        if error.kind == ErrorKind::Credentials {
            let fresh = if let Some(region) = &self.region {
                Client::new(&super::loader(region.clone()).load().await)
            } else {
                let cache = IdentityCache::lazy().build();
                let settings = Builder::from(&self.settings).identity_cache(cache);
                Client::from_conf(settings.build())
            };
            *self.client.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        error
    }

    async fn change(&self, acl: &str, mutation: &Mutation, dry_run: bool) -> Result<(), ApiError> {
        match self.attempt(acl, mutation, dry_run).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.heed(error).await),
        }
    }

    async fn attempt(&self, acl: &str, mutation: &Mutation, dry_run: bool) -> Result<(), ApiError> {
        // EC2 takes the absence of a dry run for a real one.
        let dry_run = dry_run.then_some(true);
        match mutation {
            Mutation::Create(rule) => {
                let (number, egress, v4, v6) = words(rule);
                let call = self
                    .client()
                    .create_network_acl_entry()
                    .network_acl_id(acl)
                    .rule_number(number)
                    .egress(egress)
                    .protocol(ALL_PROTOCOLS)
                    .rule_action(RuleAction::Deny)
                    .set_cidr_block(v4)
                    .set_ipv6_cidr_block(v6)
                    .set_dry_run(dry_run);
                finish(mutation, acl, call.send().await)
            }
            Mutation::Replace(rule) => {
                let (number, egress, v4, v6) = words(rule);
                let call = self
                    .client()
                    .replace_network_acl_entry()
                    .network_acl_id(acl)
                    .rule_number(number)
                    .egress(egress)
                    .protocol(ALL_PROTOCOLS)
                    .rule_action(RuleAction::Deny)
                    .set_cidr_block(v4)
                    .set_ipv6_cidr_block(v6)
                    .set_dry_run(dry_run);
                finish(mutation, acl, call.send().await)
            }
            Mutation::Delete(position) => {
                let (number, egress) = place(*position);
                let call = self
                    .client()
                    .delete_network_acl_entry()
                    .network_acl_id(acl)
                    .rule_number(number)
                    .egress(egress)
                    .set_dry_run(dry_run);
                finish(mutation, acl, call.send().await)
            }
        }
    }
}

impl AclApi for Ec2 {
    async fn describe_by_subnets(&self, subnets: &[String]) -> Result<Vec<Acl>, ApiError> {
        // A filter without values would be none at all, and list every NACL.
        if subnets.is_empty() {
            return Ok(Vec::new());
        }
        let filter = Filter::builder()
            .name("association.subnet-id")
            .set_values(Some(subnets.to_vec()))
            .build();
        let mut pages = self
            .client()
            .describe_network_acls()
            .filters(filter)
            .into_paginator()
            .send();
        let mut acls = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    let error = failure(Operation::Describe, None, error);
                    return Err(self.heed(error).await);
                }
            };
            for acl in page.network_acls() {
                convert::add(&mut acls, acl).map_err(|error| unreadable(None, error))?;
            }
        }
        Ok(acls)
    }

    async fn describe(&self, acl: &str) -> Result<Acl, ApiError> {
        let call = self.client().describe_network_acls().network_acl_ids(acl);
        let found = match call.send().await {
            Ok(found) => found,
            Err(error) => {
                let error = failure(Operation::Describe, Some(acl), error);
                return Err(self.heed(error).await);
            }
        };
        match found.network_acls() {
            [one] => convert::acl(one).map_err(|error| unreadable(Some(acl), error)),
            others => Err(ApiError {
                operation: Operation::Describe,
                acl: Some(acl.to_owned()),
                code: None,
                message: format!("{} NACLs came back", others.len()),
                kind: ErrorKind::AclMissing,
                source: None,
            }),
        }
    }

    async fn mutate(&self, acl: &str, mutation: &Mutation) -> Result<(), ApiError> {
        self.change(acl, mutation, false).await
    }

    async fn rehearse(&self, acl: &str, mutation: &Mutation) -> Result<(), ApiError> {
        match self.change(acl, mutation, true).await {
            Err(error) if error.kind == ErrorKind::WouldHaveWorked => Ok(()),
            other => other,
        }
    }
}

fn finish<T, E>(
    mutation: &Mutation,
    acl: &str,
    result: Result<T, SdkError<E>>,
) -> Result<(), ApiError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(failure(mutation.operation(), Some(acl), error)),
    }
}

fn place(position: Position) -> (i32, bool) {
    (
        i32::from(position.number),
        position.direction == Direction::Egress,
    )
}

/// A rule in EC2's words: number, egress, IPv4 network, IPv6 network.
fn words(rule: &Rule) -> (i32, bool, Option<String>, Option<String>) {
    let (number, egress) = place(rule.position);
    let network = Some(rule.network.trunc().to_string());
    match rule.network {
        IpNet::V4(_) => (number, egress, network, None),
        IpNet::V6(_) => (number, egress, None, network),
    }
}

#[cfg(test)]
mod tests;
