//! Prometheus and promtool, from Debian's package. Both are Go programs that need only libc.

use super::{Program, Tool, apt};

/// Scrapes the sidecar; checks and unit-tests the alert rules.
pub const TOOL: Tool = Tool {
    name: "prometheus",
    about: "scrapes the sidecar, evaluates and tests the alert rules",
    by_default: true,
    pins: Vec::new,
    programs: &[
        Program {
            name: "prometheus",
            variable: "MIRRORWATCH_PROMETHEUS",
        },
        Program {
            name: "promtool",
            variable: "MIRRORWATCH_PROMTOOL",
        },
    ],
    fetch: |store| apt::fetch(store, "prometheus"),
};
