//! Where the programs of Kubernetes are.

use std::path::PathBuf;
use std::{env, fmt};

/// The versions that the tests run against: the newest and the oldest supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Newest,
    Oldest,
}

/// The versions of Helm that the chart is installed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helm {
    Four,
    Three,
}

/// The programs of one version.
pub struct Programs {
    folder: PathBuf,
    version: Version,
}

impl Version {
    /// As in `tests/programs/build`.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Newest => "1.37.2",
            Self::Oldest => "1.30.14",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

impl Programs {
    /// In the folder that `KUBEBUILDER_ASSETS` names, for the newest; else where `tests/programs/build` puts them.
    pub fn of(version: Version) -> Self {
        let assets = env::var_os("KUBEBUILDER_ASSETS").filter(|_| version == Version::Newest);
        let folder = assets.map_or_else(|| cache().join(format!("kubernetes-{version}")), PathBuf::from);
        Self { folder, version }
    }

    /// # Errors
    /// When it isn't there: says where it was looked for, and what to do.
    pub fn path(&self, program: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(program);
        if path.exists() {
            return Ok(path);
        }
        Err(format!(
            "{program} {} is not in {}: run tests/programs/build, which needs Go, or set KUBEBUILDER_ASSETS to a \
             folder that has it. {LEAVE_OUT}",
            self.version,
            self.folder.display()
        ))
    }
}

impl Helm {
    /// As in `tests/programs/helm-*/go.mod`.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Four => "4.3.1",
            Self::Three => "3.22.0",
        }
    }

    /// # Errors
    /// When it isn't there: says what to do.
    pub fn path(self) -> Result<PathBuf, String> {
        built("helm", self.number())
    }
}

/// As in `tests/programs/promtool/go.mod`.
pub const PROMTOOL: &str = "0.316.0";

/// A program that has a folder of its own.
///
/// # Errors
/// When it isn't there: says what to do.
pub fn built(program: &str, version: &str) -> Result<PathBuf, String> {
    let path = cache().join(format!("{program}-{version}")).join(program);
    let missing = || format!("{} is missing: run tests/programs/build, which needs Go. {LEAVE_OUT}", path.display());
    if path.exists() { Ok(path) } else { Err(missing()) }
}

/// What to do about a machine that can't run cluster tests.
pub const LEAVE_OUT: &str = "To leave the cluster tests out: cargo test -- --skip cluster::";

fn cache() -> PathBuf {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from);
    folder("OTELGATE_TEST_CACHE").unwrap_or_else(|| {
        folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(env::temp_dir)
            .join("otelgate-tests")
    })
}
