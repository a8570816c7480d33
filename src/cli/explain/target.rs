//! `KIND/NAME`, as kubectl reads it.

use std::fmt;
use std::str::FromStr;

/// An object of the cluster that was asked for.
#[derive(Clone, Debug)]
pub struct Target {
    kind: &'static Kind,
    pub name: String,
}

/// A kind with pods, and where the API server keeps it.
#[derive(Debug)]
struct Kind {
    /// The plural, as in paths; then whatever else kubectl takes.
    names: &'static [&'static str],
    group: &'static str,
    version: &'static str,
}

const KINDS: [Kind; 9] = [
    Kind { names: &["pods", "pod", "po"], group: "", version: "v1" },
    Kind { names: &["deployments", "deployment", "deploy"], group: "apps", version: "v1" },
    Kind { names: &["statefulsets", "statefulset", "sts"], group: "apps", version: "v1" },
    Kind { names: &["daemonsets", "daemonset", "ds"], group: "apps", version: "v1" },
    Kind { names: &["replicasets", "replicaset", "rs"], group: "apps", version: "v1" },
    Kind { names: &["jobs", "job"], group: "batch", version: "v1" },
    Kind { names: &["cronjobs", "cronjob", "cj"], group: "batch", version: "v1" },
    Kind { names: &["replicationcontrollers", "replicationcontroller", "rc"], group: "", version: "v1" },
    Kind { names: &["rollouts", "rollout", "ro"], group: "argoproj.io", version: "v1alpha1" },
];

// === impl Target ===

impl Target {
    /// The path of its kind in a namespace.
    #[must_use]
    pub fn collection(&self, namespace: &str) -> String {
        let Kind { names, group, version } = self.kind;
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        format!("{root}/namespaces/{namespace}/{}", names[0])
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.names[1], self.name)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text
            .split_once('/')
            .ok_or_else(|| format!("write KIND/NAME, such as pod/{text}; manifests are given by -f FILE"))?;
        // `deployments.apps` and `deployments.v1.apps` name the group as well.
        let asked = kind.to_ascii_lowercase();
        let (short, group) = asked.split_once('.').unwrap_or((&asked, ""));
        let is_asked = |one: &&Kind| one.names.contains(&short) && (group.is_empty() || group.ends_with(one.group));
        let kind = KINDS.iter().find(is_asked).ok_or_else(|| {
            let known: Vec<_> = KINDS.iter().map(|kind| kind.names[1]).collect();
            format!("{kind} is no kind with pods that is known here; known are {}", known.join(", "))
        })?;
        check(name)?;
        Ok(Self { kind, name: name.to_owned() })
    }
}

/// # Errors
/// When no object can have that name.
pub fn check(name: &str) -> Result<(), String> {
    let is_of_names = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let right = !name.is_empty() && name.len() <= 253 && name.chars().all(is_of_names) && !name.starts_with('.');
    if right { Ok(()) } else { Err(format!("{name:?} is no name of a Kubernetes object")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_kubectl_reads_them() {
        for (text, collection, told) in [
            ("pod/a", "/api/v1/namespaces/n/pods", "pod/a"),
            ("po/a", "/api/v1/namespaces/n/pods", "pod/a"),
            ("Deployment/a", "/apis/apps/v1/namespaces/n/deployments", "deployment/a"),
            ("deployments.apps/a", "/apis/apps/v1/namespaces/n/deployments", "deployment/a"),
            ("deployments.v1.apps/a", "/apis/apps/v1/namespaces/n/deployments", "deployment/a"),
            ("cj/a.b", "/apis/batch/v1/namespaces/n/cronjobs", "cronjob/a.b"),
            ("rollout/a", "/apis/argoproj.io/v1alpha1/namespaces/n/rollouts", "rollout/a"),
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!((target.collection("n").as_str(), target.to_string().as_str()), (collection, told));
        }
        for (text, says) in [
            ("web", "write KIND/NAME, such as pod/web"),
            ("service/web", "service is no kind with pods"),
            ("deployments.batch/web", "is no kind with pods"),
            ("pod/", "is no name"),
            ("pod/a?b", "is no name"),
            ("pod/..", "is no name"),
            ("pod/a/b", "is no name"),
        ] {
            let error = text.parse::<Target>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
