//! Logs as they are written: of pods that are there, of those that start later, and of containers that start again.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::select_all;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::{Timestamp, ToSpan as _, Unit};
use tokio::sync::mpsc;

use super::sources::{MOST, NARROW, Source};
use super::{Extent, Line, Lines, Origin, Printer, cut_off, note};
use crate::cli::output;
use crate::k8s::{Api, Client, Event, LogParams, Pod, WatchStreamExt as _, watcher};
use crate::unavailable::Unavailable;

/// Lines that wait for standard output; a pod that logs more waits with its next.
const QUEUE: usize = 256;
/// Before a log is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the streams tell.
enum Told {
    Line(Origin, Line),
    Fault(Origin, Unavailable),
}

/// One pod's log.
struct Tail {
    pods: Api<Pod>,
    origin: Origin,
    told: mpsc::Sender<Told>,
    /// Set when the pod is gone.
    gone: Arc<AtomicBool>,
    /// Of the last line that was told.
    last: Option<Timestamp>,
}

/// The logs that are followed.
struct Tails {
    client: Client,
    extent: Extent,
    told: mpsc::Sender<Told>,
    /// By the pod's uid and the container: set when the pod is gone.
    open: HashMap<(String, String), Arc<AtomicBool>>,
    /// Whether it was said that there are too many.
    has_complained: bool,
}

/// Until nobody reads any more.
pub async fn run(client: &Client, sources: &[Source], extent: Extent, printer: &mut Printer) -> ExitCode {
    let mut events = select_all(sources.iter().map(|source| {
        let mut config = watcher::Config::default().labels(&source.labels);
        config.field_selector = source.fields();
        let pods = Api::<Pod>::namespaced(client.clone(), &source.namespace);
        let events = watcher(pods, config).default_backoff().map_ok(move |event| (source, event));
        Box::pin(events)
    }));
    let (told, mut lines) = mpsc::channel(QUEUE);
    let mut tails = Tails { client: client.clone(), extent, told, open: HashMap::new(), has_complained: false };
    loop {
        tokio::select! {
            Some(event) = events.next() => match event {
                Ok((source, Event::Apply(pod) | Event::InitApply(pod))) => {
                    for origin in source.origins(&pod).into_iter().filter(|origin| origin.node.is_some()) {
                        tails.add(origin, printer);
                    }
                }
                Ok((_, Event::Delete(pod))) => tails.end(pod.metadata.uid.as_deref().unwrap_or_default()),
                // The watch goes on by itself.
                Ok(_) | Err(_) => {}
            },
            Some(next) = lines.recv() => match next {
                Told::Line(origin, line) => {
                    if let ControlFlow::Break(code) = printer.print(&origin, &line) {
                        return code;
                    }
                }
                Told::Fault(origin, fault) => output::complain(&[cut_off(&origin, &fault)]),
            },
        }
    }
}

impl Tails {
    fn add(&mut self, origin: Origin, printer: &mut Printer) {
        let key = (origin.uid.clone(), origin.container.clone());
        if self.open.contains_key(&key) {
            return;
        }
        if self.open.len() >= MOST {
            if !self.has_complained {
                note(&format!("{MOST} logs are followed, and there are more; {NARROW}"));
                self.has_complained = true;
            }
            return;
        }
        printer.fit(&origin);
        let gone = Arc::new(AtomicBool::new(false));
        self.open.insert(key, Arc::clone(&gone));
        let pods = Api::namespaced(self.client.clone(), &origin.namespace);
        let tail = Tail { pods, origin, told: self.told.clone(), gone, last: None };
        tokio::spawn(tail.run(self.extent));
    }

    /// Of a pod that is gone.
    fn end(&mut self, pod: &str) {
        self.open.retain(|(uid, _), gone| {
            let ends = uid == pod;
            if ends {
                gone.store(true, Ordering::Relaxed);
            }
            !ends
        });
    }
}

impl Tail {
    /// Until the pod is gone: a container that starts again has a new log.
    async fn run(mut self, extent: Extent) {
        let mut fault = None;
        loop {
            match self.read(extent).await {
                Ok(()) => fault = None,
                Err(new) if fault.as_ref() == Some(&new) || is_starting(&new) => {}
                Err(new) => {
                    if !self.gone.load(Ordering::Relaxed) {
                        let _ = self.told.send(Told::Fault(self.origin.clone(), new.clone())).await;
                    }
                    fault = Some(new);
                }
            }
            if self.gone.load(Ordering::Relaxed) || self.told.is_closed() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// To the end of a log.
    async fn read(&mut self, extent: Extent) -> Result<(), Unavailable> {
        let stream = self.pods.log_stream(&self.origin.pod, &self.params(extent)).await;
        let mut lines = Lines::of(stream.map_err(|error| Unavailable::of(&error))?);
        loop {
            let line = lines.next().await;
            let Some(line) = line.map_err(|error| Unavailable::Unreachable { why: output::plain(&error) })? else {
                return Ok(());
            };
            // After a break, the last second is read again.
            if line.time.is_some() && line.time <= self.last {
                continue;
            }
            self.last = line.time.or(self.last);
            if self.told.send(Told::Line(self.origin.clone(), line)).await.is_err() {
                return Ok(());
            }
        }
    }

    fn params(&self, extent: Extent) -> LogParams {
        let params = LogParams { follow: true, ..extent.params(&self.origin) };
        match self.last {
            None => params,
            Some(last) => LogParams { since_time: Some(whole(last)), since_seconds: None, tail_lines: None, ..params },
        }
    }
}

/// The second in which a time is: the API server takes no fractions, and the client would round up.
fn whole(time: Timestamp) -> Timestamp {
    let rounded = time.round(Unit::Second).unwrap_or(time);
    if rounded > time { rounded.checked_sub(1.second()).unwrap_or(rounded) } else { rounded }
}

/// A container that hasn't started yet has no log, which is no fault.
fn is_starting(fault: &Unavailable) -> bool {
    matches!(fault, Unavailable::Refused { why } if why.contains("waiting to start"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_opened_again_at_the_second_of_its_last_line() {
        for (time, second) in [
            ("2026-11-02T09:00:01.9Z", "2026-11-02T09:00:01Z"),
            ("2026-11-02T09:00:01.1Z", "2026-11-02T09:00:01Z"),
            ("2026-11-02T09:00:01Z", "2026-11-02T09:00:01Z"),
        ] {
            assert_eq!(whole(time.parse().expect("a time")).to_string(), second);
        }
    }

    #[test]
    fn a_container_that_is_created_is_waited_for() {
        let says = |why: &str| is_starting(&Unavailable::Refused { why: why.to_owned() });
        assert!(says("container \"webhook\" in pod \"p\" is waiting to start: ContainerCreating"));
        assert!(!says("the server doesn't want to"));
    }
}
