//! Why something of the cluster can't be told: one sentence for each way in which a call of the API server fails.
//!
//! Commands tell it and stop; checks keep it in the place of what they asked for, so that a missing right is a finding
//! and never looks like an answer.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use serde_json::error::Category;
use thiserror::Error;

use crate::k8s;

mod certificate;

pub use certificate::CertificateFault;

/// A call that had no answer, or another than the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unavailable {
    #[error("not allowed to {verb} {resource}{}", scope(.namespace.as_deref()))]
    Forbidden { verb: String, resource: String, namespace: Option<String> },
    #[error("the API server doesn't accept these credentials")]
    Unauthorized,
    #[error("{what}: the API server has no such thing")]
    NotFound { what: String },
    #[error("the API server can't be reached: {why}")]
    Unreachable { why: String },
    #[error("the API server's certificate can't be trusted: {0}")]
    Certificate(CertificateFault),
    #[error("the API server didn't answer within {seconds} s")]
    Timeout { seconds: u64 },
    #[error("the credentials can't be had: {why}")]
    Credentials { why: String },
    #[error("what answers there is no Kubernetes API server: {why}")]
    NoApiServer { why: String },
    #[error("the API server answered with what this version of otelgate can't read: {why}")]
    Unreadable { why: String },
    /// Everything else that it answered, in its own words.
    #[error("the API server refused: {why}")]
    Refused { why: String },
}

/// Whether the same call may well do better in a moment, though nobody mends anything: the API server isn't well, can't be
/// reached, or somebody else was faster.
#[must_use]
pub fn passes(error: &k8s::Error) -> bool {
    match error {
        k8s::Error::Api(status) => matches!(status.code, 401 | 408 | 409 | 429 | 500..),
        error => Unavailable::of(error).is_of_connection(),
    }
}

/// Characters of a foreign message; some carry a whole page.
const LONGEST: usize = 300;

/// The answer of a call, for which is waited that long.
///
/// # Errors
/// Says why there is none.
pub async fn within<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, k8s::Error>>,
) -> Result<T, Unavailable> {
    match tokio::time::timeout(patience, call).await {
        Ok(answer) => answer.map_err(|error| Unavailable::of(&error)),
        Err(_) => Err(Unavailable::Timeout { seconds: patience.as_secs() }),
    }
}

// === impl Unavailable ===

impl Unavailable {
    #[must_use]
    pub fn of(error: &k8s::Error) -> Self {
        match error {
            k8s::Error::Api(status) => Self::of_status(status),
            k8s::Error::SerdeError(error) => Self::of_json(error),
            k8s::Error::Auth(error) => Self::of_credentials(error),
            k8s::Error::ProxyProtocolDisabled { proxy_url, .. }
            | k8s::Error::ProxyProtocolUnsupported { proxy_url } => {
                let scheme = proxy_url.scheme_str().unwrap_or("unknown");
                Self::Unreachable {
                    why: format!("the kubeconfig names a proxy of the kind {scheme}, which otelgate can't use"),
                }
            }
            _ => Self::of_transport(error),
        }
    }

    /// An answer that isn't what was asked for; or no JSON at all, as a proxy's page to log in.
    #[must_use]
    pub fn of_json(error: &serde_json::Error) -> Self {
        match error.classify() {
            Category::Syntax | Category::Eof => Self::NoApiServer { why: "the answer isn't JSON".to_owned() },
            Category::Data | Category::Io => Self::Unreadable { why: error.to_string() },
        }
    }

    fn of_status(status: &k8s::Status) -> Self {
        let message = shortened(&status.message);
        match status.code {
            401 => Self::Unauthorized,
            code if message.starts_with('<') => {
                Self::NoApiServer { why: format!("the answer is a page of HTML, with status {code}") }
            }
            403 => Self::forbidden(&status.message).unwrap_or(Self::Refused { why: message }),
            404 => Self::NotFound { what: what_is_missing(status) },
            _ if message.is_empty() => Self::Refused { why: format!("HTTP status {}", status.code) },
            _ => Self::Refused { why: message },
        }
    }

    /// Reads `… cannot list resource "pods" in API group "" in the namespace "shop"`; admission's refusals, which carry
    /// the same status, have another form.
    fn forbidden(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once(" cannot ")?;
        let (verb, rest) = rest.split_once(' ')?;
        if let Some(path) = rest.strip_prefix("path ") {
            let path = path.trim_matches('"').to_owned();
            return Some(Self::Forbidden { verb: verb.to_owned(), resource: path, namespace: None });
        }
        let (resource, rest) = rest.strip_prefix("resource \"")?.split_once('"')?;
        let group = rest.split_once("in API group \"").and_then(|(_, rest)| rest.split_once('"'));
        let namespace = rest.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"'));
        let resource = match group {
            Some((group, _)) if !group.is_empty() => with_group(resource, group),
            _ => resource.to_owned(),
        };
        let namespace = namespace.map(|(namespace, _)| namespace.to_owned());
        Some(Self::Forbidden { verb: verb.to_owned(), resource, namespace })
    }

    /// Of a plugin what it says for people, and nothing of its output, which is where a token would be.
    fn of_credentials(error: &k8s::AuthError) -> Self {
        const PLUGIN: &str = "the plugin that the kubeconfig names";
        let why = match error {
            k8s::AuthError::AuthExecRun { out, .. } => {
                let words = String::from_utf8_lossy(&out.stderr);
                let words =
                    words.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says nothing");
                format!("{PLUGIN} fails ({}): {words}", out.status)
            }
            k8s::AuthError::AuthExecParse(_) => format!("{PLUGIN} answers with what are no credentials"),
            k8s::AuthError::AuthExecStart(error) => format!("{PLUGIN} can't be run: {}", in_words(error)),
            k8s::AuthError::ReadTokenFile(error, path) => {
                format!("the token's file {} can't be read: {}", path.display(), in_words(error))
            }
            other => without_number(&other.to_string()),
        };
        Self::Credentials { why: shortened(&why) }
    }

    /// A call that never got to an answer: the innermost cause tells most.
    fn of_transport(error: &k8s::Error) -> Self {
        let mut innermost = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<k8s::AuthError>() {
                return Self::of_credentials(error);
            }
            if let Some(error) = certificate::tls_error(error) {
                return Self::of_tls(error);
            }
            innermost = error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), in_words);
            cause = error.source();
        }
        Self::Unreachable { why: shortened(&innermost) }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        let why = match error {
            rustls::Error::InvalidCertificate(fault) => return Self::Certificate(CertificateFault::of(fault)),
            // That begins with `HTTP`, most likely.
            rustls::Error::InvalidMessage(_) => "what answers there doesn't speak TLS".to_owned(),
            other => format!("no TLS: {}", shortened(&other.to_string())),
        };
        Self::Unreachable { why }
    }

    /// Whether no call at all would do better.
    #[must_use]
    pub fn is_of_connection(&self) -> bool {
        match self {
            Self::Unauthorized
            | Self::NoApiServer { .. }
            | Self::Unreachable { .. }
            | Self::Certificate(_)
            | Self::Timeout { .. }
            | Self::Credentials { .. } => true,
            Self::Forbidden { .. } | Self::NotFound { .. } | Self::Unreadable { .. } | Self::Refused { .. } => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::Forbidden { verb, resource, namespace } => {
                let namespace = namespace.as_deref().map_or_else(String::new, |namespace| format!(" -n {namespace}"));
                format!(
                    "ask whoever runs the cluster for the right to {verb} {resource}; \
                     kubectl auth can-i {verb} {resource}{namespace} tells whether it is there"
                )
            }
            Self::Unauthorized | Self::Credentials { .. } => {
                "log in to the cluster again, or choose other credentials with --kubeconfig or --context".to_owned()
            }
            Self::NotFound { .. } => "check the name and the namespace".to_owned(),
            Self::Unreachable { .. } => {
                "check that the address in the kubeconfig is right and reachable from here, or choose another with \
                 --kubeconfig or --context"
                    .to_owned()
            }
            Self::NoApiServer { .. } => {
                "see whether a Kubernetes API server answers there, or a proxy or a page to log in on the way to it"
                    .to_owned()
            }
            Self::Certificate(fault) => fault.next_step().to_owned(),
            Self::Timeout { .. } => "try again; if that stays so, look at the load of the API server".to_owned(),
            Self::Unreadable { .. } => {
                "use an otelgate of the version that is installed in the cluster, or update that".to_owned()
            }
            Self::Refused { .. } => "do what the API server's message says, and try again".to_owned(),
        }
    }
}

fn scope(namespace: Option<&str>) -> String {
    namespace.map_or_else(|| " in the whole cluster".to_owned(), |namespace| format!(" in namespace {namespace}"))
}

/// `pods/log` and `apps` become `pods.apps/log`, as kubectl writes it.
fn with_group(resource: &str, group: &str) -> String {
    match resource.split_once('/') {
        Some((resource, of_it)) => format!("{resource}.{group}/{of_it}"),
        None => format!("{resource}.{group}"),
    }
}

fn what_is_missing(status: &k8s::Status) -> String {
    match &status.details {
        Some(details) if !details.name.is_empty() => format!("{} {}", details.kind, details.name),
        _ if status.message.is_empty() => "this path".to_owned(),
        _ => shortened(status.message.trim_start_matches("the server ")),
    }
}

/// Without the number that the system's own text carries.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => without_number(&error.to_string()).to_lowercase(),
    }
}

/// A text without the system's `(os error 2)`.
fn without_number(text: &str) -> String {
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A foreign message on one line, and no longer than a few lines.
fn shortened(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, message: &str) -> Unavailable {
        let status = k8s::Status::failure(message, "").with_code(code);
        Unavailable::of(&k8s::Error::Api(status.boxed()))
    }

    #[test]
    fn a_missing_right_names_verb_resource_and_place() {
        let told = answered(
            403,
            r#"pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "shop""#,
        );
        assert_eq!(told.to_string(), "not allowed to list pods in namespace shop");
        assert!(told.next_step().ends_with("kubectl auth can-i list pods -n shop tells whether it is there"));
        let told = answered(
            403,
            r#"x is forbidden: User "ann" cannot patch resource "deployments/scale" in API group "apps" at the cluster scope: RBAC: clusterrole "y" not found"#,
        );
        assert_eq!(told.to_string(), "not allowed to patch deployments.apps/scale in the whole cluster");
        let told = answered(403, r#"forbidden: User "system:anonymous" cannot get path "/version""#);
        assert_eq!(told.to_string(), "not allowed to get /version in the whole cluster");
    }

    #[test]
    fn what_admission_refuses_is_told_in_its_words() {
        let told = answered(403, "pods \"p\" is forbidden: exceeded quota: small,\n requested: pods=1");
        assert_eq!(
            told.to_string(),
            "the API server refused: pods \"p\" is forbidden: exceeded quota: small, requested: pods=1"
        );
        assert!(!told.is_of_connection());
        assert_eq!(answered(503, "").to_string(), "the API server refused: HTTP status 503");
        assert!(answered(500, &"why ".repeat(1000)).to_string().chars().count() < 400);
    }

    #[test]
    fn an_answer_that_isnt_json_is_no_api_servers() {
        let read =
            |text| Unavailable::of_json(&serde_json::from_str::<Vec<String>>(text).expect_err("no list of texts"));
        let page = "\n<!DOCTYPE html>\n<title>Log in</title>";
        for told in [read(page), read(""), answered(403, page), answered(502, page)] {
            assert!(told.to_string().starts_with("what answers there is no Kubernetes API server: "), "{told}");
            assert!(told.next_step().starts_with("see whether a Kubernetes API server answers there"));
            assert!(told.is_of_connection());
        }
        assert!(matches!(read("{}"), Unavailable::Unreadable { .. }));
        assert!(matches!(answered(404, "404 page not found"), Unavailable::NotFound { .. }));
    }

    #[test]
    fn credentials_that_dont_count_end_it() {
        assert_eq!(answered(401, "Unauthorized"), Unavailable::Unauthorized);
        assert!(answered(401, "").is_of_connection());
    }

    #[test]
    fn what_passes_is_told_from_what_somebody_has_to_mend() {
        let of = |code: u16| passes(&k8s::Error::Api(k8s::Status::failure("", "").with_code(code).boxed()));
        assert!([401, 408, 409, 429, 500, 502, 503, 504].into_iter().all(of));
        assert!(![400, 403, 404, 405, 410, 413, 415, 422].into_iter().any(of));
        assert!(passes(&k8s::Error::Service(io::Error::from(io::ErrorKind::TimedOut).into())));
    }

    #[test]
    fn a_name_that_isnt_there_is_said() {
        assert_eq!(
            answered(404, "the server could not find the requested resource").to_string(),
            "could not find the requested resource: the API server has no such thing"
        );
    }
}
