//! Where data comes from.

mod file_log;
mod k8s_cluster;
mod otlp;
mod prometheus;

pub use file_log::{FILE_LOG, file_log};
pub use k8s_cluster::{K8S_CLUSTER, k8s_cluster, leader_elector, lease};
pub use otlp::otlp;
pub use prometheus::{PROMETHEUS, prometheus};
