//! What `ipset save` writes (ipset(8)).

use std::collections::BTreeMap;

use super::error::{Bad, Place, echo, lines};
use super::{NOT_ASKED_FOR, Parsed, Wanted, read_element};

/// A set, as its `create` line tells it.
struct Set {
    kind: String,
    /// `netmask N`: each element stands for a network of that length.
    netmask: Option<u8>,
    elements: usize,
}

impl Set {
    /// Whether its elements are addresses, networks or ranges, and nothing else.
    fn holds_addresses(&self) -> bool {
        matches!(&*self.kind, "hash:ip" | "hash:net" | "bitmap:ip")
    }
}

pub(super) fn parse(text: &str, wanted: Wanted<'_>, now: i64) -> Parsed {
    let mut parsed = Parsed::default();
    let mut sets: BTreeMap<String, Set> = BTreeMap::new();
    for (place, line) in lines(text) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err(why) = command(line, place, wanted, now, &mut sets, &mut parsed) {
            parsed.bad.push(Bad { place, why });
        }
    }
    for (name, set) in sets {
        if !wanted.includes(&name) {
            parsed.left_out.push((name, NOT_ASKED_FOR.to_owned()));
        } else if set.holds_addresses() {
            parsed.sets.push((name, set.elements));
        } else {
            let why = format!(
                "its type is {}, allowed are hash:ip, hash:net, bitmap:ip",
                set.kind
            );
            parsed.left_out.push((name, why));
        }
    }
    parsed
}

fn command(
    line: &str,
    place: Place,
    wanted: Wanted<'_>,
    now: i64,
    sets: &mut BTreeMap<String, Set>,
    parsed: &mut Parsed,
) -> Result<(), String> {
    let wrong = || {
        format!(
            "{} is no line of `ipset save`: allowed are `create SET TYPE ...` and `add SET ADDRESS [timeout SECONDS]`",
            echo(line)
        )
    };
    let mut words = line
        .split_whitespace()
        .filter(|word| !matches!(*word, "-exist" | "-!"));
    match (words.next(), words.next(), words.next()) {
        (Some("create" | "-N"), Some(name), Some(kind)) => {
            let netmask = option(words, "netmask")
                .map(|bits| bits.parse().map_err(|_| wrong()))
                .transpose()?;
            let set = Set {
                kind: kind.to_owned(),
                netmask,
                elements: 0,
            };
            sets.insert(name.to_owned(), set);
            Ok(())
        }
        (Some("add" | "-A"), Some(name), Some(element)) => {
            // A dump may be cut: addresses speak for themselves.
            if !sets.contains_key(name) {
                let set = Set {
                    kind: "hash:net".to_owned(),
                    netmask: None,
                    elements: 0,
                };
                sets.insert(name.to_owned(), set);
            }
            let Some(set) = sets.get_mut(name) else {
                return Ok(());
            };
            if !wanted.includes(name) || !set.holds_addresses() {
                return Ok(());
            }
            if words.clone().any(|word| word == "nomatch") {
                return Err(format!(
                    "{element} is an exception (nomatch), which no ban can be: use `nicban allow add {element}`, and take the line out"
                ));
            }
            // 0 is an element without an end in a set that has ends.
            let timeout = option(words, "timeout")
                .map(|seconds| seconds.parse::<u32>().map_err(|_| wrong()))
                .transpose()?
                .filter(|seconds| *seconds > 0);
            let until = timeout.map(|seconds| now.saturating_add(i64::from(seconds)));
            let before = parsed.listed.len();
            read_element(element, until, place, &mut parsed.listed)?;
            if let Some(bits) = set.netmask {
                for listed in &mut parsed.listed[before..] {
                    let longest = if listed.address.is_ipv4() { 32 } else { 128 };
                    listed.prefix = Some(bits.min(longest));
                }
            }
            set.elements += 1;
            Ok(())
        }
        (Some("flush" | "destroy" | "COMMIT"), ..) => Ok(()),
        _ => Err(wrong()),
    }
}

/// The value behind a name.
fn option<'a>(words: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    // A comment stands last, and may say anything.
    let mut words = words.take_while(|word| *word != "comment");
    words.find(|word| *word == name)?;
    Some(words.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "\
create v4 hash:ip family inet hashsize 1024 maxelem 65536 timeout 600 bucketsize 12 initval 0x1
create nets hash:net family inet hashsize 1024 maxelem 65536
create masked hash:ip family inet netmask 24 hashsize 1024 maxelem 65536
create v6 hash:ip family inet6 hashsize 1024 maxelem 65536
create ports hash:ip,port family inet hashsize 1024 maxelem 65536
add v4 192.0.2.1 timeout 590
add v4 192.0.2.2 timeout 0
add nets 198.51.100.0/24
add nets 203.0.113.1-203.0.113.2 comment \"a timeout 7 b\"
add masked 10.1.2.0
add v6 2001:db8::1
add ports 192.0.2.9,tcp:80
";

    fn read(text: &str, sets: &[&str]) -> Parsed {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        parse(text, Wanted { sets: &sets }, 1_000)
    }

    #[test]
    fn several_sets_with_ends_and_ranges() {
        let parsed = read(SAVED, &[]);
        assert_eq!(parsed.bad, []);
        let shown: Vec<_> = parsed
            .listed
            .iter()
            .map(|listed| (listed.network().to_string(), listed.until))
            .collect();
        let shown: Vec<_> = shown.iter().map(|(net, end)| (&**net, *end)).collect();
        assert_eq!(
            shown,
            [
                ("192.0.2.1/32", Some(1_590)),
                ("192.0.2.2/32", None),
                ("198.51.100.0/24", None),
                ("203.0.113.1/32", None),
                ("203.0.113.2/32", None),
                ("10.1.2.0/24", None),
                ("2001:db8::1/128", None),
            ]
        );
        assert_eq!(parsed.listed[6].prefix, None);
        assert_eq!(parsed.left_out.len(), 1);
        assert!(parsed.left_out[0].1.contains("hash:ip,port"));
    }

    #[test]
    fn one_set_of_many() {
        let parsed = read(SAVED, &["v6"]);
        assert_eq!(parsed.listed.len(), 1);
        assert_eq!(parsed.sets, [("v6".to_owned(), 1)]);
        assert_eq!(parsed.left_out.len(), 4);
    }

    #[test]
    fn bad_lines_are_named() {
        let text = "create b hash:net\nadd b example.org\nadd b\nadd b 192.0.2.0/24 nomatch\nadd b 192.0.2.1 timeout soon\nwhat is this\nadd b 192.0.2.1\n";
        let parsed = read(text, &[]);
        let places: Vec<_> = parsed.bad.iter().map(|bad| bad.place).collect();
        assert_eq!(places, [2, 3, 4, 5, 6].map(Place::Line));
        assert_eq!(parsed.listed.len(), 1);
    }
}
