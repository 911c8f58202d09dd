//! The server as its clients see it, in one program: each would compile HTTP and TLS anew.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod events;
mod hardening;
mod lifecycle;
mod login;
mod malformed;
mod pages;
mod posts;
mod reload;
mod timeouts;
mod tls;
