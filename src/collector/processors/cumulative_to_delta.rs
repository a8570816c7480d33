//! Sums as differences, which Datadog's OTLP intake takes alone.

use serde_json::json;

use crate::collector::names::Version;
use crate::collector::part::Part;

/// Forgets a series that was silent for an hour, so that it doesn't grow with every pod that ever ran.
pub fn cumulative_to_delta(version: Version) -> Part {
    Part::processor(version.name("cumulative_to_delta"), json!({"max_staleness": "1h"}))
}
