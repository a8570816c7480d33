//! Asks whether the API server serves `DatadogAgent`, and in which versions. Everybody who can log in may ask that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::mode::{Served, VERSION};
use super::{DATADOG_AGENT, OF_OPERATOR};
use crate::controller::Context;
use crate::controller::objects::{self, Outcome, Wanted};
use crate::k8s::{self, Client};

/// A definition comes and goes with the operator's release.
const ASK_EVERY: Duration = Duration::from_secs(10);
const GROUP: &str = "datadoghq.com";

/// Publishes every change. Never returns.
pub(super) async fn run(context: Context, served: watch::Sender<Option<Served>>) {
    loop {
        match k8s::in_time(ask(&context.client)).await {
            Ok(answer) => {
                context.state.datadog_definition.answered();
                served.send_if_modified(|before| before.replace(answer.clone()) != Some(answer));
            }
            Err(error) => context.state.datadog_definition.failed(&error),
        }
        sleep(ASK_EVERY).await;
    }
}

async fn ask(client: &Client) -> k8s::Result<Served> {
    if is_served(client, VERSION).await? {
        return Ok(Served::Yes);
    }
    let groups = client.list_api_groups().await?;
    let group = groups.groups.into_iter().find(|group| group.name == GROUP);
    let mut others = Vec::new();
    for version in group.into_iter().flat_map(|group| group.versions) {
        if version.version != VERSION && is_served(client, &version.version).await? {
            others.push(version.version);
        }
    }
    Ok(if others.is_empty() { Served::No } else { Served::Others(others) })
}

/// A definition that is on its way out still serves what is there, and takes nothing new.
async fn is_served(client: &Client, version: &str) -> k8s::Result<bool> {
    match client.list_api_group_resources(&format!("{GROUP}/{version}")).await {
        Ok(list) => Ok(list
            .resources
            .iter()
            .any(|one| one.name == DATADOG_AGENT.plural && one.verbs.iter().any(|verb| verb == "patch"))),
        Err(k8s::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps a `DatadogAgent` while the API server has the kind. Never returns.
pub(super) async fn keep(
    context: Context,
    mut served: watch::Receiver<Option<Served>>,
    wanted: watch::Receiver<Option<Arc<Wanted>>>,
    outcome: watch::Sender<Option<Outcome>>,
) {
    loop {
        let is_served = *served.borrow_and_update() == Some(Served::Yes);
        // Of writes: that there may be none says nothing of what is seen.
        let health = Arc::new(context.state.datadog_agents.of_one("DatadogAgent"));
        let keep = async {
            if is_served {
                objects::keep(context.clone(), OF_OPERATOR, health, wanted.clone(), outcome.clone()).await;
            }
            std::future::pending::<()>().await;
        };
        let other = async {
            // The sender lives as long as the leader's tasks do.
            if served.wait_for(|served| (*served == Some(Served::Yes)) != is_served).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = keep => {}
            () = other => {}
        }
        outcome.send_if_modified(|outcome| outcome.take().is_some());
    }
}
