//! The companion controller: keeps what the webhook reads as the `TelemetryStack` says, and tells in its status how it
//! stands.
//!
//! Of several controllers one leads. Its parts are tasks that look at what the watches publish, change one thing each,
//! and report; what they decide with is pure and stands in modules of its own.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::api::condition::{ConditionType, Reason};
use crate::calls;
use crate::config::Selector;
use crate::k8s::Client;
use crate::tasks::Tasks;
use crate::watch::Health;

mod adopted;
pub mod agent;
pub mod certificates;
mod cluster_domain;
pub mod collector;
pub mod collector_pods;
pub mod configuration;
mod contest;
mod crashes;
mod election;
pub mod endpoints;
pub mod events;
pub mod health;
pub mod injection;
pub mod lease;
mod left;
pub mod metrics;
pub mod objects;
pub mod placed;
mod plain;
pub mod pods;
pub mod replicas;
mod schema;
pub mod stack;
pub mod status;
mod stripped;

use collector::{Carried, Known};
use collector_pods::CollectorPods;
use election::Election;
use endpoints::Endpoints;
use events::Recorder;
use health::Secrets;
use metrics::Writes;
use stack::Stack;

/// What every part has: a task takes a copy.
#[derive(Clone)]
pub struct Context {
    pub client: Client,
    /// Otelgate's own.
    pub namespace: Arc<str>,
    /// `None` while there is none.
    pub stack: watch::Receiver<Option<Arc<Stack>>>,
    pub endpoints: watch::Receiver<Endpoints>,
    /// The spec of the Collector, and of the one before a fault; `None` while there is no `TelemetryStack`.
    pub known: watch::Receiver<Option<Arc<Known>>>,
    /// Pods of the Collector.
    pub collector_pods: watch::Receiver<CollectorPods>,
    /// Nodes that have just joined, as far as nodes are looked at.
    pub joining: watch::Receiver<Arc<BTreeSet<String>>>,
    /// What the Collectors do that run; `None` before they were looked at.
    pub carried: watch::Receiver<Option<Carried>>,
    /// Whether the Service that pods are told is the Agent's; `None` before that is decided.
    pub agent_serves: watch::Receiver<Option<bool>>,
    /// How the pods of an adopted Agent are found; `None` before that is known.
    pub adopted_agent: watch::Receiver<Option<Arc<[Selector]>>>,
    /// What is known of the Secret with the API key, whose change rolls the pods that read it.
    pub credentials: watch::Receiver<Secrets>,
    pub events: Recorder,
    pub status: status::Sink,
    pub state: Arc<State>,
}

/// Everything of a leader's that calls the API server, once: of each, what it is about.
macro_rules! state {
    ($($(#[$doc:meta])* $name:ident: $health:expr,)+) => {
        /// What readiness and metrics look at.
        #[derive(Debug)]
        pub struct State {
            leads: AtomicBool,
            pub lease: Arc<Health>,
            $($(#[$doc])* pub $name: Arc<Health>,)+
            pub coverage: pods::Measured,
            pub writes: Writes,
            pub measured: health::Measured,
            /// As they are told: of a new leader, maybe those of the one before.
            conditions: Mutex<Vec<(ConditionType, Reason)>>,
        }

        impl Default for State {
            fn default() -> Self {
                Self {
                    leads: AtomicBool::new(false),
                    lease: Arc::new(Health::new("Lease")),
                    $($name: Arc::new($health),)+
                    coverage: pods::Measured::default(),
                    writes: Writes::default(),
                    measured: health::Measured::default(),
                    conditions: Mutex::default(),
                }
            }
        }

        impl State {
            fn of_leader(&self) -> impl Iterator<Item = &Arc<Health>> {
                [$(&self.$name),+].into_iter()
            }
        }
    };
}

state! {
    stacks: Health::of_kind("TelemetryStack", APPLY_CRD),
    endpoints: Health::new("EndpointSlice"),
    config_maps: Health::new("ConfigMap"),
    services: Health::new("Service"),
    schema: Health::new("CustomResourceDefinition"),
    authority: Health::new("Secret otelgate-ca"),
    serving: Health::new("Secret otelgate-webhook-tls"),
    /// The Secret of cert-manager, or of whoever provides the certificate.
    source: Health::new("Secret of the certificate's provider"),
    registration: Health::new("MutatingWebhookConfiguration"),
    /// The Datadog Agent's objects.
    agent: Health::new("Datadog Agent"),
    agent_set: Health::new("DaemonSet of the Datadog Agent"),
    agent_pods: Health::new("Pod of the Datadog Agent"),
    /// By which an adopted one takes OTLP.
    agent_service: Health::new("Service of the Datadog Agent"),
    cluster_agent: Health::new("Deployment of the Cluster Agent"),
    cluster_agent_token: Health::new("Secret of the Cluster Agent"),
    /// The Secrets that they refer to.
    agent_secrets: Health::new("Secret of the Datadog Agent"),
    datadog_agents: Health::new("DatadogAgent"),
    /// Those that aren't otelgate's.
    other_agents: Health::new("Pod of another Datadog Agent"),
    datadog_definition: Health::new("definition of DatadogAgent"),
    status: Health::new("status"),
    collector_pods: Health::new("Pod of the Collector"),
    credentials: Health::new("Secret with the API key"),
    /// The pod of the probe.
    probe: Health::new("Pod of the probe"),
    events: Health::new("Event"),
    pods: Health::new("Pod"),
    namespaces: Health::new("Namespace"),
    /// Owners of pods that are repaired, evictions, and what is remembered of them.
    repair: Health::new("repair"),
    nodes: Health::new("Node"),
    /// The Collector's objects, and what its pods say.
    collector: Health::new("Collector"),
    collector_sets: Health::new("DaemonSet of the Collector"),
    collector_maps: Health::new("ConfigMap of the Collector"),
}

/// Why it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Asked,
    /// A task ended that must not.
    Task,
}

const APPLY_CRD: &str = "the API server doesn't know TelemetryStack; apply the CRD: otelgate update does, and so does Helm when it installs";

// === impl Context ===

#[cfg(test)]
impl Context {
    /// In which nobody has told of anything.
    fn of_nothing(client: Client) -> Self {
        let state = Arc::<State>::default();
        let (events, _) = Recorder::new("otelgate-controller-0", Arc::clone(&state));
        Self {
            client,
            namespace: "otelgate".into(),
            stack: watch::channel(None).1,
            endpoints: watch::channel(None).1,
            known: watch::channel(None).1,
            collector_pods: watch::channel(CollectorPods::default()).1,
            joining: watch::channel(Arc::default()).1,
            carried: watch::channel(Some(Carried::default())).1,
            agent_serves: watch::channel(Some(false)).1,
            adopted_agent: watch::channel(None).1,
            credentials: watch::channel(None).1,
            events,
            status: status::Sink::new().0,
            state,
        }
    }
}

// === impl State ===

impl State {
    /// Everything that calls the API server.
    pub fn healths(&self) -> impl Iterator<Item = &Health> {
        [&self.lease].into_iter().chain(self.of_leader()).map(AsRef::as_ref)
    }

    /// Why it doesn't do its work yet: the election for one that stands by, the watches for the leader.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let watches =
            [&self.stacks, &self.endpoints, &self.config_maps, &self.authority, &self.serving, &self.registration];
        let led = watches.into_iter().filter(|_| self.leads.load(Relaxed));
        let mut faults = [&self.lease].into_iter().chain(led);
        faults.find_map(|health| health.fault().map(|fault| format!("{}: {fault}", health.what())))
    }

    fn conditions(&self) -> Vec<(ConditionType, Reason)> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_conditions(&self, conditions: impl Iterator<Item = (ConditionType, Reason)>) {
        *self.conditions.lock().unwrap_or_else(PoisonError::into_inner) = conditions.collect();
    }

    /// What a leader knew counts no more.
    fn stand_by(&self) {
        self.leads.store(false, Relaxed);
        self.set_conditions(std::iter::empty());
        self.measured.stand_by();
        self.coverage.set(None);
        for health in self.of_leader() {
            health.forget();
        }
    }
}

/// Stands by, leads, and stands by again, until it is asked to stop.
pub async fn run(
    client: Client,
    namespace: String,
    identity: String,
    state: Arc<State>,
    stop: impl Future<Output = ()>,
) -> End {
    let namespace: Arc<str> = namespace.into();
    let mut election = Election::new(client.clone(), &namespace, identity.clone(), Arc::clone(&state.lease));
    let mut stop = std::pin::pin!(stop);
    let end = loop {
        tokio::select! {
            () = election.win() => {}
            () = &mut stop => break End::Asked,
        }
        state.leads.store(true, Relaxed);
        let writes = calls::fenced(client.clone(), election.fence());
        let mut tasks = lead(writes, Arc::clone(&namespace), &identity, Arc::clone(&state));
        let end = tokio::select! {
            () = election.hold() => None,
            _ = tasks.first_exit() => Some(End::Task),
            () = &mut stop => Some(End::Asked),
        };
        // Before anybody else may lead.
        election.fence().close();
        tasks.stop().await;
        state.stand_by();
        if let Some(end) = end {
            break end;
        }
    };
    election.release().await;
    end
}

/// Starts the leader's tasks.
fn lead(client: Client, namespace: Arc<str>, identity: &str, state: Arc<State>) -> Tasks {
    let mut tasks = Tasks::default();
    let (stack, stacks) = watch::channel(None);
    let (written, statuses) = watch::channel(Arc::default());
    let publishers = stack::Publishers { stack, written };
    tasks.spawn("TelemetryStack", stack::watch(client.clone(), publishers, Arc::clone(&state.stacks)));
    let (publisher, endpoints) = watch::channel(None);
    let (slices, health) = (client.clone(), Arc::clone(&state.endpoints));
    let of = Arc::clone(&namespace);
    tasks.spawn("endpoints", async move { endpoints::watch(slices, &of, publisher, health).await });
    let (specs, known) = watch::channel(None);
    let (pods, collector_pods) = watch::channel(CollectorPods::default());
    let (joins, joining) = watch::channel(Arc::default());
    let (running, carried) = watch::channel(None);
    let (serves, agent_serves) = watch::channel(None);
    let (adopted, adopted_agent) = watch::channel(None);
    let (secret, credentials) = watch::channel(None);
    let (events, happenings) = Recorder::new(identity, Arc::clone(&state));
    let (sink, reports) = status::Sink::new();
    let context = Context {
        client,
        namespace,
        stack: stacks,
        endpoints,
        known,
        collector_pods,
        joining,
        carried,
        agent_serves,
        adopted_agent,
        credentials,
        events,
        status: sink,
        state,
    };
    tasks.spawn("status", status::write(context.clone(), reports, statuses.clone()));
    tasks.spawn("events", events::send(context.clone(), happenings));
    tasks.spawn("Collector's pods", collector_pods::watch(context.clone(), pods));
    agent::start(&mut tasks, &context, statuses.clone(), serves, adopted);
    let (seen, config_maps) = watch::channel(None);
    tasks.spawn("ConfigMap", configuration::watch_config_map(context.clone(), seen));
    tasks.spawn("Collector's spec", collector::know(context.clone(), config_maps.clone(), specs));
    tasks.spawn("pods", pods::run(context.clone(), config_maps.clone(), statuses));
    let (found, addresses) = watch::channel(None);
    tasks.spawn("Collector's address", configuration::watch_address(context.clone(), found));
    let (wanted, wants) = watch::channel(None);
    tasks.spawn("configuration", configuration::keep(context.clone(), config_maps, addresses, wanted));
    let (missing, lacking) = watch::channel(Arc::from([]));
    tasks.spawn("schema", schema::look(context.clone(), missing));
    tasks.spawn("replicas", replicas::run(context.clone(), wants, lacking));
    let (registration, registrations) = watch::channel(None);
    tasks.spawn("certificates", certificates::run(context.clone(), registration));
    tasks.spawn("credentials", health::watch_credentials(context.clone(), secret));
    tasks.spawn("delivery", health::measure_delivery(context.clone()));
    tasks.spawn("probe", health::probe(context.clone(), registrations));
    tasks.spawn("Collector", collector::run(context, joins, running));
    tasks
}
