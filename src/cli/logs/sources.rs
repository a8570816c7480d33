//! Whose logs are shown: which pods they are found by, and which of their containers count.

use clap::ValueEnum;

use super::Origin;
use crate::api::{label, object};
use crate::cli::fetch::{self, Part};
use crate::cli::output::Complaint;
use crate::cli::telemetry::{self, Telemetry};
use crate::k8s::{Client, ListParams, Pod, ResourceExt as _};
use crate::unavailable::Unavailable;

/// Logs that are open at once: each is a connection's stream, and as many containers are in a cluster as there are nodes.
pub const MOST: usize = 100;

/// Components whose pods are otelgate's own.
pub const OWN: &str = "webhook,controller";

/// What somebody may want to see alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Component {
    Webhook,
    Controller,
    Collector,
    Agent,
}

/// Pods of one kind, and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    kind: Kind,
    pub namespace: String,
    /// Which pods there.
    pub labels: String,
    /// Only the pods of that node.
    pub node: Option<String>,
}

/// In the order in which they count where not all can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Own,
    Collector,
    Agent,
}

/// The containers that are shown, and how many there are.
#[derive(Debug, Default)]
pub struct Found {
    pub origins: Vec<Origin>,
    pub all: usize,
    /// Whether otelgate's own are among them.
    pub has_own: bool,
}

/// The sources of a component, or of all; and why some aren't among them, where it can't be told where they are.
///
/// # Errors
/// When there are none.
pub async fn of(
    client: &Client,
    own: &str,
    component: Option<Component>,
    node: Option<&str>,
) -> Result<(Vec<Source>, Option<Unavailable>), Unavailable> {
    let (elsewhere, fault) = match component {
        Some(Component::Webhook | Component::Controller) => (None, None),
        Some(Component::Collector | Component::Agent) => (Some(telemetry::look_up(client, own).await?), None),
        None => match telemetry::look_up(client, own).await {
            Ok(telemetry) => (Some(telemetry), None),
            Err(fault) if fault.is_of_connection() => return Err(fault),
            Err(fault) => (None, Some(fault)),
        },
    };
    Ok((sources(own, component, elsewhere.as_ref(), node), fault))
}

fn sources(own: &str, component: Option<Component>, elsewhere: Option<&Telemetry>, node: Option<&str>) -> Vec<Source> {
    let own = |components| Some(Source::own(own, components));
    let own = match component {
        None => own(OWN),
        Some(Component::Webhook) => own("webhook"),
        Some(Component::Controller) => own("controller"),
        Some(Component::Collector | Component::Agent) => None,
    };
    let wanted = |one| elsewhere.filter(|_| component.is_none_or(|component| component == one));
    let collectors = wanted(Component::Collector).map(Source::collectors);
    let all = own.into_iter().chain(collectors).chain(wanted(Component::Agent).map(Source::agents));
    all.map(|source| Source { node: node.map(ToOwned::to_owned), ..source }).collect()
}

/// What there is now, in the order of pods' names; of more than can be open at once those of pods in trouble.
pub async fn find(client: &Client, sources: &[Source]) -> (Found, Vec<Unavailable>) {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for source in sources {
        let show = |pod: &serde_json::Value| {
            let Ok(pod) = serde_json::from_value::<Pod>(pod.clone()) else { return };
            let rank = (telemetry::urgency(&pod), source.kind);
            found.extend(source.origins(&pod).into_iter().map(|origin| (rank.clone(), origin)));
        };
        let pods = fetch::pods(&source.namespace);
        if let Err(fault) = fetch::each(client, &pods, Part::Whole, source.params(), show).await {
            faults.push(fault);
        }
    }
    (chosen(found), faults)
}

type Rank = ((bool, i32, String), Kind);

fn chosen(mut found: Vec<(Rank, Origin)>) -> Found {
    let all = found.len();
    let has_own = found.iter().any(|((_, kind), _)| *kind == Kind::Own);
    // Those of the webhook and the controller are few, and tell of the others.
    found.sort_by(|((one, kind), _), ((other, other_kind), _)| {
        let is_own = |kind: &Kind| *kind == Kind::Own;
        (!is_own(kind), one, kind).cmp(&(!is_own(other_kind), other, other_kind))
    });
    let mut origins: Vec<_> = found.into_iter().take(MOST).map(|(_, origin)| origin).collect();
    origins.sort_by(|one, other| (&one.pod, &one.container).cmp(&(&other.pod, &other.container)));
    origins.dedup_by(|one, other| one.key() == other.key());
    Found { origins, all, has_own }
}

/// How to see others, where not all are shown.
pub const NARROW: &str = "name a node with --node, or what you look for with --component";

/// That not all are shown.
#[must_use]
pub fn not_all(found: &Found) -> Option<String> {
    let all = found.all;
    (all > MOST).then(|| {
        format!("{MOST} of {all} logs are shown: those of otelgate's own pods, then those of pods in trouble; {NARROW}")
    })
}

/// That there is nothing to show.
#[must_use]
pub fn nothing(sources: &[Source]) -> Complaint {
    let kind = sources.first().map_or(Kind::Own, |source| source.kind);
    let namespace = sources.first().map(|source| source.namespace.clone()).unwrap_or_default();
    let on = sources.first().and_then(|source| source.node.as_deref()).map(|node| format!(" on node {node}"));
    let (whose, next) = match kind {
        Kind::Own => {
            ("otelgate", "give --otelgate-namespace, if it is installed elsewhere; else otelgate deploy installs it")
        }
        Kind::Collector => {
            ("the Collector", "see condition CollectorAvailable: kubectl describe telemetrystack default")
        }
        Kind::Agent => ("the Agent", "see condition AgentAvailable: kubectl describe telemetrystack default"),
    };
    Complaint {
        place: format!("namespace {namespace}"),
        message: format!("no pod of {whose} is there{}", on.unwrap_or_default()),
        next: next.to_owned(),
    }
}

// === impl Source ===

impl Source {
    /// Whether some have to be there.
    #[must_use]
    pub fn is_missed(&self, found: &Found) -> bool {
        self.kind == Kind::Own && self.node.is_none() && !found.has_own
    }

    /// Otelgate's own pods of these components.
    #[must_use]
    pub fn own(namespace: &str, components: &str) -> Self {
        let labels = format!("{}={},{} in ({components})", label::APP_NAME, object::APP, label::APP_COMPONENT);
        Self { kind: Kind::Own, namespace: namespace.to_owned(), labels, node: None }
    }

    #[must_use]
    pub fn collectors(telemetry: &Telemetry) -> Self {
        let Telemetry { namespace, collector, .. } = telemetry;
        Self { kind: Kind::Collector, namespace: namespace.clone(), labels: collector.query(), node: None }
    }

    #[must_use]
    pub fn agents(telemetry: &Telemetry) -> Self {
        let labels = telemetry::AGENT.to_owned();
        Self { kind: Kind::Agent, namespace: telemetry.namespace.clone(), labels, node: None }
    }

    #[must_use]
    pub fn params(&self) -> ListParams {
        let params = ListParams::default().labels(&self.labels);
        match self.fields() {
            Some(fields) => params.fields(&fields),
            None => params,
        }
    }

    #[must_use]
    pub fn fields(&self) -> Option<String> {
        self.node.as_ref().map(|node| format!("spec.nodeName={node}"))
    }

    /// Of otelgate's own pods and of Collectors' the container that has the component's name, else the first: others put
    /// sidecars into pods. Of an Agent's all: each is a part of it.
    #[must_use]
    pub fn origins(&self, pod: &Pod) -> Vec<Origin> {
        let labelled = |label: &str| pod.labels().get(label).cloned().unwrap_or_default();
        let (component, wanted) = match self.kind {
            Kind::Own => {
                let component = labelled(label::APP_COMPONENT);
                (component.clone(), Some(component))
            }
            Kind::Collector => ("collector".to_owned(), Some(object::COLLECTOR.to_owned())),
            Kind::Agent => (labelled(label::AGENT_COMPONENT), None),
        };
        Origin::of(pod, &component, wanted.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn telemetry() -> Telemetry {
        Telemetry::of(&[], None)
    }

    fn pod(name: &str, labels: &serde_json::Value, containers: &[&str]) -> Pod {
        let containers: Vec<_> = containers.iter().map(|name| json!({"name": name})).collect();
        let metadata = json!({"name": name, "namespace": "n", "uid": name, "labels": labels});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": containers}})).expect("a pod")
    }

    #[test]
    fn each_component_is_looked_for_where_it_is() {
        let found = |component| {
            let all = sources("otelgate", component, Some(&telemetry()), None);
            all.into_iter().map(|source| format!("{} {}", source.namespace, source.labels)).collect::<Vec<_>>()
        };
        let own = |components| {
            format!("otelgate app.kubernetes.io/name=otelgate,app.kubernetes.io/component in ({components})")
        };
        let collector = "datadog app=otel-collector".to_owned();
        let agent = "datadog agent.datadoghq.com/component".to_owned();
        assert_eq!(found(None), [own("webhook,controller"), collector.clone(), agent.clone()]);
        assert_eq!(found(Some(Component::Webhook)), [own("webhook")]);
        assert_eq!(found(Some(Component::Controller)), [own("controller")]);
        assert_eq!(found(Some(Component::Collector)), [collector]);
        assert_eq!(found(Some(Component::Agent)), [agent]);
    }

    #[test]
    fn the_components_own_container_is_read_and_all_of_an_agent() {
        let read = |kind, labels: &serde_json::Value, containers: &[&str]| {
            let source = Source { kind, namespace: "n".to_owned(), labels: String::new(), node: None };
            let origins = source.origins(&pod("p", labels, containers));
            origins.into_iter().map(|one| format!("{} {}", one.component, one.container)).collect::<Vec<_>>()
        };
        let own = json!({label::APP_COMPONENT: "webhook"});
        assert_eq!(read(Kind::Own, &own, &["istio-proxy", "webhook"]), ["webhook webhook"]);
        assert_eq!(read(Kind::Own, &own, &["otelgate"]), ["webhook otelgate"]);
        assert!(read(Kind::Own, &own, &[]).is_empty());
        assert_eq!(read(Kind::Collector, &json!({}), &["sidecar", "otel-collector"]), ["collector otel-collector"]);
        assert_eq!(read(Kind::Collector, &json!({}), &["otc-container"]), ["collector otc-container"]);
        let agent = json!({label::AGENT_COMPONENT: "agent"});
        assert_eq!(read(Kind::Agent, &agent, &["agent", "trace-agent"]), ["agent agent", "agent trace-agent"]);
    }

    /// In a cluster of any size no more are open at once, and otelgate's own are among them.
    #[test]
    fn of_too_many_those_that_matter_are_shown() {
        let of = |name: &str, ready: bool, kind| {
            let source = Source { kind, namespace: "n".to_owned(), labels: String::new(), node: None };
            let origin = source.origins(&pod(name, &json!({}), &["c"])).remove(0);
            (((ready, 0, name.to_owned()), kind), origin)
        };
        let mut all: Vec<_> = (0..2 * MOST).map(|n| of(&format!("c-{n:03}"), n != 150, Kind::Collector)).collect();
        all.push(of("webhook", true, Kind::Own));
        let found = chosen(all);
        assert_eq!((found.origins.len(), found.all), (MOST, 2 * MOST + 1));
        for shown in ["webhook", "c-150", "c-000"] {
            assert!(found.origins.iter().any(|origin| origin.pod == shown), "{shown}");
        }
        assert!(not_all(&found).expect("a hint").starts_with("100 of 201 logs are shown: "));
        assert!(not_all(&chosen(vec![of("webhook", true, Kind::Own)])).is_none());
    }
}
