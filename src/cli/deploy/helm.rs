//! The `helm` program: finding it, running it, and what it says.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::cluster::Connection;
use crate::cli::output::{Complaint, plain};
use crate::deploy::Version;
use crate::deploy::credentials::VARIABLE;
use crate::deploy::release::{self, Installed};
use crate::deploy::version::OLDEST_HELM;

#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    pub version: Version,
    /// Which cluster.
    connection: Vec<OsString>,
}

/// Why there is no Helm to use.
#[derive(Clone, Debug)]
pub struct Absent {
    pub place: String,
    pub message: String,
}

impl Helm {
    /// The program that was named, else the one in the search path.
    ///
    /// # Errors
    /// When there is none, or one that is too old.
    pub fn find(named: Option<&Path>, connection: &Connection) -> Result<Self, Absent> {
        let program = named.unwrap_or(Path::new("helm"));
        let place = program.display().to_string();
        let absent = |message: String| Absent { place: place.clone(), message };
        let mut command = Command::new(program);
        command.args(["version", "--template", "{{.Version}}"]).stdin(Stdio::null());
        let output = without_keys(&mut command).output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if named.is_none() => absent("it isn't in the search path".to_owned()),
            _ => absent(plain(&error)),
        })?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version =
            said.parse::<Version>().map_err(|()| absent("it doesn't say which version of Helm it is".to_owned()))?;
        if version < OLDEST_HELM {
            return Err(absent(format!("it is version {version}, and {OLDEST_HELM} or later is needed")));
        }
        let mut arguments = Vec::new();
        if let Some(file) = &connection.kubeconfig {
            arguments.extend(["--kubeconfig".into(), file.clone().into_os_string()]);
        }
        if let Some(context) = &connection.context {
            arguments.extend([OsString::from("--kube-context"), context.into()]);
        }
        Ok(Self { program: program.to_owned(), version, connection: arguments })
    }

    /// Runs it to its end. What it writes is foreign text, and its input is empty.
    ///
    /// # Errors
    /// In its own words.
    pub async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String, Complaint> {
        let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let place = format!("helm {}", arguments.first().map(|verb| verb.to_string_lossy()).unwrap_or_default());
        let failed = |message: String| Complaint {
            place: place.clone(),
            message,
            next: "do what Helm's message says, and try again".to_owned(),
        };
        let mut command = Command::new(&self.program);
        command.args(arguments).args(&self.connection).stdin(Stdio::null());
        without_keys(&mut command);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output =
            output.map_err(|_| failed("it was interrupted".to_owned()))?.map_err(|error| failed(plain(&error)))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(last_words(&String::from_utf8_lossy(&output.stderr))))
    }

    /// The release of otelgate's chart in a namespace, however far it got.
    ///
    /// # Errors
    /// When Helm can't tell.
    pub async fn installed(&self, namespace: &str) -> Result<Option<Installed>, Complaint> {
        let mut arguments = vec!["list", "--namespace", namespace, "-o", "json"];
        if self.version.major == 3 {
            // The later ones list all anyway.
            arguments.push("--all");
        }
        let text = self.run(arguments).await?;
        let releases: Vec<Installed> = serde_json::from_str(&text).map_err(|error| Complaint {
            place: "helm list".to_owned(),
            message: format!("its output can't be read: {error}"),
            next: "use a Helm that otelgate is tested with".to_owned(),
        })?;
        Ok(releases.into_iter().find(Installed::is_of_chart))
    }
}

/// Helm has no business with them.
fn without_keys(command: &mut Command) -> &mut Command {
    command.env_remove(VARIABLE).env_remove("DD_APP_KEY")
}

/// The error, on one line, without what is only for those who debug Helm.
fn last_words(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("level="));
    let text = lines.skip_while(|line| !line.starts_with("Error:")).collect::<Vec<_>>().join(" ");
    let text = if text.is_empty() { stderr.split_whitespace().collect::<Vec<_>>().join(" ") } else { text };
    text.trim_start_matches("Error:").trim_start_matches(" UPGRADE FAILED:").trim().to_owned()
}

// === impl Absent ===

impl Absent {
    /// With what to do by hand where otelgate's sources are.
    #[must_use]
    pub fn complaint(self, namespace: &str) -> Complaint {
        let Self { place, message } = self;
        let release = release::NAME;
        let next = format!(
            "install Helm {OLDEST_HELM} or later, or name it with --helm FILE; by hand, in otelgate's sources:\n       \
             kubectl apply --server-side --force-conflicts -f charts/otelgate/crds\n       \
             helm upgrade --install {release} charts/otelgate --namespace {namespace} --create-namespace"
        );
        Complaint { place, message, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helm_says_is_cut_to_the_error() {
        let stderr =
            "level=WARN msg=\"x\"\nError: UPGRADE FAILED: values don't meet the schema\notelgate:\n- at '/x'\n";
        assert_eq!(last_words(stderr), "values don't meet the schema otelgate: - at '/x'");
        assert_eq!(last_words("panic: x"), "panic: x");
    }
}
