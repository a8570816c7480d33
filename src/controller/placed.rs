//! Where a pod of a `DaemonSet` runs, or is to run: it says so before it's bound to the node.

use serde::Deserialize;
use serde_json::Value;

/// A pod's spec, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Placed {
    node_name: Option<String>,
    affinity: Value,
}

impl Placed {
    /// Nothing where nobody says.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node_name.as_deref().filter(|node| !node.is_empty()).or_else(|| self.pinned())
    }

    fn pinned(&self) -> Option<&str> {
        let terms =
            &self.affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        let fields = terms.as_array().into_iter().flatten().filter_map(|term| term["matchFields"].as_array()).flatten();
        let mut names = fields.filter(|field| field["key"] == "metadata.name" && field["operator"] == "In");
        names.find_map(|field| field["values"][0].as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_that_isnt_bound_yet_has_its_node_by_name() {
        let pinned = |operator: &str| {
            let field = json!({"key": "metadata.name", "operator": operator, "values": ["n7"]});
            // The template's own terms stand beside it.
            let terms = json!([{"matchExpressions": []}, {"matchFields": [field]}]);
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
        };
        for (spec, expected) in [
            (json!({"nodeName": "n1", "affinity": pinned("In")}), Some("n1")),
            (json!({"affinity": pinned("In")}), Some("n7")),
            (json!({"nodeName": "", "affinity": pinned("In")}), Some("n7")),
            (json!({"affinity": pinned("NotIn")}), None),
            (json!({"affinity": null}), None),
            (json!({}), None),
        ] {
            let placed: Placed = serde_json::from_value(spec.clone()).expect("a spec");
            assert_eq!(placed.node(), expected, "{spec}");
        }
    }
}
