//! Names as nobody wants them, for tests; and what a page is made of, apart from its text.

use proptest::prelude::*;

/// Pieces that are harmful where nobody looks out for them.
const PIECES: [&str; 34] = [
    "<script>alert(1)</script>",
    "</script><script>",
    "</style>",
    "</title>",
    "<!--",
    "-->",
    "]]>",
    "<img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)",
    "`",
    "javascript:alert(1)",
    "&lt;",
    "&#0;",
    "{{js}}",
    "\\",
    "\"",
    "'",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u{1b}[2J",
    "\u{9b}31m",
    "\u{202e}",
    "\u{2028}",
    "\u{feff}",
    "=cmd|' /C calc'!A0",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "} 1\nup{a=\"",
    "\u{fffd}\u{10ffff}",
    "%0d%0a%00",
];

/// A name: pieces, other characters, or very many of them.
pub(crate) fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(&PIECES[..]).prop_map(str::to_string),
        2 => any::<char>().prop_map(String::from),
        1 => "[a-z0-9 ._-]{0,8}",
        1 => (any::<char>(), 1..3_000_usize).prop_map(|(c, n)| String::from(c).repeat(n)),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// The tags of a page with the names of their attributes, in order, and what its scripts and styles say: all that can do
/// something. Reads HTML as the standard's tokeniser does, as far as pages here go.
pub(crate) fn skeleton(html: &str) -> Vec<String> {
    let mut skeleton = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            let end = comment.find("-->").unwrap_or(comment.len());
            skeleton.push("comment".to_string());
            rest = &comment[end..];
            continue;
        }
        // Before anything else, `<` is text.
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!') {
            continue;
        }
        let (name, after) = until(rest, |c| c.is_ascii_whitespace() || c == '>');
        let (attributes, after) = attributes(after);
        skeleton.push(format!("{name} {}", attributes.join(" ")));
        rest = after;
        if ["script", "style", "title"].contains(&name) {
            let end = rest.find(&format!("</{name}")).unwrap_or(rest.len());
            // Of a script that is data, what it says is text.
            if !attributes
                .iter()
                .any(|name| name == "type=\"application/json\"")
            {
                let (said, _) = rest.split_at(end);
                if name != "title" {
                    skeleton.push(said.to_string());
                }
            }
            rest = &rest[end..];
        }
    }
    skeleton
}

/// The names of a tag's attributes, and with a value those that choose what a tag does; and what follows the tag.
fn attributes(mut rest: &str) -> (Vec<String>, &str) {
    let mut names = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return (names, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (names, after);
        }
        let (name, after) = until(rest, |c| {
            c.is_ascii_whitespace() || matches!(c, '>' | '=' | '/')
        });
        let (value, after) = match after.strip_prefix('=') {
            None => ("", after),
            Some(after) => match after.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let (value, after) = until(&after[1..], |c| c == quote);
                    (value, after.get(1..).unwrap_or_default())
                }
                _ => until(after, |c| c.is_ascii_whitespace() || c == '>'),
            },
        };
        names.push(match name {
            "type" => format!("{name}=\"{value}\""),
            // Where an address leads must not depend on a name's beginning.
            "href" | "src" => format!("{name}={}", value.get(..1).unwrap_or_default()),
            _ => name.to_string(),
        });
        // A character that cannot begin a name would go round for ever.
        rest = if after.len() == rest.len() {
            let mut chars = rest.chars();
            chars.next();
            chars.as_str()
        } else {
            after
        };
    }
}

fn until(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

#[test]
fn a_skeleton_has_all_that_can_do_something() {
    let html = "<!doctype html><p class=\"a > b\">1 < 2</p><script>if (a<b) {}</script><a href='/x' hidden>&lt;b>";
    assert_eq!(
        skeleton(html),
        [
            "!doctype html",
            "p class",
            "/p ",
            "script ",
            "if (a<b) {}",
            "/script ",
            "a href=/ hidden"
        ]
    );
    assert_eq!(skeleton("<i onclick=x>"), ["i onclick"]);
    assert_eq!(
        skeleton("<p title=\"\" onclick=\"x\">"),
        ["p title onclick"]
    );
}
