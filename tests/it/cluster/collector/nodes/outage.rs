//! Data that a trial's Collector can't get rid of: by its own fault, and since nobody can.
//!
//! By an exporter that counts what it loses: that of Datadog hands lines over to a part of itself, and counts them as sent.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::super::intake::Intake;
use super::Cluster;
use crate::control_plane::network::ADDRESS;
use crate::control_plane::wait_for;

const EXPORTER: &str = "otlp_http/own";

impl Cluster<'_> {
    pub(super) fn what_is_lost_counts_by_whose_fault_it_is(&self) {
        self.plane.apply(&[self.sending_to(self.intake.port, 1)]);
        self.wait_for_reason("CollectorOnEveryNode");
        self.what_only_the_trial_loses_is_its_own_fault();
        self.what_waits_in_vain_in_the_trial_alone_is_its_own_fault_too();
        self.what_nobody_gets_rid_of_is_no_fault_of_a_revision();
    }

    fn sending_to(&self, port: u16, timeout: u32) -> Value {
        let mut stack = self.stack(&json!({}));
        let collector = &mut stack["spec"]["collector"];
        collector["batch"] = json!({"timeoutSeconds": timeout});
        collector["config"]["exporters"][EXPORTER] = json!({"endpoint": format!("http://{ADDRESS}:{port}")});
        collector["config"]["service"]["pipelines"]["logs/files"] = json!({"exporters": ["datadog", EXPORTER]});
        stack
    }

    /// Where it sends to, everything is refused; where the others do, nothing is.
    fn what_only_the_trial_loses_is_its_own_fault(&self) {
        let (before, revision) = (self.collectors(), self.revision());
        let closed = Intake::start(self.plane);
        closed.refuse();
        self.plane.apply(&[self.sending_to(closed.port, 1)]);
        let message = self.wait_for_reason("CollectorRolledBack");
        assert!(message.contains(&format!(": exporter {EXPORTER} failed to send ")), "{message}");
        assert!(message.contains(" log_records: ") && message.contains("403"), "in its own words: {message}");
        assert!(message.contains("; Collectors of other nodes don't"), "{message}");
        self.is_as_before(&before, &revision, &message);
        self.plane.apply(&[self.sending_to(self.intake.port, 1)]);
        self.wait_for_reason("CollectorOnEveryNode");
    }

    /// Nobody answers where it sends to: all of it waits, and is tried again.
    fn what_waits_in_vain_in_the_trial_alone_is_its_own_fault_too(&self) {
        let (before, revision) = (self.collectors(), self.revision());
        let listener = self.plane.network().inside(|| TcpListener::bind((ADDRESS, 0))).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        self.plane.apply(&[self.sending_to(port, 1)]);
        let message = self.wait_for_reason("CollectorRolledBack");
        assert!(message.contains(&format!(": exporter {EXPORTER} fails to send logs: ")), "{message}");
        assert!(message.contains("connection refused"), "in its own words: {message}");
        assert!(message.contains("; Collectors of other nodes don't"), "{message}");
        self.is_as_before(&before, &revision, &message);
        self.plane.apply(&[self.sending_to(self.intake.port, 1)]);
        self.wait_for_reason("CollectorOnEveryNode");
    }

    /// Nothing is taken from anybody; then everything is again.
    fn what_nobody_gets_rid_of_is_no_fault_of_a_revision(&self) {
        let revision = self.revision();
        self.intake.refuse();
        self.plane.apply(&[self.sending_to(self.intake.port, 2)]);
        let message = self.wait_for_reason("CollectorTrialHeld");
        let told = format!(", where its exporter {EXPORTER} fails to send logs, as on other nodes");
        assert!(message.contains(&told), "{message}");
        let status = self.status();
        assert_eq!(status["collector"]["revision"], revision);
        let tried = status["collector"]["trial"]["node"].as_str().expect("a trial").to_owned();
        for (node, running) in self.collectors() {
            assert_eq!(revision == running.revision, node != tried, "{node}: {running:?}");
        }
        self.intake.accept();
        self.wait_for_reason("CollectorOnEveryNode");
        let now = self.revision();
        assert_ne!(now, revision);
        wait_for("the new one on every node", || {
            let all = self.collectors();
            (all.len() == 2 && all.values().all(|one| now == one.revision)).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}{}", self.words()));
    }
}
