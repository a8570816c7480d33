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
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;
use crate::controller::{Context, State as Shared};

const ROUND: Duration = Duration::from_secs(15);
/// Collectors in a round.
const LIMIT: usize = 250;
/// Between two looks at the same one.
const PAUSE: Duration = Duration::from_secs(12);
/// Between two looks at whether there is something to look at.
const SOON: Duration = Duration::from_secs(2);

/// Measures, and reports. Never returns.
pub async fn run(context: Context) {
    let (mut stack, mut pods) = (context.stack.clone(), context.collector_pods.clone());
    let mut fleet = Fleet::default();
    loop {
        let now = stack.borrow_and_update().clone();
        let asked = now.as_deref().map(|stack| (stack, collector(stack)));
        let mut again = None;
        match asked {
            None => {
                fleet = Fleet::default();
                context.status.report(|reports| {
                    reports.take_back(ConditionType::CollectorDelivering);
                    reports.delivery = None;
                });
            }
            Some((stack, Err(fault))) => report(&context, Verdict::new(Reason::InvalidSpec, fault, stack.generation)),
            Some((_, Ok(None))) => {
                fleet = Fleet::default();
                context.status.report(|reports| {
                    reports.switch_off(ConditionType::CollectorDelivering);
                    reports.delivery = None;
                });
            }
            Some((stack, Ok(Some(collector)))) => {
                let listed = follow(&mut fleet, &pods.borrow_and_update(), stack, &context);
                again = Some(if listed {
                    round(&context, &mut fleet, port(collector)).await;
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
        if !matches!(now.as_deref().map(collector), Some(Ok(Some(_)))) {
            context.state.measured.set_collectors(None);
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
fn follow(fleet: &mut Fleet, pods: &CollectorPods, stack: &Stack, context: &Context) -> bool {
    let place = Place::of(stack, &context.namespace);
    place.and_then(|place| pods.of(&place)).map(|pods| fleet.follow(pods, Instant::now())).is_some()
}

/// `None` where there is to be none.
fn collector(stack: &Stack) -> Result<Option<&Collector>, String> {
    let collector = stack.collector.as_ref().map_err(Clone::clone)?;
    Ok((collector.mode != CollectorMode::Disabled).then_some(collector))
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
