//! Everything that is tested through the crate's public face: one binary, a module per topic.

mod cli;
mod docs;
mod properties;
mod reference;
mod webhook;
