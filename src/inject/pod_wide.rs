//! The keys on the pod itself: identity for logs that are read from files, unified service tags, and who owns the logs.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;

use super::identity::{Effective, Identity};
use super::lookup::Names;
use super::plan::{Action, Edit, Entry, MapState, Value};
use super::prior::Prior;
use super::status::Written;
use super::view::{Container, Map};
use super::{Context, Reason, legal, logs};
use crate::api::otel::attr;
use crate::api::{annotation, label};
use crate::config::LogOwner;

/// A selected container, and what it is.
pub(super) type Selected<'a> = (&'a Container<'a>, Identity<'a>);

/// A value that holds for the whole pod.
type PodWide<'a> = Result<Option<(Cow<'a, str>, &'static str)>, Reason>;

/// The value that all selected containers share; a reason where there is no such value, or it can't be known.
pub(super) fn shared<'a, 's>(
    selected: &'s [Selected<'a>],
    of: impl Fn(&'s Identity<'a>) -> &'s Effective<'a>,
) -> PodWide<'a>
where
    'a: 's,
{
    let mut found: Option<&'s Effective<'a>> = None;
    for (_, identity) in selected {
        let effective = of(identity);
        if let Effective::Unknown(reason) = effective {
            return Err(*reason);
        }
        if found.is_some_and(|first| first.value() != effective.value()) {
            return Err(Reason::ContainersDiffer);
        }
        found = found.or(Some(effective));
    }
    Ok(match found {
        Some(Effective::Known { value, source }) => Some((value.clone(), source)),
        _ => None,
    })
}

/// The annotations, but for the status.
pub(super) fn annotations<'a>(context: &Context<'a, '_>, selected: &[Selected<'a>]) -> Vec<Entry<'a>> {
    let mut entries = Vec::with_capacity(6 + selected.len());
    let identity = [
        (annotation::RESOURCE_SERVICE_NAME, attr::SERVICE_NAME, shared(selected, |one| &one.service)),
        (annotation::RESOURCE_SERVICE_VERSION, attr::SERVICE_VERSION, shared(selected, |one| &one.version)),
        (annotation::RESOURCE_ENVIRONMENT, attr::ENVIRONMENT, shared(selected, |one| &one.environment)),
    ];
    for (key, attribute, value) in identity {
        entries.extend(entry(context, Place::Annotations, key.into(), Some(attribute), value));
    }
    if context.options.logs {
        match context.configuration.log_owner() {
            LogOwner::Collector => {
                let key = annotation::RESOURCE_LOG_SOURCE;
                let skipped = Some(attr::LOG_SOURCE);
                entries.extend(entry(context, Place::Annotations, key.into(), skipped, log_source(context, selected)));
                let value = Ok(Some((Cow::Borrowed("true"), "logs are read by the Collector")));
                entries.extend(entry(context, Place::Annotations, annotation::DISCOVERY_LOGS.into(), None, value));
            }
            LogOwner::Agent => {
                entries.extend(
                    selected.iter().filter_map(|(container, identity)| agent_logs(context, container, identity)),
                );
            }
        }
    }
    entries
}

/// The labels, but for the configuration's hash.
pub(super) fn labels<'a>(context: &Context<'a, '_>, selected: &[Selected<'a>]) -> Vec<Entry<'a>> {
    let tags = [
        (label::DATADOG_ENV, attr::ENVIRONMENT, shared(selected, |one| &one.environment)),
        (label::DATADOG_SERVICE, attr::SERVICE_NAME, shared(selected, |one| &one.service)),
        (label::DATADOG_VERSION, attr::SERVICE_VERSION, shared(selected, |one| &one.version)),
    ];
    let mut entries = Vec::with_capacity(tags.len() + 1);
    for (key, attribute, value) in tags {
        entries.extend(entry(context, Place::Labels, key.into(), Some(attribute), value));
    }
    entries
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Annotations,
    Labels,
}

fn entry<'a>(
    context: &Context<'a, '_>,
    place: Place,
    key: Cow<'a, str>,
    attribute: Option<&str>,
    value: PodWide<'a>,
) -> Option<Entry<'a>> {
    let metadata = &context.pod.metadata.value;
    let (users, is_own): (Option<&str>, bool) = match place {
        Place::Annotations => {
            let value = metadata.annotations.get(&key);
            (value, value.is_some_and(|value| context.prior.is_own_annotation(&key, value)))
        }
        Place::Labels => {
            let value = metadata.labels.get(&key);
            (value, value.is_some_and(|value| context.prior.is_own_label(&key, value)))
        }
    };
    if users.is_some() && !is_own {
        return Some(Entry::kept(key, "the pod"));
    }
    if attribute.is_some_and(|attribute| context.options.skips(attribute)) {
        return Some(Entry::left(key, Reason::SkippedByAnnotation));
    }
    let (value, source) = match value {
        Ok(None) => return None,
        Ok(Some(found)) => found,
        Err(reason) => return Some(Entry::left(key, reason)),
    };
    if let Err(reason) = legal::is_value(&value) {
        return Some(Entry::left(key, reason));
    }
    if !legal::is_qualified_name(&key) || (place == Place::Labels && !legal::is_label_value(&value)) {
        return Some(Entry::left(key, Reason::NotLegal));
    }
    Some(Entry::set(key, Value::Text(value), source))
}

/// Pod-wide, so it has to be right for every selected container.
fn log_source<'a>(context: &Context<'a, '_>, selected: &[Selected<'a>]) -> PodWide<'a> {
    if let Some(sourced) = context.options.log_source {
        return Ok(Some((sourced.value.into(), sourced.source)));
    }
    let mut sources = selected.iter().map(|(container, _)| logs::source_of_image(container.image.as_str()));
    let first = sources.next().flatten();
    if sources.any(|other| other != first) {
        return Err(Reason::ContainersDiffer);
    }
    Ok(first.map(|source| (source.into(), "image")))
}

/// Why nobody reads a container's lines from files, if so.
pub(super) fn unread<'a>(
    context: &Context<'a, '_>,
    container: &Container<'a>,
    identity: &Identity<'a>,
) -> Option<Reason> {
    if context.configuration.log_owner() == LogOwner::Collector {
        return None;
    }
    if context.excludes_logs(container.name.as_str()) {
        return Some(Reason::LogsExcluded);
    }
    // The Agent reads those alone that it is told of.
    let told = agent_logs(context, container, identity).is_some_and(|entry| entry.action != Action::Left);
    (!told).then_some(Reason::LogsNotRead)
}

/// `ad.datadoghq.com/<container>.logs`.
fn agent_logs<'a>(context: &Context<'a, '_>, container: &Container<'a>, identity: &Identity<'a>) -> Option<Entry<'a>> {
    #[derive(Serialize)]
    struct Log<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<&'a str>,
    }

    let options = context.options;
    let name = container.name.as_str();
    let left = |key: String, reason| entry(context, Place::Annotations, key.into(), None, Err(reason));
    let own = options.container_log_source(name);
    let source = own
        .or(options.log_source.map(|sourced| sourced.value))
        .or_else(|| logs::source_of_image(container.image.as_str()));
    let key = format!("{}{name}{}", annotation::DATADOG_AUTODISCOVERY, annotation::DATADOG_LOGS_SUFFIX);
    if context.excludes_logs(name) {
        return left(key, Reason::LogsExcluded);
    }
    if !context.logs_have_room {
        return left(key, Reason::AnnotationsTooLarge);
    }
    let service = identity.service.value().filter(|_| !options.skips(attr::SERVICE_NAME));
    if source.is_none() && service.is_none() {
        let reason = match &identity.service {
            Effective::Unknown(reason) => *reason,
            Effective::Known { .. } => Reason::SkippedByAnnotation,
            Effective::Absent => Reason::PairIsUsers,
        };
        return left(key, reason);
    }
    let value = serde_json::to_string(&[Log { source, service }]).expect("two strings are JSON");
    entry(context, Place::Annotations, key.into(), None, Ok(Some((value.into(), "logs are read by the Agent"))))
}

/// Compares with what stands there already, and finds what of otelgate's earlier keys goes.
pub(super) fn settle<'a>(
    map: &'a Map<'a>,
    entries: &mut [Entry<'a>],
    written: Option<&Written>,
    is_own: impl Fn(&str, &str) -> bool,
) -> MapState<'a> {
    for entry in entries.iter_mut().filter(|entry| entry.edit == Edit::Add) {
        let Some(Value::Text(text)) = &entry.value else { continue };
        if let Some(now) = map.get(&entry.key) {
            entry.edit = if now == text { Edit::None } else { Edit::Replace(0) };
        }
    }
    let known: BTreeSet<&str> = written.into_iter().flat_map(|written| &written.edited).map(String::as_str).collect();
    let was_written = |key: &str| written.is_some_and(|written| written.set.contains_key(key) || known.contains(key));
    let edited =
        map.iter().filter(|(key, value)| was_written(key) && !is_own(key, value)).map(|(key, _)| key).collect();
    let mut removed: Vec<&str> = map.iter().filter(|(key, value)| is_own(key, value)).map(|(key, _)| key).collect();
    if !removed.is_empty() {
        let wanted = Names::of(entries.iter().filter(|entry| entry.is_written()).map(|entry| &*entry.key));
        removed.retain(|key| !wanted.contains(key));
    }
    MapState { now: map.presence, was: Prior::before(written, map.presence), removed, edited }
}
