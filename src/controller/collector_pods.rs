//! The Collectors' pods: watched once, cut to what is looked at of them, for everybody who looks.

use std::sync::Arc;

use tokio::sync::watch;

use super::Context;
use super::collector::{Known, Pod, ReadPod};
use crate::api::stack::{AdoptedCollector, Collector, CollectorMode};
use crate::k8s::{Api, watcher};
use crate::watch::{self as watching, Objects};

/// What was listed last, and where: by name.
#[derive(Debug, Default)]
pub struct CollectorPods {
    at: Option<Place>,
    pods: Option<Objects<Arc<Pod>>>,
}

/// Where the Collectors' pods are, and by what they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub namespace: String,
    /// As in a query.
    pub selector: String,
}

// === impl CollectorPods ===

impl CollectorPods {
    /// Those of the place, once they were listed. What was listed elsewhere is another's, and never counts.
    #[must_use]
    pub fn of(&self, place: &Place) -> Option<&Objects<Arc<Pod>>> {
        self.pods.as_ref().filter(|_| self.at.as_ref() == Some(place))
    }

    #[cfg(test)]
    pub(super) fn listed(at: Place, pods: Objects<Arc<Pod>>) -> Self {
        Self { at: Some(at), pods: Some(pods) }
    }
}

// === impl Place ===

impl Place {
    /// Where there is to be no Collector, the controller's own are looked at until they have gone.
    #[must_use]
    pub fn at(collector: &Collector, namespace: &str) -> Self {
        let selector = match collector.mode {
            CollectorMode::Managed | CollectorMode::Disabled => AdoptedCollector::default().selector.query(),
            CollectorMode::Adopt => collector.adopt.selector.query(),
        };
        Self { namespace: namespace.to_owned(), selector }
    }
}

/// Publishes the pods of the place that the spec names, whichever that is just now. Never returns.
pub async fn watch(context: Context, pods: watch::Sender<CollectorPods>) {
    let Context { client, mut known, state, .. } = context;
    let place_of = |known: &Option<Arc<Known>>| known.as_ref()?.pods();
    loop {
        let place = place_of(&known.borrow_and_update());
        pods.send_replace(CollectorPods { at: place.clone(), pods: None });
        state.collector_pods.forget();
        let another = async {
            // The sender lives as long as the leader's tasks do.
            if known.wait_for(|known| place_of(known) != place).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let Some(at) = place.clone() else {
            another.await;
            continue;
        };
        let api = Api::<ReadPod>::namespaced(client.clone(), &at.namespace);
        let config = watcher::Config::default().labels(&at.selector);
        let cut = |pod: ReadPod| Arc::new(Pod::of(&pod));
        tokio::select! {
            () = watching::reflect(api, config, &state.collector_pods, cut, &pods, |pods| &mut pods.pods) => {}
            () = another => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::stack::Stack;
    use serde_json::{Value, json};

    fn place(spec: &Value) -> Place {
        let known = Known::of(Stack::new("u".to_owned(), 1, spec));
        known.borrow().as_ref().and_then(|known| known.pods()).expect("valid")
    }

    #[test]
    fn they_are_known_by_their_labels() {
        let at =
            |namespace: &str, selector: &str| Place { namespace: namespace.to_owned(), selector: selector.to_owned() };
        assert_eq!(place(&json!({})), at("datadog", "app=otel-collector"));
        let elsewhere = json!({"injection": {"collector": {"namespace": "observability"}}});
        assert_eq!(place(&elsewhere), at("observability", "app=otel-collector"));
        let adopted = json!({"collector": {"mode": "adopt", "adopt": {"selector": {
            "matchLabels": {"app": "collector"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]},
                                 {"key": "old", "operator": "DoesNotExist"}],
        }}}});
        assert_eq!(place(&adopted), at("datadog", "app=collector,tier in (a,b),!old"));
        assert_eq!(place(&json!({"collector": {"mode": "disabled"}})), place(&json!({})), "until they have gone");
        assert_eq!(
            place(&json!({"collector": {"mode": "managed", "adopt": {"selector": {"matchLabels": {"a": "b"}}}}})),
            at("datadog", "app=otel-collector")
        );
    }

    #[test]
    fn pods_of_the_former_place_never_count() {
        let at = |namespace: &str| Place { namespace: namespace.to_owned(), selector: "app=otel-collector".to_owned() };
        let pods = CollectorPods::listed(at("datadog"), Objects::new());
        assert_eq!(pods.of(&at("datadog")), Some(&Objects::new()));
        assert_eq!(pods.of(&at("observability")), None);
        assert_eq!(CollectorPods::default().of(&at("datadog")), None, "nothing was listed");
    }
}
