//! What the Collector of a version calls its components.

use super::Fault;

/// A release of the Collector, without its last number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

/// A type, or a detector of one, that has another name than it once had. The old ones are still understood, with a
/// warning at every start.
#[derive(Clone, Copy, Debug)]
pub struct Rename {
    pub now: &'static str,
    pub before: &'static str,
    /// The first release that is known to have the new name.
    pub since: Version,
    /// Where that was read: a release, a change, or the file of a release.
    pub source: &'static str,
}

/// Every one that is written here.
pub const RENAMES: [Rename; 6] = [
    rename("file_log", "filelog", 149, "receiver/filelogreceiver/internal/metadata/generated_status.go of 0.149.0"),
    rename(
        "k8s_attributes",
        "k8sattributes",
        149,
        "processor/k8sattributesprocessor/internal/metadata/generated_status.go of 0.149.0",
    ),
    rename(
        "span_metrics",
        "spanmetrics",
        152,
        "connector/spanmetricsconnector/internal/metadata/generated_status.go of 0.152.0",
    ),
    rename("resource_detection", "resourcedetection", 153, "opentelemetry-collector-contrib#48525, release 0.153.0"),
    rename("k8s_api", "k8snode", 154, "opentelemetry-collector-contrib, release notes of 0.154.0"),
    rename(
        "cumulative_to_delta",
        "cumulativetodelta",
        157,
        "processor/cumulativetodeltaprocessor/internal/metadata/generated_status.go of 0.156.0 and 0.157.0",
    ),
];

/// The oldest release whose names are known. From it on `filter` has `log_conditions`, and the OTLP exporters are
/// `otlp_grpc` and `otlp_http`.
pub const OLDEST: Version = Version { major: 0, minor: 146 };

const fn rename(now: &'static str, before: &'static str, minor: u32, source: &'static str) -> Rename {
    Rename { now, before, since: Version { major: 0, minor }, source }
}

// === impl Version ===

impl Version {
    /// Of an image's tag, such as `0.159.0`, `v0.159.0` or `0.159.0-amd64`.
    ///
    /// # Errors
    /// When the tag doesn't tell it, or is older than what is known here.
    pub fn of(tag: &str) -> Result<Self, Fault> {
        let field = "spec.collector.image.tag";
        let version = Self::read(tag).ok_or_else(|| {
            Fault::new(field, "doesn't begin with the Collector's version, which names follow; such as 0.159.0")
        })?;
        if version < OLDEST {
            let fault = format!("is older than 0.{}, the oldest whose components are known", OLDEST.minor);
            return Err(Fault::new(field, fault));
        }
        Ok(version)
    }

    fn read(tag: &str) -> Option<Self> {
        let mut numbers = tag.strip_prefix('v').unwrap_or(tag).split(['.', '-', '+', '_']);
        let mut number = || numbers.next()?.parse().ok();
        Some(Self { major: number()?, minor: number()? })
    }

    /// What it calls a component that newer ones call `now`.
    #[must_use]
    pub fn name(self, now: &'static str) -> &'static str {
        let renamed = RENAMES.iter().find(|one| one.now == now && self < one.since);
        renamed.map_or(now, |one| one.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_the_version() {
        for (tag, expected) in [("0.149.0", 149), ("v0.159.1", 159), ("0.150.0-arm64", 150), ("0.165", 165)] {
            assert_eq!(Version::of(tag), Ok(Version { major: 0, minor: expected }), "{tag}");
        }
        assert_eq!(Version::of("1.2.3").map(|version| version.name("file_log")), Ok("file_log"));
        for tag in ["", "latest", "main-0.159", "0", "0.x"] {
            let fault = Version::of(tag).expect_err(tag).to_string();
            assert!(fault.starts_with("spec.collector.image.tag: doesn't begin with"), "{fault}");
        }
        assert!(
            Version::of("0.120.0")
                .expect_err("old")
                .to_string()
                .ends_with("is older than 0.146, the oldest whose components are known")
        );
    }

    #[test]
    fn names_are_those_of_the_version() {
        let of = |minor| Version { major: 0, minor };
        for (minor, expected) in [
            (148, ["filelog", "k8sattributes", "resourcedetection", "k8snode", "otlp_http"]),
            (149, ["file_log", "k8s_attributes", "resourcedetection", "k8snode", "otlp_http"]),
            (153, ["file_log", "k8s_attributes", "resource_detection", "k8snode", "otlp_http"]),
            (159, ["file_log", "k8s_attributes", "resource_detection", "k8s_api", "otlp_http"]),
        ] {
            let names = ["file_log", "k8s_attributes", "resource_detection", "k8s_api", "otlp_http"];
            assert_eq!(names.map(|name| of(minor).name(name)), expected, "0.{minor}");
        }
    }
}
