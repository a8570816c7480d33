//! The two ports: accepting, limits and timeouts, readiness, and an orderly end.

mod accept;
mod activity;
mod admin;
mod apart;
mod lifecycle;
mod read_ahead;

pub use accept::{Limits, Transport, serve};
pub use admin::{Readiness, router as admin_router};
pub use apart::serve_apart;
pub use lifecycle::{Lifecycle, Phase, Phases};
