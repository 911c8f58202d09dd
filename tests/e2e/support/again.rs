//! Programs that are parts of this binary: it starts itself anew, with one test that is left out otherwise.

use std::process::Command;

/// This binary with the test `name`, which is told things by variables in its environment.
pub fn this_binary(name: &str, variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", name, "--nocapture"]);
    let variables = variables.iter().map(|(name, value)| (*name, value));
    command.envs(variables);
    command
}

/// What such a program was told; nothing where it is run as a test among all others, as with `--include-ignored`.
pub fn told(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}
