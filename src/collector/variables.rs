//! The variables of the Collector's container.

use super::reference::{is_name, is_plain};
use super::rendered::{Source, Variable, path};
use super::{Fault, Input, Memory};
use crate::api::stack::Exporter;

pub const POD_IP: &str = "POD_IP";
pub const NODE_NAME: &str = "K8S_NODE_NAME";
pub const API_KEY: &str = "DD_API_KEY";

/// What is reached without a proxy: the cluster's own, and the cloud's metadata.
const DIRECT: [&str; 6] =
    ["localhost", "127.0.0.1", "::1", "169.254.169.254", "metadata.google.internal", "$(KUBERNETES_SERVICE_HOST)"];

/// Names that are set here, or that mean something to the Collector that the spec says elsewhere.
const OURS: [&str; 11] = [
    POD_IP,
    NODE_NAME,
    API_KEY,
    "GOMEMLIMIT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_DIR",
];

/// All of them. The users' come last, so that none of ours refers to one of theirs.
pub fn environment(input: &Input<'_>, memory: &Memory) -> Result<Vec<Variable>, Fault> {
    let set = |name: &str, value: String| Variable { name: name.to_owned(), source: Source::Value(value) };
    let field = |name: &str, path| Variable { name: name.to_owned(), source: Source::Field(path) };
    let mut variables = vec![field(POD_IP, "status.podIP"), field(NODE_NAME, "spec.nodeName")];
    if input.collector.exporter != Exporter::Agent {
        let source = Source::Secret(input.datadog.secret.clone());
        variables.push(Variable { name: API_KEY.to_owned(), source });
    }
    variables.push(set("GOMEMLIMIT", format!("{}MiB", memory.go_limit_mib)));
    let egress = input.egress;
    if !egress.proxy.is_empty() {
        let proxy = kubernetes(&egress.proxy);
        variables.extend([set("HTTP_PROXY", proxy.clone()), set("HTTPS_PROXY", proxy)]);
        variables.push(set("NO_PROXY", direct(input)));
    }
    if !egress.ca_config_map.is_empty() {
        // Beside the image's own authorities, which are in a file.
        variables.push(set("SSL_CERT_DIR", path::AUTHORITIES.to_owned()));
    }
    for (name, value) in &input.collector.env {
        let field = || format!("spec.collector.env.{name}");
        if OURS.contains(&name.as_str()) {
            return Err(Fault::new(field(), "is set by otelgate; leave it out"));
        }
        if !is_name(name) {
            return Err(Fault::new(field(), "isn't a name of letters, digits and _"));
        }
        if !is_plain(value) {
            let fault = "has ${ in its value, or ends with $, which the Collector would replace where its configuration refers to it";
            return Err(Fault::new(field(), fault));
        }
        variables.push(set(name, kubernetes(value)));
    }
    Ok(variables)
}

/// A text as a container's `env` has it: there, too, `$$` is `$`.
fn kubernetes(text: &str) -> String {
    text.replace('$', "$$")
}

fn direct(input: &Input<'_>) -> String {
    let domain = format!(".{}", input.injection.cluster_domain);
    let own = [".svc".to_owned(), kubernetes(&domain)];
    let theirs = input.egress.no_proxy.iter().map(|host| kubernetes(host));
    DIRECT.iter().map(|host| (*host).to_owned()).chain(own).chain(theirs).collect::<Vec<_>>().join(",")
}
