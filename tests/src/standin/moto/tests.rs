use super::super::config::Ec2Config;
use super::super::credentials::Issued;
use super::super::ec2::Ec2StandIn;
use super::*;

const REGION: &str = "eu-central-1";

/// A call on both; the status and the error's code, or the reply's name.
fn both(
    moto: &Moto,
    ours: SocketAddr,
    action: &str,
    parameters: &[(&str, &str)],
) -> [(u16, String); 2] {
    let theirs = moto.call(REGION, action, parameters).unwrap();
    let authorization = raw::authorization("AKIASTANDIN", REGION);
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Authorization", authorization.as_str()),
    ];
    let body = raw::form(action, parameters);
    let ours = raw::send(ours, "POST", "/", &headers, &body, raw::PATIENCE).unwrap();
    [theirs, ours].map(|reply| {
        let body = Element::parse(&reply.body).unwrap_or_else(|| panic!("{}", reply.body));
        let says = body.find("Code").unwrap_or(&body.name).to_owned();
        (reply.status, says)
    })
}

/// The first NACL of a Describe's reply: its ids, and its entries in order.
fn told(body: &str) -> (Vec<String>, Vec<String>) {
    let body = Element::parse(body).unwrap();
    assert_eq!(body.name, "DescribeNetworkAclsResponse");
    let set = body.child("networkAclSet").unwrap();
    assert_eq!(set.children.len(), 1);
    let item = &set.children[0];
    let ids = ["networkAclId", "vpcId", "default"].map(|n| item.child(n).unwrap().text.clone());
    let guarded = item.child("associationSet").unwrap().children.iter();
    let ids = ids
        .into_iter()
        .chain(guarded.map(|a| a.child("subnetId").unwrap().text.clone()))
        .collect();
    let names = ["egress", "ruleNumber", "protocol", "ruleAction"];
    let mut entries: Vec<String> = item
        .child("entrySet")
        .unwrap()
        .children
        .iter()
        .map(|entry| {
            let mut line = names
                .map(|n| entry.child(n).unwrap().text.clone())
                .join(" ");
            for block in ["cidrBlock", "ipv6CidrBlock"] {
                if let Some(block) = entry.child(block) {
                    line.extend([" ", &block.text]);
                }
            }
            line
        })
        .collect();
    entries.sort();
    (ids, entries)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stand_in_says_what_moto_says_where_moto_is_right() {
    let moto = Moto::start().unwrap();
    let seeded = moto.seed(REGION).unwrap();
    let mut config = Ec2Config::one_subnet(&seeded.subnet, &seeded.acl);
    config.any_access_key = true;
    config.acls[0].vpc.clone_from(&seeded.vpc);
    // moto gives no NACL the IPv6 defaults.
    config.acls[0].ipv6 = false;
    let ours = Ec2StandIn::start(config, Issued::default()).await.unwrap();

    let deny = |number, egress, block, network| {
        vec![
            ("NetworkAclId", seeded.acl.as_str()),
            ("RuleNumber", number),
            ("Protocol", "-1"),
            ("RuleAction", "deny"),
            ("Egress", egress),
            (block, network),
        ]
    };
    let (create, replace) = ("CreateNetworkAclEntry", "ReplaceNetworkAclEntry");
    let by_number = vec![
        ("NetworkAclId", seeded.acl.as_str()),
        ("RuleNumber", "2"),
        ("Egress", "false"),
    ];
    let mut unknown = deny("1", "false", "CidrBlock", "192.0.2.1/32");
    unknown[0].1 = "acl-0123456789abcdef0";
    let calls = [
        (create, deny("1", "false", "CidrBlock", "192.0.2.1/32"), 200),
        (create, deny("1", "true", "CidrBlock", "192.0.2.1/32"), 200),
        (
            create,
            deny("2", "false", "CidrBlock", "198.51.100.0/24"),
            200,
        ),
        (
            create,
            deny("3", "false", "Ipv6CidrBlock", "2001:db8::/64"),
            200,
        ),
        (create, deny("1", "false", "CidrBlock", "192.0.2.2/32"), 400),
        (
            replace,
            deny("1", "false", "CidrBlock", "203.0.113.9/32"),
            200,
        ),
        ("DeleteNetworkAclEntry", by_number, 200),
        (create, unknown, 400),
    ];
    for (action, parameters, status) in calls {
        let [theirs, ours] = both(&moto, ours.addr(), action, &parameters);
        assert_eq!(theirs, ours, "{action} {parameters:?}");
        assert_eq!(theirs.0, status, "{action} {parameters:?}");
    }

    let (shown, kept) = (
        moto.acl(REGION, &seeded.acl).unwrap(),
        ours.acl(&seeded.acl),
    );
    assert_eq!(shown.entries, kept.unwrap().entries);
    assert_eq!(
        (&shown.id, &shown.associations[0].subnet),
        (&seeded.acl, &seeded.subnet)
    );

    let by_subnet = [
        ("Filter.1.Name", "association.subnet-id"),
        ("Filter.1.Value.1", seeded.subnet.as_str()),
    ];
    let theirs = moto
        .call(REGION, "DescribeNetworkAcls", &by_subnet)
        .unwrap();
    let authorization = raw::authorization("AKIASTANDIN", REGION);
    let headers = [("Authorization", authorization.as_str())];
    let body = raw::form("DescribeNetworkAcls", &by_subnet);
    let ours = raw::send(ours.addr(), "POST", "/", &headers, &body, raw::PATIENCE).unwrap();
    let (ids, entries) = told(&theirs.body);
    assert_eq!((ids, entries), told(&ours.body));
    assert!(
        told(&ours.body)
            .1
            .contains(&"false 1 -1 deny 203.0.113.9/32".to_owned())
    );
}

#[test]
fn moto_ends_with_its_handle() {
    let moto = Moto::start().unwrap();
    let addr = moto.addr();
    assert!(std::net::TcpStream::connect(addr).is_ok());
    drop(moto);
    let refused = std::net::TcpStream::connect(addr).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}
