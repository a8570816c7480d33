//! A real control plane for tests and benchmarks: etcd and kube-apiserver in a network namespace of their own, and the
//! webhook registered in it. What is installed by the chart runs as processes ([`process_nodes`], [`release`]) or on real
//! nodes ([`node`]).
//!
//! Nothing outlives the process that uses it, however that process ends: each program is killed by the kernel when the
//! thread that started it goes ([`network::Network`]), and the namespace goes with the last process in it.
//! It can be included by path: it needs the dependencies of this crate, those for development among them, and no more.

#![allow(dead_code, reason = "the tests and the benchmarks each use their part")]
#![allow(clippy::panic, reason = "a test fails by panicking")]

pub mod api_call;
pub mod api_proxy;
pub mod argo_rollouts;
pub mod audit;
pub mod cert_manager;
pub mod credentials;
pub mod datadog_operator;
pub mod image;
pub mod kubectl;
pub mod kubelet;
pub mod metrics;
pub mod network;
pub mod node;
pub mod other;
pub mod plane;
pub mod pod;
pub mod process_nodes;
pub mod programs;
pub mod proxy;
pub mod release;
pub mod sandbox;
pub mod webhook;

use std::time::{Duration, Instant};

pub use plane::ControlPlane;
pub use programs::Version;
pub use webhook::Webhook;

/// Longer than anything here takes on a slow and busy machine.
pub const PATIENCE: Duration = Duration::from_mins(4);
/// The same for what is to be there again within seconds, where nobody is taken for one who fights.
pub const SOON: Duration = Duration::from_secs(45);
/// The least and the longest time between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Asks until there is an answer.
///
/// # Errors
/// With what `what` says, when there was none within [`PATIENCE`].
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> Result<T, String> {
    wait_within(PATIENCE, what, ask)
}

/// Asks until there is an answer, and no longer than that.
///
/// # Errors
/// With what `what` says, when there was none in time.
pub fn wait_within<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T, String> {
    let started = Instant::now();
    loop {
        let asked = Instant::now();
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if started.elapsed() > patience {
            return Err(format!("waited {} s for {what}, in vain", patience.as_secs()));
        }
        // Whoever asks starts programs, beside those that are waited for: a third of the time is enough.
        std::thread::sleep((2 * asked.elapsed()).clamp(PAUSES.0, PAUSES.1));
    }
}
