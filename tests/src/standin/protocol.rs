//! The EC2 Query protocol's requests: a form in, a typed call out.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::acl::{Action, DEFAULT_DENY_V4, Entry, Key, Pair, is_well_formed};
use super::error::ApiError;

/// The API version that is spoken.
pub const VERSION: &str = "2016-11-15";

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Whether only to say if it would be allowed.
    pub dry_run: bool,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `DescribeNetworkAcls`.
    DescribeAcls(Describe),
    /// `DescribeSubnets`.
    DescribeSubnets(Describe),
    /// `CreateNetworkAclEntry`.
    Create(String, Entry),
    /// `ReplaceNetworkAclEntry`.
    Replace(String, Entry),
    /// `DeleteNetworkAclEntry`.
    Delete(String, Key),
    /// `CreateTags`: on which resources, which tags.
    Tag(Vec<String>, BTreeMap<String, String>),
}

impl Request {
    /// Whether it changes anything, and so draws on the mutating bucket.
    pub const fn is_mutating(&self) -> bool {
        !matches!(self, Self::DescribeAcls(_) | Self::DescribeSubnets(_))
    }
}

/// A Describe's selection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Describe {
    /// Only these, which must exist.
    pub ids: Vec<String>,
    /// Each must match by any of its values.
    pub filters: Vec<Filter>,
    /// A page's size.
    pub max_results: Option<usize>,
    /// Where the page before ended.
    pub next_token: Option<String>,
}

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Such as `association.subnet-id`.
    pub name: String,
    /// Any of these.
    pub values: Vec<String>,
}

/// The form's parameters; what is left after parsing is unknown.
#[derive(Debug, Clone)]
pub struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads an `application/x-www-form-urlencoded` body.
    pub fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The action's name as sent, empty where there is none.
    pub fn action(&self) -> &str {
        self.0.get("Action").map_or("", String::as_str)
    }

    /// The call that the form makes.
    pub fn call(mut self) -> Result<Call, ApiError> {
        let action = self.required("Action")?;
        let version = self.required("Version")?;
        if version != VERSION {
            return Err(ApiError::new(
                "NoSuchVersion",
                format!("The requested version ({version}) of service ec2 does not exist"),
            ));
        }
        let dry_run = self.boolean("DryRun")?.unwrap_or(false);
        let request = match action.as_str() {
            "DescribeNetworkAcls" => Request::DescribeAcls(self.describe("NetworkAclId")?),
            "DescribeSubnets" => Request::DescribeSubnets(self.describe("SubnetId")?),
            "CreateNetworkAclEntry" => Request::Create(self.acl_id()?, self.entry()?),
            "ReplaceNetworkAclEntry" => Request::Replace(self.acl_id()?, self.entry()?),
            "DeleteNetworkAclEntry" => Request::Delete(self.acl_id()?, self.key()?),
            "CreateTags" => Request::Tag(self.required_list("ResourceId")?, self.tags()?),
            _ => {
                return Err(ApiError::new(
                    "InvalidAction",
                    format!("The action {action} is not valid for this web service."),
                ));
            }
        };
        match self.0.first_key_value() {
            None => Ok(Call { request, dry_run }),
            Some((name, _)) => Err(ApiError::new(
                "UnknownParameter",
                format!("The parameter {name} is not recognized"),
            )),
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn required(&mut self, name: &str) -> Result<String, ApiError> {
        self.take(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| ApiError::missing(name))
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        self.take(name)
            .map(|value| value.parse().map_err(|_| ApiError::invalid(name, &value)))
            .transpose()
    }

    fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        self.parsed(name)
    }

    fn list(&mut self, name: &str) -> Vec<String> {
        (1..)
            .map_while(|n| self.take(&format!("{name}.{n}")))
            .collect()
    }

    fn required_list(&mut self, name: &str) -> Result<Vec<String>, ApiError> {
        let list = self.list(name);
        if list.is_empty() {
            return Err(ApiError::missing(name));
        }
        Ok(list)
    }

    fn tags(&mut self) -> Result<BTreeMap<String, String>, ApiError> {
        let mut tags = BTreeMap::new();
        for n in 1.. {
            let Some(key) = self.take(&format!("Tag.{n}.Key")) else {
                break;
            };
            let value = self.take(&format!("Tag.{n}.Value")).unwrap_or_default();
            tags.insert(key, value);
        }
        if tags.is_empty() {
            return Err(ApiError::missing("Tag"));
        }
        Ok(tags)
    }

    fn describe(&mut self, ids: &str) -> Result<Describe, ApiError> {
        let ids = self.list(ids);
        let mut filters = Vec::new();
        for n in 1.. {
            let Some(name) = self.take(&format!("Filter.{n}.Name")) else {
                break;
            };
            let values = self.required_list(&format!("Filter.{n}.Value"))?;
            filters.push(Filter { name, values });
        }
        let max_results = self.parsed("MaxResults")?;
        if let Some(max) = max_results
            && !(5..=1_000).contains(&max)
        {
            return Err(ApiError::invalid("MaxResults", max));
        }
        if max_results.is_some() && !ids.is_empty() {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                "Ids can't be used together with MaxResults",
            ));
        }
        Ok(Describe {
            ids,
            filters,
            max_results,
            next_token: self.take("NextToken"),
        })
    }

    fn acl_id(&mut self) -> Result<String, ApiError> {
        let id = self.required("NetworkAclId")?;
        check_acl_id(&id)?;
        Ok(id)
    }

    fn key(&mut self) -> Result<Key, ApiError> {
        let number = self.required("RuleNumber")?;
        let number = number
            .parse()
            .ok()
            .filter(|n| (1..DEFAULT_DENY_V4).contains(n))
            .ok_or_else(|| ApiError::invalid("RuleNumber", &number))?;
        let egress = self
            .boolean("Egress")?
            .ok_or_else(|| ApiError::missing("Egress"))?;
        Ok(Key { egress, number })
    }

    fn entry(&mut self) -> Result<Entry, ApiError> {
        let key = self.key()?;
        let protocol = self.required("Protocol")?;
        let protocol: i16 = protocol
            .parse()
            .ok()
            .filter(|p| (-1..=255).contains(p))
            .ok_or_else(|| ApiError::invalid("Protocol", &protocol))?;
        let action = match self.required("RuleAction")?.as_str() {
            "allow" => Action::Allow,
            "deny" => Action::Deny,
            other => return Err(ApiError::invalid("RuleAction", other)),
        };
        let network = self.network()?;
        let ports = self.pair("PortRange.From", "PortRange.To")?;
        let icmp = self.pair("Icmp.Type", "Icmp.Code")?;
        let mut entry = Entry {
            egress: key.egress,
            number: key.number,
            action,
            protocol,
            network,
            ports: None,
            icmp: None,
        };
        // Ports and types given for other protocols are dropped without a word, as the
        // API reference of CreateNetworkAclEntry says.
        match (protocol, &network) {
            (6 | 17, _) => entry.ports = Some(port_range(ports)?),
            (1, _) | (58, IpNet::V6(_)) => {
                entry.icmp = Some(icmp.ok_or_else(|| ApiError::missing("Icmp.Type"))?);
            }
            _ => {}
        }
        Ok(entry)
    }

    fn network(&mut self) -> Result<IpNet, ApiError> {
        let v4 = self.take("CidrBlock");
        let v6 = self.take("Ipv6CidrBlock");
        match (v4, v6) {
            (Some(text), None) => text
                .parse::<Ipv4Net>()
                .map(|net| IpNet::V4(net.trunc()))
                .map_err(|_| ApiError::invalid("cidrBlock", &text)),
            (None, Some(text)) => text
                .parse::<Ipv6Net>()
                .map(|net| IpNet::V6(net.trunc()))
                .map_err(|_| ApiError::invalid("ipv6CidrBlock", &text)),
            (None, None) => Err(ApiError::missing("CidrBlock")),
            (Some(_), Some(_)) => Err(ApiError::new(
                "InvalidParameterCombination",
                "CidrBlock can't be used together with Ipv6CidrBlock",
            )),
        }
    }

    fn pair(&mut self, first: &str, second: &str) -> Result<Option<Pair>, ApiError> {
        match (self.parsed(first)?, self.parsed(second)?) {
            (Some(a), Some(b)) => Ok(Some((a, b))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(ApiError::missing(first)),
            (Some(_), None) => Err(ApiError::missing(second)),
        }
    }
}

fn port_range(ports: Option<Pair>) -> Result<Pair, ApiError> {
    let (from, to) = ports.ok_or_else(|| ApiError::missing("PortRange.From"))?;
    if from > to || !(0..=65_535).contains(&from) || to > 65_535 {
        return Err(ApiError::invalid("PortRange", format!("{from}-{to}")));
    }
    Ok((from, to))
}

/// Refuses a NACL id of the wrong form with `InvalidNetworkAclId.Malformed`.
pub fn check_acl_id(id: &str) -> Result<(), ApiError> {
    if is_well_formed(id, "acl") {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidNetworkAclId.Malformed",
        format!("Invalid id: \"{id}\" (expecting \"acl-...\")"),
    ))
}

#[cfg(test)]
mod tests;
