//! Keeps the `ConfigMap` that the webhook reads as the `TelemetryStack` says, and repairs it when it was edited or
//! deleted. A spec that no configuration can be made from changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Context;
use super::adopted;
use super::contest::{Contest, Contested};
use super::injection::{self, InvalidSpec, Place};
use super::metrics::Write;
use super::objects::{Held, Key, Why};
use super::stack::Stack;
use crate::api::object;
use crate::config::{Configuration, Selector};
use crate::k8s::{self, Api, ConfigMap, Patch, PatchParams, ResourceExt as _, Service};
use crate::watch::{self as watching};

/// What should be in force, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of the spec that it was made from.
    pub generation: i64,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in the `ConfigMap`.
    Written {
        revision: String,
        hash: String,
        /// Of the name that pods are told.
        domain: Option<String>,
    },
    /// The spec has a fault.
    Invalid(InvalidSpec),
    /// The API server refused it, or didn't answer.
    NotWritten(String),
    /// Somebody changes it back each time: who.
    Contested(String),
}

/// The address of the Collector's Service, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub at: Place,
    pub address: Option<String>,
}

/// The `ConfigMap`, if there is one; nothing before that is known.
pub type Seen = Option<Option<Arc<ConfigMap>>>;

struct Task<'t> {
    context: &'t Context,
    wanted: &'t watch::Sender<Option<Wanted>>,
    /// Where the Service is whose address is waited for, and since when.
    asked: (Option<Place>, Instant),
    writer: Writer,
}

/// What is remembered of writes.
#[derive(Debug, Default)]
struct Writer {
    others: Contest<String>,
    held: Held,
}

/// What follows from what was seen.
#[derive(Debug)]
enum Step {
    /// For the Collector's address.
    Wait,
    Refuse(InvalidSpec),
    /// It stands there already.
    Nothing(Configuration),
    Write(Configuration, String),
}

/// How long a configuration without an address waits for it: the Service may be one that can't be read.
const GRACE: Duration = Duration::from_secs(3);
/// Between two writes.
const BETWEEN_WRITES: Duration = Duration::from_millis(500);

// === impl Task ===

impl Task<'_> {
    /// When to look again, though nothing has changed.
    async fn look(&mut self, stack: &Stack, map: Option<&ConfigMap>, found: Option<&Found>) -> Option<Duration> {
        let namespace = &self.context.namespace;
        let place = place_of(stack, namespace);
        if self.asked.0 != place {
            self.asked = (place, Instant::now());
        }
        let patience = GRACE.saturating_sub(self.asked.1.elapsed());
        let adopted = self.context.adopted_agent.borrow().clone();
        match step(stack, map, found, adopted.as_deref(), namespace, !patience.is_zero()) {
            Step::Wait => Some(patience),
            Step::Refuse(fault) => {
                publish(self.wanted, stack, Outcome::Invalid(fault));
                None
            }
            Step::Nothing(configuration) => {
                let contested = self.writer.others.going_on(Instant::now());
                let again = contested.as_ref().map(Contested::wait);
                publish(self.wanted, stack, written_unless(contested, &configuration));
                again
            }
            Step::Write(configuration, text) => {
                let (outcome, again) = self.writer.turn(self.context, stack, map, &configuration, text).await;
                publish(self.wanted, stack, outcome);
                sleep(BETWEEN_WRITES).await;
                again
            }
        }
    }
}

// === impl Writer ===

impl Writer {
    /// What has come of writing it, and when it is tried again: later each time that it is refused, and something else at
    /// once.
    async fn turn(
        &mut self,
        context: &Context,
        stack: &Stack,
        map: Option<&ConfigMap>,
        configuration: &Configuration,
        text: String,
    ) -> (Outcome, Option<Duration>) {
        let began = Instant::now();
        if let Some(contested) = self.others.over(&text, began) {
            let wait = contested.wait();
            return (Outcome::Contested(contested.by), Some(wait));
        }
        let key = Key { kind: "ConfigMap", name: object::INJECTION.to_owned() };
        let sent = Value::from(text.as_str());
        if self.held.until(&key, &sent, began).is_none() {
            match apply(context, stack, configuration, &text).await {
                Ok(applied) => {
                    self.held.release(&key);
                    self.others.wrote(text.clone(), map, &applied, Instant::now());
                    return (written_unless(self.others.over(&text, Instant::now()), configuration), None);
                }
                Err(error) => self.held.hold(key.clone(), sent.clone(), Why::of(&error), Instant::now()),
            }
        }
        let held = self.held.until(&key, &sent, began);
        let why = held.and_then(|(why, _)| why.answer()).map(ToString::to_string).unwrap_or_default();
        let wait = held.map(|(_, until)| until.saturating_duration_since(Instant::now()));
        (Outcome::NotWritten(why), wait)
    }
}

/// Publishes the `ConfigMap`. Never returns.
pub async fn watch_config_map(context: Context, seen: watch::Sender<Seen>) {
    let api = Api::<ConfigMap>::namespaced(context.client, &context.namespace);
    watching::objects(api, watching::named(object::INJECTION), &context.state.config_maps, |objects| {
        seen.send_replace(Some(objects.get(object::INJECTION).cloned().map(Arc::new)));
    })
    .await;
}

/// Publishes the address of the Service that the spec names, whichever that is just now. Never returns.
pub async fn watch_address(context: Context, found: watch::Sender<Option<Found>>) {
    let Context { client, namespace, mut stack, state, .. } = context;
    let place_of = |stack: &Option<Arc<Stack>>| place_of(stack.as_ref()?, &namespace);
    loop {
        let place = place_of(&stack.borrow_and_update());
        let another = async {
            // The sender lives as long as the leader's tasks do.
            if stack.wait_for(|stack| place_of(stack) != place).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let Some(at) = place.clone() else {
            another.await;
            continue;
        };
        let api = Api::<Service>::namespaced(client.clone(), &at.namespace);
        let service = watching::objects(api, watching::named(&at.service), &state.services, |objects| {
            let address = objects.get(&at.service).and_then(address_of);
            found.send_replace(Some(Found { at: at.clone(), address }));
        });
        tokio::select! {
            () = service => {}
            () = another => {}
        }
    }
}

/// Of the Service whose address is looked up; nowhere for a spec with a fault.
fn place_of(stack: &Stack, namespace: &str) -> Option<Place> {
    injection::place(&injection::document(&stack.injection, namespace).ok()?)
}

/// A headless Service has none, nor one that is only a name.
fn address_of(service: &Service) -> Option<String> {
    let address = service.spec.as_ref()?.cluster_ip.as_ref()?;
    address.parse::<std::net::IpAddr>().is_ok().then(|| address.clone())
}

/// Writes, repairs, and publishes what is wanted. Never returns.
pub async fn keep(
    context: Context,
    mut seen: watch::Receiver<Seen>,
    mut found: watch::Receiver<Option<Found>>,
    wanted: watch::Sender<Option<Wanted>>,
) {
    let (mut stack, mut adopted) = (context.stack.clone(), context.adopted_agent.clone());
    let (asked, writer) = ((None, Instant::now()), Writer::default());
    let mut task = Task { context: &context, wanted: &wanted, asked, writer };
    loop {
        let now = stack.borrow_and_update().clone();
        let map = seen.borrow_and_update().clone();
        let address = found.borrow_and_update().clone();
        adopted.mark_unchanged();
        let again = match (now, map) {
            (Some(now), Some(map)) => task.look(&now, map.as_deref(), address.as_ref()).await,
            (None, _) => {
                wanted.send_if_modified(|wanted| wanted.take().is_some());
                None
            }
            (Some(_), None) => None,
        };
        tokio::select! {
            () = sleep(again.unwrap_or_default()), if again.is_some() => {}
            Ok(()) = stack.changed() => {}
            Ok(()) = seen.changed() => {}
            Ok(()) = found.changed() => {}
            Ok(()) = adopted.changed() => {}
        }
    }
}

fn step(
    stack: &Stack,
    map: Option<&ConfigMap>,
    found: Option<&Found>,
    adopted_agent: Option<&[Selector]>,
    namespace: &str,
    patient: bool,
) -> Step {
    let mut document = match injection::document(&stack.injection, namespace) {
        Ok(document) => document,
        Err(fault) => return Step::Refuse(fault),
    };
    let adopted = adopted::exclusions(stack, &document.collector.namespace, adopted_agent, map);
    injection::exclude(&mut document, adopted);
    let address = match injection::place(&document) {
        None => None,
        Some(at) => match found.filter(|found| found.at == at) {
            Some(found) => found.address.clone(),
            None => match injection::address_in(map, &at) {
                None if patient => return Step::Wait,
                last_known => last_known,
            },
        },
    };
    match injection::complete(document, address.as_deref()) {
        Err(fault) => Step::Refuse(fault),
        Ok(configuration) => {
            let text = injection::text(&configuration);
            if injection::is_as_applied(map, &text, &stack.owner()) {
                Step::Nothing(configuration)
            } else {
                Step::Write(configuration, text)
            }
        }
    }
}

fn written(configuration: &Configuration) -> Outcome {
    Outcome::Written {
        revision: configuration.revision().to_owned(),
        hash: configuration.hash().to_owned(),
        domain: configuration.told_domain().map(str::to_owned),
    }
}

/// While others fight over it, it stands there now and then at best.
fn written_unless(contested: Option<Contested>, configuration: &Configuration) -> Outcome {
    contested.map_or_else(|| written(configuration), |contested| Outcome::Contested(contested.by))
}

fn publish(wanted: &watch::Sender<Option<Wanted>>, stack: &Stack, outcome: Outcome) {
    let now = Wanted { generation: stack.generation, outcome };
    wanted.send_if_modified(|wanted| {
        let changed = wanted.as_ref() != Some(&now);
        if changed {
            match &now.outcome {
                Outcome::Invalid(fault) => {
                    warn!(error.message = %fault, "the spec is no configuration; the last good one stays in force");
                }
                Outcome::Contested(by) => {
                    warn!(otelgate.other = by, "somebody changes the configuration back each time; slowing down");
                }
                Outcome::Written { .. } | Outcome::NotWritten(_) => {}
            }
            *wanted = Some(now);
        }
        changed
    });
}

async fn apply(context: &Context, stack: &Stack, configuration: &Configuration, text: &str) -> k8s::Result<ConfigMap> {
    let api = Api::<ConfigMap>::namespaced(context.client.clone(), &context.namespace);
    let object = injection::config_map(text, &context.namespace, &stack.owner());
    let params = PatchParams::apply(object::FIELD_MANAGER).force();
    match k8s::in_time(api.patch(object::INJECTION, &params, &Patch::Apply(&object))).await {
        Ok(applied) => {
            context.state.config_maps.answered();
            context.state.writes.add(Write::Configuration);
            info!(
                otelgate.generation = stack.generation,
                otelgate.revision = configuration.revision(),
                otelgate.mode = %configuration.mode(),
                k8s.configmap.name = applied.name_any(),
                "configuration written"
            );
            Ok(applied)
        }
        Err(error) => {
            context.state.config_maps.failed(&error);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use axum::http::{Request, Response};
    use serde_json::json;

    use super::*;
    use crate::k8s::Client;

    fn stack(injection: &Value) -> Stack {
        Stack::new("u".to_owned(), 1, &json!({"injection": injection}))
    }

    fn found(address: Option<&str>) -> Found {
        let at = Place { namespace: "datadog".to_owned(), service: "otel-collector".to_owned() };
        Found { at, address: address.map(str::to_owned) }
    }

    fn map(stack: &Stack, address: Option<&str>) -> ConfigMap {
        let document = injection::document(&stack.injection, "otelgate").expect("valid");
        let text = injection::text(&injection::complete(document, address).expect("valid"));
        serde_json::from_value(injection::config_map(&text, "otelgate", &stack.owner())).expect("a ConfigMap")
    }

    fn address(step: &Step) -> Option<&str> {
        match step {
            Step::Write(one, _) | Step::Nothing(one) => one.document().collector.address.as_deref(),
            Step::Wait | Step::Refuse(_) => panic!("nothing is decided"),
        }
    }

    #[test]
    fn the_address_is_waited_for_unless_one_is_known_or_time_is_up() {
        let (fresh, at) = (stack(&json!({})), "otelgate");
        let known = map(&fresh, Some("10.0.0.1"));
        let of =
            |map: Option<&ConfigMap>, found: Option<&Found>, patient: bool| step(&fresh, map, found, None, at, patient);
        assert!(matches!(of(None, None, true), Step::Wait));
        assert_eq!(address(&of(None, None, false)), None);
        assert_eq!(address(&of(Some(&known), None, true)), Some("10.0.0.1"), "as it was");
        assert!(matches!(of(Some(&known), Some(&found(Some("10.0.0.1"))), true), Step::Nothing(..)));
        assert!(matches!(of(Some(&known), Some(&found(None)), true), Step::Write(..)), "the Service is gone");
        let elsewhere = stack(&json!({"collector": {"namespace": "other"}}));
        assert!(matches!(step(&elsewhere, Some(&known), Some(&found(Some("10.0.0.1"))), None, at, true), Step::Wait));
        let written = stack(&json!({"collector": {"address": "10.3.3.3"}}));
        assert_eq!(address(&step(&written, None, None, None, at, true)), Some("10.3.3.3"));
    }

    /// As it would be until somebody gives it the right, or makes room.
    #[tokio::test]
    async fn what_is_refused_isnt_asked_for_each_time() {
        let asked = Arc::new(AtomicUsize::new(0));
        let asks = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Request<k8s::Body>| {
            asks.fetch_add(1, Ordering::Relaxed);
            let body = json!({"status": "Failure", "message": "no", "reason": "Forbidden", "code": 403}).to_string();
            async move { Ok::<_, tower::BoxError>(Response::builder().status(403).body(Body::from(body))?) }
        });
        let context = Context::of_nothing(Client::new(service, "default"));
        let (stack, mut writer) = (stack(&json!({})), Writer::default());
        let Step::Write(configuration, text) = step(&stack, None, Some(&found(None)), None, "otelgate", true) else {
            panic!("it is written");
        };
        for _ in 0..10 {
            let (outcome, wait) = writer.turn(&context, &stack, None, &configuration, text.clone()).await;
            assert!(matches!(&outcome, Outcome::NotWritten(why) if why.contains("no")), "{outcome:?}");
            assert!(wait.is_some_and(|wait| !wait.is_zero()), "{wait:?}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let _ = writer.turn(&context, &stack, None, &configuration, format!("{text} ")).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2, "something else is tried at once");
    }

    #[test]
    fn a_fault_writes_nothing() {
        let faulty = stack(&json!({"mode": "off"}));
        assert!(matches!(step(&faulty, None, Some(&found(None)), None, "otelgate", true), Step::Refuse(_)));
    }

    #[test]
    fn only_a_real_address_is_one() {
        let service =
            |address: Value| serde_json::from_value(json!({"spec": {"clusterIP": address}})).expect("a Service");
        assert_eq!(address_of(&service(json!("10.0.0.1"))).as_deref(), Some("10.0.0.1"));
        assert_eq!(address_of(&service(json!("fd00::1"))).as_deref(), Some("fd00::1"));
        for none in [json!("None"), json!(""), json!(null)] {
            assert_eq!(address_of(&service(none)), None);
        }
    }
}
