use super::*;

const CREATE: &str = "Action=CreateNetworkAclEntry&Version=2016-11-15&NetworkAclId=acl-0123abcd\
                      &RuleNumber=1&Protocol=-1&RuleAction=deny&Egress=false";

fn call(body: &str) -> Result<Call, ApiError> {
    Form::read(body.as_bytes()).call()
}

fn code(body: &str) -> String {
    call(body).unwrap_err().code.into_owned()
}

#[test]
fn a_create_is_read_and_its_network_made_canonical() {
    let call = call(&format!("{CREATE}&CidrBlock=100.68.0.18%2F18")).unwrap();
    let network = "100.68.0.0/18".parse().unwrap();
    let entry = Entry::ingress(1, Action::Deny, network);
    assert_eq!(call.request, Request::Create("acl-0123abcd".into(), entry));
    assert!(!call.dry_run && call.request.is_mutating());
}

#[test]
fn an_ipv6_network_is_made_canonical() {
    let call = call(&format!(
        "{CREATE}&Ipv6CidrBlock=2001:db8::1/64&DryRun=true"
    ))
    .unwrap();
    assert!(call.dry_run);
    let Request::Create(_, entry) = call.request else {
        panic!("{call:?}");
    };
    assert_eq!(entry.network, "2001:db8::/64".parse().unwrap());
    assert!(entry.is_v6());
}

#[test]
fn every_missing_parameter_is_named() {
    let full = format!("{CREATE}&CidrBlock=192.0.2.1/32");
    let names = [
        "Action",
        "Version",
        "NetworkAclId",
        "RuleNumber",
        "Protocol",
        "RuleAction",
        "Egress",
        "CidrBlock",
    ];
    for name in names {
        let without: Vec<&str> = full
            .split('&')
            .filter(|pair| !pair.starts_with(&format!("{name}=")))
            .collect();
        let error = call(&without.join("&")).unwrap_err();
        assert_eq!(error.code, "MissingParameter", "{name}");
        assert!(error.message.contains(name), "{name}: {error}");
    }
}

#[test]
fn values_out_of_range_are_invalid() {
    for (from, to) in [
        ("RuleNumber=1", "RuleNumber=0"),
        ("RuleNumber=1", "RuleNumber=32767"),
        ("RuleNumber=1", "RuleNumber=99999"),
        ("RuleNumber=1", "RuleNumber=-1"),
        ("RuleNumber=1", "RuleNumber=x"),
        ("Protocol=-1", "Protocol=-2"),
        ("Protocol=-1", "Protocol=256"),
        ("Protocol=-1", "Protocol=tcp"),
        ("RuleAction=deny", "RuleAction=drop"),
        ("Egress=false", "Egress=no"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1/33"),
        ("192.0.2.1/32", "192.0.2.256/32"),
        ("192.0.2.1/32", "2001:db8::/64"),
        ("CidrBlock=192.0.2.1/32", "Ipv6CidrBlock=192.0.2.1/32"),
        ("CidrBlock=192.0.2.1/32", "Ipv6CidrBlock=2001:db8::/129"),
    ] {
        let full = format!("{CREATE}&CidrBlock=192.0.2.1/32");
        assert!(call(&full).is_ok());
        assert_eq!(
            code(&full.replacen(from, to, 1)),
            "InvalidParameterValue",
            "{to}"
        );
    }
}

#[test]
fn the_highest_number_is_accepted_and_the_default_deny_is_not_addressable() {
    let full = format!("{CREATE}&CidrBlock=192.0.2.1/32");
    assert!(call(&full.replace("RuleNumber=1", "RuleNumber=32766")).is_ok());
    let delete = "Action=DeleteNetworkAclEntry&Version=2016-11-15&NetworkAclId=acl-0123abcd\
                  &Egress=true&RuleNumber=";
    assert!(call(&format!("{delete}100")).is_ok());
    assert_eq!(code(&format!("{delete}32767")), "InvalidParameterValue");
    assert_eq!(code(&format!("{delete}32768")), "InvalidParameterValue");
}

#[test]
fn both_families_at_once_cannot_be_combined() {
    let both = format!("{CREATE}&CidrBlock=192.0.2.1/32&Ipv6CidrBlock=2001:db8::/64");
    assert_eq!(code(&both), "InvalidParameterCombination");
}

#[test]
fn ports_go_with_tcp_and_types_with_icmp() {
    let full = format!("{CREATE}&CidrBlock=192.0.2.1/32");
    let tcp = full.replace("Protocol=-1", "Protocol=6");
    assert_eq!(code(&tcp), "MissingParameter");
    let entry = |body: String| match call(&body).unwrap().request {
        Request::Create(_, entry) => entry,
        other => panic!("{other:?}"),
    };
    let ports = "&PortRange.From=22&PortRange.To=23";
    assert_eq!(entry(format!("{tcp}{ports}")).ports, Some((22, 23)));
    assert_eq!(entry(format!("{full}{ports}")).ports, None);
    assert_eq!(
        code(&format!("{tcp}&PortRange.From=22")),
        "MissingParameter"
    );
    assert_eq!(
        code(&format!("{tcp}&PortRange.From=23&PortRange.To=22")),
        "InvalidParameterValue"
    );
    let icmp = full.replace("Protocol=-1", "Protocol=1");
    assert_eq!(code(&icmp), "MissingParameter");
    assert_eq!(
        entry(format!("{icmp}&Icmp.Type=8&Icmp.Code=-1")).icmp,
        Some((8, -1))
    );
}

#[test]
fn malformed_ids_unknown_actions_versions_and_parameters_are_refused() {
    let full = format!("{CREATE}&CidrBlock=192.0.2.1/32");
    assert_eq!(
        code(&full.replace("acl-0123abcd", "acl-xyz")),
        "InvalidNetworkAclId.Malformed"
    );
    assert_eq!(
        code(&full.replace("CreateNetworkAclEntry", "RunInstances")),
        "InvalidAction"
    );
    assert_eq!(
        code(&full.replace("2016-11-15", "2010-01-01")),
        "NoSuchVersion"
    );
    assert_eq!(code(&format!("{full}&Colour=red")), "UnknownParameter");
}

#[test]
fn a_describe_reads_ids_filters_and_pages() {
    let describe = "Action=DescribeNetworkAcls&Version=2016-11-15";
    let call_ = call(&format!(
        "{describe}&Filter.1.Name=association.subnet-id&Filter.1.Value.1=subnet-1\
         &Filter.1.Value.2=subnet-2&Filter.2.Name=vpc-id&Filter.2.Value.1=vpc-1\
         &MaxResults=5&NextToken=t"
    ))
    .unwrap();
    let Request::DescribeAcls(got) = call_.request else {
        panic!("{call_:?}");
    };
    assert_eq!(got.filters.len(), 2);
    assert_eq!(got.filters[0].values, ["subnet-1", "subnet-2"]);
    assert_eq!(
        (got.max_results, got.next_token.as_deref()),
        (Some(5), Some("t"))
    );
    assert_eq!(
        code(&format!("{describe}&MaxResults=4")),
        "InvalidParameterValue"
    );
    assert_eq!(
        code(&format!(
            "{describe}&MaxResults=5&NetworkAclId.1=acl-0123abcd"
        )),
        "InvalidParameterCombination"
    );
    assert_eq!(
        code(&format!("{describe}&Filter.1.Name=vpc-id")),
        "MissingParameter"
    );
    assert_eq!(
        code(&format!("{describe}&NetworkAclId.2=acl-0123abcd")),
        "UnknownParameter"
    );
}
