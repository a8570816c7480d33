//! What is in the way is told in a sentence, and nothing is done.

use std::fs;

use serde_json::json;

use super::KEY;
use super::person::{Person, listing};
use crate::control_plane::plane::Parts;
use crate::control_plane::programs::Helm;
use crate::control_plane::{ControlPlane, Version, wait_for};

#[test]
fn what_is_in_the_way_is_told_before_anything_is_done() {
    // Without controllers, a namespace that is deleted is so for ever.
    let plane = ControlPlane::start(Version::Oldest, Parts::ApiServer).unwrap_or_else(|error| panic!("{error}"));
    let plane = &plane;
    let person = Person::new(plane, Some(Helm::Three));
    a_dead_api_server(plane, &person);
    no_rights(plane, &person);
    some_rights(plane, &person);
    a_key_that_is_none(&person);
    no_helm(plane);
    an_old_helm(plane, &person);
    a_namespace_that_goes(plane, &person);
}

fn a_dead_api_server(plane: &ControlPlane, person: &Person<'_>) {
    let (_, kubeconfig) = plane.kubectl_environment();
    let path = plane.network().folder().join("dead.conf");
    let text = fs::read_to_string(kubeconfig).expect("a kubeconfig").replace(":6443", ":6444");
    fs::write(&path, text).expect("a kubeconfig");
    let person = person.with_kubeconfig(&path);
    for command in [&["deploy"][..], &["update"], &["cleanup", "--yes"]] {
        let told = person.run(command);
        told.assert_fails(2, &[":6444: the API server can't be reached: nothing listens there", "next: "]);
    }
}

fn no_rights(plane: &ControlPlane, person: &Person<'_>) {
    let path = plane.kubeconfig_for("nobody", "nobody", None).expect("a kubeconfig");
    let told = person.with_kubeconfig(&path).run(&["deploy"]);
    told.assert_fails(2, &["list", "secrets", "next: "]);
    let told = person.with_kubeconfig(&path).run(&["cleanup", "--yes"]);
    told.assert_fails(
        2,
        &["not allowed to list namespaces in the whole cluster", "kubectl auth can-i list namespaces"],
    );
}

/// Whoever may look, and write nothing.
fn some_rights(plane: &ControlPlane, person: &Person<'_>) {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "cluster-test-reader"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},
                  {"apiGroups": ["apiextensions.k8s.io"], "resources": ["*"], "verbs": ["create", "patch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "cluster-test-reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-test-reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}]});
    plane.apply(&[role, binding]);
    // The API server learns of them by watching itself.
    wait_for("the rights", || {
        plane.kubectl(&["auth", "can-i", "list", "secrets", "--as=reader"]).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let path = plane.kubeconfig_for("reader", "reader", None).expect("a kubeconfig");
    let told = person.with_kubeconfig(&path).with_key(KEY).run(&["deploy", "--otelgate-namespace=elsewhere"]);
    told.assert_fails(
        2,
        &[
            "not allowed to create namespaces; ",
            "create secrets in namespace datadog; ",
            "create clusterroles.rbac.authorization.k8s.io",
            "create mutatingwebhookconfigurations.admissionregistration.k8s.io",
            "nothing was changed",
        ],
    );
}

fn a_key_that_is_none(person: &Person<'_>) {
    let application_key = "0123456789abcdef0123456789abcdef01234567";
    let told = person.with_key(application_key).run(&["deploy"]);
    told.assert_fails(64, &["$DD_API_KEY: isn't a Datadog API key: it has 40 characters"]);
    assert!(!told.stderr.contains(application_key));
}

fn no_helm(plane: &ControlPlane) {
    let before = listing::now(plane);
    let told = Person::new(plane, None).run(&["deploy"]);
    told.assert_fails(
        2,
        &[
            "helm: it isn't in the search path",
            "kubectl apply --server-side --force-conflicts -f charts/otelgate/crds\n",
            "helm upgrade --install otelgate charts/otelgate --namespace otelgate --create-namespace",
        ],
    );
    listing::assert_same(&before, &listing::now(plane), "nothing is done without Helm");
}

fn an_old_helm(plane: &ControlPlane, person: &Person<'_>) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = plane.network().folder().join("old-helm");
    fs::write(&path, "#!/bin/sh\necho v3.13.3+gc8b9489\n").expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a script that runs");
    let told = person.run(&["deploy", "--helm", path.to_str().expect("UTF-8")]);
    told.assert_fails(2, &["it is version 3.13.3, and 3.14.0 or later is needed"]);
}

fn a_namespace_that_goes(plane: &ControlPlane, person: &Person<'_>) {
    plane.kubectl(&["create", "namespace", "going"]).expect("kubectl create");
    plane.kubectl(&["delete", "namespace", "going", "--wait=false"]).expect("kubectl delete");
    let told = person.run(&["deploy", "--otelgate-namespace=going"]);
    told.assert_fails(2, &["namespace going is being deleted", "kubectl wait --for=delete namespace/going"]);
}
