//! How what was begun ends: by what comes of the last eviction, whatever is in between, and until somebody lets it begin
//! anew.

use super::shop::deployment;
use super::*;
use crate::controller::pods::repair::ledger::{End, Entry, Key, Ledger};
use crate::k8s::OwnerReference;

/// The last of its missed pods was evicted a moment ago.
async fn repaired() -> Running {
    let running = Running::start([("web", 201, 0)]);
    while running.missed("web") > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    running.want_nothing();
    running
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_an_eviction_is_told_whatever_is_in_between() {
    type Change = fn(&mut shop::Shop);
    let between: [(Change, Change); 2] =
        [(|shop| shop.unanswered = 2, |_| {}), (|shop| shop.paused = true, |shop| shop.paused = false)];
    for (begin, end) in between {
        let running = repaired().await;
        running.with(begin);
        sleep(3 * BETWEEN).await;
        assert_eq!(running.status().phase, RepairPhase::Repairing);
        running.with(end);
        running.with(|shop| shop.back = Back::Crashing);
        sleep(3 * BETWEEN).await;
        let left = vec!["shop/Deployment/web: its pods came back, and didn't become Ready".to_owned()];
        assert_eq!(running.status(), RepairStatus { evicted: 2, left, ..RepairStatus::default() });
        let failures = running.with(|shop| shop.map.as_ref().map(|map| map["data"]["failures"].clone()));
        assert_eq!(failures, Some(json!("1")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cant_be_looked_at_is_given_up_in_its_time() {
    let running = repaired().await;
    running.with(|shop| shop.unanswered = usize::MAX);
    sleep(Duration::from_mins(9)).await;
    assert_eq!(running.status().phase, RepairPhase::Repairing);
    sleep(Duration::from_mins(2)).await;
    assert_eq!(running.status(), RepairStatus { evicted: 2, ..RepairStatus::default() });
}

/// What stands in the cluster after three workloads have come back without the mark.
fn stopped(hash: &str) -> Value {
    let mut ledger = Ledger { hash: hash.to_owned(), evicted: 3, failures: 3, ..Ledger::default() };
    let entry = Entry { left: 1, newest: 0, last: 0, end: Some(End::Unmarked) };
    ledger.entries.insert(Key::of(&deployment("web"), "web"), entry);
    ledger.version = Some("7".to_owned());
    ledger.config_map("otelgate", &OwnerReference::default())
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_over_when_what_is_remembered_is_deleted_though_nothing_is_missed_any_more() {
    let running = Running::start([("web", 201, 0)]);
    running.with(|shop| shop.map = Some(stopped(&shop.hash)));
    sleep(Duration::from_secs(10)).await;
    running.want_nothing();
    sleep(Duration::from_mins(2)).await;
    let status = running.status();
    let left = ["shop/Deployment/web: its pods came back without the mark"];
    assert_eq!((status.phase, status.left), (RepairPhase::Stopped, left.map(str::to_owned).to_vec()));
    running.with(|shop| shop.map = None);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((running.status(), changes(&running)), (RepairStatus::default(), (0, 0)));
}

/// The pod without an owner needs no look, and is there all the time.
#[tokio::test(start_paused = true)]
async fn a_stop_is_over_too_where_all_that_is_missed_needs_no_look() {
    let running = Running::start([]);
    running.with(|shop| shop.map = Some(stopped(&shop.hash)));
    running.want([Name { kind: "Pod".into(), ..deployment("bare") }]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(running.status().phase, RepairPhase::Stopped);
    running.with(|shop| shop.map = None);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(running.status().phase, RepairPhase::Idle);
}
