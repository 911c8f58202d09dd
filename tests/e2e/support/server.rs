//! Servers that cannot say which port they were given.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::process::Running;
use super::sidecar::get;
use super::wait::eventually;

/// Starts the server that `command` makes for an address, and waits until it answers at the path `ready`; the process and
/// its address.
///
/// A free port is looked for here. Between this and the server's start another process may take it; then it is another
/// port's turn.
#[track_caller]
pub fn started(
    name: &str,
    ready: &str,
    directory: &Path,
    command: impl Fn(&str) -> Command,
) -> (Running, String) {
    eventually(&format!("a {name} that serves"), || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap().to_string();
        drop(port);
        let mut process = Running::start(command(&address), directory);
        let ready = format!("http://{address}{ready}");
        eventually(&format!("{name} to be ready"), || match get(&ready) {
            Ok(page) if page.status == 200 => Ok(Ok(())),
            _ if !process.is_running() => Ok(Err(process.story())),
            _ => Err(process.story()),
        })?;
        Ok((process, address))
    })
}
