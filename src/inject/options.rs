//! What annotations ask for: read once per pod, pod before namespace, and every fault noted.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::containers;
use super::endpoint::{Destination, Url};
use super::plan::{Namespace, Note, Subject};
use super::prior::Prior;
use super::{Pod, Reason};
use crate::api::{annotation, label, otel};
use crate::config::{Configuration, Protocol};

/// A value and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sourced<'a> {
    pub value: &'a str,
    pub source: &'static str,
}

/// Where an annotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Pod,
    Namespace,
}

/// A comma-separated list, and where it stands.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// In order.
    names: Vec<&'a str>,
    level: Level,
}

/// The options in force for a pod, legal ones only.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    pub containers: Option<Listed<'a>>,
    /// That the pod's controller adds, by its name.
    pub sidecar: Option<&'static str>,
    /// `None` where no address is known that this pod could use.
    pub destination: Option<Cow<'a, Destination>>,
    pub endpoint_source: &'static str,
    pub propagators: Option<Sourced<'a>>,
    pub sampler: Option<Sourced<'a>>,
    pub sampler_arg: Option<Sourced<'a>>,
    pub logs: bool,
    pub log_source: Option<Sourced<'a>>,
    skip: Option<Listed<'a>>,
    /// `<container>`, source: for one container; in order.
    container_log_sources: Vec<(&'a str, &'a str)>,
    /// `resource.opentelemetry.io/<attribute>`, by name: the pod's, else the namespace's.
    pub attributes: Vec<(&'a str, Sourced<'a>)>,
}

const POD: &str = "annotation of the pod";
const NAMESPACE: &str = "annotation of the namespace";
const CONFIGURATION: &str = "configuration";
const ON_NAMESPACE: &str = "on the namespace";

/// One option as found, before it is known to be legal.
#[derive(Clone, Copy, Default)]
struct Raw<'a> {
    pod: Option<&'a str>,
    namespace: Option<&'a str>,
}

struct Reader<'a, 'n> {
    pod: &'a Pod<'a>,
    namespace: &'a Namespace<'a>,
    prior: &'n Prior,
    notes: &'n mut Vec<Note<'a>>,
}

// === impl Options ===

impl<'a> Options<'a> {
    pub(super) fn read(
        pod: &'a Pod<'a>,
        namespace: &'a Namespace<'a>,
        configuration: &'a Configuration,
        prior: &Prior,
        notes: &mut Vec<Note<'a>>,
    ) -> Self {
        let mut reader = Reader { pod, namespace, prior, notes };
        note_annotated_opt_in(pod, namespace, reader.notes);
        reader.unknown();
        let containers = reader.option(annotation::CONTAINERS, Listed::has_names).map(Listed::new);
        let logs = reader.option(annotation::LOGS, |value| matches!(value, "enabled" | "disabled"));
        let propagators = reader.option(annotation::PROPAGATORS, otel::are_propagators).map(sourced);
        let log_source = reader.log_source();
        let skip = reader.option(annotation::SKIP, Listed::has_names).map(Listed::new);
        let (sampler, sampler_arg) = reader.sampler(configuration);
        let (destination, endpoint_source) = reader.destination(configuration);
        let container_log_sources = reader.container_log_sources(log_source.map(|(_, level)| level), configuration);
        let attributes = reader.attributes();
        Self {
            containers,
            sidecar: containers::sidecar_of(pod),
            destination,
            endpoint_source,
            propagators: propagators
                .or(configuration.propagators().map(|value| Sourced { value, source: CONFIGURATION })),
            sampler,
            sampler_arg,
            logs: logs.map_or(configuration.collects_logs(), |(value, _)| value == "enabled"),
            log_source: log_source.map(sourced),
            skip,
            container_log_sources,
            attributes,
        }
    }

    /// Whether `otelgate.dev/skip` names this variable or attribute.
    #[must_use]
    pub fn skips(&self, key: &str) -> bool {
        self.skip.as_ref().is_some_and(|listed| listed.has(key))
    }

    /// The list of those.
    #[must_use]
    pub fn skip(&self) -> Option<&Listed<'a>> {
        self.skip.as_ref()
    }

    /// What the pod or its namespace says of one container's log source.
    #[must_use]
    pub fn container_log_source(&self, container: &str) -> Option<&'a str> {
        let found = self.container_log_sources.binary_search_by_key(&container, |(name, _)| *name).ok()?;
        Some(self.container_log_sources[found].1)
    }

    /// What annotations say of a resource attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<Sourced<'a>> {
        let found = self.attributes.binary_search_by_key(&key, |(name, _)| *name).ok()?;
        Some(self.attributes[found].1)
    }

    /// What the pod's own annotation says: labels stand between it and the namespace's.
    #[must_use]
    pub fn pod_attribute(&self, key: &str) -> Option<Sourced<'a>> {
        self.attribute(key).filter(|sourced| sourced.source == POD)
    }
}

fn sourced((value, level): (&str, Level)) -> Sourced<'_> {
    Sourced { value, source: level.source() }
}

// === impl Level ===

impl Level {
    const fn source(self) -> &'static str {
        match self {
            Self::Pod => POD,
            Self::Namespace => NAMESPACE,
        }
    }

    fn detail(self) -> Option<Cow<'static, str>> {
        (self == Self::Namespace).then_some(Cow::Borrowed(ON_NAMESPACE))
    }

    /// A detail, and the level with it where one wouldn't look for the annotation.
    fn with<'a>(self, detail: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let detail = detail.into();
        match self {
            Self::Pod => detail,
            Self::Namespace => format!("{ON_NAMESPACE}; {detail}").into(),
        }
    }
}

// === impl Listed ===

impl<'a> Listed<'a> {
    fn new((text, level): (&'a str, Level)) -> Self {
        let mut names: Vec<&str> = Self::split(text).collect();
        names.sort_unstable();
        names.dedup();
        Self { names, level }
    }

    fn split(text: &str) -> impl Iterator<Item = &str> {
        text.split(',').map(str::trim).filter(|one| !one.is_empty())
    }

    fn has_names(text: &str) -> bool {
        Self::split(text).next().is_some()
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.binary_search(&name).is_ok()
    }

    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.names.iter().copied()
    }

    /// What a note says of one of them.
    #[must_use]
    pub fn detail(&self, name: &'a str) -> Cow<'a, str> {
        self.level.with(name)
    }
}

// === impl Raw ===

impl<'a> Raw<'a> {
    fn first(self) -> Option<(&'a str, Level)> {
        self.pod.map(|value| (value, Level::Pod)).or(self.namespace.map(|value| (value, Level::Namespace)))
    }
}

// === impl Reader ===

impl<'a, 'n> Reader<'a, 'n> {
    /// The pod's annotations but for what otelgate wrote itself.
    fn on_pod(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, 'n> {
        let prior = self.prior;
        let annotations = &self.pod.metadata.value.annotations;
        annotations.iter().filter(|(key, value)| !prior.is_own_annotation(key, value))
    }

    fn on_namespace(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, 'n> {
        self.namespace.annotations.into_iter().flatten().map(|(key, value)| (&**key, &**value))
    }

    /// What the namespace says.
    fn default(&self, key: &str) -> Option<&'a str> {
        self.on_namespace().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn note(&mut self, reason: Reason, key: &'a str, detail: Option<Cow<'a, str>>) {
        self.notes.push(Note { reason, subject: Subject::Annotation(Cow::Borrowed(key)), detail });
    }

    /// An option at both levels, an illegal value counting as absent.
    fn raw(&mut self, key: &'static str, legal: impl Fn(&str) -> bool) -> Raw<'a> {
        let mut raw = Raw { pod: self.pod.annotation(key), namespace: self.default(key) };
        for (value, level) in [(&mut raw.pod, Level::Pod), (&mut raw.namespace, Level::Namespace)] {
            if value.is_some_and(|value| value.len() > super::legal::MAX_VALUE || !legal(value)) {
                *value = None;
                self.note(Reason::InvalidOption, key, level.detail());
            }
        }
        raw
    }

    fn option(&mut self, key: &'static str, legal: impl Fn(&str) -> bool) -> Option<(&'a str, Level)> {
        self.raw(key, legal).first()
    }

    /// Under its name as a resource attribute it is a default too. On the pod that is where the source itself stands.
    fn log_source(&mut self) -> Option<(&'a str, Level)> {
        let option = self.option(annotation::LOG_SOURCE, |value| !value.is_empty());
        let default = || self.default(annotation::RESOURCE_LOG_SOURCE).filter(|value| !value.is_empty());
        option.or_else(|| Some((default()?, Level::Namespace)))
    }

    /// A sampler's argument is worth something only with that sampler: of its own level, or of a higher one. Where that of
    /// its own level isn't legal, neither counts.
    fn sampler(&mut self, configuration: &'a Configuration) -> (Option<Sourced<'a>>, Option<Sourced<'a>>) {
        let sampler = self.raw(annotation::SAMPLER, |value| otel::is_sampler(value, None));
        let mut arg =
            Raw { pod: self.pod.annotation(annotation::SAMPLER_ARG), namespace: self.default(annotation::SAMPLER_ARG) };
        if let Some(name) = sampler.pod {
            if let Ok(own) = self.sampler_arg(name, arg.pod, Level::Pod) {
                return (Some(sourced((name, Level::Pod))), own);
            }
            arg.pod = None;
        }
        if let Some(name) = sampler.namespace {
            let found = match self.sampler_arg(name, arg.pod.take(), Level::Pod) {
                Ok(Some(pods)) => Ok(Some(pods)),
                Ok(None) | Err(()) => self.sampler_arg(name, arg.namespace.take(), Level::Namespace),
            };
            if let Ok(own) = found {
                return (Some(sourced((name, Level::Namespace))), own);
            }
        }
        let Some((name, configured)) = configuration.sampler() else {
            if let Some((_, level)) = arg.first() {
                self.note(Reason::InvalidOption, annotation::SAMPLER_ARG, Some(level.with("without a sampler")));
            }
            return (None, None);
        };
        let configuration = |value| Sourced { value, source: CONFIGURATION };
        let own = [(arg.pod, Level::Pod), (arg.namespace, Level::Namespace)]
            .into_iter()
            .find_map(|(value, level)| self.sampler_arg(name, value, level).ok().flatten());
        (Some(configuration(name)), own.or(configured.map(configuration)))
    }

    /// A sampler's argument, if there is one; nothing where it isn't legal.
    fn sampler_arg(&mut self, sampler: &str, arg: Option<&'a str>, level: Level) -> Result<Option<Sourced<'a>>, ()> {
        let Some(value) = arg else { return Ok(None) };
        if value.is_empty() || super::legal::is_value(value).is_err() || !otel::is_sampler(sampler, Some(value)) {
            self.note(Reason::InvalidOption, annotation::SAMPLER_ARG, level.detail());
            return Err(());
        }
        Ok(Some(sourced((value, level))))
    }

    fn destination(&mut self, configuration: &'a Configuration) -> (Option<Cow<'a, Destination>>, &'static str) {
        let endpoint = self
            .option(annotation::ENDPOINT, |value| Url::parse(value).is_some() && super::legal::is_value(value).is_ok());
        let protocol = self.raw(annotation::PROTOCOL, |value| Protocol::parse(value).is_some());
        let parsed = |value: Option<&str>| value.and_then(Protocol::parse);
        let configured = parsed(protocol.namespace).unwrap_or(configuration.protocol());
        if let Some((text, level)) = endpoint {
            let (own, preferred) = match level {
                Level::Pod => (protocol.pod, None),
                Level::Namespace => (protocol.namespace, parsed(protocol.pod)),
            };
            let destination = Url::parse(text).map(|url| Destination::new(&url, parsed(own), configured));
            let destination = match preferred {
                Some(protocol) => destination.map(|to| to.prefer(protocol)),
                None => destination,
            };
            return (destination.map(Cow::Owned), level.source());
        }
        let destination = configuration.destination(resolves_cluster_names(self.pod));
        match protocol.first() {
            Some((value, level)) => {
                let preferred = destination.zip(Protocol::parse(value)).map(|(to, protocol)| to.prefer(protocol));
                (preferred.map(Cow::Owned), level.source())
            }
            None => (destination.map(Cow::Borrowed), CONFIGURATION),
        }
    }

    /// `otelgate.dev/<container>.log-source`, which only the Agent can honour: the pod's, else the namespace's, unless the
    /// pod has one for all of its containers.
    fn container_log_sources(
        &mut self,
        of_pod: Option<Level>,
        configuration: &Configuration,
    ) -> Vec<(&'a str, &'a str)> {
        let mut names: Option<BTreeSet<&str>> = None;
        let mut sources = Vec::new();
        let on_namespace = self.on_namespace().filter(|_| of_pod != Some(Level::Pod));
        let on_namespace = on_namespace.map(|(key, value)| (key, value, Level::Namespace));
        for (key, value, level) in self.on_pod().map(|(key, value)| (key, value, Level::Pod)).chain(on_namespace) {
            let Some(container) = annotation::own_name(key).and_then(container_of_log_source) else { continue };
            let names = names.get_or_insert_with(|| self.pod.containers().map(|one| one.name.as_str()).collect());
            if !names.contains(container) {
                // A namespace's is for those of its pods that have one.
                if level == Level::Pod {
                    self.note(Reason::UnknownContainer, key, None);
                }
            } else if configuration.log_owner() != crate::config::LogOwner::Agent {
                self.note(Reason::PerContainerLogSource, key, level.detail());
            } else if value.is_empty() {
                self.note(Reason::InvalidOption, key, level.detail());
            } else {
                sources.push((container, value));
            }
        }
        // Of two with one name the pod's comes first, and stays.
        sources.sort_by_key(|(container, _)| *container);
        sources.dedup_by_key(|(container, _)| *container);
        sources
    }

    fn attributes(&mut self) -> Vec<(&'a str, Sourced<'a>)> {
        let mut attributes: Vec<(&'a str, Sourced<'a>)> = Vec::new();
        let prefixed = |(key, value): (&'a str, &'a str)| {
            let name = key.strip_prefix(annotation::RESOURCE)?;
            (!name.is_empty() && !value.is_empty() && name != otel::attr::LOG_SOURCE).then_some((key, name, value))
        };
        for (_, name, value) in self.on_pod().filter_map(prefixed) {
            attributes.push((name, Sourced { value, source: POD }));
        }
        for (key, name, value) in self.on_namespace().filter_map(prefixed) {
            if matches!(name, otel::attr::SERVICE_NAME | otel::attr::SERVICE_INSTANCE_ID) {
                self.note(Reason::NotOnNamespace, key, None);
            } else {
                attributes.push((name, Sourced { value, source: NAMESPACE }));
            }
        }
        // The API server sorts maps before a webhook sees them; a manifest may have them in any order. Of two with one
        // name the pod's comes first, and stays.
        attributes.sort_by_key(|(name, _)| *name);
        attributes.dedup_by_key(|(name, _)| *name);
        attributes
    }

    /// Annotations of otelgate's domain that don't exist, or have no effect where they stand.
    fn unknown(&mut self) {
        /// So many are slips; for more, it isn't looked for what they meant.
        const MOST_MEANT: usize = 10;
        let mut unknown = 0;
        for (key, level) in self
            .on_pod()
            .map(|(key, _)| (key, Level::Pod))
            .chain(self.on_namespace().map(|(key, _)| (key, Level::Namespace)))
        {
            let Some(name) = annotation::own_name(key) else { continue };
            let known = annotation::OPTIONS.iter().any(|option| option.key == key)
                || matches!(key, annotation::STATUS | annotation::FLOOR)
                || container_of_log_source(name).is_some();
            if !known && key != label::INJECT {
                let meant = (unknown < MOST_MEANT).then(|| annotation::nearest_option(name)).flatten();
                let detail = meant.map(|key| level.with(format!("did you mean {key}?")));
                self.note(Reason::UnknownAnnotation, key, detail.or_else(|| level.detail()));
                unknown += 1;
            }
        }
    }
}

/// Who wrote the label as an annotation is not opted in by it, and would wonder why.
pub(super) fn note_annotated_opt_in<'a>(pod: &'a Pod<'a>, namespace: &'a Namespace<'a>, notes: &mut Vec<Note<'a>>) {
    let mut namespaces = namespace.annotations.into_iter().flatten();
    let there = [
        (pod.annotation(label::INJECT).is_some(), Level::Pod),
        (namespaces.any(|(key, _)| **key == *label::INJECT), Level::Namespace),
    ];
    for (_, level) in there.into_iter().filter(|(is_there, _)| *is_there) {
        let subject = Subject::Annotation(label::INJECT.into());
        notes.push(Note { reason: Reason::OptInIsALabel, subject, detail: level.detail() });
    }
}

fn container_of_log_source(name: &str) -> Option<&str> {
    name.strip_suffix(annotation::LOG_SOURCE_SUFFIX).filter(|container| !container.is_empty())
}

/// Whether the names of Services resolve in this pod.
///
/// On the host's network the default policy means the node's resolver, and `None` means the pod's own.
fn resolves_cluster_names(pod: &Pod<'_>) -> bool {
    match pod.spec.dns_policy.as_str() {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" | "" => !pod.spec.host_network,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::inject::decide;

    /// What is noted of a pod with one annotation, in a namespace with the same one.
    fn noted(opt_in: Option<&str>, key: &str, value: &str) -> Vec<String> {
        let pod =
            serde_json::json!({"metadata": {"annotations": {key: value}}, "spec": {"containers": [{"name": "app"}]}});
        let pod = pod.to_string();
        let pod = Pod::from_json(&pod).expect("a pod");
        let annotations = [(key.into(), value.into())];
        let configuration = Configuration::default();
        let told = |pod: &Pod<'_>, annotations: &[_]| -> Vec<String> {
            let namespace = Namespace { name: Some("shop"), opt_in, left_out: None, annotations: Some(annotations) };
            let decision = decide(pod, &namespace, &configuration, Timestamp::UNIX_EPOCH);
            let about_it = decision.notes().iter().filter(|note| note.subject == Subject::Annotation(key.into()));
            about_it.map(|note| format!("{} {}", note.reason, note.detail.as_deref().unwrap_or("-"))).collect()
        };
        let bare = Pod::from_json(r#"{"spec": {"containers": [{"name": "app"}]}}"#).expect("a pod");
        [told(&pod, &[]), told(&bare, &annotations)].concat()
    }

    #[test]
    fn notes_say_which_annotations_stand_on_the_namespace() {
        for (key, value, on_pod, on_namespace) in [
            ("otelgate.dev/inject", "enabled", "OptInIsALabel -", "OptInIsALabel on the namespace"),
            ("otelgate.dev/logs", "x", "InvalidOption -", "InvalidOption on the namespace"),
            ("otelgate.dev/containers", " , ", "InvalidOption -", "InvalidOption on the namespace"),
            ("otelgate.dev/skip", ",", "InvalidOption -", "InvalidOption on the namespace"),
            ("otelgate.dev/protocol", "thrift", "InvalidOption -", "InvalidOption on the namespace"),
            ("otelgate.dev/skip", &"a,".repeat(2049), "InvalidOption -", "InvalidOption on the namespace"),
            ("otelgate.dev/containers", "b", "UnknownContainer b", "UnknownContainer on the namespace; b"),
            ("otelgate.dev/skip", "b", "UnsupportedSkip b", "UnsupportedSkip on the namespace; b"),
            (
                "otelgate.dev/sampler-arg",
                "1",
                "InvalidOption without a sampler",
                "InvalidOption on the namespace; without a sampler",
            ),
            (
                "otelgate.dev/skp",
                "b",
                "UnknownAnnotation did you mean otelgate.dev/skip?",
                "UnknownAnnotation on the namespace; did you mean otelgate.dev/skip?",
            ),
            ("otelgate.dev/zzz", "b", "UnknownAnnotation -", "UnknownAnnotation on the namespace"),
        ] {
            assert_eq!(noted(Some("enabled"), key, value), [on_pod, on_namespace]);
        }
    }

    #[test]
    fn what_many_unknown_annotations_meant_is_not_looked_for() {
        let annotations: serde_json::Map<_, _> =
            (10..50).map(|n| (format!("otelgate.dev/skp{n}"), "b".into())).collect();
        let pod =
            serde_json::json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "a"}]}});
        let pod = pod.to_string();
        let pod = Pod::from_json(&pod).expect("a pod");
        let configuration = Configuration::default();
        let namespace = Namespace { opt_in: Some("enabled"), ..Namespace::default() };
        let decision = decide(&pod, &namespace, &configuration, Timestamp::UNIX_EPOCH);
        let unknown = || decision.notes().iter().filter(|note| note.reason == Reason::UnknownAnnotation);
        assert_eq!((unknown().count(), unknown().filter(|note| note.detail.is_some()).count()), (40, 10));
    }

    #[test]
    fn the_label_as_an_annotation_is_told_where_nothing_is_opted_in() {
        let told = noted(None, "otelgate.dev/inject", "enabled");
        assert_eq!(told, ["OptInIsALabel -", "OptInIsALabel on the namespace"]);
    }
}
