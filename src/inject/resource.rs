//! What `OTEL_RESOURCE_ATTRIBUTES` carries.

use std::borrow::Cow;

use super::Reason;
use super::attributes::push_encoded;
use super::identity::Effective;
use super::legal;
use super::plan::{Entry, Value};
use super::variables::Variables;
use crate::api::otel::{attr, var};

/// Builds the attributes of one container, and their text.
pub(super) struct Resource<'a, 'c, 'v> {
    variables: &'v mut Variables<'a, 'c>,
    entries: Vec<Entry<'a>>,
    text: String,
    /// How long the text may become, in bytes.
    room: usize,
}

/// What an attribute is made of.
enum Source<'a> {
    Text(Cow<'a, str>, &'static str),
    /// `$(name)`.
    Reference(&'static str),
    /// `<namespace>.$(OTELGATE_POD_NAME).<container>`, as the semantic conventions ask.
    Instance {
        namespace: &'a str,
    },
}

// === impl Resource ===

impl<'a, 'c, 'v> Resource<'a, 'c, 'v> {
    pub fn new(variables: &'v mut Variables<'a, 'c>, room: usize) -> Self {
        Self { variables, entries: Vec::with_capacity(20), text: String::with_capacity(640), room }
    }

    pub fn build(mut self) -> (Vec<Entry<'a>>, String) {
        let context = self.variables.context;
        let identity = self.variables.identity;
        let namespace = context.namespace.name;
        self.effective(attr::SERVICE_NAME, &identity.service);
        self.in_namespace(attr::SERVICE_NAMESPACE, namespace.map(|name| Source::Text(name.into(), "namespace")));
        self.effective(attr::SERVICE_VERSION, &identity.version);
        self.in_namespace(attr::SERVICE_INSTANCE_ID, namespace.map(|namespace| Source::Instance { namespace }));
        self.environment();
        if let Some(name) = context.configuration.cluster_name() {
            self.offer(attr::CLUSTER_NAME, Source::Text(name.into(), "configuration"));
        }
        self.in_namespace(attr::NAMESPACE_NAME, namespace.map(|name| Source::Text(name.into(), "namespace")));
        self.offer(attr::POD_NAME, Source::Reference(var::POD_NAME));
        self.offer(attr::POD_UID, Source::Reference(var::POD_UID));
        self.offer(attr::NODE_NAME, Source::Reference(var::NODE_NAME));
        let container = self.variables.existing.container.name.as_str();
        self.offer(attr::CONTAINER_NAME, Source::Text(container.into(), "container name"));
        for (key, name) in context.workload.attributes() {
            if name.is_empty() && context.options.attribute(key).is_none() {
                self.entries.push(Entry::left(key, Reason::NoName));
            } else {
                self.offer(key, Source::Text(name, "owner"));
            }
        }
        self.annotated();
        (self.entries, self.text)
    }

    /// What annotations bring besides, by name, until one doesn't fit: a pod may have thousands of them, and a thousand
    /// containers.
    fn annotated(&mut self) {
        /// Of those that a container doesn't get, so many are told.
        const MOST_LEFT: usize = 32;
        let (context, computed, mut left) = (self.variables.context, self.entries.len(), 0);
        for (key, sourced) in &context.options.attributes {
            // Under its old name too, a container has one environment.
            let contradicts = *key == attr::ENVIRONMENT_OLD
                && self.variables.own.parsed.get(key).is_none()
                && self.variables.identity.environment.value() != Some(sourced.value);
            if contradicts || self.entries[..computed].iter().any(|entry| entry.key == *key) {
                continue;
            }
            self.offer(key, Source::Text(sourced.value.into(), sourced.source));
            let Some(reason) = self.entries.last().and_then(|entry| entry.reason) else { continue };
            if reason == Reason::VariableTooLarge {
                self.room = 0;
            }
            left += 1;
            if left > MOST_LEFT {
                self.entries.pop();
                if self.room == 0 {
                    break;
                }
            }
        }
    }

    fn effective(&mut self, key: &'static str, effective: &Effective<'a>) {
        match effective {
            Effective::Known { value, source } => self.offer(key, Source::Text(value.clone(), source)),
            Effective::Unknown(_) if self.variables.own.parsed.get(key).is_some() => {
                self.entries.push(Entry::kept(key, "the container's OTEL_RESOURCE_ATTRIBUTES"));
            }
            Effective::Unknown(reason) => self.entries.push(Entry::left(key, *reason)),
            Effective::Absent => {}
        }
    }

    /// The older name counts as the environment being there.
    fn environment(&mut self) {
        if self.variables.own.parsed.get(attr::ENVIRONMENT_OLD).is_some() {
            self.entries.push(Entry::kept(attr::ENVIRONMENT, "the container's deployment.environment"));
        } else {
            let identity = self.variables.identity;
            self.effective(attr::ENVIRONMENT, &identity.environment);
        }
    }

    fn in_namespace(&mut self, key: &'static str, source: Option<Source<'a>>) {
        match source {
            Some(source) => self.offer(key, source),
            None if self.variables.context.options.attribute(key).is_some() => {}
            None => self.entries.push(Entry::left(key, Reason::NoNamespace)),
        }
    }

    /// Sets an attribute, unless the container has it or must not have it; an annotation beats what is computed.
    fn offer(&mut self, key: &'a str, computed: Source<'a>) {
        let options = self.variables.context.options;
        let is_identity = matches!(key, attr::SERVICE_NAME | attr::SERVICE_VERSION | attr::ENVIRONMENT);
        let source = match options.attribute(key) {
            Some(sourced) if !is_identity => Source::Text(sourced.value.into(), sourced.source),
            _ => computed,
        };
        if matches!(&source, Source::Text(value, _) if value.is_empty()) {
            return;
        }
        let entry = if self.variables.own.parsed.get(key).is_some() {
            Entry::kept(key, "the container's OTEL_RESOURCE_ATTRIBUTES")
        } else if options.skips(key) {
            Entry::left(key, Reason::SkippedByAnnotation)
        } else {
            match self.push(key, source) {
                Ok(entry) => entry,
                Err(reason) => Entry::left(key, reason),
            }
        };
        self.entries.push(entry);
    }

    /// Appends an attribute; what doesn't fit leaves no trace.
    fn push(&mut self, key: &'a str, source: Source<'a>) -> Result<Entry<'a>, Reason> {
        let (length, referred) = (self.text.len(), self.variables.referred);
        if length + key.len() > self.room {
            return Err(Reason::VariableTooLarge);
        }
        let entry = self.append(key, source)?;
        if self.text.len() > self.room {
            self.text.truncate(length);
            self.variables.referred = referred;
            return Err(Reason::VariableTooLarge);
        }
        Ok(entry)
    }

    fn append(&mut self, key: &'a str, source: Source<'a>) -> Result<Entry<'a>, Reason> {
        let at = self.variables.own.index;
        let (value, source) = match source {
            Source::Text(value, source) => {
                legal::is_value(&value)?;
                self.key(key);
                push_encoded(&mut self.text, &value);
                (value, source)
            }
            Source::Reference(name) => {
                self.variables.refer(name, at)?;
                self.key(key);
                self.reference(name);
                (format_reference(name), "downward API")
            }
            Source::Instance { namespace } => {
                self.variables.refer(var::POD_NAME, at)?;
                self.key(key);
                let container = self.variables.existing.container.name.as_str();
                let start = self.text.len();
                push_encoded(&mut self.text, namespace);
                self.text.push('.');
                self.reference(var::POD_NAME);
                self.text.push('.');
                push_encoded(&mut self.text, container);
                (Cow::Owned(self.text[start..].to_owned()), "computed")
            }
        };
        Ok(Entry { edit: super::plan::Edit::None, ..Entry::set(key, Value::Text(value), source) })
    }

    fn key(&mut self, key: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        push_encoded(&mut self.text, key);
        self.text.push('=');
    }

    fn reference(&mut self, name: &str) {
        self.text.push_str("$(");
        self.text.push_str(name);
        self.text.push(')');
    }
}

/// `$(name)`, without an allocation.
fn format_reference(name: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(match name {
        var::POD_NAME => "$(OTELGATE_POD_NAME)",
        var::POD_UID => "$(OTELGATE_POD_UID)",
        var::NODE_NAME => "$(OTELGATE_NODE_NAME)",
        _ => "$(OTELGATE_NODE_IP)",
    })
}
