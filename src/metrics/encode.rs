//! How the counters of both programs are written.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{Counter, Definition, Gauge, Reloads, definition};

/// OpenMetrics names a family without the suffix that its samples carry.
pub(crate) fn describe<'s>(
    encoder: &'s mut DescriptorEncoder<'_>,
    definition: &'static Definition,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    let (suffix, kind) = match definition.kind {
        "counter" => ("_total", MetricType::Counter),
        "gauge" => ("", MetricType::Gauge),
        "histogram" => ("", MetricType::Histogram),
        _ => ("_info", MetricType::Info),
    };
    let family = definition.name.strip_suffix(suffix).unwrap_or(definition.name);
    encoder.encode_descriptor(family, definition.help, None, kind)
}

pub(crate) fn encode_build(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    describe(encoder, &definition::BUILD)?.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

pub(crate) type Labels<'l, const N: usize> = [(&'l str, &'l str); N];

pub(crate) fn encode_labelled<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    counter: &Counter,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(&counter.get(), None)
}

/// Leaves out what never happened: most combinations of many labels never do.
pub(super) fn encode_used<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    counter: &Counter,
) -> fmt::Result {
    if counter.get() == 0 { Ok(()) } else { encode_labelled(family, labels, counter) }
}

pub(crate) fn encode_counter(
    encoder: &mut DescriptorEncoder<'_>,
    definition: &'static Definition,
    counter: &Counter,
) -> fmt::Result {
    describe(encoder, definition)?.encode_counter::<NoLabelSet, u64, f64>(&counter.get(), None)
}

pub(crate) fn encode_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    definition: &'static Definition,
    gauge: &Gauge,
) -> fmt::Result {
    describe(encoder, definition)?.encode_gauge(&gauge.get())
}

pub(super) fn encode_reloads(
    encoder: &mut DescriptorEncoder<'_>,
    count: &'static Definition,
    last: &'static Definition,
    reloads: &Reloads,
) -> fmt::Result {
    let mut family = describe(encoder, count)?;
    encode_labelled(&mut family, &[("outcome", "success")], &reloads.successes)?;
    encode_labelled(&mut family, &[("outcome", "failure")], &reloads.failures)?;
    encode_gauge(encoder, last, &reloads.last)
}
