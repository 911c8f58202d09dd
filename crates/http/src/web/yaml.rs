//! YAML as far as the configuration needs it: a tree whose nodes know their lines.
//!
//! Scalars stay text until somebody asks for a type, as in the Go programs whose files are read
//! here: `123` is as good a user name as any.

use super::fault::Fault;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use std::collections::HashMap;

/// More than any configuration needs; an alias counts as all that it stands for, and a text once more for each
/// [`LONG_TEXT`] bytes: twenty thousand aliases of a long one would be gigabytes.
const MOST_NODES: usize = 20_000;

/// A file of the largest size that is read, and all of it one text, is well below the limit.
const LONG_TEXT: usize = 100;

/// Lists and mappings inside each other.
const DEEPEST: usize = 32;

/// A value and the line that it starts on.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Null,
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Reads the first document of a file; an empty file has none.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, Fault> {
    let mut tree = Tree {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    loop {
        match tree.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(None),
            (event, span) => return tree.node(event, span, 0).map(Some),
        }
    }
}

struct Tree<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Tree<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(not_yaml(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fault> {
        let line = span.start.line();
        let before = self.nodes;
        self.count(1, line)?;
        if depth > DEEPEST {
            return Err(Fault::at(line, "lists and mappings are nested too deeply"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                self.count(text.len() / LONG_TEXT, line)?;
                let null = matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = match plain && null {
                    true => Value::Null,
                    false => Value::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => (Value::List(self.list(depth)?), anchor),
            Event::MappingStart(anchor, _) => (Value::Map(self.map(depth)?), anchor),
            Event::Alias(anchor) => {
                let before = || Fault::at(line, "an alias stands before its anchor's end");
                let size = self.anchors.get(&anchor).ok_or_else(before)?.1;
                self.count(size, line)?;
                let (node, _) = self.anchors.get(&anchor).ok_or_else(before)?;
                return Ok(node.clone());
            }
            _ => return Err(Fault::at(line, "a value is missing")),
        };
        let node = Node { line, value };
        if anchor > 0 {
            let size = self.nodes - before;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(list),
                (event, span) => list.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Fault> {
        let mut map: Vec<(Node, Node)> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(map),
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let name = key.text("a key")?;
            if let Some(first) = seen.insert(name.clone(), key.line) {
                let message = format!("{name:?} is given a second time, after line {first}");
                return Err(Fault::at(key.line, message));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            map.push((key, value));
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Fault> {
        self.nodes += nodes;
        match self.nodes > MOST_NODES {
            true => Err(Fault::at(line, format!("more than {MOST_NODES} values"))),
            false => Ok(()),
        }
    }
}

fn not_yaml(error: &ScanError) -> Fault {
    Fault::at(
        error.marker().line(),
        format!("not valid yaml: {}", error.info()),
    )
}

impl Node {
    /// A text; nothing at all is an empty one.
    ///
    /// # Arguments
    ///
    /// * `what` - the name of the value, for the message.
    pub(crate) fn text(&self, what: &str) -> Result<String, Fault> {
        match &self.value {
            Value::Null => Ok(String::new()),
            Value::Scalar { text, .. } => Ok(text.clone()),
            _ => Err(self.wrong(what, "one text")),
        }
    }

    /// The entries of a mapping; nothing at all is an empty one.
    pub(crate) fn map(&self, what: &str) -> Result<&[(Node, Node)], Fault> {
        match &self.value {
            Value::Null => Ok(&[]),
            Value::Map(entries) => Ok(entries),
            _ => Err(self.wrong(what, "a mapping of keys to values")),
        }
    }

    /// The values of a list; nothing at all is an empty one.
    pub(crate) fn list(&self, what: &str) -> Result<&[Node], Fault> {
        match &self.value {
            Value::Null => Ok(&[]),
            Value::List(values) => Ok(values),
            _ => Err(self.wrong(what, "a list")),
        }
    }

    /// A truth value in any of the spellings of YAML 1.1, or `None` for nothing at all.
    pub(crate) fn boolean(&self, what: &str) -> Result<Option<bool>, Fault> {
        const TRUE: [&str; 4] = ["y", "yes", "true", "on"];
        const FALSE: [&str; 4] = ["n", "no", "false", "off"];
        match &self.value {
            Value::Null => Ok(None),
            Value::Scalar { text, plain: true } => {
                let is =
                    |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
                match (is(TRUE), is(FALSE)) {
                    (true, _) => Ok(Some(true)),
                    (_, true) => Ok(Some(false)),
                    _ => Err(self.wrong(what, "true or false")),
                }
            }
            _ => Err(self.wrong(what, "true or false")),
        }
    }

    fn wrong(&self, what: &str, wanted: &str) -> Fault {
        Fault::at(self.line, format!("{what} must be {wanted}"))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn fault(text: &str) -> (Option<usize>, String) {
        let fault = parse(text).unwrap_err();
        (fault.line, fault.message)
    }

    #[test]
    fn nodes_know_their_lines_and_scalars_stay_text() {
        let root = parse("# comment\na: 1\nb:\n  - 'x'\n  - &y 0x10\n  - *y\nc: ~\n").unwrap();
        let root = root.unwrap();
        let entries = root.map("root").unwrap();
        assert_eq!(entries[0].1.text("a").unwrap(), "1");
        let list = entries[1].1.list("b").unwrap();
        let texts: Vec<_> = list.iter().map(|node| node.text("b").unwrap()).collect();
        assert_eq!(texts, ["x", "0x10", "0x10"]);
        assert_eq!((list[0].line, list[1].line), (4, 5));
        assert!(entries[2].1.map("c").unwrap().is_empty());
        assert!(entries[0].1.list("a").is_err());
    }

    #[test]
    fn an_empty_file_is_no_document() {
        for text in ["", "# only a comment\n", "\n\n"] {
            assert!(parse(text).unwrap().is_none(), "{text:?}");
        }
    }

    #[test]
    fn truth_has_many_spellings_but_no_quotes() {
        let get = |text: &str| parse(text).unwrap().unwrap().boolean("x");
        assert_eq!(get("yes"), Ok(Some(true)));
        assert_eq!(get("Off"), Ok(Some(false)));
        assert_eq!(get("null"), Ok(None));
        assert!(get("'true'").is_err());
        assert!(get("1").is_err());
    }

    #[test]
    fn faults_name_their_line() {
        let (line, message) = fault("a: 1\nb: 2\na: 3\n");
        assert_eq!(line, Some(3));
        assert_eq!(message, "\"a\" is given a second time, after line 1");
        let (line, message) = fault("a: 1\nb: [1, 2\nc: }\n");
        assert!(line >= Some(2), "{message}");
        assert!(message.starts_with("not valid yaml: "), "{message}");
        assert!(parse("? [a]\n: b\n").is_err());
        assert!(parse("a: &x [*x]\n").is_err());
    }

    #[test]
    fn aliases_cannot_multiply_without_end() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            text += &format!("a{n}: &a{n} [{list}]\n");
        }
        assert!(fault(&text).1.contains("values"));
        assert!(fault(&"[".repeat(100)).1.contains("nested"));
        // Of a text of half a megabyte, ten would be five.
        let long = "x".repeat(500_000);
        let aliases = |count| format!("a: &a {long}\nb: [{}]\n", vec!["*a"; count].join(", "));
        assert!(parse(&aliases(2)).is_ok());
        assert!(fault(&aliases(10)).1.contains("values"));
    }
}
