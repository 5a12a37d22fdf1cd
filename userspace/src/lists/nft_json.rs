//! What `nft -j list ruleset` writes (libnftables-json(5)).

use serde_json::Value;

use super::error::{Bad, Place, echo, words};
use super::{NOT_ASKED_FOR, Parsed, Wanted, read_element};

pub(super) fn parse(text: &str, wanted: Wanted<'_>, now: i64) -> Parsed {
    let mut parsed = Parsed::default();
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            let place = Place::Line(u32::try_from(error.line()).unwrap_or(u32::MAX));
            let why = format!(
                "no JSON ({}): allowed is what `nft -j list ruleset` writes",
                words(&error)
            );
            parsed.bad.push(Bad { place, why });
            return parsed;
        }
    };
    let Some(objects) = document.get("nftables").and_then(Value::as_array) else {
        let why = "no dump of nft: allowed is an object with the array \"nftables\"".to_owned();
        let place = Place::Line(1);
        parsed.bad.push(Bad { place, why });
        return parsed;
    };
    let mut count = 0;
    for object in objects {
        // A batch for `nft -j -f` has each object in a command.
        let object = ["add", "create"]
            .into_iter()
            .find_map(|command| object.get(command))
            .unwrap_or(object);
        if let Some(set) = object.get("set") {
            read_set(set, set.get("type"), wanted, now, &mut count, &mut parsed);
        } else if let Some(element) = object.get("element") {
            read_set(element, None, wanted, now, &mut count, &mut parsed);
        }
    }
    parsed
}

fn read_set(
    set: &Value,
    kind: Option<&Value>,
    wanted: Wanted<'_>,
    now: i64,
    count: &mut u32,
    parsed: &mut Parsed,
) {
    let name = set.get("name").and_then(Value::as_str).unwrap_or_default();
    let name = name.to_owned();
    if !wanted.includes(&name) {
        parsed.left_out.push((name, NOT_ASKED_FOR.to_owned()));
        return;
    }
    if let Some(kind) = kind
        && !matches!(kind.as_str(), Some("ipv4_addr" | "ipv6_addr"))
    {
        let why = format!("its type is {kind}, allowed are ipv4_addr and ipv6_addr");
        parsed.left_out.push((name, why));
        return;
    }
    let elements = set.get("elem").and_then(Value::as_array);
    let mut good = 0;
    for element in elements.into_iter().flatten() {
        *count += 1;
        let place = Place::Element(*count);
        match read(element, place, now, parsed) {
            Ok(()) => good += 1,
            Err(why) => parsed.bad.push(Bad { place, why }),
        }
    }
    parsed.add_to_set(&name, good);
}

fn read(element: &Value, place: Place, now: i64, parsed: &mut Parsed) -> Result<(), String> {
    let wrong = || {
        format!(
            "{} is no element: allowed are an address, a prefix, a range",
            echo(&element.to_string())
        )
    };
    let (value, until) = match element.get("elem") {
        None => (element, None),
        Some(element) => {
            let left = element.get("expires").or_else(|| element.get("timeout"));
            let until = left
                .map(|left| left.as_i64().ok_or_else(wrong))
                .transpose()?
                .map(|left| now.saturating_add(left));
            (element.get("val").ok_or_else(wrong)?, until)
        }
    };
    if let Some(address) = value.as_str() {
        return read_element(address, until, place, &mut parsed.listed);
    }
    if let Some(prefix) = value.get("prefix") {
        let address = prefix.get("addr").and_then(Value::as_str);
        let length = prefix.get("len").and_then(Value::as_u64);
        let (Some(address), Some(length)) = (address, length) else {
            return Err(wrong());
        };
        let net = format!("{address}/{length}");
        return read_element(&net, until, place, &mut parsed.listed);
    }
    match value
        .get("range")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([Value::String(first), Value::String(last)]) => {
            let range = format!("{first}-{last}");
            read_element(&range, until, place, &mut parsed.listed)
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed {
        parse(text, Wanted::default(), 1_000)
    }

    #[test]
    fn elements_of_every_form() {
        let parsed = read(
            r#"{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "ip", "name": "t"}},
            {"set": {"family": "ip", "name": "b", "table": "t", "type": "ipv4_addr", "elem": [
              "192.0.2.1", {"prefix": {"addr": "198.51.100.0", "len": 24}}, {"range": ["203.0.113.1", "203.0.113.2"]},
              {"elem": {"val": "192.0.2.2", "timeout": 600, "expires": 599}}]}},
            {"set": {"name": "ports", "type": "inet_service", "elem": [22]}},
            {"set": {"name": "pairs", "type": ["ipv4_addr", "inet_service"], "elem": []}},
            {"add": {"element": {"name": "c", "elem": ["2001:db8::1"]}}}]}"#,
        );
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
                ("192.0.2.1/32", None),
                ("198.51.100.0/24", None),
                ("203.0.113.1/32", None),
                ("203.0.113.2/32", None),
                ("192.0.2.2/32", Some(1_599)),
                ("2001:db8::1/128", None),
            ]
        );
        assert_eq!(parsed.sets, [("b".to_owned(), 4), ("c".to_owned(), 1)]);
        assert_eq!(parsed.left_out.len(), 2);
    }

    #[test]
    fn bad_elements_are_named() {
        let parsed = read(
            r#"{"nftables": [{"set": {"name": "b", "type": "ipv4_addr", "elem": [
              "192.0.2.1", "x", 7, {"prefix": {"addr": "192.0.2.0", "len": 33}}, {"range": ["192.0.2.9", "192.0.2.1"]},
              {"elem": {"val": "192.0.2.2", "expires": "soon"}}]}}]}"#,
        );
        let places: Vec<_> = parsed.bad.iter().map(|bad| bad.place).collect();
        assert_eq!(places, [2, 3, 4, 5, 6].map(Place::Element));
        assert!(parsed.bad.iter().all(|bad| bad.why.contains("allowed")));
        for text in ["{", "{}", "{\"nftables\": 1}"] {
            assert_eq!(read(text).bad.len(), 1, "{text}");
        }
    }
}
