//! Alertmanager, from Debian's package: a Go program that needs only libc.

use super::{Program, Tool, apt};

/// Receives the alerts and routes them.
pub const TOOL: Tool = Tool {
    name: "alertmanager",
    about: "receives and routes the alerts",
    by_default: false,
    programs: &[Program {
        name: "prometheus-alertmanager",
        variable: "MIRRORWATCH_ALERTMANAGER",
    }],
    fetch: |store| apt::fetch(store, "prometheus-alertmanager"),
};
