//! The configuration as the webhook uses it.

use std::str;

use crate::api::OptIn;
use crate::config::{self, Configuration, Document};
use crate::source::Reload;

/// The configuration in force, and what the probe is decided with.
pub struct Settings {
    configuration: Configuration,
    /// Only where the mode isn't `enabled`: that it is switched off must not look like a broken way.
    probe: Option<Configuration>,
}

// === impl Settings ===

impl Settings {
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The same, with `mode: enabled`.
    #[must_use]
    pub fn for_probe(&self) -> &Configuration {
        self.probe.as_ref().unwrap_or(&self.configuration)
    }
}

impl From<Configuration> for Settings {
    fn from(configuration: Configuration) -> Self {
        let probe = (configuration.mode() != OptIn::Enabled).then(|| {
            let document = Document { mode: OptIn::Enabled, ..configuration.document().clone() };
            Configuration::try_from(document).expect("every mode goes with every other field")
        });
        Self { configuration, probe }
    }
}

impl Reload for Settings {
    const NAME: &'static str = "configuration";

    fn read(inputs: &[Vec<u8>]) -> Result<Self, String> {
        let [text] = inputs else { return Err("one document is needed".to_owned()) };
        let text = str::from_utf8(text).map_err(|_| "the configuration isn't UTF-8; save it as such".to_owned())?;
        config::parse(text).map(Self::from).map_err(|error| error.to_string())
    }

    fn identity(&self) -> String {
        self.configuration.revision().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_identity_that_is_told_changes_with_everything_that_is_switched() {
        let identity =
            |document: Document| Settings::from(Configuration::try_from(document).expect("valid")).identity();
        let mut collector = Document::default().collector;
        collector.address = Some("10.0.0.9".to_owned());
        let all = [
            Document::default(),
            Document { mode: OptIn::Disabled, ..Document::default() },
            Document { exclude: Vec::new(), ..Document::default() },
            Document { collector, ..Document::default() },
        ];
        let told: BTreeSet<_> = all.map(identity).into();
        assert_eq!(told.len(), 4);
        assert!(told.contains(Configuration::default().revision()), "as in /status");
    }
}
