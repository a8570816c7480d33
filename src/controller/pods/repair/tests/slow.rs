//! Evicted pods that take long to go: waited for, then left, and no fault of what comes in their place.

use super::shop::{GRACE, Shop, Stay};
use super::*;
use crate::controller::pods::repair::plan::PATIENCE;

/// Less than what a replacement may take; twice as long is more than what an old pod may.
const NEARLY: Duration = Duration::from_mins(9);

/// What was written down of workloads that came back no better.
fn failures(running: &Running) -> Option<Value> {
    running.with(|shop| shop.map.as_ref().map(|map| map["data"]["failures"].clone()))
}

fn still(name: &str) -> String {
    format!("shop/Deployment/{name}: a pod of it is still terminating")
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_goes_slowly_is_waited_for_then_left_and_the_next_one_follows_when_it_has_gone() {
    for stay in [Stay::BesideTheNext, Stay::InPlaceOfTheNext] {
        let running = Running::start([("web", 201, 0)]);
        running.with(|shop| shop.stay = stay);
        sleep(PATIENCE + GRACE / 2).await;
        let status = running.status();
        assert_eq!((status.phase, status.left), (RepairPhase::Repairing, Vec::new()), "{stay:?}");
        sleep(GRACE).await;
        let left = vec![still("web")];
        assert_eq!(running.status(), RepairStatus { evicted: 1, left, ..RepairStatus::default() }, "{stay:?}");
        running.with(Shop::go);
        sleep(Duration::from_mins(2)).await;
        assert_eq!((running.missed("web"), running.status().evicted), (0, 2), "{stay:?}");
        assert_eq!(failures(&running), Some(json!("0")), "{stay:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn three_that_go_slowly_stop_no_repair() {
    let names = ["slow0", "slow1", "slow2"];
    let running = Running::start(names.map(|name| (name, 201, 0)));
    running.with(|shop| shop.stay = Stay::BesideTheNext);
    sleep(PATIENCE + 2 * GRACE).await;
    let left = names.map(still).to_vec();
    assert_eq!(running.status(), RepairStatus { evicted: 3, left, ..RepairStatus::default() });
    running.with(|shop| shop.stay = Stay::Nowhere);
    running.miss([("web", 201, 0)]);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((running.missed("web"), running.missed("slow"), running.status().evicted), (0, 3, 5));
    assert_eq!(failures(&running), Some(json!("0")));
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_that_isnt_ready_is_told_whatever_goes_slowly_beside_it() {
    let running = Running::start([("web", 201, 0)]);
    running.with(|shop| (shop.stay, shop.back) = (Stay::BesideTheNext, Back::Starting));
    sleep(PATIENCE + 5 * BETWEEN).await;
    let left = vec!["shop/Deployment/web: its pods came back, and didn't become Ready".to_owned()];
    assert_eq!(running.status(), RepairStatus { evicted: 1, left, ..RepairStatus::default() });
    assert_eq!(failures(&running), Some(json!("1")));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_isnt_late_for_the_time_in_which_it_couldnt_come() {
    let running = Running::start([("web", 201, 0)]);
    running.with(|shop| (shop.stay, shop.back) = (Stay::InPlaceOfTheNext, Back::Starting));
    sleep(NEARLY).await;
    running.with(Shop::go);
    sleep(NEARLY).await;
    let status = running.status();
    assert_eq!((status.phase, status.left), (RepairPhase::Repairing, Vec::new()));
    running.with(|shop| shop.back = Back::Ready);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((running.missed("web"), running.status().evicted), (0, 2));
    assert_eq!(failures(&running), Some(json!("0")));
}
