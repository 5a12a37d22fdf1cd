//! What `nft list ruleset` and `nft list set` write, and what `nft -f` reads of sets (nft(8)).

use super::error::{Bad, Place, echo};
use super::{NOT_ASKED_FOR, Parsed, Wanted, read_element};

/// What a rule set is made of, as far as sets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `{ } , ; = :`
    Mark(u8),
    EndOfLine,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
        }
    }

    fn place(&self) -> Place {
        Place::Line(self.line)
    }

    /// Skips up to a byte, which is taken as well if `inclusive`.
    fn skip_to(&mut self, byte: u8, inclusive: bool) {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|found| *found == byte);
        let length = length.map_or(rest.len(), |at| at + usize::from(inclusive));
        for byte in &rest[..length] {
            self.line += u32::from(*byte == b'\n');
        }
        self.at += length;
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = (Place, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let place = self.place();
            let byte = *self.text.as_bytes().get(self.at)?;
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    return Some((place, Token::EndOfLine));
                }
                b'#' => self.skip_to(b'\n', false),
                b'"' => {
                    self.at += 1;
                    self.skip_to(b'"', true);
                    return Some((place, Token::Word("\"")));
                }
                b'{' | b'}' | b',' | b';' | b'=' => {
                    self.at += 1;
                    return Some((place, Token::Mark(byte)));
                }
                // Between a key and its value; within an IPv6 address it is no mark.
                b':' if self.ends_a_word() => {
                    self.at += 1;
                    return Some((place, Token::Mark(byte)));
                }
                b'\\' => self.at += 1,
                _ => {
                    let rest = &self.text[self.at..];
                    if let Some(blank) = rest.chars().next().filter(|it| it.is_whitespace()) {
                        self.at += blank.len_utf8();
                        continue;
                    }
                    let length = rest
                        .find(|letter: char| {
                            letter.is_whitespace()
                                || matches!(letter, '{' | '}' | ',' | ';' | '=' | '"' | '#')
                        })
                        .unwrap_or(rest.len());
                    self.at += length;
                    return Some((place, Token::Word(&rest[..length])));
                }
            }
        }
    }
}

impl Lexer<'_> {
    fn ends_a_word(&self) -> bool {
        let next = self.text.as_bytes().get(self.at + 1);
        next.is_none_or(u8::is_ascii_whitespace)
    }
}

/// A set whose body is being read.
struct Set<'a> {
    name: &'a str,
    /// What its elements are; `None` where the text does not say.
    kind: Option<String>,
    depth: usize,
    elements: usize,
}

impl Set<'_> {
    /// Why its elements are not read.
    fn left_out(&self, wanted: Wanted<'_>) -> Option<String> {
        if !wanted.includes(self.name) {
            return Some(NOT_ASKED_FOR.to_owned());
        }
        let kind = self.kind.as_deref()?;
        let holds_addresses = matches!(
            kind,
            "ipv4_addr" | "ipv6_addr" | "ip saddr" | "ip daddr" | "ip6 saddr" | "ip6 daddr"
        );
        (!holds_addresses)
            .then(|| format!("its type is {kind}, allowed are ipv4_addr and ipv6_addr"))
    }
}

pub(super) fn parse(text: &str, wanted: Wanted<'_>, now: i64) -> Parsed {
    let mut parsed = Parsed::default();
    let mut lexer = Lexer::new(text);
    let mut depth = 0_usize;
    let mut set: Option<Set<'_>> = None;
    // The words since the last mark or line's end.
    let mut words: Vec<&str> = Vec::new();
    let mut is_elements = false;
    while let Some((_, token)) = lexer.next() {
        match token {
            Token::Word(word) => {
                words.push(word);
                continue;
            }
            Token::Mark(b'=') => {
                is_elements = words.last() == Some(&"elements");
            }
            Token::Mark(b'{') => match (&mut set, &words[..]) {
                (Some(set), _) if is_elements => {
                    elements(&mut lexer, set, wanted, now, &mut parsed);
                    is_elements = false;
                }
                (None, ["set", name] | ["add" | "create", "set", .., name]) => {
                    depth += 1;
                    set = Some(Set {
                        name,
                        kind: None,
                        depth,
                        elements: 0,
                    });
                }
                (None, ["add" | "create", "element", .., name]) => {
                    let mut set = Set {
                        name,
                        kind: None,
                        depth,
                        elements: 0,
                    };
                    elements(&mut lexer, &mut set, wanted, now, &mut parsed);
                    finish(&set, wanted, &mut parsed);
                }
                _ => depth += 1,
            },
            Token::Mark(b'}') => {
                if let Some(done) = set.take_if(|set| set.depth == depth) {
                    finish(&done, wanted, &mut parsed);
                }
                depth = depth.saturating_sub(1);
            }
            Token::EndOfLine | Token::Mark(_) => {
                if let (Some(set), ["type" | "typeof", kind @ ..]) = (&mut set, &words[..]) {
                    set.kind = Some(kind.join(" "));
                }
                // `elements =` may stand on the line before its brace.
                if token == Token::EndOfLine && is_elements {
                    continue;
                }
            }
        }
        words.clear();
    }
    if let Some(set) = set {
        let why = format!(
            "the set {} does not end: is the file whole?",
            echo(set.name)
        );
        let place = lexer.place();
        parsed.bad.push(Bad { place, why });
    }
    parsed
}

fn finish(set: &Set<'_>, wanted: Wanted<'_>, parsed: &mut Parsed) {
    match set.left_out(wanted) {
        Some(why) => parsed.left_out.push((set.name.to_owned(), why)),
        None => parsed.add_to_set(set.name, set.elements),
    }
}

/// Reads elements up to the closing brace.
fn elements(
    lexer: &mut Lexer<'_>,
    set: &mut Set<'_>,
    wanted: Wanted<'_>,
    now: i64,
    parsed: &mut Parsed,
) {
    let is_wanted = set.left_out(wanted).is_none();
    let mut words: Vec<&str> = Vec::new();
    let mut begun = lexer.place();
    let mut is_map = false;
    loop {
        let Some((place, token)) = lexer.next() else {
            let why = "the elements do not end with a brace: is the file whole?".to_owned();
            let place = lexer.place();
            parsed.bad.push(Bad { place, why });
            return;
        };
        match token {
            Token::Word(word) => {
                if words.is_empty() {
                    begun = place;
                }
                words.push(word);
            }
            Token::EndOfLine => {}
            Token::Mark(b':') => is_map = true,
            Token::Mark(mark) => {
                if is_wanted && !words.is_empty() {
                    let read = if is_map {
                        Err(format!(
                            "{} has a value: allowed are sets, not maps",
                            echo(words[0])
                        ))
                    } else {
                        element(&words, begun, now, parsed)
                    };
                    match read {
                        Ok(()) => set.elements += 1,
                        Err(why) => parsed.bad.push(Bad { place: begun, why }),
                    }
                }
                words.clear();
                is_map = false;
                if mark == b'}' {
                    return;
                }
            }
        }
    }
}

fn element(words: &[&str], place: Place, now: i64, parsed: &mut Parsed) -> Result<(), String> {
    // "a - b" is how a person writes a range.
    let joined;
    let (address, rest) = match words {
        [first, "-", last, rest @ ..] => {
            joined = format!("{first}-{last}");
            (&*joined, rest)
        }
        [first, rest @ ..] => (*first, rest),
        [] => return Ok(()),
    };
    let value = |name| {
        let at = rest.iter().position(|word| *word == name)?;
        rest.get(at + 1).copied()
    };
    // What is left of it says more than what it was given.
    let left = value("expires").or_else(|| value("timeout"));
    let until = left
        .map(|left| {
            seconds(left)
                .map(|seconds| now.saturating_add(seconds))
                .ok_or_else(|| {
                    format!(
                        "{} is no time: allowed is one such as 1h30m or 90s",
                        echo(left)
                    )
                })
        })
        .transpose()?;
    read_element(address, until, place, &mut parsed.listed)
}

/// A time as nft writes it, such as `1d2h3m4s5ms`, in whole seconds, rounded up.
fn seconds(text: &str) -> Option<i64> {
    let mut millis = 0_i64;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit());
        let (number, behind) = rest.split_at(digits.unwrap_or(rest.len()));
        let letters = behind.find(|letter: char| !letter.is_ascii_alphabetic());
        let (unit, behind) = behind.split_at(letters.unwrap_or(behind.len()));
        let factor = match unit {
            "w" => 604_800_000,
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" | "" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        millis = number
            .parse::<i64>()
            .ok()?
            .checked_mul(factor)?
            .checked_add(millis)?;
        rest = behind;
    }
    Some(millis / 1_000 + i64::from(millis % 1_000 > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "\
table inet filter {
\tset bad4 {
\t\ttype ipv4_addr
\t\tsize 65536
\t\tflags interval,timeout
\t\telements = { 192.0.2.1, 192.0.2.2 timeout 1h expires 59m59s500ms,
\t\t\t     198.51.100.0/24 comment \"who, { is } it\",
\t\t\t     203.0.113.1-203.0.113.2 counter packets 7 bytes 700 }
\t}

\tset bad6 {
\t\ttypeof ip6 saddr
\t\telements = { 2001:db8::1, 2001:db8:1::/48 }
\t}

\tset ports {
\t\ttype inet_service
\t\telements = { 22, 80 }
\t}

\tset pairs {
\t\ttype ipv4_addr . inet_service
\t\telements = { 192.0.2.9 . 22 }
\t}

\tmap where {
\t\ttype ipv4_addr : verdict
\t\telements = { 192.0.2.8 : drop }
\t}

\tchain input {
\t\ttype filter hook input priority filter; policy accept;
\t\tip saddr { 10.0.0.1, 10.0.0.2 } accept
\t\tip saddr @bad4 drop
\t}
}
";

    fn read(text: &str, sets: &[&str]) -> Parsed {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        parse(text, Wanted { sets: &sets }, 1_000)
    }

    fn shown(parsed: &Parsed) -> Vec<(String, Option<i64>)> {
        let listed = parsed.listed.iter();
        listed
            .map(|listed| (listed.network().to_string(), listed.until))
            .collect()
    }

    #[test]
    fn the_address_sets_of_a_ruleset() {
        let parsed = read(LISTED, &[]);
        assert_eq!(parsed.bad, []);
        let shown = shown(&parsed);
        let shown: Vec<_> = shown.iter().map(|(net, end)| (&**net, *end)).collect();
        assert_eq!(
            shown,
            [
                ("192.0.2.1/32", None),
                ("192.0.2.2/32", Some(4_600)),
                ("198.51.100.0/24", None),
                ("203.0.113.1/32", None),
                ("203.0.113.2/32", None),
                ("2001:db8::1/128", None),
                ("2001:db8:1::/48", None),
            ]
        );
        assert_eq!(parsed.listed[5].prefix, None);
        assert_eq!(
            parsed.sets,
            [("bad4".to_owned(), 4), ("bad6".to_owned(), 2)]
        );
        let left: Vec<_> = parsed.left_out.iter().map(|(name, _)| &**name).collect();
        assert_eq!(left, ["ports", "pairs"]);
    }

    #[test]
    fn one_set_of_many_and_commands() {
        assert_eq!(read(LISTED, &["bad6"]).listed.len(), 2);
        let text = "add table ip t\nadd set ip t b { type ipv4_addr; flags timeout; }\nadd element ip t b { 192.0.2.1 timeout 10s }\nadd element ip t b {\n192.0.2.2\n}\n";
        let parsed = read(text, &[]);
        assert_eq!(parsed.bad, []);
        assert_eq!(
            shown(&parsed),
            [
                ("192.0.2.1/32".to_owned(), Some(1_010)),
                ("192.0.2.2/32".to_owned(), None)
            ]
        );
        assert_eq!(parsed.sets, [("b".to_owned(), 2)]);
    }

    #[test]
    fn bad_elements_are_named_by_their_line() {
        let text = "table ip t {\n set b {\n type ipv4_addr\n elements = { 192.0.2.1,\n 192.0.2.300,\n 192.0.2.3 timeout soon }\n }\n}\n";
        let parsed = read(text, &[]);
        let places: Vec<_> = parsed.bad.iter().map(|bad| bad.place).collect();
        assert_eq!(places, [5, 6].map(Place::Line));
        assert!(parsed.bad.iter().all(|bad| bad.why.contains("allowed")));
        for cut in [40, 60, 75] {
            let parsed = read(&text[..cut], &[]);
            assert!(!parsed.bad.is_empty(), "{cut}: {parsed:?}");
        }
    }

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(seconds("1d2h3m4s5ms"), Some(93_785));
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("1ms"), Some(1));
        for wrong in ["", "s", "1x", "-1s", "9999999999999999999s"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
