//! Tests through real API servers, the newest and the oldest that are supported.
//!
//! They need root, `ip`, `unshare` and `setpriv`, and the programs that `tests/programs/build` makes; those with real nodes
//! need what `tests/run` installs too. To leave them out: `cargo test -- --skip cluster::`.

#![allow(clippy::panic, reason = "a test fails by panicking")]

mod agent;
mod apply;
mod by_hand;
mod certificates;
mod chart;
mod check;
mod collector;
mod collector_config;
mod command;
mod controller;
mod controller_alone;
mod deploy;
mod diagnose;
mod edited;
mod explain;
mod failures;
mod full_size;
mod generated;
mod gitops;
mod harness;
mod health;
mod installed;
mod logs;
mod many_pods;
mod missed;
mod node;
mod offline;
mod others;
mod pods;
mod process_nodes;
mod resilience;
mod rights;
mod rollouts;
mod troubleshooting;
mod workloads;

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, Version, Webhook};

/// The program under test.
const OTELGATE: &str = env!("CARGO_BIN_EXE_otelgate");

/// What the webhook serves, and the offline commands read.
fn configuration() -> Value {
    json!({
        "apiVersion": "otelgate.dev/v1alpha1",
        "kind": "InjectionConfiguration",
        "clusterName": "test",
        "environment": "testing",
        "collector": {"address": "10.0.0.99"},
        "propagators": ["tracecontext", "baggage"],
    })
}

/// The webhook that the tests of a version share, for as long as nothing is wrong with it.
fn webhook(version: Version) -> &'static Webhook<'static> {
    static NEWEST: OnceLock<Webhook<'static>> = OnceLock::new();
    static OLDEST: OnceLock<Webhook<'static>> = OnceLock::new();
    let cell = match version {
        Version::Newest => &NEWEST,
        Version::Oldest => &OLDEST,
    };
    cell.get_or_init(|| Webhook::start(ControlPlane::shared(version), "shared", Path::new(OTELGATE), &configuration()))
}

/// Makes a test of each function, once for each version.
macro_rules! on_every_version {
    ($($test:ident),+ $(,)?) => {
        mod newest {
            $(#[test] fn $test() { super::$test($crate::cluster::webhook($crate::control_plane::Version::Newest)); })+
        }
        mod oldest {
            $(#[test] fn $test() { super::$test($crate::cluster::webhook($crate::control_plane::Version::Oldest)); })+
        }
    };
}
use on_every_version;
