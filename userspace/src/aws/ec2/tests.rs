//! The adapter against the real SDK, over the wire.

use super::*;
use crate::aws::wire::{Reply, Server};
use crate::nacl::acl::{Entry, RuleAction as Action};
use crate::nacl::error::Response;
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};

async fn client(server: &Server) -> Ec2 {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let config = crate::aws::loader(Region::from_static("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(server.url())
        .load()
        .await;
    Ec2::new(config)
}

fn rule(direction: Direction, network: &str) -> Rule {
    Rule {
        position: Position {
            direction,
            number: 7,
        },
        network: network.parse().unwrap(),
    }
}

fn create() -> Mutation {
    Mutation::Create(rule(Direction::Ingress, "198.51.100.1/32"))
}

fn error_reply(status: u16, code: &str, message: &str) -> Reply {
    Reply::status(
        status,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error>\
             <Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"
        ),
    )
}

fn done(operation: &str) -> Reply {
    Reply::ok(format!(
        "<{operation}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>r</requestId><return>true</return></{operation}Response>"
    ))
}

/// An item of `entrySet`, with `network` as the element that holds its CIDR.
fn item(number: u32, egress: bool, protocol: &str, action: &str, network: &str) -> String {
    format!(
        "<item><ruleNumber>{number}</ruleNumber><protocol>{protocol}</protocol>\
         <ruleAction>{action}</ruleAction><egress>{egress}</egress>{network}</item>"
    )
}

fn page(id: &str, entries: &str, tags: &str, token: &str) -> Reply {
    Reply::ok(format!(
        "<DescribeNetworkAclsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>r</requestId><networkAclSet><item><networkAclId>{id}</networkAclId>\
         <vpcId>vpc-1</vpcId><default>true</default><entrySet>{entries}</entrySet>\
         <associationSet/><tagSet>{tags}</tagSet><ownerId>123456789012</ownerId></item>\
         </networkAclSet>{token}</DescribeNetworkAclsResponse>"
    ))
}

fn entry(direction: Direction, number: u16, action: Action, network: &str, all: bool) -> Entry {
    Entry {
        position: Position { direction, number },
        action,
        network: network.parse().unwrap(),
        all_traffic: all,
    }
}

#[tokio::test]
async fn a_nacl_is_read_whole() {
    let any4 = "<cidrBlock>0.0.0.0/0</cidrBlock>";
    let any6 = "<ipv6CidrBlock>::/0</ipv6CidrBlock>";
    let entries = [
        item(100, true, "-1", "allow", any4),
        item(101, true, "-1", "allow", any6),
        item(32_767, true, "-1", "deny", any4),
        item(32_768, true, "-1", "deny", any6),
        item(1, false, "-1", "deny", "<cidrBlock>198.51.100.1/32</cidrBlock>"),
        item(2, false, "6", "deny", "<cidrBlock>198.51.100.2/32</cidrBlock><portRange><from>22</from><to>22</to></portRange>"),
        item(3, false, "-1", "deny", "<ipv6CidrBlock>2001:db8::/64</ipv6CidrBlock>"),
        item(100, false, "-1", "allow", any4),
        item(32_767, false, "-1", "deny", any4),
    ]
    .concat();
    let tags = "<item><key>FMManaged</key><value>true</value></item>";
    let server = Server::replying([page("acl-1", &entries, tags, "")]);
    let acls = client(&server)
        .await
        .describe_by_subnets(&["subnet-1".into(), "subnet-2".into()])
        .await
        .unwrap();
    assert_eq!(
        acls,
        [Acl {
            id: "acl-1".into(),
            owner: "123456789012".into(),
            vpc: "vpc-1".into(),
            firewall_manager: true,
            entries: vec![
                entry(Direction::Egress, 100, Action::Allow, "0.0.0.0/0", true),
                entry(Direction::Egress, 101, Action::Allow, "::/0", true),
                entry(Direction::Ingress, 1, Action::Deny, "198.51.100.1/32", true),
                entry(
                    Direction::Ingress,
                    2,
                    Action::Deny,
                    "198.51.100.2/32",
                    false
                ),
                entry(Direction::Ingress, 3, Action::Deny, "2001:db8::/64", true),
                entry(Direction::Ingress, 100, Action::Allow, "0.0.0.0/0", true),
            ],
        }]
    );
    let asked = &server.seen()[0];
    assert_eq!(asked.parameter("Action"), Some("DescribeNetworkAcls"));
    assert_eq!(
        asked.parameter("Filter.1.Name"),
        Some("association.subnet-id")
    );
    assert_eq!(asked.parameter("Filter.1.Value.1"), Some("subnet-1"));
    assert_eq!(asked.parameter("Filter.1.Value.2"), Some("subnet-2"));
}

#[tokio::test]
async fn every_page_is_asked_for() {
    let server = Server::replying([
        page("acl-1", "", "", "<nextToken>more</nextToken>"),
        page(
            "acl-2",
            "",
            "<item><key>FMManaged</key><value>false</value></item>",
            "",
        ),
    ]);
    let acls = client(&server)
        .await
        .describe_by_subnets(&["subnet-1".into()])
        .await
        .unwrap();
    let ids: Vec<_> = acls.iter().map(|acl| acl.id.as_str()).collect();
    assert_eq!(ids, ["acl-1", "acl-2"]);
    assert!(!acls[1].firewall_manager);
    assert_eq!(server.seen()[1].parameter("NextToken"), Some("more"));
}

#[tokio::test]
async fn no_subnet_is_not_every_subnet() {
    let server = Server::replying([]);
    assert_eq!(
        client(&server)
            .await
            .describe_by_subnets(&[])
            .await
            .unwrap(),
        []
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn one_nacl_by_its_id() {
    let empty = "<DescribeNetworkAclsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
                 <networkAclSet/></DescribeNetworkAclsResponse>";
    let server = Server::replying([page("acl-1", "", "", ""), Reply::ok(empty)]);
    let ec2 = client(&server).await;
    assert_eq!(ec2.describe("acl-1").await.unwrap().id, "acl-1");
    assert_eq!(server.seen()[0].parameter("NetworkAclId.1"), Some("acl-1"));
    let error = ec2.describe("acl-2").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AclMissing);
}

#[tokio::test]
async fn a_description_that_cannot_be_read_is_an_error() {
    let odd = item(5, false, "-1", "deny", "");
    let server = Server::replying([page("acl-1", &odd, "", "")]);
    let error = client(&server).await.describe("acl-1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown);
    assert_eq!(error.message, "ingress entry 5 of acl-1 without cidrBlock");
}

#[tokio::test]
async fn a_create_says_deny_everything_from_there() {
    let server = Server::replying([done("CreateNetworkAclEntry")]);
    client(&server)
        .await
        .mutate("acl-1", &create())
        .await
        .unwrap();
    let asked = &server.seen()[0];
    for (name, value) in [
        ("Action", Some("CreateNetworkAclEntry")),
        ("NetworkAclId", Some("acl-1")),
        ("RuleNumber", Some("7")),
        ("Protocol", Some("-1")),
        ("RuleAction", Some("deny")),
        ("Egress", Some("false")),
        ("CidrBlock", Some("198.51.100.1%2F32")),
        ("Ipv6CidrBlock", None),
        ("DryRun", None),
    ] {
        assert_eq!(asked.parameter(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_replace_of_an_ipv6_egress_rule_says_so() {
    let server = Server::replying([done("ReplaceNetworkAclEntry")]);
    let replace = Mutation::Replace(rule(Direction::Egress, "2001:db8::/64"));
    client(&server)
        .await
        .mutate("acl-1", &replace)
        .await
        .unwrap();
    let asked = &server.seen()[0];
    for (name, value) in [
        ("Action", Some("ReplaceNetworkAclEntry")),
        ("Protocol", Some("-1")),
        ("RuleAction", Some("deny")),
        ("Egress", Some("true")),
        ("CidrBlock", None),
        ("Ipv6CidrBlock", Some("2001%3Adb8%3A%3A%2F64")),
    ] {
        assert_eq!(asked.parameter(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_delete_names_the_place() {
    let server = Server::replying([done("DeleteNetworkAclEntry")]);
    let delete = Mutation::Delete(create().position());
    client(&server)
        .await
        .mutate("acl-1", &delete)
        .await
        .unwrap();
    let asked = &server.seen()[0];
    for (name, value) in [
        ("Action", Some("DeleteNetworkAclEntry")),
        ("NetworkAclId", Some("acl-1")),
        ("RuleNumber", Some("7")),
        ("Egress", Some("false")),
    ] {
        assert_eq!(asked.parameter(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_dry_run_that_would_have_worked_is_a_success() {
    let server = Server::replying([
        error_reply(412, "DryRunOperation", "Request would have succeeded"),
        error_reply(403, "UnauthorizedOperation", "You are not authorized"),
    ]);
    let ec2 = client(&server).await;
    ec2.rehearse("acl-1", &create()).await.unwrap();
    assert_eq!(server.seen()[0].parameter("DryRun"), Some("true"));
    let error = ec2.rehearse("acl-1", &create()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn each_code_comes_through_the_sdk_in_one_attempt() {
    use ErrorKind as K;
    for (status, code, kind) in [
        (503, "RequestLimitExceeded", K::Throttled),
        (400, "Throttling", K::Throttled),
        (400, "NetworkAclEntryLimitExceeded", K::QuotaReached),
        (400, "NetworkAclEntryAlreadyExists", K::NumberTaken),
        (400, "InvalidNetworkAclEntry.NotFound", K::EntryMissing),
        (400, "InvalidNetworkAclID.NotFound", K::AclMissing),
        (400, "InvalidNetworkAclId.Malformed", K::Malformed),
        (400, "InvalidParameterValue", K::Malformed),
        (403, "UnauthorizedOperation", K::Forbidden),
        (401, "AuthFailure", K::Forbidden),
        (400, "ExpiredToken", K::Credentials),
        (400, "RequestExpired", K::Credentials),
        (400, "InvalidClientTokenId", K::Credentials),
        (412, "DryRunOperation", K::WouldHaveWorked),
        (503, "Unavailable", K::Unavailable),
        (500, "InternalError", K::Unavailable),
        (500, "InternalFailure", K::Unavailable),
        (400, "SomethingNewIn2031", K::Unknown),
    ] {
        let server = Server::replying([error_reply(status, code, "why &amp;\n  how")]);
        let error = client(&server)
            .await
            .mutate("acl-1", &create())
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind, "{code}");
        assert_eq!(error.code.as_deref(), Some(code));
        assert_eq!(error.message, "why & how", "{code}");
        assert_eq!(
            (error.operation, error.acl.as_deref()),
            (Operation::Create, Some("acl-1"))
        );
        assert_eq!(
            server.seen().len(),
            1,
            "{code}: the budget must see each attempt"
        );
    }
}

#[tokio::test]
async fn errors_of_every_call_are_read() {
    let missing = || error_reply(400, "InvalidNetworkAclID.NotFound", "no such");
    let server = Server::replying([missing(), missing(), missing(), missing()]);
    let ec2 = client(&server).await;
    let there = rule(Direction::Ingress, "198.51.100.1/32");
    let errors = [
        ec2.describe("acl-1").await.unwrap_err(),
        ec2.describe_by_subnets(&["subnet-1".into()])
            .await
            .unwrap_err(),
        ec2.mutate("acl-1", &Mutation::Replace(there))
            .await
            .unwrap_err(),
        ec2.mutate("acl-1", &Mutation::Delete(there.position))
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.response(), Response::Rediscover, "{error}");
    }
}

#[tokio::test]
async fn replies_that_are_none() {
    let page = "<html><body>502 Bad Gateway</body></html>";
    for (reply, kind) in [
        (Reply::Close, ErrorKind::Unreachable),
        (Reply::status(502, page), ErrorKind::Unavailable),
        (Reply::status(503, ""), ErrorKind::Unavailable),
        (Reply::status(429, ""), ErrorKind::Throttled),
    ] {
        let text = format!("{reply:?}");
        let server = Server::replying([reply]);
        let error = client(&server)
            .await
            .mutate("acl-1", &create())
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind, "{text}: {error}");
        assert!(!error.message.is_empty() && !error.message.contains("ServiceError("));
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let server = Server::replying([]);
    let ec2 = client(&server).await;
    drop(server);
    let error = ec2.describe("acl-1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn no_credentials_is_not_a_dead_network() {
    let server = Server::replying([]);
    let nobody = aws_credential_types::provider::future::ProvideCredentials::ready;
    let absent = aws_credential_types::provider::error::CredentialsError::not_loaded_no_source;
    let config = crate::aws::loader(Region::from_static("eu-central-1"))
        .credentials_provider(aws_credential_types::credential_fn::provide_credentials_fn(
            move || async move { nobody(Err(absent())).await },
        ))
        .endpoint_url(server.url())
        .load()
        .await;
    let error = Ec2::new(config).describe("acl-1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials, "{error}");
    assert!(server.seen().is_empty());
}
