//! What happens to a cluster in a bad week, in one day.

use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use super::load::Load;
use super::{AUTHORITY, Cluster, NAMESPACE, PATIENCE, REGISTRATION, SERVING, count, plane};
use crate::cluster::OTELGATE;
use crate::control_plane::process_nodes::{ProcessNodes, Replica};
use crate::control_plane::programs::Helm;
use crate::control_plane::release::Release;
use crate::control_plane::wait_for;

#[test]
fn from_nothing_and_through_every_mishap() {
    let plane = plane();
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let values = json!({"controller": {"replicas": 2}, "certificates": {"leafLifetime": "30m"}});
    let release = Release::install(&nodes, Helm::Four, &values);
    let cluster = Cluster { plane: &plane, release: &release };
    cluster.open_shop();
    cluster.settles(None);
    cluster.what_is_made_goes_with_the_stack();
    let mut load = Load::start(&plane);
    cluster.a_deleted_certificate_comes_back();
    cluster.a_deleted_authority_is_replaced();
    cluster.both_deleted_come_back();
    load.wait_for(5);
    cluster.an_emptied_bundle_is_filled(&mut load);
    cluster.a_controller_killed_in_mid_rotation_goes_on();
    cluster.a_controller_that_was_stopped_does_no_harm();
    load.wait_for(5);
    cluster.a_replica_that_sleeps_through_a_rotation(&mut load);
    load.wait_for(20);
    cluster.keys_are_in_no_log();
}

impl Cluster<'_> {
    fn controllers(&self) -> Vec<Replica<'_>> {
        self.release.nodes.replicas(NAMESPACE, "app.kubernetes.io/component=controller", 2)
    }

    fn leader(&self) -> Replica<'_> {
        let holder = wait_for("a leader", || {
            let lease = self.plane.get(NAMESPACE, "lease/otelgate-controller");
            lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned)
        });
        let holder = holder.expect("a leader");
        self.controllers().into_iter().find(|replica| replica.name == holder).expect("the leader is one of them")
    }

    fn what_is_made_goes_with_the_stack(&self) {
        for secret in [SERVING, AUTHORITY] {
            let metadata = &self.plane.get(NAMESPACE, secret)["metadata"];
            assert_eq!(metadata["ownerReferences"][0]["kind"], "TelemetryStack", "{secret}");
            assert_eq!(metadata["labels"]["app.kubernetes.io/name"], "otelgate", "{secret}");
        }
        let status = &self.stack()["status"]["certificates"];
        assert_eq!(status["provider"], "otelgate");
        assert!(status["leafNotAfter"].as_str() < status["authorityNotAfter"].as_str(), "{status}");
    }

    fn a_deleted_certificate_comes_back(&self) {
        let (before, authority) = (self.settles(None), self.secret(AUTHORITY, "tls.crt"));
        self.delete(SERVING);
        self.settles(Some(&before));
        assert_eq!(self.secret(AUTHORITY, "tls.crt"), authority);
    }

    fn a_deleted_authority_is_replaced(&self) {
        let (before, authority) = (self.settles(None), self.secret(AUTHORITY, "tls.crt"));
        self.delete(AUTHORITY);
        self.rotates();
        self.settles(Some(&before));
        assert_ne!(self.secret(AUTHORITY, "tls.crt"), authority);
    }

    fn both_deleted_come_back(&self) {
        let before = self.settles(None);
        self.plane.kubectl(&["delete", "-n", NAMESPACE, SERVING, AUTHORITY]).expect("kubectl delete");
        self.settles(Some(&before));
    }

    /// Between the edit and the repair nobody is trusted: that costs calls.
    fn an_emptied_bundle_is_filled(&self, load: &mut Load<'_>) {
        load.pause();
        let bundles = self.bundles();
        let empty = |index: usize| json!({"op": "remove", "path": format!("/webhooks/{index}/clientConfig/caBundle")});
        let patch = json!((0..bundles.len()).map(empty).collect::<Vec<_>>()).to_string();
        self.plane.kubectl(&["patch", REGISTRATION, "--type=json", "-p", &patch]).expect("kubectl patch");
        wait_for("the bundles to be filled", || (self.bundles() == bundles).then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {}", self.words()));
        self.open_shop();
        load.resume();
        load.wait_for(5);
    }

    fn a_controller_killed_in_mid_rotation_goes_on(&self) {
        let before = self.settles(None);
        self.delete(AUTHORITY);
        self.rotates();
        self.leader().kill();
        self.settles(Some(&before));
    }

    /// It believes for a moment that it still leads, and so two act.
    fn a_controller_that_was_stopped_does_no_harm(&self) {
        let before = self.settles(None);
        let stopped = self.leader();
        stopped.signal(Signal::STOP);
        self.delete(AUTHORITY);
        self.rotates();
        stopped.signal(Signal::CONT);
        self.settles(Some(&before));
    }

    fn a_replica_that_sleeps_through_a_rotation(&self, load: &mut Load<'_>) {
        load.pause();
        let before = self.settles(None);
        let sleeper = self.release.replicas(2).swap_remove(0);
        sleeper.signal(Signal::STOP);
        wait_for("the replica to be called no more", || {
            let slices =
                ["get", "endpointslices", "-n", NAMESPACE, "-l", "kubernetes.io/service-name=otelgate-webhook"];
            let slices = self.plane.kubectl(&[&slices[..], &["-o", "json"]].concat()).json("slices");
            let endpoints = slices["items"].as_array()?.iter().filter_map(|slice| slice["endpoints"].as_array());
            let ready = endpoints.flatten().filter(|endpoint| endpoint["conditions"]["ready"] == true).count();
            (ready == 1).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.words()));
        // The API server learns of it by a watch of its own.
        self.open_shop();
        load.resume();
        self.delete(AUTHORITY);
        let switched = wait_for("the other replica to switch", || {
            self.secret(SERVING, "tls.crt").filter(|certificate| *certificate != before)
        });
        switched.unwrap_or_else(|error| panic!("{error}: {}", self.words()));
        let began = Instant::now();
        wait_for("a while", || {
            let bundle = self.secret(SERVING, "ca.crt").expect("a bundle");
            assert_eq!(count(&bundle), 2, "what it serves when it wakes is still trusted");
            (began.elapsed() > PATIENCE / 24).then_some(())
        })
        .expect("time passes");
        sleeper.signal(Signal::CONT);
        self.settles(Some(&before));
    }

    fn keys_are_in_no_log(&self) {
        for replica in self.controllers().into_iter().chain(self.release.replicas(2)) {
            let log = replica.log();
            assert!(!log.contains("PRIVATE KEY") && !log.contains("BEGIN CERT"), "{}", replica.name);
        }
    }
}
