//! Rounds of scraping, and what they come to.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::time::sleep;

use super::scrape;
use super::totals::{Counts, Signal};
use super::track::Fleet;
use super::verdict::{State, Tally};
use crate::api::condition::{ConditionType, Holds, Reason};
use crate::api::stack::{Collector, CollectorMode, DeliveryStatus};
use crate::collector::port;
use crate::controller::collector::Known;
use crate::controller::collector_pods::{CollectorPods, Place};
use crate::controller::health::measured::Items;
use crate::controller::stack::Part;
use crate::controller::status::Verdict;
use crate::controller::{Context, State as Shared};

const ROUND: Duration = Duration::from_secs(15);
/// Collectors in a round.
const LIMIT: usize = 250;
/// Between two looks at the same one.
const PAUSE: Duration = Duration::from_secs(12);
/// Between two looks at whether there is something to look at.
const SOON: Duration = Duration::from_secs(2);

/// Which Collectors are measured.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    place: Place,
    port: u16,
}

/// Measures, and reports. Never returns.
pub async fn run(context: Context) {
    let (mut known, mut pods) = (context.known.clone(), context.collector_pods.clone());
    let mut fleet = Fleet::default();
    loop {
        let now = known.borrow_and_update().clone();
        let asked = asked_of(now.as_deref());
        let mut again = None;
        if !matches!(asked, Some((_, Ok(Some(_))))) {
            fleet = Fleet::default();
            context.state.measured.set_collectors(None);
        }
        match asked.clone() {
            None => {
                context.status.report(|reports| {
                    reports.take_back(ConditionType::CollectorDelivering);
                    reports.delivery = None;
                });
            }
            Some((generation, Err(fault))) => {
                report(&context, Verdict::new(Reason::InvalidSpec, fault, generation));
                context.status.report(|reports| reports.delivery = None);
            }
            Some((_, Ok(None))) => {
                context.status.report(|reports| {
                    reports.switch_off(ConditionType::CollectorDelivering);
                    reports.delivery = None;
                });
            }
            Some((generation, Ok(Some(Target { place, port })))) => {
                // Whoever may list them no more has a list that gets older and older.
                let unseen = context.state.collector_pods.unseen();
                let listed = follow(&mut fleet, &pods.borrow_and_update(), &place);
                again = Some(if let Some(fault) = unseen {
                    report(&context, Verdict::new(Reason::CollectorsNotReadable, fault, generation));
                    SOON
                } else if listed {
                    let another = async {
                        // The sender lives as long as the leader's tasks do.
                        if known.wait_for(|known| asked_of(known.as_deref()) != asked).await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    };
                    tokio::select! {
                        () = round(&context, &mut fleet, port) => {}
                        () = another => continue,
                    }
                    tell(&context, generation, &fleet);
                    ROUND
                } else {
                    SOON
                });
            }
        }
        // Pods that come and go have their turn in the next round; the first of all needn't wait for it.
        let first = fleet.is_empty();
        tokio::select! {
            () = sleep(again.unwrap_or_default()), if again.is_some() => {}
            Ok(()) = known.changed() => {}
            Ok(()) = pods.changed(), if first => {}
        }
    }
}

/// What is to be measured, and for which generation of the spec.
fn asked_of(known: Option<&Known>) -> Option<(i64, Part<Option<Target>>)> {
    known.map(|known| (known.stack.generation, target(known)))
}

/// False, before they were listed where they are to be.
fn follow(fleet: &mut Fleet, pods: &CollectorPods, place: &Place) -> bool {
    pods.of(place).map(|pods| fleet.follow(pods, Instant::now())).is_some()
}

/// `None` where there are to be none.
fn target(known: &Known) -> Part<Option<Target>> {
    let spec = known.spec.as_ref().ok_or_else(|| known.fault.clone().unwrap_or_default())?;
    let target = || Target { place: spec.place().pods, port: port(&spec.collector) };
    Ok((spec.collector.mode != CollectorMode::Disabled).then(target))
}

/// Where a Collector tells its metrics.
fn port(collector: &Collector) -> u16 {
    match collector.mode {
        CollectorMode::Adopt => collector.adopt.metrics_port,
        CollectorMode::Managed | CollectorMode::Disabled => port::METRICS.number,
    }
}

async fn round(context: &Context, fleet: &mut Fleet, port: u16) {
    let targets = fleet.next(LIMIT, PAUSE, Instant::now());
    let mut scraped = pin!(scrape::all(targets, port));
    while let Some((target, seen)) = scraped.next().await {
        context.state.measured.scraped(seen.is_ok());
        let counted = fleet.note(&target, seen, Instant::now());
        count(&context.state, &counted);
    }
}

fn count(state: &Shared, counted: &Counts) {
    for (signal, flow) in Signal::ALL.into_iter().zip(&counted.flows) {
        for (what, amount) in [
            (Items::Accepted, flow.accepted),
            (Items::Refused, flow.turned_away()),
            (Items::Sent, flow.sent),
            (Items::Failed, flow.failed),
        ] {
            state.measured.items(signal, what, amount);
        }
    }
}

fn tell(context: &Context, generation: i64, fleet: &Fleet) {
    let tally = Tally::of(fleet.standings(&context.joining.borrow()));
    context.state.measured.set_collectors(Some(&tally));
    let opted_in = context.state.coverage.counts().map(|counts| counts.iter().map(|(_, count)| count).sum());
    if let Some(verdict) = tally.verdict(opted_in, generation) {
        let delivering = tally.summary();
        let measured = tally.total() - tally.count(State::Fresh);
        context.status.report(|reports| {
            // The fault of one may be told by its second reading only.
            if verdict.reason.holds() == Holds::True && fleet.is_partial() {
                reports.say_so_far(ConditionType::CollectorDelivering, verdict);
            } else {
                reports.say(ConditionType::CollectorDelivering, verdict);
            }
            reports.delivery =
                Some(DeliveryStatus { delivering, measured: i32::try_from(measured).unwrap_or(i32::MAX) });
        });
    }
}

fn report(context: &Context, verdict: Verdict) {
    context.status.report(|reports| reports.say(ConditionType::CollectorDelivering, verdict));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::stack::Stack;
    use serde_json::{Value, json};

    #[test]
    fn what_is_measured_is_where_the_last_spec_has_it() {
        let of = |spec: &Value| {
            let known = Known::of(Stack::new("u".to_owned(), 1, spec));
            target(known.borrow().as_ref().expect("a stack")).map_err(|fault| fault.contains("spec."))
        };
        let adopted = json!({"collector": {"mode": "adopt", "adopt": {
            "selector": {"matchLabels": {"app": "mine"}}, "metricsPort": 9000,
        }}});
        let target = of(&adopted).expect("valid").expect("there are some");
        assert_eq!((target.place.selector.as_str(), target.port), ("app=mine", 9000));
        for fault in [json!({"injection": {"clusterDomain": "a..b"}}), json!({"collector": {"mode": "off"}})] {
            assert_eq!(of(&fault), Err(true), "{fault}");
        }
        assert_eq!(of(&json!({"collector": {"mode": "disabled"}})), Ok(None));
    }
}
