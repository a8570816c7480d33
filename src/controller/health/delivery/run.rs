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
use crate::api::stack::{AdoptedCollector, Collector, CollectorMode, DeliveryStatus};
use crate::controller::collector_pods::{CollectorPods, Place};
use crate::controller::health::measured::Items;
use crate::controller::stack::{Part, Stack};
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
    let (mut stack, mut pods) = (context.stack.clone(), context.collector_pods.clone());
    let mut fleet = Fleet::default();
    // What was to be measured before a fault came into the spec is there still.
    let mut last = None;
    loop {
        let now = stack.borrow_and_update().clone();
        let asked = now.as_deref().map(|stack| (stack, target(stack, &context.namespace, last.as_ref())));
        last = asked.as_ref().and_then(|(_, target)| target.clone().ok()).flatten();
        let mut again = None;
        if last.is_none() {
            fleet = Fleet::default();
            context.state.measured.set_collectors(None);
        }
        match asked {
            None => {
                context.status.report(|reports| {
                    reports.take_back(ConditionType::CollectorDelivering);
                    reports.delivery = None;
                });
            }
            Some((stack, Err(fault))) => {
                report(&context, Verdict::new(Reason::InvalidSpec, fault, stack.generation));
                context.status.report(|reports| reports.delivery = None);
            }
            Some((_, Ok(None))) => {
                context.status.report(|reports| {
                    reports.switch_off(ConditionType::CollectorDelivering);
                    reports.delivery = None;
                });
            }
            Some((stack, Ok(Some(Target { place, port })))) => {
                let listed = follow(&mut fleet, &pods.borrow_and_update(), &place);
                again = Some(if listed {
                    round(&context, &mut fleet, port).await;
                    tell(&context, stack, &fleet);
                    ROUND
                } else {
                    if let Some(fault) = context.state.collector_pods.unseen() {
                        report(&context, Verdict::new(Reason::CollectorsNotReadable, fault, stack.generation));
                    }
                    SOON
                });
            }
        }
        // Pods that come and go have their turn in the next round; the first of all needn't wait for it.
        let first = fleet.is_empty();
        tokio::select! {
            () = sleep(again.unwrap_or_default()), if again.is_some() => {}
            Ok(()) = stack.changed() => {}
            Ok(()) = pods.changed(), if first => {}
        }
    }
}

/// False, before they were listed where they are to be.
fn follow(fleet: &mut Fleet, pods: &CollectorPods, place: &Place) -> bool {
    pods.of(place).map(|pods| fleet.follow(pods, Instant::now())).is_some()
}

/// `None` where there are to be none. While the spec doesn't say, they are those of before.
fn target(stack: &Stack, namespace: &str, before: Option<&Target>) -> Part<Option<Target>> {
    let target = || {
        let place = Place::of(stack, namespace)?;
        let collector = stack.collector.as_ref().map_err(Clone::clone)?;
        Ok(place.map(|place| Target { place, port: port(collector) }))
    };
    target().or_else(|fault| before.cloned().map(Some).ok_or(fault))
}

/// Where a Collector tells its metrics.
fn port(collector: &Collector) -> u16 {
    match collector.mode {
        CollectorMode::Adopt => collector.adopt.metrics_port,
        CollectorMode::Managed | CollectorMode::Disabled => AdoptedCollector::default().metrics_port,
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

fn tell(context: &Context, stack: &Stack, fleet: &Fleet) {
    let tally = Tally::of(fleet.standings(&context.joining.borrow()));
    context.state.measured.set_collectors(Some(&tally));
    let opted_in = context.state.coverage.counts().map(|counts| counts.iter().map(|(_, count)| count).sum());
    if let Some(verdict) = tally.verdict(opted_in, stack.generation) {
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
    use serde_json::{Value, json};

    #[test]
    fn a_fault_in_the_spec_ends_no_measurement() {
        let of = |spec: &Value, before: Option<&Target>| {
            target(&Stack::new("u".to_owned(), 1, spec), "otelgate", before).map_err(|fault| fault.contains("spec."))
        };
        let adopted = json!({"collector": {"mode": "adopt", "adopt": {
            "selector": {"matchLabels": {"app": "mine"}}, "metricsPort": 9000,
        }}});
        let before = of(&adopted, None).expect("valid");
        assert_eq!(before.as_ref().map(|target| target.port), Some(9000));
        for fault in [json!({"injection": {"clusterDomain": "a..b"}}), json!({"collector": {"mode": "off"}})] {
            assert_eq!(of(&fault, before.as_ref()), Ok(before.clone()), "{fault}");
            assert_eq!(of(&fault, None), Err(true), "{fault}");
        }
        assert_eq!(of(&json!({"collector": {"mode": "disabled"}}), before.as_ref()), Ok(None));
    }
}
