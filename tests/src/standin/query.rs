//! Describe: which of what is visible a selection names.

use super::acl::{Acl, Acls};
use super::config::SubnetConfig;
use super::error::ApiError;
use super::protocol::{Describe, Filter, check_acl_id};

/// A page of a Describe's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<'a, T> {
    /// What the page holds, in the order of ids.
    pub items: Vec<&'a T>,
    /// What to ask the next page with; `None` on the last.
    pub next_token: Option<String>,
}

/// The NACLs that a selection names: `InvalidNetworkAclID.NotFound` for an id that
/// isn't there; a filter that matches nothing gives an empty page.
pub fn acls<'a>(acls: &'a Acls, select: &Describe) -> Result<Page<'a, Acl>, ApiError> {
    for id in &select.ids {
        check_acl_id(id)?;
        if !acls.contains_key(id) {
            return Err(unknown_acl(id));
        }
    }
    let mut matching = Vec::new();
    for acl in acls.values() {
        if (select.ids.is_empty() || select.ids.contains(&acl.id))
            && all_match(&select.filters, |filter| acl_matches(acl, filter))?
        {
            matching.push(acl);
        }
    }
    page(matching, select, |acl| &acl.id)
}

/// The subnets that a selection names: `InvalidSubnetID.NotFound` for an id that isn't
/// there.
pub fn subnets<'a>(
    subnets: &'a [SubnetConfig],
    select: &Describe,
) -> Result<Page<'a, SubnetConfig>, ApiError> {
    for id in &select.ids {
        if !subnets.iter().any(|subnet| subnet.id == *id) {
            return Err(ApiError::new(
                "InvalidSubnetID.NotFound",
                format!("The subnet ID '{id}' does not exist"),
            ));
        }
    }
    let mut matching = Vec::new();
    for subnet in subnets {
        if (select.ids.is_empty() || select.ids.contains(&subnet.id))
            && all_match(&select.filters, |filter| subnet_matches(subnet, filter))?
        {
            matching.push(subnet);
        }
    }
    matching.sort_by(|a, b| a.id.cmp(&b.id));
    page(matching, select, |subnet| &subnet.id)
}

/// `InvalidNetworkAclID.NotFound`.
pub fn unknown_acl(id: &str) -> ApiError {
    ApiError::new(
        "InvalidNetworkAclID.NotFound",
        format!("The networkAcl ID '{id}' does not exist"),
    )
}

fn all_match(
    filters: &[Filter],
    mut matches: impl FnMut(&Filter) -> Option<bool>,
) -> Result<bool, ApiError> {
    let mut all = true;
    for filter in filters {
        all &= matches(filter).ok_or_else(|| {
            ApiError::new(
                "InvalidParameterValue",
                format!("The filter '{}' is invalid", filter.name),
            )
        })?;
    }
    Ok(all)
}

fn acl_matches(acl: &Acl, filter: &Filter) -> Option<bool> {
    let any = |value: &str| filter.values.iter().any(|wanted| wanted == value);
    Some(match filter.name.as_str() {
        "association.association-id" => acl.associations.iter().any(|a| any(&a.id)),
        "association.network-acl-id" => !acl.associations.is_empty() && any(&acl.id),
        "association.subnet-id" => acl.associations.iter().any(|a| any(&a.subnet)),
        "default" => any(if acl.is_default { "true" } else { "false" }),
        "network-acl-id" => any(&acl.id),
        "owner-id" => any(&acl.owner),
        "tag-key" => acl.tags.keys().any(|key| any(key)),
        "vpc-id" => any(&acl.vpc),
        name => {
            let key = name.strip_prefix("tag:")?;
            acl.tags.get(key).is_some_and(|value| any(value))
        }
    })
}

fn subnet_matches(subnet: &SubnetConfig, filter: &Filter) -> Option<bool> {
    let any = |value: &str| filter.values.iter().any(|wanted| wanted == value);
    Some(match filter.name.as_str() {
        "availability-zone" => any(&subnet.availability_zone),
        "subnet-id" => any(&subnet.id),
        "vpc-id" => any(&subnet.vpc),
        _ => return None,
    })
}

/// Cuts a page; the token is the id that the next page starts with.
fn page<'a, T>(
    mut items: Vec<&'a T>,
    select: &Describe,
    id: impl Fn(&T) -> &String,
) -> Result<Page<'a, T>, ApiError> {
    if let Some(token) = &select.next_token {
        let start = items
            .iter()
            .position(|item| id(item) == token)
            .ok_or_else(|| ApiError::new("InvalidNextToken", "The token is not valid."))?;
        items.drain(..start);
    }
    let next_token = select
        .max_results
        .and_then(|max| items.get(max))
        .map(|item| id(item).clone());
    items.truncate(select.max_results.unwrap_or(usize::MAX));
    Ok(Page { items, next_token })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::acl::Association;
    use super::*;

    fn seven() -> Acls {
        (1..=7)
            .map(|n| {
                let id = format!("acl-0000000{n}");
                let acl = Acl {
                    id: id.clone(),
                    vpc: format!("vpc-0000000{}", n % 2),
                    owner: "123456789012".into(),
                    is_default: n == 1,
                    tags: BTreeMap::from([("Name".into(), format!("nacl {n}"))]),
                    associations: vec![Association {
                        id: format!("aclassoc-0000000{n}"),
                        subnet: format!("subnet-0000000{n}"),
                    }],
                    entries: BTreeMap::new(),
                };
                (id, acl)
            })
            .collect()
    }

    fn filter(name: &str, values: &[&str]) -> Describe {
        Describe {
            filters: vec![Filter {
                name: name.into(),
                values: values.iter().map(|&v| v.into()).collect(),
            }],
            ..Describe::default()
        }
    }

    fn ids(select: &Describe) -> Vec<String> {
        let all = seven();
        let page = acls(&all, select).unwrap();
        page.items.iter().map(|acl| acl.id.clone()).collect()
    }

    #[test]
    fn filters_select_by_any_value() {
        assert_eq!(
            ids(&filter("association.subnet-id", &["subnet-00000003"])),
            ["acl-00000003"]
        );
        assert_eq!(
            ids(&filter(
                "network-acl-id",
                &["acl-00000002", "acl-00000005", "acl-x"]
            )),
            ["acl-00000002", "acl-00000005"]
        );
        assert_eq!(ids(&filter("vpc-id", &["vpc-00000000"])).len(), 3);
        assert_eq!(ids(&filter("tag:Name", &["nacl 4"])), ["acl-00000004"]);
        assert_eq!(ids(&filter("default", &["true"])), ["acl-00000001"]);
        assert_eq!(
            ids(&filter("association.subnet-id", &["subnet-x"])),
            [""; 0]
        );
        assert_eq!(ids(&Describe::default()).len(), 7);
    }

    #[test]
    fn filters_must_all_match() {
        let mut select = filter("vpc-id", &["vpc-00000001"]);
        select
            .filters
            .extend(filter("tag:Name", &["nacl 4", "nacl 5"]).filters);
        assert_eq!(ids(&select), ["acl-00000005"]);
    }

    #[test]
    fn an_unknown_filter_or_id_is_an_error() {
        let all = seven();
        let code = |select: &Describe| acls(&all, select).unwrap_err().code;
        assert_eq!(code(&filter("colour", &["red"])), "InvalidParameterValue");
        let by_id = |id: &str| Describe {
            ids: vec![id.into()],
            ..Describe::default()
        };
        assert_eq!(code(&by_id("acl-0000000f")), "InvalidNetworkAclID.NotFound");
        assert_eq!(code(&by_id("acl-7")), "InvalidNetworkAclId.Malformed");
        assert_eq!(ids(&by_id("acl-00000007")), ["acl-00000007"]);
    }

    #[test]
    fn pages_together_hold_everything_once() {
        let all = seven();
        let mut select = Describe {
            max_results: Some(5),
            ..Describe::default()
        };
        let first = acls(&all, &select).unwrap();
        assert_eq!(first.items.len(), 5);
        select.next_token = first.next_token;
        let second = acls(&all, &select).unwrap();
        assert_eq!((second.items.len(), &second.next_token), (2, &None));
        assert_ne!(first.items[4].id, second.items[0].id);
        select.next_token = Some("nowhere".into());
        assert_eq!(acls(&all, &select).unwrap_err().code, "InvalidNextToken");
    }
}
