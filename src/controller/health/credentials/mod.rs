//! Datadog's API key: whether it is there, looks like one, and is accepted.
//!
//! Nothing of the key is kept: the watch remembers its shape, and whoever asks Datadog reads it anew and drops it.

mod intake;
mod run;
mod verdict;

pub use run::run;

use crate::check::Shape;
use crate::k8s::{ResourceExt as _, Secret};

/// What is known of the Secret: nothing before it was looked for, and where nobody needs it; then, whether it is there.
pub type Secrets = Option<Option<Credentials>>;

/// The Secret with the API key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Changes whenever the Secret does: those that read it have to start again.
    pub resource_version: String,
    /// Names of its keys.
    pub keys: Vec<String>,
    /// How what stands under the key that the spec names looks.
    pub shape: Option<Shape>,
}

impl Credentials {
    fn of(secret: Secret, key: &str) -> Self {
        let resource_version = secret.resource_version().unwrap_or_default();
        let data = secret.data.unwrap_or_default();
        let shape = data.get(key).map(|value| Shape::of(&value.0));
        Self { resource_version, keys: data.into_keys().collect(), shape }
    }
}
