//! TLS, passwords and headers, from the configuration file that Prometheus exporters share.
//!
//! The format is that of `--web.config.file` in prometheus/exporter-toolkit. Nothing in here knows
//! what is served: a connection is opened by [`handshake`], each of its requests passes [`gate`],
//! and both ask [`reload`] for the configuration as the files have it now.
//!
//! ```text
//! files ─► yaml ─► file ─► tls (choices, clients, san) ─┐
//!                    └───► users ──────────────────────┴► loaded ─► reload ─► handshake, gate
//! ```

mod choices;
mod clients;
mod fault;
mod file;
pub(crate) mod gate;
pub(crate) mod handshake;
pub(crate) mod limiter;
mod loaded;
mod reload;
mod san;
mod tls;
mod users;
mod yaml;

pub use reload::WebConfig;
