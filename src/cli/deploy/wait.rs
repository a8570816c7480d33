//! Waiting until what was installed works, and showing what is waited for.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::observe::existing;
use crate::api::{label, object};
use crate::cli::cluster::Cluster;
use crate::cli::output::{self, ATTENTION, Complaint, GOOD, styled};
use crate::deploy::progress::{self, Line, Observed};
use crate::k8s::{
    Api, ApiResource, Deployment, DynamicObject, GroupVersionKind, ListParams, MutatingWebhookConfiguration, Pod,
};

/// Where it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Stdout,
    /// While standard output is for a program.
    Stderr,
}

/// Lines that stay where they are on a terminal, and one line for each change elsewhere.
pub struct Display {
    channel: Channel,
    /// Of the terminal, if it is one.
    width: Option<usize>,
    shown: Vec<Line>,
}

const POLL: Duration = Duration::from_secs(1);
/// Failures in a row, as of an API server that is replaced.
const TOLERATED: u32 = 10;

/// Waits until all is ready, or the time is up; says how far it got.
///
/// # Errors
/// When the cluster can't be asked.
pub async fn wait(
    cluster: &Cluster,
    namespace: &str,
    deployments: &[String],
    limit: Duration,
    channel: Channel,
) -> Result<Vec<Line>, Complaint> {
    let started = Instant::now();
    let mut display = Display::new(channel);
    let mut failures = 0;
    loop {
        let observed = match observe(cluster, namespace, deployments).await {
            Ok(observed) => observed,
            Err(_) if failures < TOLERATED => {
                failures += 1;
                sleep(POLL).await;
                continue;
            }
            Err(complaint) => return Err(complaint),
        };
        failures = 0;
        let lines = progress::lines(&observed);
        display.show(&lines);
        if progress::is_done(&lines) || started.elapsed() >= limit {
            return Ok(lines);
        }
        sleep(POLL.min(limit.saturating_sub(started.elapsed()))).await;
    }
}

async fn observe(cluster: &Cluster, namespace: &str, names: &[String]) -> Result<Observed, Complaint> {
    let api = Api::<Deployment>::namespaced(cluster.client.clone(), namespace);
    let mut deployments = Vec::new();
    for name in names {
        deployments.push((name.clone(), existing(cluster, &api, name).await?));
    }
    let ours = ListParams::default().labels(&format!("{}={}", label::APP_NAME, object::APP));
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), namespace).list(&ours).await;
    let pods = pods.map_err(|error| cluster.complaint(&error))?.items;
    let registrations = Api::<MutatingWebhookConfiguration>::all(cluster.client.clone());
    let registration = existing(cluster, &registrations, object::REGISTRATION).await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("otelgate.dev", "v1alpha1", "TelemetryStack"));
    let stacks = Api::<DynamicObject>::all_with(cluster.client.clone(), &kind);
    let stack = existing(cluster, &stacks, object::STACK).await?;
    let stack = stack.and_then(|stack| serde_json::to_value(stack).ok());
    Ok(Observed { deployments, pods, registration, stack })
}

// === impl Channel ===

impl Channel {
    /// Writes lines at once. Nobody is left to tell when they can't be written.
    pub fn say(self, text: &str) {
        let _ = match self {
            Self::Stdout => {
                let mut out = anstream::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Self::Stderr => anstream::stderr().lock().write_all(text.as_bytes()),
        };
    }

    /// Columns of the terminal behind it, if it is one.
    #[must_use]
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Stdout => output::stdout_width(),
            Self::Stderr => output::stderr_width(),
        }
    }

    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }
}

// === impl Display ===

impl Display {
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        let width = channel.is_terminal().then(|| channel.width().unwrap_or(80));
        Self { channel, width, shown: Vec::new() }
    }

    pub fn show(&mut self, lines: &[Line]) {
        let text = rendered(&self.shown, lines, self.width);
        if !text.is_empty() {
            self.channel.say(&text);
        }
        self.shown = lines.to_vec();
    }
}

/// What to write after `before` was written.
fn rendered(before: &[Line], now: &[Line], width: Option<usize>) -> String {
    let Some(width) = width else {
        return progress::changes(before, now).into_iter().map(|line| told(line, usize::MAX)).collect();
    };
    if before == now {
        return String::new();
    }
    // Up to the first of them, and from each line what was there before.
    let up = if before.is_empty() { String::new() } else { format!("\u{1b}[{}A", before.len()) };
    now.iter().fold(up, |drawn, line| drawn + "\u{1b}[2K" + &told(line, width))
}

const STATE: usize = 9;

fn told(line: &Line, width: usize) -> String {
    let Line { object, ready, says } = line;
    let (style, state) = if *ready { (GOOD, "ready") } else { (ATTENTION, "waiting") };
    let text: String = format!("{object}: {says}").replace(|c: char| c.is_control(), " ");
    let room = width.saturating_sub(STATE + 1);
    let cut = if text.chars().count() > room { text.chars().take(room - 1).chain(['…']).collect() } else { text };
    format!("{}{cut}\n", styled(style, state, STATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(object: &str, ready: bool, says: &str) -> Line {
        Line { object: object.to_owned(), ready, says: says.to_owned() }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_pipe_gets_one_line_for_each_change() {
        let first = [line("Deployment a", false, "0 of 1 available"), line("ConfigMap b", false, "isn't there")];
        assert_eq!(
            plain(&rendered(&[], &first, None)),
            "waiting  Deployment a: 0 of 1 available\nwaiting  ConfigMap b: isn't there\n"
        );
        assert_eq!(rendered(&first, &first, None), "");
        let then = [line("Deployment a", true, "1 of 1 available"), first[1].clone()];
        assert_eq!(plain(&rendered(&first, &then, None)), "ready    Deployment a: 1 of 1 available\n");
    }

    #[test]
    fn a_terminal_is_drawn_anew_in_place_and_never_wraps() {
        let first = [line("Deployment a", false, &"long ".repeat(40)), line("b", false, "x\ny")];
        let drawn = rendered(&[], &first, Some(40));
        assert!(plain(&drawn).lines().all(|line| line.chars().count() < 40), "{drawn}");
        assert_eq!(plain(&drawn).lines().count(), 2);
        let then = [first[0].clone(), line("b", true, "y")];
        assert!(rendered(&first, &then, Some(40)).starts_with("\u{1b}[2A"));
    }
}
