//! The variables of one container.
//!
//! Ours go to the front of the list, those that others refer to first: so each `$(X)` refers backwards, also one that
//! the user wrote to a variable of ours.

use std::borrow::Cow;

use super::endpoint::{Destination, Signal};
use super::existing::{Existing, Known, OwnAttributes};
use super::expand::double_dollars;
use super::identity::{Effective, Identity};
use super::legal;
use super::options::Sourced;
use super::plan::{Edit, Entry, ListState, Value};
use super::prior::{Ownership, Prior};
use super::resource::Resource;
use super::status::{Digests, Was};
use super::view::Presence;
use super::{Context, Reason};
use crate::api::otel::{self, attr, var};
use crate::config::{ExtraSource, Protocol};

/// Downward-API variables of otelgate's own, in their order.
pub(super) const REFERENCES: [(&str, &str); 4] = [
    (var::POD_NAME, "metadata.name"),
    (var::POD_UID, "metadata.uid"),
    (var::NODE_NAME, "spec.nodeName"),
    (var::NODE_IP, "status.hostIP"),
];

const DOWNWARD: &str = "downward API";
const CONTAINER: &str = "the container";

/// Builds the entries of one container.
pub(super) struct Variables<'a, 'c> {
    pub context: &'c Context<'a, 'c>,
    pub existing: &'c Existing<'a>,
    pub own: &'c OwnAttributes<'a>,
    pub identity: &'c Identity<'a>,
    entries: Vec<Entry<'a>>,
    /// Of [`REFERENCES`], those that something written refers to.
    referred: [bool; REFERENCES.len()],
}

/// What a container says where or how one kind of telemetry goes.
struct Exporter {
    endpoint: Said<()>,
    protocol: Said<Protocol>,
}

/// What a container says by one variable.
enum Said<T> {
    Nothing,
    /// The variable is there and empty, which counts as unset; but its name is taken.
    Empty,
    Value(T),
    /// It can't be used or known, for this reason.
    Hidden(Reason),
}

/// How a protocol comes about.
#[derive(Clone, Copy)]
enum Chosen {
    /// By otelgate, which then says so.
    Free,
    /// By the container, in this variable or in one that is in force for it.
    Given(Protocol),
}

// === impl Said ===

impl<T> Said<T> {
    fn of(known: Known<'_>, read: impl FnOnce(&str) -> Result<T, Reason>) -> Self {
        match known {
            Known::Absent => Self::Nothing,
            Known::Literal(text) if text.is_empty() => Self::Empty,
            Known::Literal(text) => read(&text).map_or_else(Self::Hidden, Self::Value),
            Known::Hidden(reason) => Self::Hidden(reason),
        }
    }

    fn is_set(&self) -> bool {
        matches!(self, Self::Value(_) | Self::Hidden(_))
    }

    fn is_there(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

impl Said<Protocol> {
    /// The specification's default holds where the name is taken and empty.
    fn chosen(&self) -> Result<Chosen, Reason> {
        match self {
            Self::Nothing => Ok(Chosen::Free),
            Self::Empty => Ok(Chosen::Given(Protocol::HttpProtobuf)),
            Self::Value(protocol) => Ok(Chosen::Given(*protocol)),
            Self::Hidden(reason) => Err(*reason),
        }
    }

    /// As a signal's, where the general one is in force unless it has its own.
    fn chosen_under(&self, general: &Self) -> Result<Chosen, Reason> {
        match (self, general) {
            (Self::Nothing | Self::Empty, Self::Value(_) | Self::Hidden(_)) => general.chosen(),
            _ => self.chosen(),
        }
    }
}

// === impl Variables ===

impl<'a, 'c> Variables<'a, 'c> {
    pub fn new(
        context: &'c Context<'a, 'c>,
        existing: &'c Existing<'a>,
        own: &'c OwnAttributes<'a>,
        identity: &'c Identity<'a>,
    ) -> Self {
        let entries = Vec::with_capacity(16);
        Self { context, existing, own, identity, entries, referred: [false; REFERENCES.len()] }
    }

    /// All entries in their order, and those of `OTEL_RESOURCE_ATTRIBUTES`.
    pub fn build(mut self) -> (Vec<Entry<'a>>, Vec<Entry<'a>>) {
        self.service_name();
        self.exporters();
        self.settings();
        for variable in self.context.configuration.extra() {
            let value = match &variable.source {
                ExtraSource::Literal(text) => Value::text(text),
                ExtraSource::FieldPath(path) => Value::Field(path.into()),
            };
            self.offer(&variable.name, value, "configuration");
        }
        let attributes = self.resource_attributes();
        self.references();
        self.settle();
        (self.entries, attributes)
    }

    /// Sets a variable, unless the container has it or must not have it.
    fn offer(&mut self, name: &'a str, value: Value<'a>, source: &'static str) {
        let entry = if self.existing.last(name).is_some() {
            Entry::kept(name, CONTAINER)
        } else if self.context.options.skips(name) {
            Entry::left(name, Reason::SkippedByAnnotation)
        } else if let Some(reason) = illegal(&value) {
            Entry::left(name, reason)
        } else {
            Entry { reason: self.may_override(), ..Entry::set(name, value, source) }
        };
        self.entries.push(entry);
    }

    fn may_override(&self) -> Option<Reason> {
        self.existing.has_env_from().then_some(Reason::MayOverride)
    }

    fn service_name(&mut self) {
        let name = var::SERVICE_NAME;
        if self.existing.last(name).is_some() {
            self.entries.push(Entry::kept(name, CONTAINER));
            return;
        }
        if self.own.parsed.get(attr::SERVICE_NAME).is_some() {
            self.entries.push(Entry::left(name, Reason::PairIsUsers));
            return;
        }
        match &self.identity.service {
            _ if self.context.options.skips(attr::SERVICE_NAME) => {
                self.entries.push(Entry::left(name, Reason::SkippedByAnnotation));
            }
            Effective::Known { value, source } => {
                if let Err(reason) = legal::is_value(value) {
                    self.entries.push(Entry::left(name, reason));
                    return;
                }
                let value = match value {
                    Cow::Borrowed(text) => double_dollars(text),
                    Cow::Owned(text) => Cow::Owned(double_dollars(text).into_owned()),
                };
                self.offer(name, Value::Text(value), source);
                // The attribute may hide where the reference or the valueFrom can't be read.
                if let Some(entry) = self.entries.last_mut()
                    && entry.is_written()
                    && (self.own.value_from || self.own.unresolved)
                {
                    entry.reason = Some(Reason::MayOverride);
                }
            }
            Effective::Absent => {}
            Effective::Unknown(reason) => self.entries.push(Entry::left(name, *reason)),
        }
    }

    /// Endpoints and protocols, which only make sense as pairs.
    fn exporters(&mut self) {
        let general = self.exporter(var::ENDPOINT, var::PROTOCOL);
        let signals =
            Signal::ALL.map(|signal| (signal, self.exporter(signal.endpoint_variable(), signal.protocol_variable())));
        if general.endpoint.is_set() {
            self.entries.push(Entry::kept(var::ENDPOINT, CONTAINER));
            self.entries.push(match general.protocol {
                Said::Nothing => Entry::left(var::PROTOCOL, Reason::PairIsUsers),
                _ => Entry::kept(var::PROTOCOL, CONTAINER),
            });
            return;
        }
        let no_signal = signals.iter().all(|(_, own)| !own.endpoint.is_set() && !own.protocol.is_set());
        if no_signal && !general.endpoint.is_there() {
            let chosen = general.protocol.chosen();
            self.pair(var::ENDPOINT, var::PROTOCOL, None, chosen, general.protocol.is_there());
            return;
        }
        for (signal, own) in signals {
            let (endpoint, protocol) = (signal.endpoint_variable(), signal.protocol_variable());
            if own.endpoint.is_there() {
                self.entries.push(Entry::kept(endpoint, CONTAINER));
            } else {
                let chosen = own.protocol.chosen_under(&general.protocol);
                self.pair(endpoint, protocol, Some(signal), chosen, own.protocol.is_there());
            }
        }
    }

    fn exporter(&self, endpoint: &str, protocol: &str) -> Exporter {
        Exporter {
            endpoint: Said::of(self.existing.value(endpoint), |_| Ok(())),
            protocol: Said::of(self.existing.value(protocol), |text| {
                Protocol::parse(text).ok_or(Reason::NoEndpointForProtocol)
            }),
        }
    }

    /// An endpoint that the container doesn't have, with the protocol that goes with it.
    fn pair(
        &mut self,
        endpoint: &'static str,
        protocol: &'static str,
        signal: Option<Signal>,
        chosen: Result<Chosen, Reason>,
        has_protocol: bool,
    ) {
        // A signal's pair stands for the general one, which somebody may have in envFrom.
        let skipped = [endpoint, protocol, var::ENDPOINT, var::PROTOCOL].map(|name| self.context.options.skips(name));
        let given = matches!(chosen, Ok(Chosen::Given(_)) | Err(_));
        let found = match chosen {
            _ if skipped.contains(&true) => Err(Reason::SkippedByAnnotation),
            Ok(Chosen::Free) => self.endpoint(signal, None),
            Ok(Chosen::Given(protocol)) => self.endpoint(signal, Some(protocol)),
            Err(reason) => Err(reason),
        };
        let source = self.context.options.endpoint_source;
        let speaks = found.as_ref().map(|(_, speaks)| *speaks).map_err(|reason| *reason);
        match found {
            Ok((url, _)) => self.offer(endpoint, Value::Text(url), source),
            Err(reason) => self.entries.push(Entry::left(endpoint, reason)),
        }
        match speaks {
            _ if has_protocol => self.entries.push(Entry::kept(protocol, CONTAINER)),
            Ok(speaks) if !given => self.offer(protocol, Value::text(speaks.as_str()), source),
            Ok(_) => {}
            Err(reason) => self.entries.push(Entry::left(protocol, reason)),
        }
    }

    fn endpoint(
        &mut self,
        signal: Option<Signal>,
        chosen: Option<Protocol>,
    ) -> Result<(Cow<'a, str>, Protocol), Reason> {
        let destination = self.context.options.destination.as_ref().ok_or(Reason::NoEndpoint)?;
        let protocol = chosen.unwrap_or(destination.protocol);
        let url = match destination {
            Cow::Borrowed(destination) => url(destination, signal, protocol),
            Cow::Owned(destination) => url(destination, signal, protocol).map(|url| Cow::Owned(url.into_owned())),
        };
        let url = url.ok_or(Reason::NoEndpointForProtocol)?;
        if destination.on_node {
            self.refer(var::NODE_IP, None)?;
        }
        Ok((url, protocol))
    }

    fn settings(&mut self) {
        let context = self.context;
        let options = context.options;
        if let Some(Sourced { value, source }) = options.propagators {
            self.offer(var::PROPAGATORS, Value::Text(otel::propagators(value)), source);
        }
        self.sampler();
        if let Some(temporality) = context.configuration.temporality() {
            self.offer(var::TEMPORALITY, Value::text(temporality), "configuration");
        }
        if options.logs {
            let own_logs = self.existing.entries().any(|(_, variable)| {
                var::LOGS_PREFIXES.iter().any(|prefix| variable.name.as_str().starts_with(prefix))
            });
            if own_logs && self.existing.last(var::LOGS_EXPORTER).is_none() {
                self.entries.push(Entry::left(var::LOGS_EXPORTER, Reason::PairIsUsers));
            } else {
                self.offer(var::LOGS_EXPORTER, Value::text("none"), "logs are read from files");
            }
        }
    }

    /// A sampler without its argument, or with another's, samples something else than anybody asked for.
    fn sampler(&mut self) {
        let options = self.context.options;
        let Some(sampler) = options.sampler else { return };
        let names = [var::SAMPLER, var::SAMPLER_ARG];
        if names.iter().any(|name| self.existing.last(name).is_some()) {
            self.entries.extend(names.map(|name| match self.existing.last(name) {
                Some(_) => Entry::kept(name, CONTAINER),
                None => Entry::left(name, Reason::PairIsUsers),
            }));
        } else if names.iter().any(|name| options.skips(name)) {
            self.entries.extend(names.map(|name| Entry::left(name, Reason::SkippedByAnnotation)));
        } else {
            self.offer(var::SAMPLER, Value::Text(double_dollars(sampler.value)), sampler.source);
            if let Some(arg) = options.sampler_arg {
                self.offer(var::SAMPLER_ARG, Value::Text(double_dollars(arg.value)), arg.source);
            }
        }
    }

    /// `OTEL_RESOURCE_ATTRIBUTES`, or the suffix to the container's own.
    fn resource_attributes(&mut self) -> Vec<Entry<'a>> {
        let name = var::RESOURCE_ATTRIBUTES;
        let refused = if self.own.value_from {
            Some(Reason::ValueFrom)
        } else if self.context.options.skips(name) {
            Some(Reason::SkippedByAnnotation)
        } else if self.own.unclosed {
            Some(Reason::UnclosedReference)
        } else {
            let asked = self.own.text.len() + self.context.options.attributes_length;
            (asked > legal::MAX_VARIABLE).then_some(Reason::VariableTooLarge)
        };
        if let Some(reason) = refused {
            self.entries.push(Entry::left(name, reason));
            return Vec::new();
        }
        let before = self.referred;
        let (attributes, text) = Resource::new(self).build();
        let text_before = &self.own.text;
        let comma = !text_before.trim_end().is_empty() && !text_before.trim_end().ends_with(',') && !text.is_empty();
        if text_before.len() + text.len() + usize::from(comma) > legal::MAX_VARIABLE {
            self.referred = before;
            self.entries.push(Entry::left(name, Reason::VariableTooLarge));
            return Vec::new();
        }
        // A literal of the container's own beats envFrom already.
        let hides = self.own.unresolved.then_some(Reason::MayOverride);
        let entry = match self.own.index {
            _ if text.is_empty() => self.own.index.map(|_| Entry::kept(name, CONTAINER)),
            None => Some(Entry {
                reason: self.may_override(),
                ..Entry::set(name, Value::Text(text.into()), "see attributes")
            }),
            Some(index) => Some(self.merge(index, comma, &text, hides)),
        };
        self.entries.extend(entry);
        attributes
    }

    fn merge(&self, index: usize, comma: bool, text: &str, reason: Option<Reason>) -> Entry<'a> {
        let variable = &self.existing.container.env.items[index];
        let prior = match self.existing.ownership.get(index) {
            Some(Ownership::Suffix(range)) => Some(range),
            _ => None,
        };
        let suffix = format!("{}{text}", if comma { "," } else { "" });
        let now = variable.value.value.as_str();
        let was = self.was(variable.value.presence, prior.is_some());
        // What somebody wrote behind our suffix stays where it is, as long as the suffix does.
        let unchanged = prior.is_some_and(|range| {
            let written = &now[range.clone()];
            written == suffix || written.strip_prefix(',') == Some(text)
        });
        if let Some(range) = prior.filter(|_| unchanged) {
            let suffix = now[range.clone()].to_owned();
            let was = if range.start == 0 { was } else { Was::Text(range.start) };
            let edit = Edit::Append { index, was, text: String::new(), changed: false };
            return merged(suffix, edit, reason);
        }
        let whole = format!("{}{suffix}", self.own.text);
        let was = if self.own.text.is_empty() { was } else { Was::Text(self.own.text.len()) };
        merged(suffix, Edit::Append { index, was, text: whole, changed: true }, reason)
    }

    /// What an empty value was before anything was appended to it.
    fn was(&self, presence: Presence, merged_before: bool) -> Was {
        if merged_before && let Some(was) = self.context.prior.was(self.existing.container) {
            return was;
        }
        match presence {
            Presence::Absent => Was::Absent,
            Presence::Null => Was::Null,
            Presence::Empty | Presence::Filled => Was::Text(0),
        }
    }

    /// Makes sure that `$(name)` means what it should where it will stand: `at` a place in the user's list, or in front.
    ///
    /// # Errors
    /// Why it can't.
    pub(super) fn refer(&mut self, name: &'static str, at: Option<usize>) -> Result<(), Reason> {
        let position =
            REFERENCES.iter().position(|(known, _)| *known == name).expect("only references are referred to");
        let path = REFERENCES[position].1;
        let mut users = self.existing.entries().filter(|(_, variable)| variable.name.as_str() == name).peekable();
        if users.peek().is_some() {
            let same = users.all(|(index, variable)| {
                at.is_some_and(|at| index < at)
                    && variable.value_from.value.field_ref.field_path.as_str() == path
                    && variable.value.presence == Presence::Absent
            });
            return if same { Ok(()) } else { Err(Reason::ReferenceTaken) };
        }
        if self.context.options.skips(name) {
            return Err(Reason::SkippedByAnnotation);
        }
        self.referred[position] = true;
        Ok(())
    }

    /// What others refer to, in front of them.
    fn references(&mut self) {
        // A value that somebody edited, and is the user's now, may still refer to what we wrote before it.
        for (referred, (name, _)) in self.referred.iter_mut().zip(REFERENCES) {
            let stands_alone = self.existing.own(name).is_some() && self.existing.last(name).is_none();
            *referred |= stands_alone && self.existing.refers_to(name);
        }
        let referred = self.referred;
        let wanted = REFERENCES.iter().zip(referred).filter(|(_, referred)| *referred);
        let entries = wanted.map(|((name, path), _)| Entry::set(*name, Value::Field((*path).into()), DOWNWARD));
        self.entries.splice(0..0, entries);
    }

    /// Compares with what an earlier decision wrote.
    fn settle(&mut self) {
        if self.existing.ownership.is_empty() {
            return;
        }
        let variables = &self.existing.container.env.items;
        // A reference that somebody moved behind what refers to it goes to the front again.
        let merged = self.entries.iter().filter_map(|entry| match entry.edit {
            Edit::Append { index, .. } => Some(index),
            Edit::None | Edit::Add | Edit::Replace(_) => None,
        });
        let others = self.existing.own_entries().filter(|index| !is_reference(variables[*index].name.as_str()));
        let limit = merged.chain(others).min().unwrap_or(usize::MAX);
        for entry in self.entries.iter_mut().filter(|entry| entry.edit == Edit::Add) {
            let (Some(index), Some(mark)) = (self.existing.own(&entry.key), entry.mark(&mut Digests::default())) else {
                continue;
            };
            if is_reference(&entry.key) && index > limit {
                continue;
            }
            entry.edit = if mark.is_variable(&variables[index]) { Edit::None } else { Edit::Replace(index) };
        }
    }
}

fn merged<'a>(suffix: String, edit: Edit, reason: Option<Reason>) -> Entry<'a> {
    Entry {
        key: var::RESOURCE_ATTRIBUTES.into(),
        action: super::Action::Merged,
        reason,
        source: "see attributes",
        value: Some(Value::Text(suffix.into())),
        edit,
    }
}

fn url(destination: &Destination, signal: Option<Signal>, protocol: Protocol) -> Option<Cow<'_, str>> {
    match signal {
        None => destination.url(protocol).map(Cow::Borrowed),
        Some(signal) => destination.signal_url(signal, protocol),
    }
}

pub(super) fn is_reference(name: &str) -> bool {
    REFERENCES.iter().any(|(reference, _)| *reference == name)
}

fn illegal(value: &Value<'_>) -> Option<Reason> {
    match value {
        Value::Text(text) => legal::is_value(text).err(),
        Value::Field(_) => None,
    }
}

/// How the list stands, given what is written into it.
pub(super) fn list_state<'a>(existing: &Existing<'a>, entries: &[Entry<'_>], prior: &Prior) -> ListState<'a> {
    let container = existing.container;
    let written = prior.container(container.name.as_str());
    let wanted = |index: &usize| {
        let name = container.env.items[*index].name.as_str();
        entries
            .iter()
            .any(|entry| entry.key == name && matches!(entry.edit, Edit::None | Edit::Replace(_)) && entry.is_written())
    };
    let removed: Vec<usize> = existing.own_entries().filter(|index| !wanted(index)).collect();
    let kept_reference = |index: &usize| is_reference(container.env.items[*index].name.as_str()) && wanted(index);
    let insert_at = existing.own_entries().filter(kept_reference).max().map_or(0, |index| index + 1);
    let merged = entries.iter().find_map(|entry| match entry.edit {
        Edit::Append { index, .. } => Some(index),
        Edit::None | Edit::Add | Edit::Replace(_) => None,
    });
    let stripped = existing.ownership.iter().enumerate().find_map(|(index, own)| match own {
        Ownership::Suffix(range) if merged != Some(index) => {
            Some((index, prior.stripped(container, container.env.items[index].value.value.as_str(), range)))
        }
        _ => None,
    });
    ListState {
        now: container.env.presence,
        was: Prior::before(written, container.env.presence),
        insert_at,
        removed,
        edited: existing.edited(prior),
        stripped,
    }
}
