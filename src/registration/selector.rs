//! Label selectors, as Kubernetes has them.

use std::collections::BTreeMap;
use std::fmt;

use crate::k8s::{LabelSelector, LabelSelectorRequirement};

/// One thing that a selector wants of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement<'a> {
    pub key: &'a str,
    pub wants: Wants<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants<'a> {
    OneOf(Vec<&'a str>),
    NoneOf(Vec<&'a str>),
    Any,
    Absent,
    /// An operator that no Kubernetes of today has.
    Unknown(&'a str),
}

/// What a selector wants: all of it at once, so that one that wants nothing selects everything.
#[must_use]
pub fn requirements(selector: &LabelSelector) -> Vec<Requirement<'_>> {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Requirement { key, wants: Wants::OneOf(vec![value]) });
    labels.chain(selector.match_expressions.iter().flatten().map(Requirement::of)).collect()
}

/// The first requirement that labels don't meet, for people.
#[must_use]
pub fn unmet(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Option<String> {
    let unmet = requirements(selector).into_iter().find(|one| !one.is_met(labels.get(one.key).map(String::as_str)))?;
    let is = labels.get(unmet.key).map_or_else(|| "is absent".to_owned(), |value| format!("is {value:?}"));
    Some(format!("{} {}, and {is}", unmet.key, unmet.wants))
}

// === impl Requirement ===

impl<'a> Requirement<'a> {
    fn of(expression: &'a LabelSelectorRequirement) -> Self {
        let values = || expression.values.iter().flatten().map(String::as_str).collect();
        let wants = match expression.operator.as_str() {
            "In" => Wants::OneOf(values()),
            "NotIn" => Wants::NoneOf(values()),
            "Exists" => Wants::Any,
            "DoesNotExist" => Wants::Absent,
            other => Wants::Unknown(other),
        };
        Self { key: &expression.key, wants }
    }

    /// `NotIn` is met by a label that isn't there.
    #[must_use]
    pub fn is_met(&self, value: Option<&str>) -> bool {
        match &self.wants {
            Wants::OneOf(values) => value.is_some_and(|value| values.contains(&value)),
            Wants::NoneOf(values) => value.is_none_or(|value| !values.contains(&value)),
            Wants::Any => value.is_some(),
            Wants::Absent => value.is_none(),
            Wants::Unknown(_) => false,
        }
    }
}

impl fmt::Display for Wants<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf(values) if values.len() == 1 => write!(f, "must be {}", values[0]),
            Self::OneOf(values) => write!(f, "must be one of {}", values.join(", ")),
            Self::NoneOf(values) if values.len() == 1 => write!(f, "must not be {}", values[0]),
            Self::NoneOf(values) => write!(f, "must be none of {}", values.join(", ")),
            Self::Any => f.write_str("must be there"),
            Self::Absent => f.write_str("must be absent"),
            Self::Unknown(operator) => write!(f, "has the operator {operator}, which isn't known"),
        }
    }
}

/// As a list of the API server takes it: `app in (shop,web)`.
impl fmt::Display for Requirement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key;
        match &self.wants {
            Wants::OneOf(values) => write!(f, "{key} in ({})", values.join(",")),
            Wants::NoneOf(values) => write!(f, "{key} notin ({})", values.join(",")),
            Wants::Any => f.write_str(key),
            Wants::Absent => write!(f, "!{key}"),
            Wants::Unknown(operator) => write!(f, "{key} {operator}"),
        }
    }
}
