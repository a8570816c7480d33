//! The rules as `explain` shows them: each with its input, and one at least that says why a pod is left alone.

use serde_json::{Value, json};

use super::{Case, app, case, pod};
use crate::config::{Configuration, Selector};
use crate::inject::rules::{self, Case as Ruled, LEFT_OUT, LeftOut};
use crate::inject::{Decision, Pod, Reason, decide};

type Told = (&'static str, String, Option<Reason>);

/// Every rule, and why the pod is left alone.
fn told(case: &Case) -> (Option<Reason>, Vec<Told>) {
    let json = case.pod.to_string();
    let pod = Pod::from_json(&json).unwrap();
    let namespace = case.in_namespace();
    let configuration = Configuration::try_from(case.document.clone()).unwrap();
    let decision = decide(&pod, &namespace, &configuration, jiff::Timestamp::UNIX_EPOCH);
    let skipped = match &decision {
        Decision::Skip { reason, .. } => Some(*reason),
        Decision::Inject(_) | Decision::Observe(_) => None,
    };
    let ruled = Ruled { pod: &pod, namespace: &namespace, configuration: &configuration };
    let verdicts = rules::verdicts(ruled, &decision);
    (skipped, verdicts.into_iter().map(|one| (one.rule, one.input.into_owned(), one.reason)).collect())
}

/// The first rule that objects, which has to be for the reason that the pod is left alone.
fn objecting(case: &Case) -> (&'static str, String, Reason) {
    let (skipped, told) = told(case);
    let skipped = skipped.expect("it is left alone");
    let (rule, input, reason) = told.into_iter().find(|(_, _, reason)| reason.is_some()).expect("a rule objects");
    assert_eq!(reason, Some(skipped), "{rule}");
    (rule, input, skipped)
}

fn of(spec: Value) -> Case {
    let mut pod = pod(app());
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    case(pod)
}

fn named(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name})).collect()
}

#[test]
fn what_is_left_alone_has_a_rule_that_says_so() {
    let many: Value = (0..1001).map(|index| json!({"name": format!("c{index}")})).collect();
    let filled = |size: usize| of(json!({"containers": [{"name": "app", "command": ["x".repeat(size)]}]}));
    let annotated = |size: usize| case(pod(app())).annotate("example.com/a", &"x".repeat(size));
    for (case, rule, input, reason) in [
        (case(pod(app())).opt_in(None), "opted in", "pod absent, namespace absent", Reason::NotOptedIn),
        (
            case(pod(app())).configure(|document| document.mode = crate::api::OptIn::Disabled),
            "mode",
            "disabled",
            Reason::ModeDisabled,
        ),
        (
            case(pod(app())).namespace(Some("kube-system")),
            "not a namespace of Kubernetes",
            "namespace kube-system",
            Reason::SystemNamespace,
        ),
        (case(pod(app())).annotate("kubernetes.io/config.mirror", "x"), "not a mirror pod", "", Reason::MirrorPod),
        (of(json!({"os": {"name": "windows"}})), "not a Windows pod", "windows", Reason::WindowsPod),
        (of(json!({"containers": many})), "size", "containers 1001", Reason::TooManyContainers),
        (filled(1 << 20), "size", " bytes", Reason::ObjectTooLarge),
        (annotated(300_000), "size", "in annotations 300", Reason::AnnotationsTooLarge),
        // Only with the patch.
        (filled((1 << 20) - 200), "size", " bytes", Reason::ObjectTooLarge),
        (annotated(256 * 1024 - 20), "size", "in annotations 262", Reason::AnnotationsTooLarge),
        (of(json!({"containers": null})), "containers", "none", Reason::NoContainers),
        (
            of(json!({"containers": named(&["istio-proxy"]), "initContainers": named(&["setup"])})),
            "containers",
            "istio-proxy: known sidecar, setup: init container",
            Reason::NoContainers,
        ),
        (
            case(pod(app())).annotate("otelgate.dev/containers", "absent"),
            "containers",
            "app: not named",
            Reason::NoContainers,
        ),
    ] {
        let (objects, said, why) = objecting(&case);
        assert_eq!((objects, why), (rule, reason), "{said}");
        assert!(said.contains(input), "{said:?} hasn't {input:?}");
    }
}

#[test]
fn the_labels_that_a_namespace_is_left_out_by_are_told_and_no_others() {
    let [operator, aks] = LEFT_OUT;
    for (labels, told) in [
        (&[operator][..], "label control-plane=true"),
        (&[aks], "label kubernetes.azure.com/managedby=aks"),
        (&[operator, aks], "labels control-plane=true and kubernetes.azure.com/managedby=aks"),
    ] {
        let left_out = LeftOut::by(|asked| labels.iter().find(|(key, _)| *key == asked).map(|(_, value)| *value));
        let input = format!("namespace shop, {told}");
        let case = Case { left_out, ..case(pod(app())) };
        assert_eq!(objecting(&case), ("not a namespace of Kubernetes", input, Reason::LeftOutNamespace));
    }
}

#[test]
fn the_entry_that_excludes_is_told() {
    let labelled = |key: &str, value: &str| case(pod(app())).label(key, value);
    let all_of = |document: &mut crate::config::Document| {
        document
            .exclude
            .insert(0, crate::config::Exclusion { namespace: Some("shop".to_owned()), selector: Selector::default() });
    };
    for (case, entry) in [
        (labelled("agent.datadoghq.com/component", "agent"), "agent.datadoghq.com/component in any namespace"),
        (labelled("app", "otel-collector").namespace(Some("datadog")), "app=otel-collector in namespace datadog"),
        (case(pod(app())).configure(all_of), "every pod in namespace shop"),
    ] {
        let namespace = case.namespace.unwrap();
        let input = format!("namespace {namespace}; the entry for {entry}");
        assert_eq!(objecting(&case), ("not excluded", input, Reason::Excluded));
    }
}

#[test]
fn each_container_is_told_why_it_is_selected_or_not() {
    let spec = json!({
        "containers": named(&["istio-proxy", "app"]),
        "initContainers": [{"name": "migrate"}, {"name": "cache", "restartPolicy": "Always"}],
    });
    let said = |case: &Case| {
        let (skipped, told) = told(case);
        assert_eq!(skipped, None);
        assert!(told.iter().all(|(_, _, reason)| reason.is_none()), "{told:?}");
        told.into_iter().find(|(rule, _, _)| *rule == "containers").expect("it is told").1
    };
    assert_eq!(
        said(&of(spec.clone())),
        "istio-proxy: known sidecar, app: selected, migrate: init container, cache: init container"
    );
    assert_eq!(
        said(&of(spec).annotate("otelgate.dev/containers", "cache,istio-proxy")),
        "istio-proxy: named, app: not named, migrate: not named, cache: named"
    );
    let many: Value = (0..30).map(|index| json!({"name": format!("c{index}")})).collect();
    assert!(said(&of(json!({"containers": many}))).ends_with("c19: selected, and 10 more"));
}
