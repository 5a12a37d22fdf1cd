//! A NACL out of moto's answer to `DescribeNetworkAcls`.

use super::super::acl::{Acl, Action, Association, Entry, Pair};
use super::super::xml::Element;

/// The first NACL of an answer; `None` where the answer is not what EC2's would be.
pub(super) fn acl(answer: &Element) -> Option<Acl> {
    let acl = answer.child("networkAclSet")?.children.first()?;
    let tags = items(acl, "tagSet")
        .map(|tag| Some((text(tag, "key")?, text(tag, "value")?)))
        .collect::<Option<_>>()?;
    let associations = items(acl, "associationSet")
        .map(|tie| {
            Some(Association {
                id: text(tie, "networkAclAssociationId")?,
                subnet: text(tie, "subnetId")?,
            })
        })
        .collect::<Option<_>>()?;
    let entries = items(acl, "entrySet")
        .map(|shown| entry(shown).map(|entry| (entry.key(), entry)))
        .collect::<Option<_>>()?;
    Some(Acl {
        id: text(acl, "networkAclId")?,
        vpc: text(acl, "vpcId")?,
        owner: text(acl, "ownerId")?,
        is_default: text(acl, "default")? == "true",
        tags,
        associations,
        entries,
    })
}

fn entry(shown: &Element) -> Option<Entry> {
    let network = text(shown, "cidrBlock").or_else(|| text(shown, "ipv6CidrBlock"))?;
    let action = match text(shown, "ruleAction")?.as_str() {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        _ => return None,
    };
    Some(Entry {
        egress: text(shown, "egress")? == "true",
        number: text(shown, "ruleNumber")?.parse().ok()?,
        action,
        protocol: text(shown, "protocol")?.parse().ok()?,
        network: network.parse().ok()?,
        ports: pair(shown, "portRange", ["from", "to"]),
        icmp: pair(shown, "icmpTypeCode", ["type", "code"]),
    })
}

fn pair(shown: &Element, name: &str, parts: [&str; 2]) -> Option<Pair> {
    let pair = shown.child(name)?;
    let [first, last] = parts.map(|part| text(pair, part)?.parse().ok());
    Some((first?, last?))
}

fn items<'a>(of: &'a Element, list: &str) -> impl Iterator<Item = &'a Element> {
    of.child(list).into_iter().flat_map(|list| &list.children)
}

fn text(of: &Element, name: &str) -> Option<String> {
    of.child(name).map(|child| child.text.clone())
}
