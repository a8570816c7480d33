//! Nobody can tell by how many threads documents were rewritten, and a template has what its pods would have.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use super::*;
use crate::cli::input::Input;
use crate::config::Configuration;

const NAMESPACE: &str =
    "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {otelgate.dev/inject: enabled}}}\n";

/// A workload whose container has what is given, with comments, in YAML's block style.
fn workload(kind: &str, name: &str, container: &str) -> String {
    format!(
        "# {name}\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  template:\n    \
         spec:\n      containers: # all\n      - name: main\n        image: x/{name}:1 # beside\n{container}"
    )
}

fn input(name: &str, text: impl Into<String>) -> Input {
    Input { name: name.to_owned(), text: text.into() }
}

/// Several files: documents of all sorts, a List, a stream of JSON, one document, and none.
fn inputs(container: &str) -> Vec<Input> {
    let mut many = format!("\u{feff}# top\n---\n{NAMESPACE}");
    for index in 0..60 {
        let document = match index % 6 {
            0 => "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  text: |\n    x: 1\n".to_owned(),
            1 => "# nothing but this\n".to_owned(),
            2 => workload("StatefulSet", &format!("s{index}"), "        env: [{name: A, value: b}]\n"),
            3 => workload("Deployment", &format!("other{index}"), "").replace("namespace: shop", "namespace: other"),
            _ => workload("Deployment", &format!("d{index}"), ""),
        };
        write!(many, "---\n{document}").expect("a String takes all");
    }
    let item = |index: usize| {
        let workload = workload("DaemonSet", &format!("i{index}"), "");
        format!("- {}\n", workload.trim_end().replace('\n', "\n  "))
    };
    let items: String = (0..20).map(item).collect();
    let object = |index: usize| {
        let metadata = json!({"name": format!("j{index}"), "namespace": "shop"});
        let spec = json!({"containers": [{"name": "main"}]});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string() + "\n"
    };
    vec![
        input("many.yaml", many),
        input("list.yaml", format!("apiVersion: v1\nkind: List\nitems:\n{items}")),
        input("stream.json", (0..20).map(object).collect::<String>()),
        input("one.yaml", workload("Deployment", "one", container)),
        input("none.yaml", ""),
    ]
}

/// All that `inject` goes on with, or complains about.
#[derive(Debug, PartialEq)]
struct Told {
    texts: Vec<(String, String)>,
    outcomes: Vec<Outcome>,
    joined: String,
    differences: String,
}

fn told(inputs: &[Input], undo: bool, threads: usize) -> Result<Told, Vec<Complaint>> {
    let configuration = Configuration::default();
    let parsed = input::parse_all(inputs)?;
    let setting = Setting { configuration: &configuration, namespace: None, opt_in: false, now: Timestamp::UNIX_EPOCH };
    let rules = Rules { setting, namespaces: Namespaces::of(&parsed)?, undo };
    let (rewritten, outcomes) = rules.apply(&parsed, threads)?;
    Ok(Told {
        texts: rewritten.iter().map(|one| (one.name.to_owned(), one.new.clone())).collect(),
        joined: joined(&rewritten),
        differences: differences(&rewritten),
        outcomes,
    })
}

/// What is told by one thread, and by any number of them.
fn alike(inputs: &[Input], undo: bool) -> Result<Told, Vec<Complaint>> {
    let one = told(inputs, undo, 1);
    for threads in [2, 3, 8] {
        assert_eq!(told(inputs, undo, threads), one, "{threads} threads");
    }
    one
}

#[test]
fn several_threads_write_and_report_what_one_does() {
    let original = inputs("");
    let injected = alike(&original, false).expect("manifests");
    assert_eq!(injected.outcomes.len(), 81, "all that have pods");
    let written: Vec<_> = injected.texts.iter().map(|(name, text)| input(name, text.as_str())).collect();
    assert!(original.iter().zip(&written).take(4).all(|(old, new)| old.text.len() < new.text.len()));
    let again = alike(&written, false).expect("what was written is manifests");
    assert_eq!((again.texts, again.differences.as_str()), (injected.texts, ""));
    let undone = alike(&written, true).expect("what was written is manifests");
    assert!(undone.texts.iter().zip(&original).all(|((_, undone), original)| *undone == original.text));
}

#[test]
fn several_threads_complain_in_the_order_of_the_input() {
    let mut faulty = inputs("        env: [{name: A, value: 1}]\n");
    for (file, name) in [(0, "d58"), (0, "s2"), (0, "d29"), (1, "i7")] {
        faulty[file].text = faulty[file].text.replace(&format!("image: x/{name}:1"), "image: 7");
    }
    let complaints = alike(&faulty, false).expect_err("five are faulty");
    let about = |complaint: &Complaint| complaint.message.split(':').next().map(str::to_owned);
    let about: Vec<_> = complaints.iter().filter_map(about).collect();
    assert_eq!(
        about,
        [
            "StatefulSet shop/s2",
            "Deployment shop/d29",
            "Deployment shop/d58",
            "DaemonSet shop/i7",
            "Deployment shop/one"
        ]
    );
}

#[test]
fn a_captured_pod_is_decided_as_when_it_was_created() {
    let owned_by = |created: &str| {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: nightly-29923920-x2x4z\n  namespace: shop\n";
        let owner =
            "  ownerReferences:\n  - {apiVersion: batch/v1, kind: Job, name: nightly-29923920, controller: true}\n";
        let text = format!("{NAMESPACE}---\n{pod}{created}{owner}spec:\n  containers:\n  - name: main\n");
        let told = told(&[input("pod.yaml", text)], false, 1).expect("a pod");
        let of_job = told.joined.contains("k8s.job.name=nightly-29923920");
        (told.joined.contains("k8s.cronjob.name=nightly,"), of_job)
    };
    assert_eq!(owned_by("  creationTimestamp: \"2026-11-23T12:00:05Z\"\n"), (true, true));
    // The day says nothing else.
    assert_eq!(owned_by(""), (false, true));
    assert_eq!(owned_by("  creationTimestamp: null\n"), (false, true));
}

/// The variables of an object's first container, by where its pod template stands.
fn environment(object: &Value, template: &str, now: &str) -> Value {
    let configuration = Configuration::default();
    let inputs = [input("object.json", object.to_string())];
    let parsed = input::parse_all(&inputs).expect("a manifest");
    let now = now.parse().expect("a time");
    let setting = Setting { configuration: &configuration, namespace: Some("shop"), opt_in: true, now };
    let rules = Rules { setting, namespaces: Namespaces::default(), undo: false };
    let (rewritten, _) = rules.apply(&parsed, 1).expect("a manifest");
    let written: Value = serde_json::from_str(&joined(&rewritten)).expect("JSON");
    written.pointer(&format!("{template}/spec/containers/0/env")).expect("variables").clone()
}

/// The value of the variable of that name.
fn text<'e>(env: &'e Value, name: &str) -> &'e str {
    let variable = env.as_array().into_iter().flatten().find(|variable| variable["name"] == name);
    variable.and_then(|variable| variable["value"].as_str()).unwrap_or_default()
}

/// The service's name of a Job's or a ReplicaSet's pods, which have all that the document's template has.
fn service_of_pods(owner: [&str; 3], metadata: &Value, labels: &Value, now: &str) -> String {
    let [api_version, kind, name] = owner;
    let spec = json!({"containers": [{"name": "main"}]});
    let by = json!([{"apiVersion": api_version, "kind": kind, "name": name, "controller": true}]);
    let created = &metadata["creationTimestamp"];
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": {
        "generateName": format!("{name}-"), "labels": labels, "creationTimestamp": created, "ownerReferences": by}});
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata,
        "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}}});
    object["metadata"]["name"] = name.into();
    let env = environment(&object, "/spec/template", now);
    assert_eq!(env, environment(&pod, "", now), "{object}");
    text(&env, "OTEL_SERVICE_NAME").to_owned()
}

/// Whoever made it: a pod names the Job alone.
#[test]
fn a_job_is_decided_by_its_name_as_its_pods_are() {
    const NOON: &str = "2026-11-23T12:00:00Z";
    const A_YEAR_LATER: &str = "2027-11-23T12:00:00Z";
    let cron_job = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "controller": true}]);
    for owners in [cron_job, json!([])] {
        for (name, created, now, service) in [
            ("manual", Some(NOON), NOON, "manual"),
            ("nightly-29923920", None, NOON, "nightly"),
            ("nightly-29923920", None, A_YEAR_LATER, "nightly-29923920"),
            ("nightly-29923920", Some(NOON), A_YEAR_LATER, "nightly"),
            ("nightly-29923920", Some(A_YEAR_LATER), NOON, "nightly-29923920"),
        ] {
            let metadata = json!({"creationTimestamp": created, "ownerReferences": owners});
            let found = service_of_pods(["batch/v1", "Job", name], &metadata, &json!({}), now);
            assert_eq!(found, service, "{name}, created {created:?}, decided {now}");
        }
    }
}

#[test]
fn a_replica_set_is_decided_by_its_templates_hash_as_its_pods_are() {
    let deployment = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true}]);
    for owners in [deployment, json!([])] {
        for (labels, service) in [
            (json!({"pod-template-hash": "5d9"}), "web"),
            (json!({"rollouts-pod-template-hash": "5d9"}), "web"),
            (json!({}), "web-5d9"),
        ] {
            let metadata = json!({"ownerReferences": owners});
            let found =
                service_of_pods(["apps/v1", "ReplicaSet", "web-5d9"], &metadata, &labels, "2026-11-23T12:00:00Z");
            assert_eq!(found, service, "{labels}");
        }
    }
}

/// As Kubernetes, Argo and `OpenKruise` define them.
#[test]
fn every_known_kind_is_injected_where_its_template_stands() {
    let (selector, spec) = (json!({"app": "it"}), json!({"containers": [{"name": "main", "image": "it:1"}]}));
    let template = json!({"metadata": {"labels": selector}, "spec": spec});
    let plain = json!({"spec": {"template": template}});
    let selecting = json!({"spec": {"selector": {"matchLabels": selector}, "template": template}});
    let of_sets = json!({"spec": {"serviceName": "it", "selector": {"matchLabels": selector}, "template": template}});
    let of_cron = json!({"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}});
    let controller = json!({"spec": {"replicas": 1, "selector": selector, "template": template}});
    let below_spec = "/spec/template";
    let mut tested = BTreeSet::new();
    for (group, version, kind, object, at, owner) in [
        ("", "v1", "Pod", &json!({"spec": spec}), "", None),
        ("", "v1", "PodTemplate", &json!({"template": template}), "/template", None),
        ("", "v1", "ReplicationController", &controller, below_spec, None),
        ("apps", "v1", "Deployment", &selecting, below_spec, Some("deployment")),
        ("apps", "v1", "StatefulSet", &of_sets, below_spec, Some("statefulset")),
        ("apps", "v1", "DaemonSet", &selecting, below_spec, Some("daemonset")),
        ("apps", "v1", "ReplicaSet", &selecting, below_spec, Some("replicaset")),
        ("batch", "v1", "Job", &plain, below_spec, Some("job")),
        ("batch", "v1", "CronJob", &of_cron, "/spec/jobTemplate/spec/template", Some("cronjob")),
        ("argoproj.io", "v1alpha1", "Rollout", &selecting, below_spec, None),
        ("apps.kruise.io", "v1alpha1", "CloneSet", &selecting, below_spec, None),
        ("apps.kruise.io", "v1beta1", "StatefulSet", &of_sets, below_spec, None),
        ("apps.kruise.io", "v1alpha1", "DaemonSet", &selecting, below_spec, None),
        ("apps.kruise.io", "v1alpha1", "BroadcastJob", &plain, below_spec, None),
    ] {
        let mut object = object.clone();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        (object["apiVersion"], object["kind"]) = (api_version.into(), kind.into());
        object["metadata"] = json!({"name": "it", "namespace": "shop"});
        let env = environment(&object, at, "2026-11-23T12:00:00Z");
        assert_eq!(text(&env, "OTEL_SERVICE_NAME"), "it", "{group} {kind}");
        let is_owner = |pair: &&str| pair.ends_with("=it") && pair.starts_with("k8s.");
        let named: Vec<_> = text(&env, "OTEL_RESOURCE_ATTRIBUTES").split(',').filter(is_owner).collect();
        let owner: Vec<_> = owner.map(|owner| format!("k8s.{owner}.name=it")).into_iter().collect();
        assert_eq!(named, owner, "{group} {kind}");
        assert!(tested.insert((group, kind)), "{group} {kind} stands twice");
    }
    assert_eq!(tested, kind::known().collect::<BTreeSet<_>>());
}
