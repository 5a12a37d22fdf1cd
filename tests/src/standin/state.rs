//! The NACLs of an account and the rules by which EC2 lets them change.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::acl::{
    Acl, Acls, Association, Entry, Key, default_allows, default_denies, is_well_formed,
};
use super::config::{AclConfig, ConfigError, Ec2Config, IdenticalCreate};
use super::error::ApiError;
use super::protocol::Request;
use super::query::unknown_acl;

/// The account's NACLs as they truly are, whatever Describe shows of them yet.
#[derive(Debug, Clone)]
pub struct State {
    acls: Arc<Acls>,
    subnets: BTreeSet<String>,
    account: String,
    quota: usize,
    identical_create: IdenticalCreate,
    associations_made: u32,
    forbidden: BTreeSet<String>,
}

/// A change by somebody else (console, Terraform, Firewall Manager): none of the checks
/// that the API makes, except that the NACL exists and a default deny stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Adds an entry, or overwrites the one in its place.
    PutEntry {
        /// The NACL.
        acl: String,
        /// The entry.
        entry: Entry,
    },
    /// Takes an entry out.
    RemoveEntry {
        /// The NACL.
        acl: String,
        /// Whether it is an egress entry.
        #[serde(default)]
        egress: bool,
        /// Its number.
        number: u16,
    },
    /// Makes a NACL; subnets that it names move to it.
    AddAcl {
        /// The NACL.
        acl: AclConfig,
    },
    /// Deletes a NACL with its associations.
    DeleteAcl {
        /// The NACL.
        acl: String,
    },
    /// Ties a subnet to another NACL.
    Associate {
        /// The subnet.
        subnet: String,
        /// Its NACL from now on.
        acl: String,
    },
    /// Sets a tag.
    Tag {
        /// The NACL.
        acl: String,
        /// The tag's key.
        key: String,
        /// Its value.
        value: String,
    },
}

impl State {
    /// The state that a configuration describes.
    pub fn new(config: &Ec2Config) -> Result<Self, ConfigError> {
        let mut state = Self {
            acls: Arc::default(),
            subnets: BTreeSet::new(),
            account: config.account.clone(),
            quota: config.quota as usize,
            identical_create: config.identical_create,
            associations_made: 0,
            forbidden: BTreeSet::new(),
        };
        for subnet in &config.subnets {
            if !is_well_formed(&subnet.id, "subnet") {
                return Err(ConfigError::MalformedId(subnet.id.clone()));
            }
            if !state.subnets.insert(subnet.id.clone()) {
                return Err(ConfigError::Twice(subnet.id.clone()));
            }
        }
        for acl in &config.acls {
            for subnet in &acl.subnets {
                if state.acl_of(subnet).is_some() {
                    return Err(ConfigError::Twice(subnet.clone()));
                }
            }
            state.add_acl(acl)?;
        }
        Ok(state)
    }

    /// The NACLs; a new allocation after each change.
    pub fn acls(&self) -> &Arc<Acls> {
        &self.acls
    }

    /// Entries for each direction and family from now on, the default deny counted.
    pub const fn set_quota(&mut self, quota: u32) {
        self.quota = quota as usize;
    }

    /// Refuses an action from now on, as a policy without it does.
    pub fn forbid(&mut self, action: &str) {
        self.forbidden.insert(action.to_owned());
    }

    /// Takes a [`State::forbid`] back.
    pub fn permit(&mut self, action: &str) {
        self.forbidden.remove(action);
    }

    /// Whether the caller may make a call: `UnauthorizedOperation` for a forbidden
    /// action, and for a change to a NACL that another account owns (shared VPC).
    pub fn authorise(&self, action: &str, request: &Request) -> Result<(), ApiError> {
        let foreign = |id: &String| self.acls.get(id).is_some_and(|a| a.owner != self.account);
        let refused = match request {
            Request::Create(id, _) | Request::Replace(id, _) | Request::Delete(id, _) => {
                foreign(id)
            }
            Request::Tag(ids, _) => ids.iter().any(foreign),
            Request::DescribeAcls(_) | Request::DescribeSubnets(_) => false,
        };
        if refused || self.forbidden.contains(action) {
            return Err(ApiError::new(
                "UnauthorizedOperation",
                "You are not authorized to perform this operation.",
            ));
        }
        Ok(())
    }

    /// Makes a call's change; a Describe changes nothing. An error changes nothing.
    pub fn apply(&mut self, request: &Request) -> Result<(), ApiError> {
        match request {
            Request::Create(id, entry) => self.create(id, entry),
            Request::Replace(id, entry) => self.replace(id, entry),
            Request::Delete(id, key) => self.delete(id, *key),
            Request::Tag(ids, tags) => {
                for id in ids {
                    self.acl(id)?;
                }
                for id in ids {
                    self.acl_mut(id)?.tags.extend(tags.clone());
                }
                Ok(())
            }
            Request::DescribeAcls(_) | Request::DescribeSubnets(_) => Ok(()),
        }
    }

    fn create(&mut self, id: &str, entry: &Entry) -> Result<(), ApiError> {
        let acl = self.acl(id)?;
        if let Some(present) = acl.entries.get(&entry.key()) {
            if present == entry && self.identical_create == IdenticalCreate::Succeeds {
                return Ok(());
            }
            return Err(ApiError::new(
                "NetworkAclEntryAlreadyExists",
                format!(
                    "The network acl entry identified by {} already exists.",
                    entry.number
                ),
            ));
        }
        check_quota(acl, entry, self.quota)?;
        self.acl_mut(id)?.entries.insert(entry.key(), entry.clone());
        Ok(())
    }

    fn replace(&mut self, id: &str, entry: &Entry) -> Result<(), ApiError> {
        let acl = self.acl(id)?;
        let present = acl.entries.get(&entry.key());
        let present = present.ok_or_else(|| unknown_entry(entry.key()))?;
        if present.is_v6() != entry.is_v6() {
            check_quota(acl, entry, self.quota)?;
        }
        self.acl_mut(id)?.entries.insert(entry.key(), entry.clone());
        Ok(())
    }

    fn delete(&mut self, id: &str, key: Key) -> Result<(), ApiError> {
        let acl = self.acl(id)?;
        let present = acl.entries.get(&key);
        if present.ok_or_else(|| unknown_entry(key))?.is_protected() {
            return Err(ApiError::invalid("RuleNumber", key.number));
        }
        self.acl_mut(id)?.entries.remove(&key);
        Ok(())
    }

    /// Makes a change by somebody else.
    pub fn change(&mut self, change: &Change) -> Result<(), ApiError> {
        match change {
            Change::PutEntry { acl, entry } if !entry.is_protected() => {
                self.acl_mut(acl)?
                    .entries
                    .insert(entry.key(), entry.clone());
            }
            Change::PutEntry { entry, .. } => {
                return Err(ApiError::invalid("RuleNumber", entry.number));
            }
            Change::RemoveEntry {
                acl,
                egress,
                number,
            } => {
                let key = Key {
                    egress: *egress,
                    number: *number,
                };
                self.delete(acl, key)?;
            }
            Change::AddAcl { acl } => self
                .add_acl(acl)
                .map_err(|error| ApiError::new("InvalidParameterValue", error.to_string()))?,
            Change::DeleteAcl { acl } => {
                self.acl(acl)?;
                Arc::make_mut(&mut self.acls).remove(acl);
            }
            Change::Associate { subnet, acl } => {
                if !self.subnets.contains(subnet) {
                    return Err(ApiError::new(
                        "InvalidSubnetID.NotFound",
                        format!("The subnet ID '{subnet}' does not exist"),
                    ));
                }
                self.acl(acl)?;
                self.associate(subnet, acl);
            }
            Change::Tag { acl, key, value } => {
                let tags = &mut self.acl_mut(acl)?.tags;
                tags.insert(key.clone(), value.clone());
            }
        }
        Ok(())
    }

    fn add_acl(&mut self, config: &AclConfig) -> Result<(), ConfigError> {
        if !is_well_formed(&config.id, "acl") {
            return Err(ConfigError::MalformedId(config.id.clone()));
        }
        if self.acls.contains_key(&config.id) {
            return Err(ConfigError::Twice(config.id.clone()));
        }
        if let Some(subnet) = config.subnets.iter().find(|s| !self.subnets.contains(*s)) {
            return Err(ConfigError::UnknownSubnet {
                acl: config.id.clone(),
                subnet: subnet.clone(),
            });
        }
        let mut acl = Acl {
            id: config.id.clone(),
            vpc: config.vpc.clone(),
            owner: config.owner.clone().unwrap_or_else(|| self.account.clone()),
            is_default: config.is_default,
            tags: config.tags.clone(),
            associations: Vec::new(),
            entries: default_denies(config.ipv6)
                .into_iter()
                .map(|entry| (entry.key(), entry))
                .collect(),
        };
        let allows = config.default_allows.then(|| default_allows(config.ipv6));
        for entry in allows.into_iter().flatten().chain(config.entries.clone()) {
            let number = entry.number;
            let in_range = number > 0 && !entry.is_protected();
            if !in_range || acl.entries.insert(entry.key(), entry).is_some() {
                return Err(ConfigError::BadEntry {
                    acl: acl.id,
                    number,
                });
            }
        }
        Arc::make_mut(&mut self.acls).insert(config.id.clone(), acl);
        for subnet in &config.subnets {
            self.associate(subnet, &config.id);
        }
        Ok(())
    }

    fn acl_of(&self, subnet: &str) -> Option<&Acl> {
        self.acls
            .values()
            .find(|acl| acl.associations.iter().any(|a| a.subnet == subnet))
    }

    fn associate(&mut self, subnet: &str, to: &str) {
        self.associations_made += 1;
        let id = format!("aclassoc-{:08x}", self.associations_made);
        for acl in Arc::make_mut(&mut self.acls).values_mut() {
            acl.associations.retain(|a| a.subnet != subnet);
            if acl.id == to {
                acl.associations.push(Association {
                    id: id.clone(),
                    subnet: subnet.to_owned(),
                });
            }
        }
    }

    fn acl(&self, id: &str) -> Result<&Acl, ApiError> {
        self.acls.get(id).ok_or_else(|| unknown_acl(id))
    }

    fn acl_mut(&mut self, id: &str) -> Result<&mut Acl, ApiError> {
        Arc::make_mut(&mut self.acls)
            .get_mut(id)
            .ok_or_else(|| unknown_acl(id))
    }
}

fn check_quota(acl: &Acl, entry: &Entry, quota: usize) -> Result<(), ApiError> {
    let held = acl
        .entries
        .values()
        .filter(|e| e.egress == entry.egress && e.is_v6() == entry.is_v6())
        .count();
    if held < quota {
        return Ok(());
    }
    Err(ApiError::new(
        "NetworkAclEntryLimitExceeded",
        "The maximum number of network acl entries has been reached.",
    ))
}

fn unknown_entry(key: Key) -> ApiError {
    ApiError::new(
        "InvalidNetworkAclEntry.NotFound",
        format!(
            "no {} entry with number {}",
            if key.egress { "egress" } else { "ingress" },
            key.number
        ),
    )
}

#[cfg(test)]
mod tests;
