//! Everything that is tested through the crate's public face: one binary, a module per topic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "a test that fails panics, and compares exactly"
)]

mod chart;
mod cli;
mod cluster;
mod connection;
mod docs;
mod image;
mod monitoring;
mod properties;
mod reference;
mod registration;
mod shell;
mod webhook;

#[path = "../../benches/support/mod.rs"]
mod benches;
#[path = "../support/cluster/mod.rs"]
mod control_plane;
#[path = "../support/flood.rs"]
mod flood;
