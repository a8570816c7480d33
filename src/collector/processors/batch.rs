//! How much is sent at a time.

use serde_json::json;

use crate::api::stack::Batch;
use crate::collector::part::Part;

pub const BATCH: &str = "batch";

/// The last of a pipeline's processors, so that nothing is taken out of a batch that is ready.
pub fn batch(batch: &Batch) -> Part {
    Part::processor(
        BATCH,
        json!({
            "send_batch_size": batch.size,
            "send_batch_max_size": batch.size,
            "timeout": format!("{}s", batch.timeout_seconds),
        }),
    )
}
