//! Configurations that are accepted, with every field used.

use otelgate::api::OptIn;
use otelgate::config::{
    Collection, Configuration, Document, Exclusion, FieldRef, IpFamily, LogOwner, Operator, Protocol, Reach,
    Requirement, Sampler, Selector, Temporality, ValueFrom, Variable,
};

use super::generate::tricky;
use super::random::Random;

pub fn document(random: &mut Random) -> Document {
    let mut document = Document {
        mode: random.weighted(&[(92, OptIn::Enabled), (4, OptIn::Observe), (4, OptIn::Disabled)]),
        ..Document::default()
    };
    if random.percent(30) {
        return document;
    }
    document.cluster_name = random.pick(&[None, Some("prod-eu"), Some("a $cluster, ü=1")]).map(str::to_owned);
    document.environment =
        random.pick(&[None, Some("production"), Some("pre prod+1"), Some("q$(A)")]).map(str::to_owned);
    if random.percent(10) {
        "k8s.example.org".clone_into(&mut document.cluster_domain);
    }
    document.identity.from_well_known_labels = random.percent(30);
    otlp(random, &mut document);
    if random.percent(40) {
        document.propagators = vec!["tracecontext".to_owned(), "baggage".to_owned()];
    }
    if random.percent(40) {
        let (name, arg) = random.pick(&[
            ("parentbased_traceidratio", Some("0.25")),
            ("always_on", None),
            ("traceidratio", Some("1")),
        ]);
        document.sampler = Some(Sampler { name: name.to_owned(), arg: arg.map(str::to_owned) });
    }
    document.logs.collection = random.weighted(&[(4, Collection::Enabled), (1, Collection::Disabled)]);
    document.logs.owner = random.pick(&[LogOwner::Collector, LogOwner::Agent]);
    variables(random, &mut document);
    if random.percent(10) {
        document.exclude.push(exclusion());
    }
    Configuration::try_from(document.clone()).expect("the generator writes configurations that are accepted");
    document
}

fn otlp(random: &mut Random, document: &mut Document) {
    let otlp = &mut document.otlp;
    otlp.protocol = random.pick(&Protocol::ALL);
    otlp.reach = random.pick(&[Reach::Service, Reach::Service, Reach::Node]);
    otlp.ip_family = random.pick(&[IpFamily::IPv4, IpFamily::IPv6]);
    otlp.metrics_temporality =
        random.pick(&[Temporality::Delta, Temporality::Cumulative, Temporality::LowMemory, Temporality::Unset]);
    if random.percent(25) {
        let endpoint = random.pick(&[
            "http://gateway.telemetry:4317",
            "https://otlp.example.com",
            "http://gateway:4318",
            "http://[2001:db8::1]:4318",
            "https://otlp.example.com/in/take",
        ]);
        otlp.endpoint = Some(endpoint.to_owned());
    }
    document.collector.address =
        random.pick(&[None, None, Some("10.96.0.17"), Some("2001:db8::17")]).map(str::to_owned);
}

fn variables(random: &mut Random, document: &mut Document) {
    let literal = |name: &str, value: String| Variable { name: name.to_owned(), value: Some(value), value_from: None };
    if random.percent(25) {
        document.env.push(literal("OTEL_METRIC_EXPORT_INTERVAL", "30000".to_owned()));
    }
    if random.percent(25) {
        document.env.push(literal("COMPANY_SETTING", tricky(random)));
    }
    if random.percent(25) {
        document.env.push(Variable {
            name: "POD_ADDRESS".to_owned(),
            value: None,
            value_from: Some(ValueFrom { field_ref: FieldRef { field_path: "status.podIP".to_owned() } }),
        });
    }
}

fn exclusion() -> Exclusion {
    Exclusion {
        namespace: None,
        selector: Selector {
            match_labels: [("app".to_owned(), "left-alone".to_owned())].into(),
            match_expressions: vec![Requirement {
                key: "team".to_owned(),
                operator: Operator::NotIn,
                values: vec!["platform".to_owned()],
            }],
        },
    }
}

pub const NODE_ADDRESS: &str = "NODE_ADDRESS";

/// By a variable of its own, and as where the Collector is.
pub fn name_the_node(document: &mut Document) {
    document.otlp.reach = Reach::Node;
    document.env.push(Variable {
        name: NODE_ADDRESS.to_owned(),
        value: None,
        value_from: Some(ValueFrom { field_ref: FieldRef { field_path: "status.hostIP".to_owned() } }),
    });
}

/// By a label that otelgate itself sets.
pub fn exclude_by_environment(document: &mut Document) {
    document.environment = Some("production".to_owned());
    let match_labels = [("tags.datadoghq.com/env".to_owned(), "production".to_owned())].into();
    document.exclude.push(Exclusion { namespace: None, selector: Selector { match_labels, ..Selector::default() } });
}
