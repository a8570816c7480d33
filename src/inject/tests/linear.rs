//! What a decision looks at grows with the pod, and not with its square.

use serde_json::{Map, Value, json};

use crate::api::otel::{VARIABLES, var};
use crate::config::{Configuration, Document, LogOwner};
use crate::inject::lookup::steps;
use crate::inject::{Decision, Namespace, Pod, Reason, decide, patch};

fn configuration() -> Configuration {
    let mut document = Document::default();
    document.logs.owner = LogOwner::Agent;
    Configuration::try_from(document).expect("a configuration")
}

/// The patch, too, and how many containers were named that aren't there.
fn decided(text: &str, configuration: &Configuration) -> (u64, Value, usize) {
    let namespace = Namespace { name: Some("shop"), opt_in: Some("enabled"), left_out: None, annotations: Some(&[]) };
    let (mut patch, mut unknown) = (Value::Null, 0);
    let steps = steps(|| {
        let pod = Pod::from_json(text).expect("a pod");
        let decision = decide(&pod, &namespace, configuration, jiff::Timestamp::UNIX_EPOCH);
        let Decision::Inject(plan) = &decision else { panic!("{}", decision.name()) };
        patch = serde_json::from_slice(&patch::to_json(&plan.operations())).expect("JSON");
        unknown = decision.notes().iter().filter(|note| note.reason == Reason::UnknownContainer).count();
    });
    (steps, patch, unknown)
}

/// So many containers, the Agent's annotation of each with a service of the user's, a label for each and as many others,
/// annotations of the user's, and a list of containers that names as many that aren't there. An API server has maps in order; a manifest may have them in any.
fn many(count: usize, in_order: bool) -> Value {
    let containers: Vec<_> = (0..count).map(|n| json!({"name": format!("c{n:04}"), "image": "a:1"})).collect();
    let mut annotations: Vec<_> = (0..count).map(|n| (format!("example.com/{n:04}"), json!("x"))).collect();
    let named: Vec<_> = (0..count).flat_map(|n| [format!("c{n:04}"), format!("a{n:04}")]).collect();
    annotations.push(("otelgate.dev/containers".to_owned(), json!(named.join(","))));
    let mut labels: Vec<_> = (0..count).map(|n| (format!("example.com/{n:04}"), json!("x"))).collect();
    labels.extend((0..count).map(|n| (format!("tags.datadoghq.com/c{n:04}.service"), json!(format!("s{n:04}")))));
    if !in_order {
        annotations.reverse();
        labels.reverse();
    }
    let [annotations, labels] = [annotations, labels].map(|map| map.into_iter().collect::<Map<_, _>>());
    json!({
        "metadata": {"name": "web", "annotations": annotations, "labels": labels}, "spec": {"containers": containers}
    })
}

#[test]
fn references_to_what_is_not_there_cost_no_walk_each() {
    let others = (0..4096).map(|n| json!({"name": format!("V{n:04}"), "value": "x"}));
    // As many as are followed, in everything that is read.
    let value = "$(X)".repeat(64);
    let datadog = [var::DD_SERVICE, var::DD_ENV, var::DD_VERSION, var::SDK_DISABLED];
    let read = VARIABLES.iter().map(|known| known.name).chain(datadog);
    let env: Vec<_> = others.chain(read.map(|name| json!({"name": name, "value": value}))).collect();
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "env": env}]}}).to_string();
    let (steps, bytes) = (decided(&pod, &configuration()).0, pod.len() as u64);
    assert!(steps < 8 * bytes, "{steps} steps for {bytes} bytes");
}

#[test]
fn work_grows_with_containers_and_annotations_and_not_with_their_product() {
    let configuration = configuration();
    for in_order in [true, false] {
        // A first decision, one that finds its own, and one that takes back what isn't wanted any more.
        let all = |count: usize| {
            let mut pod = many(count, in_order);
            let (first, patch, unknown) = decided(&pod.to_string(), &configuration);
            assert_eq!(unknown, count);
            json_patch::patch(&mut pod, &serde_json::from_value::<json_patch::Patch>(patch).expect("a patch"))
                .expect("it applies");
            let annotations = pod["metadata"]["annotations"].as_object().expect("annotations");
            let of_agent = annotations.keys().filter(|key| key.starts_with("ad.datadoghq.com/"));
            assert_eq!(of_agent.count(), count);
            let (second, patch, _) = decided(&pod.to_string(), &configuration);
            assert_eq!(patch, json!([]));
            let (third, patch, _) = decided(&pod.to_string(), &Configuration::default());
            let gone = patch.as_array().expect("a list").iter().filter(|one| {
                one["op"] == "remove" && one["path"].as_str().is_some_and(|path| path.contains("ad.datadoghq.com"))
            });
            assert_eq!(gone.count(), count);
            [first, second, third]
        };
        for (few, many) in all(16).into_iter().zip(all(256)) {
            // Sixteen times as much: the work has a digit more of that, at most; its square would be 256 times.
            assert!(many < 32 * few, "{many} steps, after {few}");
        }
    }
}
