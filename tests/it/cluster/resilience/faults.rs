//! An API server that isn't well: what is undone meanwhile is repaired afterwards, and nobody storms it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::state::Objects;
use super::{Controller, World, stage, tell};
use crate::control_plane::api_proxy::{ApiProxy, Call, Fault};
use crate::control_plane::wait_for;

/// Less than a leader goes on that can't renew its Lease.
const SHORT: Duration = Duration::from_secs(7);
/// Longer than that, so that it stands by and begins anew.
const LONG: Duration = Duration::from_secs(14);
const QUIET: Duration = Duration::from_secs(18);
/// From a fault's end. Nothing that is held back for a minute is repaired in time by chance.
const SOON: Duration = Duration::from_secs(50);
/// Whoever undoes the same five times within a minute is taken for somebody who fights, and left to it for a minute.
const NO_FIGHT: Duration = Duration::from_secs(20);
const NAMESPACE: &str = "/api/v1/namespaces/datadog";

#[test]
fn what_is_undone_while_the_api_server_is_unwell_is_repaired_without_a_storm() {
    stage(|world| {
        world.ask_for_everything();
        let controller = world.start("controller", ApiProxy::start(world.plane, "controller"));
        let expected = world.wait_for_quiet(&controller, QUIET);
        let watchers = watchers(&controller.proxy.calls());
        let mut wrong = Vec::new();
        let mut next = Instant::now();
        for (fault, lasts) in [
            (Fault::Error(500), SHORT),
            (Fault::Flapping(503), SHORT),
            (Fault::Busy(1), SHORT),
            (Fault::Conflict, SHORT),
            (Fault::Slow(Duration::from_secs(3)), SHORT),
            (Fault::Cut, SHORT),
            (Fault::Short, SHORT),
            (Fault::Gone, SHORT),
            (Fault::Partition, SHORT),
            (Fault::Partition, LONG),
        ] {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next = Instant::now() + NO_FIGHT;
            wrong.extend(world.survives(&controller, fault, lasts, &expected, &watchers));
        }
        wrong.extend(world.deletes_what_it_once_could_not(&controller, &expected));
        assert!(wrong.is_empty(), "{}\n{}", controller.process.log(), wrong.join("\n"));
    });
}

/// How many watches look at the same: each has begun once before its half minute was over.
fn watchers(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut watchers = BTreeMap::new();
    let Some(first) = calls.first() else { return watchers };
    let begins = |call: &&Call| call.watches() && call.at < first.at + Duration::from_secs(20);
    for call in calls.iter().filter(begins) {
        *watchers.entry(call.target()).or_insert(0) += 1;
    }
    watchers
}

impl World<'_> {
    /// What is wrong afterwards, or was meanwhile.
    fn survives(
        &self,
        controller: &Controller,
        fault: Fault,
        lasts: Duration,
        expected: &Objects,
        watchers: &BTreeMap<String, usize>,
    ) -> Vec<String> {
        let from = controller.proxy.count();
        let began = Instant::now();
        controller.proxy.set(fault);
        self.undo();
        // How long it lasts is what this is about: there is nothing to wait for.
        std::thread::sleep(lasts.saturating_sub(began.elapsed()));
        let calls = controller.proxy.calls().split_off(from);
        controller.proxy.set(Fault::None);
        let (lasted, ended) = (began.elapsed(), Instant::now());
        let repaired = self.wait_for_objects(expected, controller);
        let took = ended.elapsed();
        let counted = counted(&calls);
        let busiest = counted.iter().max_by_key(|(_, count)| **count);
        tell(&format!(
            "{fault:?} for {} s: {} calls, most of them {busiest:?}; repaired {} ms after it",
            lasts.as_secs(),
            calls.len(),
            took.as_millis()
        ));
        let told = self.wait_for_state(expected, controller);
        let mut wrong: Vec<_> =
            repaired.err().into_iter().chain(told.err()).map(|error| format!("{fault:?}: {error}")).collect();
        if took > SOON {
            wrong.push(format!("{fault:?}: repaired {} s after it, and not within {}", took.as_secs(), SOON.as_secs()));
        }
        for (target, count) in &counted {
            let bound = bound(target, watchers, lasted);
            if *count > bound {
                wrong.push(format!("{fault:?}: {count} times {target}, and not {bound} at most"));
            }
        }
        wrong
    }

    /// With nothing else to do, that would wake it.
    fn deletes_what_it_once_could_not(&self, controller: &Controller, expected: &Objects) -> Option<String> {
        let from = controller.proxy.count();
        controller.proxy.set(Fault::Conflict);
        self.make_stray();
        let met = wait_for("the conflict", || {
            let calls = controller.proxy.calls().split_off(from);
            calls.iter().any(|call| call.path.ends_with("/stray") && call.status == Some(409)).then_some(())
        });
        controller.proxy.set(Fault::None);
        met.and_then(|()| self.wait_for_state(expected, controller)).err()
    }

    /// Each kind of repair once: what is missing, what differs, what isn't wanted; of the Collector, the Agent, and the rest.
    fn undo(&self) {
        for path in [
            "/api/v1/namespaces/datadog/configmaps/otel-collector-config",
            "/apis/apps/v1/namespaces/datadog/daemonsets/otel-collector?propagationPolicy=Background",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/otelgate-agent",
            "/api/v1/namespaces/otelgate/secrets/otelgate-webhook-tls",
            "/api/v1/namespaces/otelgate/configmaps/otelgate-injection",
        ] {
            self.delete(path);
        }
        let edit = json!({"spec": {"internalTrafficPolicy": "Cluster"}});
        self.patch(&format!("{NAMESPACE}/services/otel-collector"), &edit);
        self.make_stray();
    }

    /// As if it were of the Collector, which doesn't want it.
    fn make_stray(&self) {
        let stray = json!({"apiVersion": "v1", "kind": "ConfigMap",
                           "metadata": {"name": "stray", "labels": {"otelgate.dev/part": "collector"}}});
        let (status, answer) = self.door.call("POST", &format!("{NAMESPACE}/configmaps"), &stray);
        assert_eq!(status, 201, "{answer:#}");
    }
}

/// How often the same may be called while the fault lasts.
///
/// Watches and writes are tried again after half a second, then after twice as long each time, up to five seconds; those of
/// the certificate after an eighth. The Lease is looked at and renewed every two seconds, and once more where somebody else
/// was faster. An Event is written once for each condition that says something else, and tried three times. A status that
/// says something else each time is written at once five times, beside those that are tried again.
fn bound(target: &str, watchers: &BTreeMap<String, usize>, lasted: Duration) -> usize {
    if target.contains("/leases/") {
        return 2 * attempts(lasted, Duration::from_secs(2), Duration::from_secs(2));
    }
    if target.contains("/events") {
        return 20;
    }
    let first = if target.contains("/namespaces/otelgate/secrets") { 125 } else { 500 };
    let attempts = attempts(lasted, Duration::from_millis(first), Duration::from_secs(5));
    let of_watch = target.replacen("GET ", "WATCH ", 1);
    let watchers = watchers.get(target).or_else(|| watchers.get(&of_watch)).copied().unwrap_or(1);
    let changes = if target.ends_with("/status ") { 5 } else { 0 };
    // One may have been on its way when the fault began.
    watchers * (attempts + 1) + changes
}

/// Of one that tries again after `first`, and after twice as long each time, up to `last`.
fn attempts(lasted: Duration, first: Duration, last: Duration) -> usize {
    let (mut at, mut delay, mut attempts) = (Duration::ZERO, first, 1);
    while at + delay <= lasted {
        at += delay;
        delay = (delay * 2).min(last);
        attempts += 1;
    }
    attempts
}

fn counted(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for call in calls {
        *counted.entry(call.target()).or_insert(0) += 1;
    }
    counted
}

#[test]
fn attempts_are_those_of_the_back_off() {
    let seconds = Duration::from_secs;
    let told = [0, 1, 2, 4, 7, 14].map(|lasted| attempts(seconds(lasted), Duration::from_millis(500), seconds(5)));
    assert_eq!(told, [1, 2, 3, 4, 4, 6]);
    assert_eq!(attempts(seconds(7), seconds(2), seconds(2)), 4);
}
