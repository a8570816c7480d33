//! Doing what a plan says, step by step.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::chart::{self, Workspace};
use super::helm::Helm;
use super::observe::{apply, definitions};
use crate::api::object;
use crate::cli::cluster::Cluster;
use crate::cli::output::Complaint;
use crate::deploy::ApiKey;
use crate::deploy::definition::Change;
use crate::deploy::plan::{CredentialsChange, ENFORCE, NamespaceChange, Plan, Step};
use crate::deploy::release::Credentials;
use crate::k8s::{Api, ByteString, DynamicObject, Namespace, ObjectMeta, Patch, PatchParams, PostParams, Secret};

/// What the steps are done with.
pub struct Tools<'a> {
    pub cluster: &'a Cluster,
    pub helm: &'a Helm,
    pub workspace: &'a Workspace,
    pub key: Option<&'a ApiKey>,
}

/// How long the API server may take to serve a new kind.
const ESTABLISHED: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

impl Tools<'_> {
    /// Does one step of a plan.
    ///
    /// # Errors
    /// When it can't be done; those before it stay done, and doing all again goes on from there.
    pub async fn perform(&self, plan: &Plan, step: &Step) -> Result<(), Complaint> {
        match step {
            Step::Namespace { name, change: NamespaceChange::Create(level) } => {
                let labels = [(object::CREATED_BY, object::DEPLOY), (ENFORCE, level.word())];
                let metadata =
                    ObjectMeta { name: Some(name.clone()), labels: Some(owned(labels)), ..Default::default() };
                let namespace = Namespace { metadata, ..Namespace::default() };
                let api = Api::<Namespace>::all(self.cluster.client.clone());
                let made = api.create(&PostParams::default(), &namespace).await;
                made.map(drop).map_err(|error| self.cluster.complaint(&error))
            }
            Step::Credentials { secret, change } => self.write_credentials(secret, *change).await,
            Step::Definition(Change::Create | Change::Update(_)) => self.apply_definition().await,
            Step::Namespace { .. } | Step::Definition(Change::Keep) => Ok(()),
            Step::Release { .. } => self.install(plan).await,
        }
    }

    async fn write_credentials(&self, to: &Credentials, change: CredentialsChange) -> Result<(), Complaint> {
        let Some(key) = self.key else { return Ok(()) };
        let metadata = ObjectMeta {
            name: Some(to.name.clone()),
            labels: Some(owned([(object::CREATED_BY, object::DEPLOY)])),
            ..ObjectMeta::default()
        };
        let data = BTreeMap::from([(to.key.clone(), ByteString(key.reveal().to_vec()))]);
        let api = Api::<Secret>::namespaced(self.cluster.client.clone(), &to.namespace);
        let written = match change {
            CredentialsChange::Create => {
                let secret = Secret { metadata, data: Some(data), ..Secret::default() };
                api.create(&PostParams::default(), &secret).await
            }
            CredentialsChange::Update => {
                let patch = serde_json::json!({"data": data});
                api.patch(&to.name, &PatchParams::default(), &Patch::Merge(patch)).await
            }
            CredentialsChange::Keep | CredentialsChange::KeepForeign | CredentialsChange::NoKey => return Ok(()),
        };
        written.map(drop).map_err(|error| self.cluster.complaint(&error))
    }

    /// Applies it and waits until objects of it can be made.
    async fn apply_definition(&self) -> Result<(), Complaint> {
        let api = definitions(self.cluster);
        let applied = api.patch(object::DEFINITION, &apply(), &Patch::Apply(chart::definition())).await;
        applied.map_err(|error| self.cluster.complaint(&error))?;
        let established = async {
            while !is_established(&api.get(object::DEFINITION).await?) {
                sleep(POLL).await;
            }
            Ok(())
        };
        match timeout(ESTABLISHED, established).await {
            Ok(result) => result.map_err(|error| self.cluster.complaint(&error)),
            Err(_) => Err(Complaint {
                place: format!("CustomResourceDefinition {}", object::DEFINITION),
                message: format!("isn't served {} s after it was applied", ESTABLISHED.as_secs()),
                next: format!("see its conditions: kubectl get crd {} -o yaml", object::DEFINITION),
            }),
        }
    }

    async fn install(&self, plan: &Plan) -> Result<(), Complaint> {
        let mut arguments: Vec<OsString> = ["upgrade", "--install"].map(Into::into).to_vec();
        arguments.extend([plan.release.clone().into(), self.workspace.chart().into_os_string()]);
        arguments.extend(["--namespace".into(), plan.namespace.clone().into()]);
        // The definition is applied already; the values are all given, so that the chart's new defaults come in.
        arguments.extend(["--skip-crds", "--reset-values"].map(Into::into));
        if self.helm.version.major > 3 {
            // What somebody has edited would be a conflict. Without the first flag, a release that Helm 3 has made stays
            // one of client-side apply, which refuses the second.
            arguments.extend(["--server-side=true", "--force-conflicts"].map(Into::into));
        }
        arguments.extend(self.workspace.values().iter().cloned());
        self.helm.run(arguments).await.map(drop)
    }
}

fn owned<const N: usize>(labels: [(&str, &str); N]) -> BTreeMap<String, String> {
    labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn is_established(definition: &DynamicObject) -> bool {
    let conditions = definition.data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Established" && one["status"] == "True")
}
