//! What is wrong with an entry of `exclude`.

use super::document::{Exclusion, Operator, Requirement};
use crate::inject::legal;

impl Exclusion {
    /// What is wrong with it, and what would be right.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let Self { namespace, selector } = self;
        let mut faults = Vec::new();
        if namespace.is_none() && selector.is_empty() {
            faults.push(
                "has neither a namespace nor a requirement, so it would exclude every pod; give it one, or write \
                 mode: disabled"
                    .to_owned(),
            );
        }
        if let Some(name) = namespace.as_deref().filter(|name| !legal::is_dns_label(name)) {
            faults.push(format!("{name:?} is no name of a namespace; write an entry for each"));
        }
        let keys = selector.match_labels.keys().chain(selector.match_expressions.iter().map(|one| &one.key));
        faults.extend(keys.filter(|key| !legal::is_qualified_name(key)).map(|key| format!("{key:?} is no label key")));
        let listed = selector.match_expressions.iter().flat_map(|one| &one.values);
        let values = selector.match_labels.values().chain(listed).filter(|value| !legal::is_label_value(value));
        faults.extend(values.map(|value| format!("{value:?} is no value of a label")));
        for Requirement { key, operator, values } in &selector.match_expressions {
            let wants_values = matches!(operator, Operator::In | Operator::NotIn);
            if wants_values == values.is_empty() {
                let needs = if wants_values { "needs" } else { "takes no" };
                faults.push(format!("{key} {operator:?} {needs} values"));
            }
        }
        faults
    }
}
