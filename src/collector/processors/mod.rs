//! What happens to data on its way.

mod batch;
mod cluster_name;
mod cumulative_to_delta;
mod k8s_attributes;
mod memory_limiter;
mod ottl;
mod resource_detection;
pub mod scope;
mod service;

pub use batch::{BATCH, batch};
pub use cluster_name::cluster_name;
pub use cumulative_to_delta::cumulative_to_delta;
pub use k8s_attributes::{k8s_attributes, k8s_attributes_of_files};
pub use memory_limiter::memory_limiter;
pub use resource_detection::resource_detection;
pub use service::service;
