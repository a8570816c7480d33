//! Who is looked at, and when: nobody waits for workloads of which nothing comes.

use super::shop::deployment;
use super::*;
use crate::controller::pods::repair::repairer::AT_ONCE;

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_pods_without_an_owner() {
    let running = Running::start([("web", 201, 0)]);
    let bare =
        |number: usize| Name { namespace: "bare".into(), kind: "Pod".into(), name: format!("{number:04}").into() };
    running.want((0..5_000).map(bare));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(changes(&running).0, 1);
    sleep(Duration::from_mins(1)).await;
    let status = running.status();
    assert_eq!((running.missed("web"), status.phase), (0, RepairPhase::Idle));
    assert_eq!(status.left[0], "bare/Pod/0000: a pod that nobody would make again");
    // With web, which is repaired, and still asked for.
    assert_eq!(status.left.last().map(String::as_str), Some("and 4991 more"));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_looked_at_who_would_have_to_wait() {
    let names: Vec<_> = (0..12).map(|number| format!("slow{number:02}")).collect();
    let running = Running::start(names.iter().map(|name| (name.as_str(), 201, 0)));
    running.with(|shop| shop.back = Back::Starting);
    sleep(Duration::from_mins(5)).await;
    let looks = |name: &String| running.with(|shop| shop.looks.iter().filter(|(_, of)| of == name).count());
    let (running_now, others) = names.split_at(AT_ONCE);
    assert_eq!(changes(&running).0, AT_ONCE);
    assert!(running_now.iter().all(|name| looks(name) > 10));
    assert_eq!(others.iter().map(looks).sum::<usize>(), 0);
}

/// Of thousands of pods, which everybody waits for.
#[tokio::test(start_paused = true)]
async fn a_look_that_takes_long_is_taken_for_half_of_the_time_at_most() {
    const TAKES: Duration = Duration::from_secs(8);
    let running = Running::start([("fleet", 201, 0)]);
    running.with(|shop| (shop.back, shop.takes) = (Back::Starting, TAKES));
    sleep(Duration::from_mins(5)).await;
    let looks: Vec<_> = running.with(|shop| shop.looks.iter().map(|(at, _)| *at).collect());
    assert_eq!((changes(&running).0, running.missed("fleet")), (1, 1));
    // After the first one it was evicted.
    assert!(looks.len() > 10 && looks[1..].windows(2).all(|pair| pair[1] - pair[0] >= 2 * TAKES), "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_look_and_what_does_are_told_together() {
    let running = Running::start([("guarded", 429, usize::MAX)]);
    let names = [
        ("Workflow.argoproj.io", "of a kind that doesn't say how its pods stand"),
        ("Job", "of a Job, which starts over"),
    ];
    running.want(names.map(|(kind, _)| Name { kind: kind.into(), ..deployment("batch") }));
    sleep(Duration::from_mins(1)).await;
    let left = running.status().left;
    assert!(left[0].starts_with("shop/Deployment/guarded: the API server refused"), "{left:?}");
    assert_eq!(left[1], format!("shop/Job/batch: {}", names[1].1));
    assert_eq!(left[2], format!("shop/Workflow.argoproj.io/batch: {}", names[0].1));
}
