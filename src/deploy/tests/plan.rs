use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::object;
use crate::deploy::definition::Change;
use crate::deploy::plan::{Observed, PlanError, Registration, Wanted, plan, rights};
use crate::deploy::release::{Installed, Rendered};
use crate::deploy::{ApiKey, Plan, Version};
use crate::k8s::Namespace;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn wanted(values: &Value, objects: Vec<Value>, key: Option<&str>) -> Wanted {
    Wanted {
        release: "otelgate".to_owned(),
        namespace: "otelgate".to_owned(),
        version: Version { major: 0, minor: 2, patch: 0 },
        rendered: Rendered { objects, values: values.clone() },
        key: key.map(|key| ApiKey::parse(key).expect("a key").0),
    }
}

fn nothing() -> Observed {
    Observed {
        namespaces: BTreeMap::new(),
        credentials: None,
        definition: Change::Create,
        release: None,
        registration: None,
    }
}

fn namespace(name: &str, metadata: &Value) -> (String, Namespace) {
    (name.to_owned(), object(json!({"metadata": metadata})))
}

fn installed(version: &str, status: &str, revision: &str) -> Installed {
    object(json!({"name": "otelgate", "namespace": "otelgate", "revision": revision, "status": status,
                       "chart": format!("otelgate-{version}"), "app_version": version}))
}

fn told(plan: &Plan) -> String {
    let line = |line: crate::deploy::plan::Line| {
        let advice =
            line.advice.map_or_else(String::new, |advice| format!(" [{}: {}]", advice.message, advice.command));
        format!("{} {}: {}{advice}\n", line.action, line.object, line.detail)
    };
    plan.lines().into_iter().map(line).collect()
}

#[test]
fn in_an_empty_cluster_all_is_made() {
    let plan = plan(&wanted(&json!({}), vec![], Some(KEY)), &nothing()).expect("a plan");
    assert_eq!(
        told(&plan),
        "create Namespace otelgate: pod-security.kubernetes.io/enforce=restricted\n\
         create Namespace datadog: pod-security.kubernetes.io/enforce=privileged\n\
         create Secret datadog/datadog-secret: key api-key, from DD_API_KEY\n\
         create CustomResourceDefinition telemetrystacks.otelgate.dev: \n\
         install Helm release otelgate/otelgate: otelgate 0.2.0, 0 objects\n"
    );
}

#[test]
fn what_is_there_is_looked_at_and_left() {
    let enforce = "pod-security.kubernetes.io/enforce";
    let mut observed = nothing();
    observed.namespaces = BTreeMap::from([
        namespace("otelgate", &json!({})),
        namespace("monitoring", &json!({"labels": {enforce: "baseline"}})),
    ]);
    observed.credentials = Some(object(json!({"metadata": {"name": "dd"}, "data": {"key": "eA=="}})));
    observed.definition = Change::Update(vec!["+v1alpha1.spec.new".to_owned()]);
    observed.release = Some(installed("0.1.0", "deployed", "3"));
    observed.registration = Some(Registration { namespace: "otelgate".to_owned(), by_helm: true });
    let values =
        json!({"injection": {"collector": {"namespace": "monitoring"}}, "datadog": {"secret": {"name": "dd"}}});
    let plan = plan(&wanted(&values, vec![], Some(KEY)), &observed).expect("a plan");
    assert_eq!(
        told(&plan),
        "keep Namespace otelgate:  [it has no label pod-security.kubernetes.io/enforce, so that the cluster's own \
         default counts: kubectl label namespace otelgate --overwrite pod-security.kubernetes.io/enforce=restricted]\n\
         keep Namespace monitoring:  [its pod security is baseline, which refuses pods that need privileged: kubectl \
         label namespace monitoring --overwrite pod-security.kubernetes.io/enforce=privileged]\n\
         keep Secret monitoring/dd: deploy didn't make it, and leaves it as it is\n\
         change CustomResourceDefinition telemetrystacks.otelgate.dev: +v1alpha1.spec.new\n\
         upgrade Helm release otelgate/otelgate: otelgate 0.1.0 to 0.2.0, 0 objects, with the values it has\n"
    );
}

#[test]
fn a_namespace_of_the_charts_is_left_to_it_and_the_secret_waits() {
    let brought = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "datadog"}});
    let host = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"},
                      "spec": {"template": {"spec": {"hostNetwork": true}}}});
    let plan = plan(&wanted(&json!({}), vec![brought, host], Some(KEY)), &nothing()).expect("a plan");
    let told = told(&plan);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "create Namespace otelgate: pod-security.kubernetes.io/enforce=privileged");
    assert_eq!(lines[1], "keep Namespace datadog: the chart brings it");
    assert!(lines[4].starts_with("create Secret datadog/datadog-secret"), "{told}");
}

#[test]
fn only_a_secret_of_its_own_is_changed() {
    let secret = |key: &str, labels: &Value| {
        use base64::Engine as _;
        let key = base64::prelude::BASE64_STANDARD.encode(key);
        Some(object(json!({"metadata": {"name": "datadog-secret", "labels": labels}, "data": {"api-key": key}})))
    };
    let ours = json!({"otelgate.dev/created-by": "deploy"});
    for (found, key, says) in [
        (
            None,
            None,
            "skip Secret datadog/datadog-secret: DD_API_KEY isn't set; neither Collector nor Agent starts without a key",
        ),
        (secret("x", &ours), Some(KEY), "change Secret datadog/datadog-secret: key api-key gets the one in DD_API_KEY"),
        (secret(KEY, &ours), Some(KEY), "keep Secret datadog/datadog-secret: "),
        (secret("x", &ours), None, "keep Secret datadog/datadog-secret: "),
        (
            secret("x", &json!({})),
            None,
            "keep Secret datadog/datadog-secret: deploy didn't make it, and leaves it as it is",
        ),
    ] {
        let observed = Observed { credentials: found, ..nothing() };
        let plan = plan(&wanted(&json!({}), vec![], key), &observed).expect("a plan");
        assert_eq!(told(&plan).lines().nth(2), Some(says));
        assert!(!format!("{plan:?}").contains(KEY));
    }
}

#[test]
fn what_is_in_the_way_stops_it() {
    let refused = |observed: Observed| plan(&wanted(&json!({}), vec![], None), &observed).expect_err("no plan");
    let mut of_kubernetes = wanted(&json!({}), vec![], None);
    of_kubernetes.namespace = "kube-system".to_owned();
    let error = plan(&of_kubernetes, &nothing()).expect_err("no plan");
    let (namespace_of, why) = ("kube-system".to_owned(), "Kubernetes' own".to_owned());
    assert_eq!(error, PlanError::NeverCalled { namespace: namespace_of, why });
    assert!(error.next_step().starts_with("name another with --otelgate-namespace, such as otelgate"));
    let left_out = namespace("otelgate", &json!({"labels": {"kubernetes.azure.com/managedby": "aks"}}));
    let error = refused(Observed { namespaces: BTreeMap::from([left_out]), ..nothing() });
    assert_eq!(
        error.to_string(),
        "the API server never calls the webhook for pods of namespace otelgate (label kubernetes.azure.com/managedby=aks), \
         where otelgate tries one"
    );
    let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
    let observed = Observed { namespaces: BTreeMap::from([namespace("datadog", &going)]), ..nothing() };
    assert_eq!(refused(observed), PlanError::Terminating("datadog".to_owned()));
    let error = refused(Observed { release: Some(installed("0.4.0", "deployed", "1")), ..nothing() });
    assert_eq!(error.to_string(), "otelgate 0.4.0 is installed, and 0.2.0 is more than one minor version older");
    let error = refused(Observed { release: Some(installed("0.2.0", "pending-install", "1")), ..nothing() });
    assert!(error.next_step().ends_with("helm uninstall otelgate --namespace otelgate"));
    let error = refused(Observed { release: Some(installed("0.2.0", "pending-upgrade", "2")), ..nothing() });
    assert!(error.next_step().ends_with("helm rollback otelgate --namespace otelgate"));
    let registration = |namespace: &str, by_helm| Some(Registration { namespace: namespace.to_owned(), by_helm });
    let error = refused(Observed { registration: registration("x", true), ..nothing() });
    assert_eq!(error, PlanError::Elsewhere("x".to_owned()));
    let error = refused(Observed { registration: registration("otelgate", false), ..nothing() });
    assert_eq!(error, PlanError::WithoutHelm);
}

#[test]
fn the_rights_are_those_of_the_steps() {
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                        "metadata": {"name": "x", "namespace": "otelgate"}});
    let wanted = wanted(&json!({}), vec![policy], Some(KEY));
    let made = plan(&wanted, &nothing()).expect("a plan");
    let told: Vec<String> = rights(&made, &wanted.rendered).iter().map(crate::deploy::plan::Right::told).collect();
    assert_eq!(
        told,
        [
            "create namespaces",
            "create secrets in namespace datadog",
            "create secrets in namespace otelgate",
            "create networkpolicies.networking.k8s.io in namespace otelgate",
            "patch customresourcedefinitions.apiextensions.k8s.io",
        ]
    );
}
