//! What keeps the Collector within its memory.

use serde_json::json;

use crate::collector::Memory;
use crate::collector::part::Part;

/// The first of a pipeline's processors, so that what it refuses has cost nothing yet, and stays with who sent it.
pub fn memory_limiter(memory: &Memory) -> Part {
    Part::processor(
        "memory_limiter",
        json!({
            "check_interval": "1s",
            "limit_mib": memory.limit_mib,
            "spike_limit_mib": memory.spike_limit_mib,
        }),
    )
}
