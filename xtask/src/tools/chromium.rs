//! Chromium, for looking at the sidecar's page.

use super::{Program, Tool};

/// Renders the page. Not unpacked into the store like the others: it needs some forty shared
/// libraries and data files at fixed places, so only the machine's package manager can install it.
pub const TOOL: Tool = Tool {
    name: "chromium",
    about: "renders the web page",
    by_default: false,
    pins: Vec::new,
    programs: &[Program {
        name: "chromium",
        variable: "MIRRORWATCH_CHROMIUM",
    }],
    fetch: |_| {
        Err("it cannot be unpacked without root; run apt-get install chromium, or set MIRRORWATCH_CHROMIUM"
            .to_owned())
    },
};
