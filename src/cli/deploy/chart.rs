//! The chart in this program, written where Helm can read it, and what it makes of somebody's values.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::helm::Helm;
use crate::chart;
use crate::cli::output::{Complaint, plain};
use crate::deploy::Version;
use crate::deploy::release::Rendered;

/// Values, as they are given to Helm.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ValueArgs {
    /// A file of values for the chart, or - for standard input; may be repeated, the last wins.
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// One value, as Helm reads it: webhook.replicas=3; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// A folder that only this user can look into, and that goes when this does.
pub struct Workspace {
    folder: TempDir,
    /// What Helm is given, in its order.
    values: Vec<OsString>,
}

/// Prints the values that Helm makes of all that it is given, by a chart that does nothing else.
const VALUES_TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: values}\n\
                               data: {values: {{ toJson .Values | quote }}}\n";

impl Workspace {
    /// Writes the chart, and the values that come from standard input.
    ///
    /// # Errors
    /// When there is no room for it, or a file of values can't be read.
    pub fn new(args: &ValueArgs) -> Result<Self, Complaint> {
        let folder = tempfile::Builder::new()
            .prefix("otelgate-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| unwritten(&std::env::temp_dir(), &error))?;
        let mut workspace = Self { folder, values: Vec::new() };
        for file in chart::FILES {
            workspace.write(Path::new("chart").join(file.path), file.text)?;
            if matches!(file.path, "Chart.yaml" | "values.yaml") {
                workspace.write(Path::new("values").join(file.path), file.text)?;
            }
        }
        workspace.write("values/templates/values.yaml", VALUES_TEMPLATE)?;
        for file in &args.files {
            let file = if file.as_os_str() == "-" {
                workspace.write("standard-input.yaml", &standard_input()?)?
            } else {
                file.clone()
            };
            workspace.values.extend(["--values".into(), file.into_os_string()]);
        }
        for one in &args.set {
            workspace.values.extend(["--set".into(), one.into()]);
        }
        Ok(workspace)
    }

    /// Puts the values of the release that is there before all others.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn start_from(&mut self, values: &str) -> Result<(), Complaint> {
        let file = self.write("installed.json", values)?;
        self.values.splice(0..0, ["--values".into(), file.into_os_string()]);
        Ok(())
    }

    #[must_use]
    pub fn chart(&self) -> PathBuf {
        self.folder.path().join("chart")
    }

    #[must_use]
    pub fn values(&self) -> &[OsString] {
        &self.values
    }

    /// Has Helm render the chart, without a cluster.
    ///
    /// # Errors
    /// In Helm's words, such as when a value isn't one of the chart's.
    pub async fn render(
        &self,
        helm: &Helm,
        release: &str,
        namespace: &str,
        cluster: Version,
    ) -> Result<Rendered, Complaint> {
        let template = async |chart: PathBuf| {
            let mut arguments: Vec<OsString> = vec!["template".into(), release.into(), chart.into()];
            arguments.extend(["--namespace".into(), namespace.into()]);
            arguments.extend(["--kube-version".into(), format!("v{cluster}").into()]);
            arguments.extend(self.values.iter().cloned());
            let text = helm.run(arguments).await.map_err(|complaint| Complaint {
                next: "correct the values; the chart's own say what there is".to_owned(),
                ..complaint
            })?;
            let objects: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&text);
            objects.map_err(|error| Complaint {
                place: "helm template".to_owned(),
                message: format!("its output can't be read: {error}"),
                next: "see whether a value has a line that isn't YAML".to_owned(),
            })
        };
        let objects = template(self.chart()).await?;
        let printed = template(self.folder.path().join("values")).await?;
        let values = printed.first().and_then(|map| map["data"]["values"].as_str()).unwrap_or("{}");
        let values = serde_json::from_str(values).expect("Helm wrote it as JSON");
        Ok(Rendered { objects: objects.into_iter().filter(Value::is_object).collect(), values })
    }

    fn write(&self, path: impl AsRef<Path>, content: &str) -> Result<PathBuf, Complaint> {
        let path = self.folder.path().join(path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
        written.map_err(|error| unwritten(&path, &error))?;
        Ok(path)
    }
}

/// The definition of the `TelemetryStack` that the chart brings.
#[must_use]
pub fn definition() -> Value {
    let file = chart::FILES.iter().find(|file| file.path.starts_with("crds/")).expect("the chart has one");
    serde_saphyr::from_str(file.text).expect("a test reads it")
}

fn standard_input() -> Result<String, Complaint> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).map_err(|error| Complaint {
        place: "standard input".to_owned(),
        message: plain(&error),
        next: "give the values as YAML in UTF-8".to_owned(),
    })?;
    Ok(text)
}

fn unwritten(path: &Path, error: &io::Error) -> Complaint {
    Complaint {
        place: path.display().to_string(),
        message: plain(error),
        next: "make room there, or name another folder in $TMPDIR".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_look_at_the_values() {
        let workspace = Workspace::new(&ValueArgs::default()).expect("a folder");
        let path = workspace.folder.path().to_owned();
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o700);
        assert!(workspace.chart().join("Chart.yaml").exists());
        drop(workspace);
        assert!(!path.exists());
    }

    #[test]
    fn the_definition_is_the_charts() {
        assert_eq!(definition()["metadata"]["name"], crate::api::object::DEFINITION);
    }
}
