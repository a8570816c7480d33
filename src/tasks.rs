//! Background tasks that must not end: the first that does shuts the process down, and says so.

use std::future::Future;

use tokio::task::{Id, JoinSet};
use tracing::error;

/// The tasks of a server.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<()>,
    names: Vec<(Id, &'static str)>,
}

impl Tasks {
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.set.spawn(task);
        self.names.push((handle.id(), name));
    }

    /// Waits for the first to end, and tells its name. Never returns while there is none.
    pub async fn first_exit(&mut self) -> &'static str {
        let Some(ended) = self.set.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (id, panicked) = match ended {
            Ok((id, ())) => (id, false),
            Err(failure) => (failure.id(), failure.is_panic()),
        };
        let name = self.names.iter().find(|(known, _)| *known == id).map_or("unnamed", |(_, name)| name);
        error!(otelgate.task = name, otelgate.panicked = panicked, "a background task ended; shutting down");
        name
    }

    /// Ends them all, and waits until they have.
    pub async fn stop(mut self) {
        self.set.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_task_to_end_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("endless", std::future::pending());
        tasks.spawn("panicking", async { panic!("as the test wants") });
        assert_eq!(tasks.first_exit().await, "panicking");
    }
}
