//! The variables of one container.
//!
//! Ours go to the front of the list, those that others refer to first: so each `$(X)` refers backwards, also one that
//! the user wrote to a variable of ours.

use std::borrow::Cow;

use super::endpoint::Signal;
use super::existing::{Existing, OwnAttributes};
use super::expand::double_dollars;
use super::identity::{Effective, Identity};
use super::legal;
use super::options::Sourced;
use super::plan::{Edit, Entry, ListState, Value};
use super::prior::{Ownership, Prior};
use super::resource::Resource;
use super::status::{Digests, Was};
use super::view::{Presence, Variable};
use super::{Context, Reason, pod_wide};
use crate::api::otel::{self, attr, var};
use crate::config::ExtraSource;

/// Downward-API variables of otelgate's own, in their order.
pub(super) const REFERENCES: [(&str, &str); 4] = [
    (var::POD_NAME, "metadata.name"),
    (var::POD_UID, "metadata.uid"),
    (var::NODE_NAME, "spec.nodeName"),
    (var::NODE_IP, NODE_IP_FIELD),
];
pub(super) const NODE_IP_FIELD: &str = "status.hostIP";

const DOWNWARD: &str = "downward API";
pub(super) const CONTAINER: &str = "the container";

/// Builds the entries of one container.
pub(super) struct Variables<'a, 'c> {
    pub context: &'c Context<'a, 'c>,
    pub existing: &'c Existing<'a>,
    pub own: &'c OwnAttributes<'a>,
    pub identity: &'c Identity<'a>,
    pub(super) entries: Vec<Entry<'a>>,
    /// Of [`REFERENCES`], those that something written refers to.
    pub(super) referred: [bool; REFERENCES.len()],
    /// The place of the user's variable that something is appended to.
    merged: Option<usize>,
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
        Self { context, existing, own, identity, entries, referred: [false; REFERENCES.len()], merged: None }
    }

    /// All entries in their order, and those of `OTEL_RESOURCE_ATTRIBUTES`.
    pub fn build(mut self) -> (Vec<Entry<'a>>, Vec<Entry<'a>>) {
        self.service_name();
        self.exporters();
        let (merged, attributes) = self.resource_attributes();
        self.merged = merged.as_ref().and_then(Entry::appended_to);
        self.keep_referred();
        // They depend on where all that stands which others refer to.
        self.settings();
        for variable in self.context.configuration.extra() {
            let value = match &variable.source {
                ExtraSource::Literal(text) => Value::text(text),
                ExtraSource::FieldPath(path) => Value::Field(path.into()),
            };
            self.offer(&variable.name, value, "configuration");
        }
        self.entries.extend(merged);
        self.references();
        self.settle();
        (self.entries, attributes)
    }

    /// Sets a variable, unless the container has it or must not have it.
    pub(super) fn offer(&mut self, name: &'a str, value: Value<'a>, source: &'static str) {
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
        if self.own.parsed.get(attr::SERVICE_NAME).is_some() && !self.existing.assumes_service_name() {
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

    fn settings(&mut self) {
        let context = self.context;
        let options = context.options;
        if let Some(Sourced { value, source }) = options.propagators {
            self.offer(var::PROPAGATORS, Value::Text(otel::propagators(value)), source);
        }
        self.sampler();
        if let Some(temporality) = context.configuration.temporality() {
            // What Datadog wants, another backend may refuse.
            let elsewhere = self.sends_elsewhere(Signal::Metrics).then_some(Reason::PairIsUsers);
            self.offer_unless(elsewhere, var::TEMPORALITY, Value::text(temporality), "configuration");
        }
        if options.logs {
            let unread = pod_wide::unread(context, self.existing.container, self.identity);
            let reason = unread.or_else(|| self.has_own_logs().then_some(Reason::PairIsUsers));
            self.offer_unless(reason, var::LOGS_EXPORTER, Value::text("none"), "logs are read from files");
        }
    }

    /// Whether the container says itself what becomes of its logs.
    fn has_own_logs(&self) -> bool {
        let is_own = |name: &str| var::LOGS_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let set = self.existing.entries().any(|(_, variable)| is_own(variable.name.as_str()));
        set || self.sends_elsewhere(Signal::Logs)
    }

    /// Sets a variable, unless something speaks against it. What the container has itself is kept in any case.
    fn offer_unless(&mut self, against: Option<Reason>, name: &'a str, value: Value<'a>, source: &'static str) {
        match against.filter(|_| self.existing.last(name).is_none()) {
            Some(reason) => self.entries.push(Entry::left(name, reason)),
            None => self.offer(name, value, source),
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
            let arg = options.sampler_arg.map(|arg| (double_dollars(arg.value), arg.source));
            if let Some(reason) = arg.as_ref().and_then(|(arg, _)| legal::is_value(arg).err()) {
                self.entries.extend(names.map(|name| Entry::left(name, reason)));
                return;
            }
            self.offer(var::SAMPLER, Value::Text(double_dollars(sampler.value)), sampler.source);
            if let Some((arg, source)) = arg {
                self.offer(var::SAMPLER_ARG, Value::Text(arg), source);
            }
        }
    }

    /// `OTEL_RESOURCE_ATTRIBUTES`, or the suffix to the container's own, and the attributes in it.
    fn resource_attributes(&mut self) -> (Option<Entry<'a>>, Vec<Entry<'a>>) {
        let name = var::RESOURCE_ATTRIBUTES;
        let refused = if self.own.value_from {
            Some(Reason::ValueFrom)
        } else if self.context.options.skips(name) {
            Some(Reason::SkippedByAnnotation)
        } else if self.own.unclosed {
            Some(Reason::UnclosedReference)
        } else {
            (self.own.text.len() >= legal::MAX_VARIABLE).then_some(Reason::VariableTooLarge)
        };
        if let Some(reason) = refused {
            return (Some(Entry::left(name, reason)), Vec::new());
        }
        let own = self.own.text.trim_end();
        let comma = !own.is_empty() && !own.ends_with(',');
        let room = legal::MAX_VARIABLE - self.own.text.len() - usize::from(comma);
        let (attributes, text) = Resource::new(self, room).build();
        let is_cut = || attributes.iter().any(|entry| entry.reason == Some(Reason::VariableTooLarge));
        // A literal of the container's own beats envFrom already.
        let hides = self.own.unresolved.then_some(Reason::MayOverride);
        let entry = match self.own.index {
            None if text.is_empty() => None,
            Some(_) if text.is_empty() && is_cut() => Some(Entry::left(name, Reason::VariableTooLarge)),
            Some(_) if text.is_empty() => Some(Entry::kept(name, CONTAINER)),
            None => Some(Entry {
                reason: self.may_override(),
                ..Entry::set(name, Value::Text(text.into()), "see attributes")
            }),
            Some(index) => Some(self.merge(index, comma, &text, hides)),
        };
        (entry, attributes)
    }

    fn merge(&self, index: usize, comma: bool, text: &str, reason: Option<Reason>) -> Entry<'a> {
        let variable = &self.existing.container.env.items[index];
        let prior = match self.existing.ownership.get(index) {
            Some(Ownership::Suffix(range)) => Some(range),
            _ => None,
        };
        // What was ours alone stays in front of what somebody wrote behind it.
        let in_front = prior.is_some_and(|range| range.start == 0) && !self.own.text.is_empty();
        let suffix = format!("{}{text}", if comma && !in_front { "," } else { "" });
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
        let own = &self.own.text;
        let whole = if in_front { format!("{suffix}{own}") } else { format!("{own}{suffix}") };
        let was = if in_front || own.is_empty() { was } else { Was::Text(own.len()) };
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
        let position = position(name);
        let path = REFERENCES[position].1;
        let users: Vec<_> = self.existing.entries().filter(|(_, variable)| variable.name.as_str() == name).collect();
        let is_same = |variable: &Variable<'_>| {
            variable.value_from.value.field_ref.field_path.as_str() == path
                && variable.value.presence == Presence::Absent
        };
        match users.last() {
            None => {}
            Some(_) if !users.iter().all(|(_, variable)| is_same(variable)) => return Err(Reason::ReferenceTaken),
            Some((last, _)) if at.is_some_and(|at| *last < at) => return Ok(()),
            Some(_) => return Err(Reason::ReferenceBehind),
        }
        if self.context.options.skips(name) {
            return Err(Reason::SkippedByAnnotation);
        }
        self.referred[position] = true;
        Ok(())
    }

    pub(super) fn is_referred(&self, name: &str) -> bool {
        self.referred[position(name)]
    }

    /// A value that somebody edited, and is the user's now, may still refer to what we wrote before it.
    fn keep_referred(&mut self) {
        for (referred, (name, _)) in self.referred.iter_mut().zip(REFERENCES) {
            let stands_alone = self.existing.own(name).is_some() && self.existing.last(name).is_none();
            *referred |= stands_alone && self.existing.refers_to(name);
        }
    }

    /// What others refer to, in front of them.
    fn references(&mut self) {
        let referred = self.referred;
        let wanted = REFERENCES.iter().zip(referred).filter(|(_, referred)| *referred);
        let entries = wanted.map(|((name, path), _)| Entry::set(*name, Value::Field((*path).into()), DOWNWARD));
        self.entries.splice(0..0, entries);
    }

    /// Where the first of those stands that refer to otelgate's references: one that somebody moved behind it goes to the
    /// front again.
    fn limit(&self) -> usize {
        let items = &self.existing.container.env.items;
        let others = self.existing.own_entries().filter(|index| !is_reference(items[*index].name.as_str()));
        self.merged.into_iter().chain(others).min().unwrap_or(usize::MAX)
    }

    /// The first place of the user's list from which on a reference finds otelgate's variable of that name: behind it where
    /// it stays, else behind those of its references that do.
    pub(super) fn found_from(&self, name: &str) -> usize {
        let limit = self.limit();
        let stays = |name: &str| self.existing.own(name).filter(|index| !is_reference(name) || *index <= limit);
        let last_of = || {
            let kept = REFERENCES.iter().zip(self.referred).filter(|(_, referred)| *referred);
            kept.filter_map(|((name, _), _)| stays(name)).max()
        };
        stays(name).or_else(last_of).map_or(0, |index| index + 1)
    }

    /// Compares with what an earlier decision wrote.
    fn settle(&mut self) {
        if self.existing.ownership.is_empty() {
            return;
        }
        let variables = &self.existing.container.env.items;
        let limit = self.limit();
        for entry in self.entries.iter_mut().filter(|entry| entry.edit == Edit::Add) {
            let (Some(index), Some(mark)) = (self.existing.own(&entry.key), entry.mark(&mut Digests::default())) else {
                continue;
            };
            let is_missed = entry.key == var::SERVICE_NAME && self.existing.relies_before(index);
            if is_missed || (is_reference(&entry.key) && index > limit) {
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

fn position(name: &str) -> usize {
    REFERENCES.iter().position(|(known, _)| *known == name).expect("only references are referred to")
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
    let is_written = |name: &&str| entries.iter().any(|entry| entry.key == *name && entry.is_written());
    let names = removed.iter().map(|index| container.env.items[*index].name.as_str());
    let gone = names.filter(|name| !is_written(name)).collect();
    let kept_reference = |index: &usize| is_reference(container.env.items[*index].name.as_str()) && wanted(index);
    let insert_at = existing.own_entries().filter(kept_reference).max().map_or(0, |index| index + 1);
    let merged = entries.iter().find_map(Entry::appended_to);
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
        gone,
        edited: existing.edited(prior),
        unclaimed: existing.unclaimed(prior),
        stripped,
    }
}
