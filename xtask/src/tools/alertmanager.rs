//! Alertmanager, from Debian's package: a Go program that needs only libc, and its templates at a fixed place.

use std::fs;
use std::io;
use std::path::Path;

use super::{Program, Store, Tool, apt, executable};

const PROGRAM: &str = "prometheus-alertmanager";

/// Receives the alerts and routes them.
pub const TOOL: Tool = Tool {
    name: "alertmanager",
    about: "receives and routes the alerts",
    by_default: true,
    pins: Vec::new,
    programs: &[Program {
        name: PROGRAM,
        variable: "MIRRORWATCH_ALERTMANAGER",
    }],
    fetch,
};

/// Debian's build opens `/usr/share/prometheus/alertmanager/default.tmpl`, and there is no option for it. Where the
/// package is not installed, the program sees the store's `usr/share` as its own, in a mount namespace.
const WRAPPER: &str = r#"#!/bin/sh
root=$(dirname "$0")/..
program="$root/libexec/prometheus-alertmanager"
if [ -e /usr/share/prometheus/alertmanager/default.tmpl ]; then
    exec "$program" "$@"
fi
exec unshare --user --map-root-user --mount sh -c 'mount --bind "$0" /usr/share && exec "$@"' "$root/share" "$program" "$@"
"#;

fn fetch(store: &Store) -> Result<String, String> {
    let package = apt::fetch(store, PROGRAM)?;
    wrap(&store.root().join("usr"))
        .map_err(|error| format!("cannot wrap {PROGRAM} in {}: {error}", store.dir.display()))?;
    Ok(package)
}

/// Puts the wrapper in the program's place.
fn wrap(usr: &Path) -> io::Result<()> {
    let (program, kept) = (usr.join("bin").join(PROGRAM), usr.join("libexec"));
    fs::create_dir_all(&kept)?;
    fs::rename(&program, kept.join(PROGRAM))?;
    fs::write(&program, WRAPPER)?;
    executable(&program)
}
