//! XML as far as EC2 uses it: elements and text, no attributes but `xmlns`.

use std::fmt;

/// An element with either text or children.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The tag.
    pub name: String,
    /// The default namespace, where one is declared.
    pub namespace: Option<String>,
    /// Text; empty when there are children.
    pub text: String,
    /// Children in order.
    pub children: Vec<Self>,
}

impl Element {
    /// An element with children.
    pub fn new(name: &str, children: Vec<Self>) -> Self {
        Self {
            name: name.to_owned(),
            children,
            ..Self::default()
        }
    }

    /// An element with text.
    pub fn text(name: &str, text: impl fmt::Display) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_string(),
            ..Self::default()
        }
    }

    /// A list as EC2 writes it: one `item` each.
    pub fn list(name: &str, items: impl IntoIterator<Item = Vec<Self>>) -> Self {
        Self::new(
            name,
            items
                .into_iter()
                .map(|children| Self::new("item", children))
                .collect(),
        )
    }

    /// Declares the default namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element of a name, in document order at any depth.
    pub fn find(&self, name: &str) -> Option<&str> {
        if self.name == name {
            return Some(&self.text);
        }
        self.children.iter().find_map(|child| child.find(name))
    }

    /// Reads a document; `None` when it is not well-formed or uses more of XML than
    /// EC2 does. Text beside child elements is dropped.
    pub fn parse(document: &str) -> Option<Self> {
        let mut rest = document.trim();
        if rest.starts_with("<?") {
            rest = rest.split_once("?>")?.1.trim_start();
        }
        let (element, rest) = Self::parse_one(rest)?;
        rest.trim().is_empty().then_some(element)
    }

    fn parse_one(input: &str) -> Option<(Self, &str)> {
        let (tag, mut rest) = input.strip_prefix('<')?.split_once('>')?;
        let (tag, closed) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let mut words = tag.split_ascii_whitespace();
        let mut element = Self::new(words.next()?, Vec::new());
        element.namespace = words
            .find_map(|word| word.strip_prefix("xmlns=\"")?.strip_suffix('"'))
            .map(str::to_owned);
        if closed {
            return Some((element, rest));
        }
        loop {
            let (text, _) = rest.split_once('<')?;
            element.text.push_str(text);
            rest = &rest[text.len()..];
            if let Some(end) = rest.strip_prefix("</") {
                let (name, rest) = end.split_once('>')?;
                if name.trim_end() != element.name {
                    return None;
                }
                element.text = if element.children.is_empty() {
                    unescape(&element.text)?
                } else {
                    String::new()
                };
                return Some((element, rest));
            }
            let (child, after) = Self::parse_one(rest)?;
            element.children.push(child);
            rest = after;
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.name)?;
        if let Some(namespace) = &self.namespace {
            write!(f, " xmlns=\"{namespace}\"")?;
        }
        if self.text.is_empty() && self.children.is_empty() {
            return f.write_str("/>");
        }
        f.write_str(">")?;
        f.write_str(&escape(&self.text))?;
        for child in &self.children {
            child.fmt(f)?;
        }
        write!(f, "</{}>", self.name)
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            _ => out.push(c),
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';')?;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => char::from_u32(entity.strip_prefix('#')?.parse().ok()?)?,
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_what_ec2_writes() {
        let reply = Element::new(
            "R",
            vec![
                Element::text("requestId", "a<&>\"b"),
                Element::list("set", [vec![Element::text("id", 1)], vec![]]),
            ],
        )
        .in_namespace("http://x/");
        assert_eq!(
            reply.to_string(),
            "<R xmlns=\"http://x/\"><requestId>a&lt;&amp;&gt;&quot;b</requestId>\
             <set><item><id>1</id></item><item/></set></R>"
        );
    }

    #[test]
    fn reads_a_document_with_a_declaration_and_indentation() {
        let read = Element::parse(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a xmlns=\"n\">\n  <b>x &amp; y</b>\n  \
             <c/>\n</a>\n",
        )
        .unwrap();
        assert_eq!(read.namespace.as_deref(), Some("n"));
        assert_eq!(read.find("b"), Some("x & y"));
        assert_eq!(read.child("c").unwrap().children, []);
        assert_eq!(read.text, "");
    }

    #[test]
    fn refuses_what_is_not_well_formed() {
        for bad in ["", "a", "<a>", "<a></b>", "<a/><b/>", "<a>&x;</a>", "<a"] {
            assert_eq!(Element::parse(bad), None, "{bad}");
        }
    }

    fn element() -> impl Strategy<Value = Element> {
        let leaf = ("[a-z][a-zA-Z]{0,5}", "[ -~\r\u{e9}]{0,12}")
            .prop_map(|(name, text)| Element::text(&name, text));
        leaf.prop_recursive(3, 24, 4, |inner| {
            ("[a-z][a-zA-Z]{0,5}", proptest::collection::vec(inner, 1..4))
                .prop_map(|(name, children)| Element::new(&name, children))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(element in element()) {
            prop_assert_eq!(Element::parse(&element.to_string()), Some(element));
        }

        #[test]
        fn no_input_panics(input in "[<>/a-c&;#0-9 \"=]{0,40}") {
            // Whether it parses is beside the point; that it returns is the verdict.
            let read = Element::parse(&input);
            prop_assert!(read.is_none() || input.contains('<'));
        }
    }
}
