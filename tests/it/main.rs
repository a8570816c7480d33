//! Everything that is tested through the crate's public face: one binary, a module per topic.

mod cli;
mod cluster;
mod docs;
mod properties;
mod reference;
mod registration;
mod webhook;

#[path = "../support/cluster/mod.rs"]
mod control_plane;
