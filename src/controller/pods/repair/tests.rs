//! What becomes of a repair while it is switched off, while nobody has looked whether it helps, and while it only tells.

use serde_json::{Value, json};

use super::repairer::GATES;
use super::*;
use crate::api::condition::{ConditionType, Reason};
use crate::api::stack::RepairPhase;
use shop::{Back, MISSED, Running, open};

mod ended;
mod refused;
mod shop;
mod slow;
mod turns;

fn repairs(status: Option<&RepairStatus>) -> bool {
    status.is_some_and(|one| one.phase == RepairPhase::Repairing)
}

/// Evictions that were asked for, and what was written down of them.
fn changes(running: &Running) -> (usize, usize) {
    running.with(|shop| (shop.asked.len(), shop.writes))
}

/// Until it waits for that.
async fn waits(running: &mut Running, what: &str) {
    let expected = format!("{what}, so that evicted pods might be missed again");
    let waits = |status: &Option<RepairStatus>| {
        let status = status.as_ref().filter(|one| one.phase == RepairPhase::Waiting);
        status.is_some_and(|one| one.message.as_ref() == Some(&expected))
    };
    running.told.wait_for(waits).await.expect("it runs");
}

/// The status has them for true, and the webhook may have gone with the leader that said so.
#[tokio::test(start_paused = true)]
async fn what_the_leader_before_has_found_lets_nobody_evict() {
    let mut running = Running::of_nothing(MISSED);
    running.context.state.set_conditions(GATES.iter().map(|gate| (*gate, Reason::AsConfigured)));
    running.miss([("web", 201, 0)]);
    for gate in GATES {
        waits(&mut running, &format!("{gate} hasn't been looked at yet")).await;
        sleep(10 * BETWEEN).await;
        assert_eq!(changes(&running), (0, 0), "{gate}");
        running.find(*gate, open(*gate));
    }
    running.told.wait_for(|status| repairs(status.as_ref())).await.expect("it runs");
    running.find(ConditionType::WebhookReachable, Reason::NotReached);
    waits(&mut running, "WebhookReachable isn't true").await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!((changes(&running), running.missed("web")), ((1, 1), 1), "one went before, and none after");
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_isnt_late_for_the_time_that_it_was_switched_off() {
    let mut running = Running::start([("web", 201, 0)]);
    running.with(|shop| shop.back = Back::Starting);
    running.told.wait_for(|status| repairs(status.as_ref())).await.expect("it runs");
    let on = running.targets.send_replace(Arc::default());
    running.told.wait_for(Option::is_none).await.expect("it runs");
    sleep(Duration::from_hours(2)).await;
    running.targets.send_replace(on);
    running.told.wait_for(|status| repairs(status.as_ref())).await.expect("it runs");
    sleep(10 * BETWEEN).await;
    let status = running.status();
    assert_eq!((status.phase, status.left), (RepairPhase::Repairing, Vec::new()));
    assert_eq!(changes(&running), (1, 1));
    running.with(|shop| shop.back = Back::Ready);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((changes(&running).0, running.missed("web")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_and_changes_nothing() {
    let running = Running::of_nothing(Repair { dry_run: true, ..MISSED });
    running.open_gates();
    running.miss([("api", 201, 0), ("web", 201, 0)]);
    sleep(Duration::from_mins(1)).await;
    let would_evict = ["api", "web"].map(|name| format!("shop/Deployment/{name} (2)")).into();
    let expected = RepairStatus { phase: RepairPhase::DryRun, would_evict, ..RepairStatus::default() };
    assert_eq!((running.status(), changes(&running)), (expected, (0, 0)));
    running.targets.send_modify(|targets| Arc::make_mut(targets).asked = MISSED);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((changes(&running).0, running.missed("")), (4, 0));
}
