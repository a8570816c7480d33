//! What the API server was asked, by whom, and whether they were allowed to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

/// What stands for kubelets is this user.
pub(super) const NODES: &str = "nodes";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it came.
    pub at: Timestamp,
    pub user: String,
    pub verb: String,
    /// Empty for the core group, like all of these when the request wasn't for an object.
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The path and the query.
    pub uri: String,
    pub user_agent: String,
    pub code: u16,
    /// `allow` or `forbid`.
    pub decision: String,
}

/// Arguments of an API server that writes an audit log into `folder`. What the control plane's own parts do is left out.
pub(super) fn enable(folder: &Path) -> Result<String, String> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None",
             "users": ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", NODES]},
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system", "system:nodes"]},
            {"level": "Metadata"},
        ],
    });
    let path = folder.join("audit-policy.json");
    fs::write(&path, policy.to_string()).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("--audit-policy-file={} --audit-log-path={}", path.display(), log(folder).display()))
}

#[track_caller]
pub(super) fn read(folder: &Path) -> Vec<Entry> {
    let path = log(folder);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // A watch has two lines: when it starts and when it ends. The last line may be half written.
    let mut seen = BTreeSet::new();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| seen.insert(event["auditID"].to_string()))
        .map(|event| Entry::of(&event))
        .collect()
}

fn log(folder: &Path) -> std::path::PathBuf {
    folder.join("audit.log")
}

impl Entry {
    fn of(event: &Value) -> Self {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let code = event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
        Self {
            at: text("/requestReceivedTimestamp").parse().unwrap_or_default(),
            user: text("/user/username"),
            verb: text("/verb"),
            group: text("/objectRef/apiGroup"),
            resource: text("/objectRef/resource"),
            subresource: text("/objectRef/subresource"),
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            uri: text("/requestURI"),
            user_agent: text("/userAgent"),
            code: u16::try_from(code).unwrap_or_default(),
            decision: text("/annotations/authorization.k8s.io~1decision"),
        }
    }

    /// Whether a `ServiceAccount` asked.
    pub fn is_by(&self, namespace: &str, account: &str) -> bool {
        self.user == format!("system:serviceaccount:{namespace}:{account}")
    }
}
