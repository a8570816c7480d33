//! Taking away what an inventory lists, stage by stage, until all of it is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::scan::{Depth, Scanner};
use crate::cli::cluster::Cluster;
use crate::cli::deploy::helm::Helm;
use crate::cli::deploy::wait::Channel;
use crate::cli::output::{ATTENTION, Complaint, GOOD};
use crate::deploy::inventory::{Found, Installation, Inventory, Stage, inventory};
use crate::k8s::{DeleteParams, Error, Preconditions, PropagationPolicy};

pub struct Removal<'a> {
    pub cluster: &'a Cluster,
    pub scanner: &'a Scanner<'a>,
    pub helm: Option<&'a Helm>,
    pub of: Installation<'a>,
    pub channel: Channel,
    pub deadline: Instant,
}

const POLL: Duration = Duration::from_millis(500);
/// Of these there may be something after the first look: owned at first, or made while something still ran.
const LATECOMERS: [&str; 5] = ["Pod", "ReplicaSet", "ConfigMap", "Secret", "Lease"];

impl Removal<'_> {
    /// Takes all of it away; answers what is still there when the time is up.
    ///
    /// # Errors
    /// When the API server refuses something.
    pub async fn perform(&self, first: &Inventory) -> Result<Vec<Found>, Complaint> {
        let kinds = first.removals.iter().map(|removal| removal.found.kind.kind.clone());
        let kinds: BTreeSet<String> = kinds.chain(LATECOMERS.map(ToOwned::to_owned)).collect();
        let mut told = BTreeSet::new();
        for stage in Stage::ALL {
            if stage == Stage::Release {
                self.uninstall().await;
            }
            let mut asked = BTreeSet::new();
            loop {
                // Whether something foreign is in a namespace takes a look at everything.
                let depth = if stage == Stage::Namespaces { Depth::Everything } else { Depth::Kinds(&kinds) };
                let scan = self.scanner.scan(depth).await?;
                let left = inventory(&scan.seen, &self.of);
                let left: Vec<Found> = left.of_stage(stage).cloned().collect();
                self.tell_gone(first, stage, &left, &mut told);
                if left.is_empty() {
                    break;
                }
                for found in left.iter().filter(|found| !asked.contains(&found.uid)) {
                    self.delete(found).await?;
                }
                asked.extend(left.iter().map(|found| found.uid.clone()));
                if Instant::now() >= self.deadline {
                    return Ok(left);
                }
                sleep(POLL).await;
            }
        }
        Ok(Vec::new())
    }

    /// By Helm, where it is and knows the release. What that leaves, whatever the reason, is deleted like the rest.
    async fn uninstall(&self) {
        let (Some(helm), Some((name, namespace))) = (self.helm, &self.of.release) else { return };
        if let Err(complaint) = helm.run(["uninstall", name, "--namespace", namespace, "--ignore-not-found"]).await {
            self.channel.say(&format!(
                "{ATTENTION}note{ATTENTION:#}     helm uninstall {name}: {}; its objects are deleted one by one\n",
                complaint.message
            ));
        }
    }

    async fn delete(&self, found: &Found) -> Result<(), Complaint> {
        let Some(api) = self.scanner.api_of(found) else { return Ok(()) };
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            // Not one that somebody made in its place just now.
            preconditions: Some(Preconditions { uid: Some(found.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        match api.delete(&found.name, &params).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(self.cluster.complaint(&error)),
        }
    }

    fn tell_gone(&self, first: &Inventory, stage: Stage, left: &[Found], told: &mut BTreeSet<String>) {
        for found in first.of_stage(stage) {
            if !left.iter().any(|left| left.uid == found.uid) && told.insert(found.uid.clone()) {
                self.channel.say(&format!("{GOOD}gone{GOOD:#}     {}\n", found.told()));
            }
        }
    }
}
