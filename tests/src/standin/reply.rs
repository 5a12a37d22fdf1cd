//! EC2's replies in the shape that its SDKs parse.

use std::collections::BTreeMap;

use super::acl::{Acl, Entry, Pair};
use super::config::SubnetConfig;
use super::error::ApiError;
use super::query::Page;
use super::xml::Element;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The reply to a call that only says that it was done.
pub fn done(action: &str, request_id: &str) -> String {
    reply(action, request_id, vec![Element::text("return", true)])
}

/// The reply to `DescribeNetworkAcls`.
pub fn acls(request_id: &str, page: &Page<'_, Acl>) -> String {
    let set = Element::list("networkAclSet", page.items.iter().map(|acl| acl_item(acl)));
    reply(
        "DescribeNetworkAcls",
        request_id,
        paged(set, page.next_token.as_deref()),
    )
}

/// The reply to `DescribeSubnets`.
pub fn subnets(request_id: &str, owner: &str, page: &Page<'_, SubnetConfig>) -> String {
    let items = page.items.iter().map(|subnet| subnet_item(subnet, owner));
    let set = Element::list("subnetSet", items);
    reply(
        "DescribeSubnets",
        request_id,
        paged(set, page.next_token.as_deref()),
    )
}

/// The body that goes with an error.
pub fn error(request_id: &str, error: &ApiError) -> String {
    let error = Element::new(
        "Error",
        vec![
            Element::text("Code", &error.code),
            Element::text("Message", &error.message),
        ],
    );
    let response = Element::new(
        "Response",
        vec![
            Element::new("Errors", vec![error]),
            Element::text("RequestID", request_id),
        ],
    );
    format!("{DECLARATION}{response}")
}

fn reply(action: &str, request_id: &str, content: Vec<Element>) -> String {
    let mut children = vec![Element::text("requestId", request_id)];
    children.extend(content);
    let reply = Element::new(&format!("{action}Response"), children).in_namespace(NAMESPACE);
    format!("{DECLARATION}{reply}")
}

fn paged(set: Element, next_token: Option<&str>) -> Vec<Element> {
    let mut content = vec![set];
    content.extend(next_token.map(|token| Element::text("nextToken", token)));
    content
}

fn acl_item(acl: &Acl) -> Vec<Element> {
    // The egress entries come first, as in the examples of the API reference.
    let (egress, ingress): (Vec<_>, Vec<_>) = acl.entries.values().partition(|e| e.egress);
    let entries = egress.into_iter().chain(ingress).map(entry_item);
    let associations = acl.associations.iter().map(|association| {
        vec![
            Element::text("networkAclAssociationId", &association.id),
            Element::text("networkAclId", &acl.id),
            Element::text("subnetId", &association.subnet),
        ]
    });
    vec![
        Element::text("networkAclId", &acl.id),
        Element::text("vpcId", &acl.vpc),
        Element::text("default", acl.is_default),
        Element::list("entrySet", entries),
        Element::list("associationSet", associations),
        tag_set(&acl.tags),
        Element::text("ownerId", &acl.owner),
    ]
}

fn entry_item(entry: &Entry) -> Vec<Element> {
    let block = if entry.is_v6() {
        "ipv6CidrBlock"
    } else {
        "cidrBlock"
    };
    let mut item = vec![
        Element::text("ruleNumber", entry.number),
        Element::text("protocol", entry.protocol),
        Element::text("ruleAction", entry.action.word()),
        Element::text("egress", entry.egress),
        Element::text(block, entry.network),
    ];
    item.extend(
        entry
            .icmp
            .map(|icmp| pair("icmpTypeCode", ["type", "code"], icmp)),
    );
    item.extend(
        entry
            .ports
            .map(|ports| pair("portRange", ["from", "to"], ports)),
    );
    item
}

fn pair(name: &str, [first, second]: [&str; 2], (a, b): Pair) -> Element {
    Element::new(
        name,
        vec![Element::text(first, a), Element::text(second, b)],
    )
}

fn tag_set(tags: &BTreeMap<String, String>) -> Element {
    Element::list(
        "tagSet",
        tags.iter()
            .map(|(key, value)| vec![Element::text("key", key), Element::text("value", value)]),
    )
}

fn subnet_item(subnet: &SubnetConfig, owner: &str) -> Vec<Element> {
    let ipv6 = subnet.ipv6_cidr.map(|cidr| {
        let state = Element::text("state", "associated");
        vec![
            Element::text("ipv6CidrBlock", cidr),
            Element::new("ipv6CidrBlockState", vec![state]),
        ]
    });
    vec![
        Element::text("subnetId", &subnet.id),
        Element::text("state", "available"),
        Element::text("vpcId", &subnet.vpc),
        Element::text("cidrBlock", subnet.cidr),
        Element::list("ipv6CidrBlockAssociationSet", ipv6),
        Element::text("availabilityZone", &subnet.availability_zone),
        Element::text("ownerId", owner),
        tag_set(&BTreeMap::new()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::acl::Action;
    use super::super::config::Ec2Config;
    use super::super::protocol::Describe;
    use super::super::query;
    use super::super::state::State;
    use super::*;

    #[test]
    fn a_nacl_is_told_in_full() {
        let mut config = Ec2Config::one_subnet("subnet-0123abcd", "acl-0123abcd");
        config.acls[0].tags = BTreeMap::from([("Name".into(), "a&b".into())]);
        let mut ssh = Entry::ingress(7, Action::Deny, "192.0.2.0/24".parse().unwrap());
        ssh.protocol = 6;
        ssh.ports = Some((22, 22));
        config.acls[0].entries = vec![ssh];
        let state = State::new(&config).unwrap();
        let page = query::acls(state.acls(), &Describe::default()).unwrap();
        let told = Element::parse(&acls("rid", &page)).unwrap();
        assert_eq!(told.name, "DescribeNetworkAclsResponse");
        assert_eq!(told.namespace.as_deref(), Some(NAMESPACE));
        let item = told.child("networkAclSet").unwrap().child("item").unwrap();
        assert_eq!(item.child("networkAclId").unwrap().text, "acl-0123abcd");
        assert_eq!(item.find("subnetId"), Some("subnet-0123abcd"));
        assert_eq!(item.child("tagSet").unwrap().find("value"), Some("a&b"));
        let entries = &item.child("entrySet").unwrap().children;
        let lines: Vec<String> = entries
            .iter()
            .map(|e| {
                e.children
                    .iter()
                    .map(|c| c.text.as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[0], "100 -1 allow true 0.0.0.0/0");
        assert_eq!(lines[3], "32768 -1 deny true ::/0");
        assert_eq!(lines[7], "32767 -1 deny false 0.0.0.0/0");
        assert_eq!(entries[4].find("from"), Some("22"));
        assert_eq!(entries[8].find("ipv6CidrBlock"), Some("::/0"));
    }

    #[test]
    fn an_error_has_the_shape_of_ec2_not_of_other_query_services() {
        let body = error("rid", &ApiError::missing("Egress"));
        assert!(body.ends_with(
            "<Response><Errors><Error><Code>MissingParameter</Code><Message>The request must \
             contain the parameter Egress</Message></Error></Errors><RequestID>rid</RequestID>\
             </Response>"
        ));
    }
}
