//! Which addresses it listens on, in a pod of either IP family.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;

use otelgate::collector::Rendered;
use serde_json::{Value, json};

use super::{AS_IN_A_POD, Candidate, Spec, VERSION};
use crate::control_plane::network::{ADDRESS, Network};
use crate::control_plane::programs::built;
use crate::control_plane::wait_for;

/// Of a cluster that has no others.
const IPV6: &str = "fd00::5";

#[test]
fn its_ports_are_open_at_a_pods_address_of_either_family() {
    let network = Network::new().unwrap_or_else(|error| panic!("{error}"));
    let add = || Command::new("ip").args(["addr", "add", &format!("{IPV6}/128"), "dev", "lo"]).status();
    assert!(network.inside(add).expect("ip can be run").success(), "the kernel has IPv6");
    let rendered = Spec::default().rendered();
    for address in [ADDRESS, IPV6] {
        assert_starts(&network, &rendered, address);
    }
}

/// What listens is as it is rendered. What would want to have heard from an API server first is left out.
fn listening(rendered: &Rendered) -> Value {
    let document: Value = serde_saphyr::from_str(&rendered.text).expect("YAML");
    let pipeline = json!({"receivers": ["otlp"], "exporters": ["debug"]});
    json!({
        "extensions": {"health_check": document["extensions"]["health_check"]},
        "receivers": {"otlp": document["receivers"]["otlp"]},
        "exporters": {"debug": {}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": document["service"]["telemetry"],
            "pipelines": {"traces": pipeline, "metrics": pipeline, "logs": pipeline},
        },
    })
}

#[track_caller]
fn assert_starts(network: &Network, rendered: &Rendered, address: &str) {
    let mut candidate = Candidate::new(&listening(rendered), rendered);
    for (name, value) in &mut candidate.environment {
        if name == "POD_IP" {
            address.clone_into(value);
        }
    }
    let program = built("otelcol", VERSION).unwrap_or_else(|error| panic!("{error}"));
    let variables = candidate.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let mut arguments: Vec<String> = variables.collect();
    arguments.extend(["unshare", "--mount", "sh", "-c", AS_IN_A_POD].map(ToOwned::to_owned));
    arguments.push(program.display().to_string());
    arguments.push(format!("--config={}", candidate.folder.path().join("collector.yaml").display()));
    let name = format!("otelcol-{}", address.replace(':', "-"));
    let mut collector = network.start(&name, "env".as_ref(), arguments).unwrap_or_else(|error| panic!("{error}"));
    let address: IpAddr = address.parse().expect("an address");
    for port in &rendered.ports {
        let place = SocketAddr::new(address, port.number);
        let outcome = wait_for(&format!("{place} to be open"), || {
            assert!(!collector.has_ended(), "{}", collector.log());
            network.inside(|| match port.name {
                "health" => ask(place, "/").filter(|answer| answer.starts_with("HTTP/1.1 200 ")),
                "metrics" => ask(place, "/metrics").filter(|answer| answer.contains("\notelcol_process_uptime")),
                _ => TcpStream::connect(place).ok().map(|_| String::new()),
            })
        });
        outcome.unwrap_or_else(|error| panic!("{error}: {}", collector.log()));
    }
}

fn ask(place: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(place).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
