//! The Collector's configuration, made from the spec without any I/O.
//!
//! [`render`] is the whole of it: parts, each in a file of its own, are put into pipelines, so that what is declared is
//! what is used; what users add is merged into the result and checked; the text that comes out is the Collector's, and
//! the rest of [`Rendered`] is what its pod has to have for it.

mod additions;
mod carries;
mod check;
mod connectors;
mod distribution;
mod exporters;
mod extensions;
mod input;
mod memory;
mod names;
mod own;
mod part;
mod pipelines;
mod processors;
mod receivers;
mod reference;
mod rendered;
mod variables;

use serde_json::Value;

pub use carries::Carries;
pub use exporters::AGENT as AGENT_EXPORTER;
pub use input::Input;
pub use memory::Memory;
pub use names::{OLDEST, RENAMES, Rename, Version};
pub use rendered::{Authorities, Fault, Files, Lease, Port, Rendered, Source, Variable, path, port};

use crate::api::stack::{AgentMode, Collector, Exporter, Owner};
use crate::manifest;

/// The key of a certificate in `spec.egress.caConfigMap`.
const CA_KEY: &str = "ca.crt";

/// The Collector's configuration for a spec.
///
/// # Errors
/// Names the field that nothing can be made from, and what would be right.
pub fn render(input: &Input<'_>) -> Result<Rendered, Fault> {
    let default = Collector::default().image;
    let image = &input.collector.image;
    let version = Version::of(image.version(&default))?;
    let memory = Memory::of(input.collector.resources.limits.get("memory"))?;
    memory::check_requests(&input.collector.resources)?;
    if input.collector.exporter == Exporter::Agent && !has_agent(input) {
        let fault = "is agent, and there is no Agent: set spec.agent.mode, or another exporter";
        return Err(Fault::new("spec.collector.exporter", fault));
    }
    let environment = variables::environment(input, &memory)?;
    let mut document = pipelines::layout(input, version, &memory).document();
    let known: Vec<&str> = environment.iter().map(|variable| variable.name.as_str()).collect();
    additions::merge(&mut document, &input.collector.config, &known)?;
    exporters::complete(&mut document, input);
    let repository = if image.repository.is_empty() { &default.repository } else { &image.repository };
    check::check(&document, distribution::is_contrib(repository).then_some(version))?;
    let text = manifest::document(&Value::Object(document));
    let egress = input.egress;
    Ok(Rendered {
        text,
        ports: vec![port::GRPC, port::HTTP, port::METRICS, port::HEALTH],
        environment,
        files: Files {
            pod_logs: pipelines::reads_files(input),
            authorities: (!egress.ca_config_map.is_empty())
                .then(|| Authorities { config_map: egress.ca_config_map.clone(), key: CA_KEY }),
        },
        lease: (input.owners().cluster_state == Owner::Collector).then(|| receivers::lease(input.injection)),
    })
}

fn has_agent(input: &Input<'_>) -> bool {
    input.agent.mode != AgentMode::Disabled
}

#[cfg(test)]
pub(crate) mod tests;
