//! What otelgate wrote into this pod before: never an input of the next decision.
//!
//! A pod meets the engine twice when the API server calls the webhook again after another one changed the pod, and when
//! `otelgate inject` wrote into a template that the webhook then sees in every pod of it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use super::plan::Stripped;
use super::status::{Mark, Status, Was, Written};
use super::view::{Container, Pod, Presence};
use crate::api::{annotation, label, otel::var};

/// The earlier status, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Prior {
    pub status: Option<Status>,
    /// There is one, but it can't be read.
    pub unreadable: bool,
}

/// Whose an entry of a container's `env` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    User,
    /// Otelgate's.
    Whole,
    /// The user's, with a suffix of otelgate's.
    Suffix(Range<usize>),
}

// === impl Prior ===

impl Prior {
    #[must_use]
    pub fn read(pod: &Pod<'_>) -> Self {
        let Some(text) = pod.annotation(annotation::STATUS) else { return Self::default() };
        match serde_json::from_str(text) {
            Ok(status) => Self { status: Some(status), unreadable: false },
            Err(_) => Self { status: None, unreadable: true },
        }
    }

    #[must_use]
    pub fn is_own_annotation(&self, key: &str, value: &str) -> bool {
        key == annotation::STATUS || self.status.as_ref().is_some_and(|status| is_own(&status.annotations, key, value))
    }

    #[must_use]
    pub fn is_own_label(&self, key: &str, value: &str) -> bool {
        key == label::CONFIG || self.status.as_ref().is_some_and(|status| is_own(&status.labels, key, value))
    }

    /// What was written into a container.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Written> {
        self.status.as_ref()?.containers.get(name)
    }

    /// How a list or map stood before otelgate first wrote into it, given how it stands now.
    #[must_use]
    pub fn before(written: Option<&Written>, now: Presence) -> Presence {
        written.map_or(now, |written| written.was)
    }

    /// What the container's `OTEL_RESOURCE_ATTRIBUTES` was before anything was appended to it.
    #[must_use]
    pub fn was(&self, container: &Container<'_>) -> Option<Was> {
        match self.container(container.name.as_str())?.set.get(var::RESOURCE_ATTRIBUTES)? {
            Mark::Suffix { was, .. } => Some(*was),
            Mark::Whole(_) => None,
        }
    }

    /// The container's own value without the suffix: absent or null again, if it was and nobody wrote behind it.
    pub(super) fn stripped(&self, container: &Container<'_>, value: &str, suffix: &Range<usize>) -> Stripped {
        let text = without(value, suffix).into_owned();
        match self.was(container) {
            Some(Was::Absent) if text.is_empty() => Stripped::Absent,
            Some(Was::Null) if text.is_empty() => Stripped::Null,
            _ => Stripped::Text(text),
        }
    }

    /// Per entry of the container's `env`, whose it is; empty when all are the user's.
    #[must_use]
    pub fn ownership(&self, container: &Container<'_>) -> Vec<Ownership> {
        let Some(written) = self.container(container.name.as_str()) else { return Vec::new() };
        let variables = &container.env.items;
        let mut found = BTreeSet::new();
        let mut ownership: Vec<Ownership> = variables
            .iter()
            .map(|variable| {
                let name = variable.name.as_str();
                // Another webhook may have added the same entry once more: only the first is ours.
                match written.set.get(name) {
                    Some(mark) if mark.is_variable(variable) && found.insert(name) => Ownership::Whole,
                    _ => Ownership::User,
                }
            })
            .collect();
        for (index, variable) in variables.iter().enumerate().rev() {
            let suffix =
                written.set.get(variable.name.as_str()).filter(|_| variable.value_from.presence != Presence::Filled);
            if let Some(range) = suffix.and_then(|mark: &Mark| mark.suffix_in(variable.value.value.as_str())) {
                ownership[index] = Ownership::Suffix(range);
                break;
            }
        }
        ownership
    }
}

fn is_own(written: &Written, key: &str, value: &str) -> bool {
    written.set.get(key).is_some_and(|mark| mark.is_whole(value))
}

/// A literal without otelgate's suffix; what somebody wrote behind it stays.
#[must_use]
pub fn without<'a>(value: &'a str, suffix: &Range<usize>) -> Cow<'a, str> {
    if suffix.end == value.len() {
        return Cow::Borrowed(&value[..suffix.start]);
    }
    Cow::Owned(format!("{}{}", &value[..suffix.start], &value[suffix.end..]))
}
