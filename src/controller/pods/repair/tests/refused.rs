//! Evictions that the API server refuses: asked for again, seldom, and nothing else waits for them.

use super::shop::{BUDGET, Running, Unwritten};
use super::*;

/// Less than the pause between two looks at a workload that is left.
const SELDOM: Duration = Duration::from_secs(25);

#[tokio::test(start_paused = true)]
async fn an_api_server_that_refuses_for_a_while_is_asked_seldom_and_then_obeys() {
    const TIMES: usize = 3;
    for (code, at_once) in [(500, 1), (429, 1), (403, 1), (409, 2), (404, 2)] {
        let running = Running::start([("web", code, TIMES)]);
        sleep(Duration::from_mins(4)).await;
        let asked = running.asked();
        let codes: Vec<_> = asked.iter().map(|one| one.code).collect();
        assert_eq!(codes, [code, code, code, 201, 201], "{asked:?}");
        let pairs: Vec<_> = asked.windows(2).map(|pair| (&pair[0], &pair[1])).collect();
        // Whether a pod has gone is looked at once more, in the next round.
        let soon = pairs.iter().filter(|(one, _)| one.code == code).filter(|(one, next)| next.at - one.at < SELDOM);
        assert_eq!(soon.count(), at_once - 1, "{asked:?}");
        assert!(pairs.iter().all(|(one, next)| next.at - one.at >= BETWEEN), "{asked:?}");
        assert_eq!((running.missed("web"), running.status().evicted), (0, 2), "{code}");
        // One for each eviction, and one for the end: nothing is written of what is refused again.
        assert_eq!(running.with(|shop| shop.writes), 3, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_budget_refuses_for_good_is_told_once_and_repaired_when_the_budget_lets_it() {
    let mut running = Running::start([("guarded", 429, usize::MAX)]);
    let left = vec![format!("shop/Deployment/guarded: the API server refused: {BUDGET}")];
    let expected = RepairStatus { left, ..RepairStatus::default() };
    running.told.wait_for(|told| told.as_ref() == Some(&expected)).await.expect("it runs");
    running.told.mark_unchanged();
    sleep(Duration::from_mins(10)).await;
    assert!(!running.told.has_changed().expect("it runs"), "{:?}", running.status());
    let asked = running.asked();
    assert!((10..=21).contains(&asked.len()), "{} times in 10 minutes", asked.len());
    assert!(asked.iter().all(|one| one.pod == "guarded-0" && one.code == 429), "{asked:?}");
    running.with(|shop| shop.refuses.clear());
    sleep(Duration::from_mins(1)).await;
    assert_eq!((running.missed("guarded"), running.status().evicted), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_workloads_that_are_refused() {
    let names: Vec<_> = (0..150).map(|number| format!("guarded{number:03}")).collect();
    let running = Running::start(names.iter().map(|name| (name.as_str(), 429, usize::MAX)));
    sleep(Duration::from_mins(3)).await;
    running.miss([("web", 201, 0)]);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((running.missed("web"), running.status().evicted), (0, 2));
    assert_eq!(running.missed("guarded"), 2 * names.len());
}

/// A right that has only just been given isn't there for the first workload, and is for the second.
#[tokio::test(start_paused = true)]
async fn an_eviction_that_could_not_be_written_down_is_owed() {
    use Unwritten::{Refused, Unanswered};
    for unwritten in [vec![Refused], vec![Unanswered], vec![Refused, Unanswered], vec![Unanswered, Refused, Refused]] {
        let running = Running::of_nothing(MISSED);
        running.with(|shop| shop.unwritten.clone_from(&unwritten));
        running.miss([("api", 201, 0), ("web", 201, 0)]);
        running.open_gates();
        sleep(Duration::from_mins(5)).await;
        let evicted: Vec<_> = running.asked().into_iter().map(|one| one.pod).collect();
        assert_eq!(evicted.len(), 4, "{evicted:?}");
        assert_eq!((running.missed(""), running.status().evicted), (0, 4));
    }
}
