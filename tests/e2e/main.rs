//! The end-to-end suite: real processes, real files, a real Prometheus.
//!
//! `cargo xtask test --only tools,e2e` builds what is started here, says where it is, and runs this.
//! What is started is in [`support`]; every other module is a list of sentences about the product.
//! Tests that need a component, or modules of them, have names that start with the component's, `prometheus_` for
//! instance, so that they can be left out by name where there is none.
#![allow(clippy::unwrap_used)]

mod alertmanager_webhook;
mod bad_checkpoints;
mod bad_data;
mod bad_places;
mod breakdown;
mod budget;
#[cfg(target_os = "linux")]
mod courtesy;
mod crowds;
mod dashboards_check;
mod demo;
mod demo_extras;
mod demo_refusals;
mod deploy;
mod export;
mod fetching;
mod grafana;
mod grafana_dashboards;
mod grafana_metrics;
mod grafana_panels;
mod hazards;
mod help;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod hostile_files;
#[cfg(target_os = "linux")]
mod inotify;
mod kills;
#[cfg(target_os = "linux")]
mod live;
mod metrics_docs;
mod moto_store;
mod names;
mod onset;
mod pages;
mod playwright_page;
mod playwright_report;
mod playwright_reviews;
mod prometheus_server;
mod refusals;
mod restarts;
mod reviews;
mod scan;
mod schemathesis_api;
mod second_look;
mod shards;
#[cfg(target_os = "linux")]
mod soak;
mod status;
mod support;
mod watching;
mod web_config;
mod when;
mod windows;
