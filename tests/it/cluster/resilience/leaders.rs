//! Two controllers, and a change that is rolled out while the leader is killed or stopped: the other one goes on where it
//! was, and what leads no more writes no more.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::nodes::Seen;
use super::{Controller, STACK, World, stage};
use crate::control_plane::api_proxy::ApiProxy;
use crate::control_plane::wait_for;

const QUIET: Duration = Duration::from_secs(18);
const TRIAL: &str = "/apis/apps/v1/namespaces/datadog/daemonsets/otel-collector-trial";
const CONTENDED: &str = "/api/v1/namespaces/datadog/configmaps/otel-collector-config";
/// The Cluster Agent's token, and the authority that signs for the webhook.
const SECRETS: [&str; 2] =
    ["/api/v1/namespaces/datadog/secrets/datadog-cluster-agent", "/api/v1/namespaces/otelgate/secrets/otelgate-ca"];

#[test]
fn a_leader_that_is_killed_in_a_rollout_is_followed_without_a_second_trial() {
    stage(|world| {
        let (first, second) = world.two();
        world.nodes.take_time();
        let before = world.revision();
        world.roll("100m");
        let (trial, revision) = world.trial(&before, &first);
        let secrets = SECRETS.map(|path| world.secret(path));
        drop(first);
        world.wait_until_it_leads("two", &second);
        assert_eq!(world.get(TRIAL)["metadata"]["uid"], trial, "the one that was begun is gone on with");
        world.wait_until_rolled_out(&revision, &second);
        world.each_ran_once(&revision);
        assert_eq!(SECRETS.map(|path| world.secret(path)), secrets, "what is made once isn't made anew");
    });
}

#[test]
fn a_leader_that_is_stopped_and_continued_writes_nothing_any_more() {
    stage(|world| {
        let (first, second) = world.two();
        world.nodes.take_time();
        let before = world.revision();
        world.roll("100m");
        let (trial, revision) = world.trial(&before, &first);
        first.process.signal(Signal::STOP);
        world.wait_until_it_leads("two", &second);
        // The stopped one hears of all this when it goes on: its connections are still there.
        world.delete(CONTENDED);
        world.wait_until_back(CONTENDED, &second);
        let begun = Instant::now();
        world.delete(CONTENDED);
        let edit = json!({"spec": {"internalTrafficPolicy": "Cluster"}});
        world.patch("/api/v1/namespaces/datadog/services/otel-collector", &edit);
        first.process.signal(Signal::CONT);
        wait_until_it_stands_by(&first);
        world.wait_until_rolled_out(&revision, &second);
        let written: Vec<_> =
            first.proxy.changes(0).into_iter().filter(|call| call.at > begun).map(|call| call.target()).collect();
        assert_eq!(written, Vec::<String>::new(), "{}", first.process.log());
        assert_ne!(trial, Value::Null);
        world.each_ran_once(&revision);
        // It is as good as any other for the next turn.
        drop(second);
        world.wait_until_it_leads("one", &first);
        world.delete(CONTENDED);
        world.wait_until_back(CONTENDED, &first);
    });
}

impl World<'_> {
    /// The first leads and has done everything, the second stands by.
    #[track_caller]
    fn two(&self) -> (Controller, Controller) {
        self.ask_for_everything();
        let first = self.start("one", ApiProxy::start(self.plane, "one"));
        self.wait_until_it_leads("one", &first);
        let second = self.start("two", ApiProxy::start(self.plane, "two"));
        self.wait_for_quiet(&first, QUIET);
        assert_eq!(second.proxy.changes(0).len(), 0, "{:#?}", second.proxy.changes(0));
        (first, second)
    }

    /// Which one it is, and what it says.
    #[track_caller]
    fn secret(&self, path: &str) -> [Value; 2] {
        let secret = self.get(path);
        assert!(secret["data"].is_object(), "{path}");
        [secret["metadata"]["uid"].clone(), secret["data"].clone()]
    }

    fn revision(&self) -> String {
        let stack = self.get(&format!("{STACK}/default"));
        stack["status"]["collector"]["revision"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn roll(&self, cpu: &str) {
        let change = json!({"spec": {"collector": {"resources": {"requests": {"cpu": cpu}}}}});
        self.patch(&format!("{STACK}/default"), &change);
    }

    /// The uid of its `DaemonSet` and what it tries, once its pod is there.
    #[track_caller]
    fn trial(&self, before: &str, controller: &Controller) -> (Value, String) {
        wait_for("the trial", || {
            let (status, set) = self.door.call("GET", TRIAL, &Value::Null);
            let revision = set["metadata"]["annotations"]["otelgate.dev/revision"].as_str().unwrap_or_default();
            let runs = status == 200 && revision != before && !self.nodes.ran(revision).is_empty();
            runs.then(|| (set["metadata"]["uid"].clone(), revision.to_owned()))
        })
        .unwrap_or_else(|error| panic!("{error}; {}", controller.process.log()))
    }

    #[track_caller]
    fn wait_until_rolled_out(&self, revision: &str, controller: &Controller) {
        let mut last = Value::Null;
        wait_for("the new one on every node", || {
            last = self.get(&format!("{STACK}/default"))["status"].clone();
            let conditions = last["conditions"].as_array()?;
            let everywhere = conditions.iter().any(|one| one["reason"] == "CollectorOnEveryNode");
            (everywhere && last["collector"]["revision"] == revision && last["collector"]["ready"] == "2/2")
                .then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}; {}", controller.process.log()));
    }

    /// Once on trial on one node, and then once on each.
    #[track_caller]
    fn each_ran_once(&self, revision: &str) {
        let ran = self.nodes.ran(revision);
        let of = |rollout: &str| -> Vec<&str> {
            ran.iter().filter(|one: &&Seen| one.rollout == rollout).map(|one| one.node.as_str()).collect()
        };
        assert_eq!((of("trial").len(), of("stable")), (1, vec!["node-1", "node-2"]), "{ran:#?}");
    }

    #[track_caller]
    fn wait_until_back(&self, path: &str, controller: &Controller) {
        wait_for("it to be back", || (self.door.call("GET", path, &Value::Null).0 == 200).then_some(()))
            .unwrap_or_else(|error| panic!("{path}: {error}; {}", controller.process.log()));
    }
}

#[track_caller]
fn wait_until_it_stands_by(controller: &Controller) {
    wait_for("it to stand by", || {
        let log = controller.process.log();
        let after = log.rsplit("leading").next().unwrap_or_default();
        after.contains("standing by").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.process.log()));
}
