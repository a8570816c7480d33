//! Values that are read again while the server runs: the configuration and the certificate.
//!
//! Whoever watches the inputs, files or an object of the cluster, offers their raw contents; a [`Source`] parses and
//! checks them, and publishes what is good. What isn't good is refused, told once, and the last good value stays in
//! force.

use std::fmt::Debug;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::k8s::{Api, ConfigMap, Resource, Secret};
use crate::metrics::Reloads;
use crate::watch::{self as watching, Health};

/// What can be read again: made from the raw contents of its inputs.
pub trait Reload: Sized + Send + Sync + 'static {
    /// For logs and `/readyz`.
    const NAME: &'static str;

    /// Parses and checks.
    ///
    /// # Errors
    /// One line that says what is wrong and what would be right; no part of a secret.
    fn read(inputs: &[Vec<u8>]) -> Result<Self, String>;

    /// A short public name of the value, such as a hash, for the log.
    fn identity(&self) -> String;
}

/// The last good value, and what is wrong with the newest contents, if anything is.
pub struct Source<T> {
    current: ArcSwapOption<T>,
    state: Mutex<State>,
    reloads: Arc<Reloads>,
}

#[derive(Default)]
struct State {
    /// What the current value was made from.
    accepted: Option<Vec<Vec<u8>>>,
    fault: Option<String>,
}

/// Keys of an object that are read together, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Keys(pub &'static [&'static str]);

/// An object that holds contents under keys.
pub trait Contents {
    const KIND: &'static str;

    fn content(&self, key: &str) -> Option<Vec<u8>>;
}

/// Files that are read together, such as a certificate and its key.
#[derive(Clone, Debug)]
pub struct Files(Vec<PathBuf>);

/// How often what is refused is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Larger than any object of the cluster, so that a wrong path doesn't fill the memory.
const MAX_FILE: u64 = 2 << 20;

// === impl Source ===

impl<T: Reload> Source<T> {
    #[must_use]
    pub fn new(reloads: Arc<Reloads>) -> Self {
        Self { current: ArcSwapOption::empty(), state: Mutex::default(), reloads }
    }

    /// A source whose value never changes.
    #[must_use]
    pub fn fixed(value: T, reloads: Arc<Reloads>) -> Self {
        let source = Self::new(reloads);
        source.publish(value);
        source
    }

    /// The value in force, if there ever was a good one.
    pub fn current(&self) -> Guard<Option<Arc<T>>> {
        self.current.load()
    }

    /// What is wrong with the newest contents.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    /// Takes contents in force, if they are new and good.
    ///
    /// Contents that were refused are looked at again each time: a certificate may become valid by waiting.
    pub fn offer(&self, inputs: Vec<Vec<u8>>) {
        let mut state = self.lock();
        if state.accepted.as_ref() == Some(&inputs) {
            state.fault = None;
            self.reloads.in_order();
            return;
        }
        match T::read(&inputs) {
            Ok(value) => {
                *state = State { accepted: Some(inputs), fault: None };
                drop(state);
                self.publish(value);
            }
            Err(fault) => self.refuse(&mut state, fault),
        }
    }

    /// Notes that the inputs can't be read.
    pub fn unreadable(&self, fault: String) {
        self.refuse(&mut self.lock(), fault);
    }

    fn publish(&self, value: T) {
        info!(otelgate.source = T::NAME, otelgate.identity = value.identity(), "now in force");
        self.current.store(Some(Arc::new(value)));
        self.reloads.succeeded();
    }

    /// The same fault is told once, however often it is seen.
    fn refuse(&self, state: &mut State, fault: String) {
        if state.fault.as_ref() == Some(&fault) {
            return;
        }
        let kept = self.current.load().is_some();
        warn!(otelgate.source = T::NAME, error.message = fault, otelgate.last_good_in_force = kept, "refused");
        state.fault = Some(fault);
        self.reloads.failed();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // No code under the lock leaves the state half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Keys ===

impl Contents for ConfigMap {
    const KIND: &'static str = "ConfigMap";

    fn content(&self, key: &str) -> Option<Vec<u8>> {
        self.data.as_ref()?.get(key).map(|text| text.clone().into_bytes())
    }
}

impl Contents for Secret {
    const KIND: &'static str = "Secret";

    fn content(&self, key: &str) -> Option<Vec<u8>> {
        self.data.as_ref()?.get(key).map(|content| content.0.clone())
    }
}

impl Keys {
    /// What the object holds under all of them.
    ///
    /// # Errors
    /// Names what isn't there.
    fn read<K: Contents>(self, name: &str, object: Option<&K>) -> Result<Vec<Vec<u8>>, String> {
        let kind = K::KIND;
        let object = object.ok_or_else(|| format!("{kind} {name} isn't there; the controller makes it"))?;
        let content = |key: &&str| {
            object.content(key).ok_or_else(|| format!("{kind} {name} has no key {key}; the controller writes it"))
        };
        self.0.iter().map(content).collect()
    }

    /// Offers what an object of the cluster holds, whenever that changes. While the API server is away, what was offered
    /// last stays as it is. Never returns.
    pub async fn follow<K, T>(self, api: Api<K>, name: String, health: Arc<Health>, source: Arc<Source<T>>)
    where
        K: Contents + Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        T: Reload,
    {
        let (newest, contents) = watch::channel(None);
        let watching = async {
            watching::objects(api, watching::named(&name), &health, |objects| {
                newest.send_replace(Some(self.read(&name, objects.get(&name))));
            })
            .await;
        };
        tokio::select! {
            () = watching => {}
            () = offer_newest(contents, &health, &source) => {}
        }
    }
}

/// Again and again while it is refused: a certificate may become valid by waiting. That there is no answer yet is no
/// fault: nothing has been refused.
async fn offer_newest<T: Reload>(
    mut contents: watch::Receiver<Option<Result<Vec<Vec<u8>>, String>>>,
    health: &Health,
    source: &Source<T>,
) {
    loop {
        match contents.borrow_and_update().clone() {
            Some(Ok(inputs)) => source.offer(inputs),
            Some(Err(fault)) => source.unreadable(fault),
            None => {
                if let Some(fault) = health.failure() {
                    source.unreadable(fault);
                }
            }
        }
        let waits = source.fault().is_some() || contents.borrow().is_none();
        tokio::select! {
            changed = contents.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_AGAIN), if waits => {}
        }
    }
}

// === impl Files ===

impl Files {
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self(paths)
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn read(&self) -> Result<Vec<Vec<u8>>, String> {
        self.0.iter().map(|path| read_file(path)).collect()
    }

    /// Offers what the files hold now: at the start, so that the first connection finds it.
    pub fn offer_to<T: Reload>(&self, source: &Source<T>) {
        match self.read() {
            Ok(inputs) => source.offer(inputs),
            Err(fault) => source.unreadable(fault),
        }
    }

    /// Reads the files again and again, and offers what stood there twice in a row.
    ///
    /// Contents are compared, not times nor inodes: the kubelet swaps a symlink of the folder, others write in place,
    /// and between the writing of a certificate and of its key the pair is torn. Never returns.
    pub async fn follow<T: Reload>(self, source: Arc<Source<T>>, every: Duration) {
        let mut last = None;
        loop {
            tokio::time::sleep(every).await;
            let files = self.clone();
            // Only a runtime that shuts down cancels this.
            let Ok(reading) = tokio::task::spawn_blocking(move || files.read()).await else { continue };
            if last.as_ref() == Some(&reading) {
                match reading.clone() {
                    Ok(inputs) => source.offer(inputs),
                    Err(fault) => source.unreadable(fault),
                }
            }
            last = Some(reading);
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut contents = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut contents))
        .map_err(|error| format!("{}: {}; check the path and the mount", path.display(), in_words(&error)))?;
    if contents.len() as u64 > MAX_FILE {
        return Err(format!("{}: larger than 2 MiB; check the path", path.display()));
    }
    Ok(contents)
}

/// Without the number that the system's own text carries.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(u32);

    impl Reload for Number {
        const NAME: &'static str = "number";

        fn read(inputs: &[Vec<u8>]) -> Result<Self, String> {
            let text = String::from_utf8_lossy(&inputs[0]);
            text.trim().parse().map(Self).map_err(|_| format!("{} bytes are no number", text.len()))
        }

        fn identity(&self) -> String {
            self.0.to_string()
        }
    }

    fn offer(source: &Source<Number>, text: &str) -> Option<u32> {
        source.offer(vec![text.as_bytes().to_vec()]);
        source.current().as_ref().map(|number| number.0)
    }

    #[test]
    fn the_last_good_value_stays_in_force() {
        let reloads = Arc::new(Reloads::default());
        let source = Source::<Number>::new(Arc::clone(&reloads));
        assert_eq!(offer(&source, "x"), None);
        assert_eq!(source.fault().as_deref(), Some("1 bytes are no number"));
        assert_eq!(offer(&source, "1"), Some(1));
        assert_eq!(source.fault(), None);
        assert_eq!(offer(&source, "xx"), Some(1));
        assert_eq!(offer(&source, "xx"), Some(1));
        assert_eq!(source.fault().as_deref(), Some("2 bytes are no number"));
        assert!(!reloads.is_in_order());
        assert_eq!(offer(&source, "1"), Some(1), "the accepted contents came back");
        assert_eq!(source.fault(), None);
        assert!(reloads.is_in_order());
        assert_eq!(offer(&source, "2"), Some(2));
        assert_eq!((reloads.successes(), reloads.failures()), (2, 2), "a fault is counted once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_in_a_file_for_a_moment_is_not_offered() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        write("1");
        let reloads = Arc::new(Reloads::default());
        let source = Arc::new(Source::<Number>::new(Arc::clone(&reloads)));
        let files = Files::new(vec![path.clone()]);
        files.offer_to(&source);
        let following = tokio::spawn(files.follow(Arc::clone(&source), Duration::from_secs(10)));
        for torn in ["", "2x", "y"] {
            write(torn);
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert_eq!((reloads.successes(), reloads.failures()), (1, 0));
        write("2");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(source.current().as_ref().map(|number| number.0), Some(2));
        write("y");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!((reloads.successes(), reloads.failures()), (2, 1));
        following.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_object_holds_is_offered_again_while_it_is_refused() {
        let reloads = Arc::new(Reloads::default());
        let source = Arc::new(Source::<Number>::new(Arc::clone(&reloads)));
        let health = Arc::new(Health::new("ConfigMap"));
        let (newest, contents) = watch::channel(None);
        let offering = tokio::spawn({
            let (health, source) = (Arc::clone(&health), Arc::clone(&source));
            async move { offer_newest(contents, &health, &source).await }
        });
        let settle = || tokio::time::sleep(Duration::from_secs(3));
        settle().await;
        assert_eq!((source.fault(), reloads.failures()), (None, 0), "nothing has been refused yet");
        health.failed_because("no such host".to_owned());
        settle().await;
        assert_eq!((source.fault().as_deref(), reloads.failures()), (Some("no such host"), 1));
        newest.send_replace(Some(Ok(vec![b"1".to_vec()])));
        settle().await;
        assert_eq!(source.current().as_ref().map(|number| number.0), Some(1));
        let gone = Keys(&["n"]).read::<ConfigMap>("settings", None);
        newest.send_replace(Some(gone));
        settle().await;
        assert_eq!(source.fault().as_deref(), Some("ConfigMap settings isn't there; the controller makes it"));
        assert_eq!(source.current().as_ref().map(|number| number.0), Some(1), "it stays in force");
        offering.abort();
    }

    #[test]
    fn keys_are_read_in_their_order_and_one_that_is_missing_is_named() {
        let data = [("a", "1"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let object = ConfigMap { data: Some(data.into()), ..ConfigMap::default() };
        assert_eq!(Keys(&["b", "a"]).read("x", Some(&object)), Ok(vec![b"2".to_vec(), b"1".to_vec()]));
        let fault = Keys(&["a", "c"]).read("x", Some(&object));
        assert_eq!(fault, Err("ConfigMap x has no key c; the controller writes it".to_owned()));
    }

    #[test]
    fn a_missing_file_is_named_with_the_next_step() {
        let fault = Files::new(vec!["/nowhere/tls.crt".into()]).read().expect_err("there is no such file");
        assert_eq!(fault, "/nowhere/tls.crt: no such file; check the path and the mount");
    }
}
