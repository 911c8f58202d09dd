//! What the tests stand on: data, training, processes, scrapes, and waiting with a deadline.

pub mod again;
pub mod data;
pub mod demo;
#[cfg(target_os = "linux")]
pub mod footprint;
pub mod forge;
pub mod place;
pub mod process;
pub mod prometheus;
pub mod refusal;
pub mod results;
pub mod scrape;
pub mod server;
pub mod sidecar;
pub mod tls;
pub mod trainer;
pub mod trial;
pub mod wait;
pub mod webhook;
