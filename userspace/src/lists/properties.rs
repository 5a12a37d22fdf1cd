//! What is written reads back.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::write::{WriteFormat, Writer};
use super::{Format, Wanted, fold, parse};

const NOW: i64 = 1_000_000;

fn network() -> impl Strategy<Value = IpNet> {
    (any::<IpAddr>(), 0_u8..=128).prop_map(|(address, bits)| {
        // An IPv4 address in IPv6's clothes would come back as what it is.
        let address = address.to_canonical();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new_assert(address, bits.min(longest)).trunc()
    })
}

fn bans() -> impl Strategy<Value = Vec<(IpNet, Option<i64>)>> {
    let until = proptest::option::of(NOW + 1..NOW + 2_000_000);
    proptest::collection::btree_map(network(), until, 0..40)
        .prop_map(|bans| bans.into_iter().collect())
}

fn written(format: WriteFormat, bans: &[(IpNet, Option<i64>)]) -> String {
    let mut text = Vec::new();
    let mut writer = Writer::new(&mut text, format, NOW).unwrap();
    for (network, until) in bans {
        writer.network(*network, *until).unwrap();
    }
    writer.finish().unwrap();
    String::from_utf8(text).unwrap()
}

proptest! {
    #[test]
    fn an_export_reads_back(bans in bans()) {
        for (format, read_as, has_ends) in [
            (WriteFormat::Plain, Format::Plain, false),
            (WriteFormat::Json, Format::Json, true),
            (WriteFormat::Ipset, Format::Ipset, true),
            (WriteFormat::Nft, Format::Nft, true),
        ] {
            let text = written(format, &bans);
            for told in [Some(read_as), None] {
                let parsed = parse(&text, told, Wanted::default(), NOW);
                prop_assert_eq!(&parsed.bad, &[], "{}", text);
                let folded = fold(parsed.listed, None);
                prop_assert_eq!(folded.duplicates, 0);
                let read: Vec<_> = folded
                    .listed
                    .iter()
                    .map(|listed| (listed.network(), listed.until))
                    .collect();
                let expected: Vec<_> = bans
                    .iter()
                    .map(|(network, until)| (*network, until.filter(|_| has_ends)))
                    .collect();
                prop_assert_eq!(read, expected, "{}", text);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\s\\S]{0,200}") {
        for format in [Format::Plain, Format::Json, Format::Ipset, Format::Nft, Format::NftJson] {
            parse(&text, Some(format), Wanted::default(), NOW);
        }
        parse(&text, None, Wanted::default(), NOW);
    }

    #[test]
    fn no_dump_makes_it_panic(
        words in proptest::collection::vec(
            prop_oneof![
                Just("set"), Just("b"), Just("{"), Just("}"), Just("elements"), Just("="),
                Just("192.0.2.1"), Just(","), Just("timeout"), Just("1h"), Just("\n"), Just("add"),
                Just("element"), Just("\""), Just("create"), Just("hash:net"), Just("type"),
                Just("ipv4_addr"), Just("2001:db8::1-2001:db8::2"), Just(":"), Just("-"),
            ],
            0..40,
        ),
    ) {
        let text = words.join(" ");
        for format in [Format::Ipset, Format::Nft] {
            parse(&text, Some(format), Wanted::default(), NOW);
        }
    }
}
