//! Which format a list is written in, by its first words.

use super::Format;

/// Guesses; [`Format::Plain`] is what is nothing else.
pub(super) fn format(text: &str) -> Format {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let Some(first) = first else {
        return Format::Plain;
    };
    if first.starts_with('{') {
        // Objects of nicban's own name an address each.
        let is_own = first.contains("\"address\"") && !first.contains("\"nftables\"");
        return if is_own {
            Format::Json
        } else {
            Format::NftJson
        };
    }
    let words: Vec<&str> = first.split_whitespace().take(3).collect();
    match words[..] {
        ["table" | "set", ..]
        | ["add" | "create", "table" | "set" | "element", ..]
        | [
            "flush" | "destroy" | "delete",
            "ruleset" | "table" | "set",
            ..,
        ] => Format::Nft,
        ["create" | "add" | "-N" | "-A" | "flush", ..] => Format::Ipset,
        _ => Format::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_tell() {
        for (text, expected) in [
            ("", Format::Plain),
            ("# a list\n\n; of\n192.0.2.1\n", Format::Plain),
            ("192.0.2.1 # add table", Format::Plain),
            (
                "create b hash:ip family inet\nadd b 192.0.2.1",
                Format::Ipset,
            ),
            ("add table 192.0.2.1", Format::Nft),
            ("add b 192.0.2.1", Format::Ipset),
            (
                "#!/usr/sbin/nft -f\nflush ruleset\ntable ip t {",
                Format::Nft,
            ),
            ("add element ip t b { 192.0.2.1 }", Format::Nft),
            ("{\"nftables\": []}", Format::NftJson),
            ("{\n\"nftables\": []}", Format::NftJson),
            ("{\"address\":\"192.0.2.1\"}", Format::Json),
        ] {
            assert_eq!(format(text), expected, "{text}");
        }
    }
}
