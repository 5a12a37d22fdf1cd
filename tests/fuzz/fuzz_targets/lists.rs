//! Lists to import: whatever is read of one says the same when it is exported and read again.
//!
//! The first octet says which format is told, the rest is the list.
#![no_main]

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use nicban::lists::write::{WriteFormat, Writer};
use nicban::lists::{Format, Place, Wanted, fold, parse};
use nicban_fuzz::one_line;

const NOW: i64 = 1_700_000_000;

/// What `ipset` can say of an end, and so the longest that all formats can.
const LONGEST: i64 = 2_147_483;

type Bans = Vec<(IpNet, Option<i64>)>;

fn written(format: WriteFormat, bans: &Bans) -> String {
    let mut text = Vec::new();
    let mut writer = Writer::new(&mut text, format, NOW).expect("memory can be written");
    for (network, until) in bans {
        writer
            .network(*network, *until)
            .expect("memory can be written");
    }
    writer.finish().expect("memory can be written");
    String::from_utf8(text).expect("lists are text")
}

fn read_back(format: WriteFormat, told: Option<Format>, bans: &Bans) -> Bans {
    let text = written(format, bans);
    let parsed = parse(&text, told, Wanted::default(), NOW);
    assert_eq!(parsed.bad, [], "{text}");
    let folded = fold(parsed.listed, None);
    assert_eq!(folded.duplicates, 0, "{text}");
    let read = folded.listed.iter();
    read.map(|listed| (listed.network(), listed.until))
        .collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((&format, list)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(list) else {
        return;
    };
    let format = match format {
        b'p' => Some(Format::Plain),
        b'j' => Some(Format::Json),
        b'i' => Some(Format::Ipset),
        b'n' => Some(Format::Nft),
        b'J' => Some(Format::NftJson),
        _ => None,
    };
    let parsed = parse(text, format, Wanted::default(), NOW);
    for bad in &parsed.bad {
        one_line(&bad.why);
        assert!(bad.why.len() < 4096, "{} bytes", bad.why.len());
    }
    for listed in &parsed.listed {
        if let Place::Line(line) = listed.place {
            assert!((1..=text.split('\n').count()).contains(&(line as usize)));
        }
        let target = listed.target(nicban::target::Ipv6Prefix::default());
        assert!(target.is_none_or(|target| target.network().prefix_len() >= 8));
    }

    let folded = fold(parsed.listed, None).listed;
    let mut bans: Bans = folded
        .iter()
        .map(|listed| {
            let until = listed
                .until
                .map(|until| until.clamp(NOW + 1, NOW + LONGEST));
            (listed.network(), until)
        })
        .collect();
    // A single IPv6 address and the network of that one address are written alike.
    bans.dedup_by_key(|(network, _)| *network);
    let without_ends: Bans = bans.iter().map(|(network, _)| (*network, None)).collect();
    for (format, told, expected) in [
        (WriteFormat::Plain, Format::Plain, &without_ends),
        (WriteFormat::Json, Format::Json, &bans),
        (WriteFormat::Ipset, Format::Ipset, &bans),
        (WriteFormat::Nft, Format::Nft, &bans),
    ] {
        assert_eq!(read_back(format, Some(told), &bans), *expected);
        assert_eq!(read_back(format, None, &bans), *expected);
    }
});
