//! Building a program of ours, to start it afterwards.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::context::shown;

/// Builds, and takes the path of the executable `name` from what cargo says, wherever its settings put it.
pub fn executable(command: &mut Command, name: &str) -> Result<PathBuf, String> {
    println!("$ {}", shown(command));
    command
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| format!("cannot start cargo build: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{name} does not build ({}); see above",
            output.status
        ));
    }
    found(&String::from_utf8_lossy(&output.stdout), name).ok_or_else(|| {
        format!(
            "cargo built no executable {name}; is there still a package of that name with a main?"
        )
    })
}

fn found(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name && message["profile"]["test"] == false)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_the_program_and_not_its_tests() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"quickstart"},"profile":{"test":true},"executable":"/t/deps/quickstart-1"}
{"reason":"compiler-artifact","target":{"name":"other"},"profile":{"test":false},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"name":"quickstart"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"name":"quickstart"},"profile":{"test":false},"executable":"/t/quickstart"}
"#;
        assert_eq!(
            found(messages, "quickstart"),
            Some(PathBuf::from("/t/quickstart"))
        );
    }
}
