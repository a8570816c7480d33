//! otelgate makes pods observable by a label.
//!
//! A pod's way through this crate: [`admission`] reads the API server's review, [`inject`] decides and plans,
//! [`admission`] answers with the patch. [`server`] and [`tls`] carry it, [`config`] says what is put into pods,
//! [`cli`] does the same offline, on manifests. [`controller`] keeps what the webhook reads: its configuration, made from
//! the `TelemetryStack`, and its certificate.

pub mod admission;
pub mod api;
pub mod calls;
pub mod chart;
pub mod check;
pub mod cli;
pub mod collector;
pub mod config;
pub mod controller;
pub mod coverage;
pub mod deploy;
#[cfg(test)]
mod growth;
pub mod inject;
pub mod jitter;
pub mod json;
pub mod k8s;
pub mod lean;
pub mod manifest;
pub mod metrics;
pub mod monitoring;
pub mod namespaces;
pub mod nearest;
pub mod parallel;
pub mod probe;
pub mod reference;
pub mod registration;
pub mod schema;
pub mod server;
pub mod source;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod unavailable;
pub mod watch;
mod words;
