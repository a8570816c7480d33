//! Admission: the API server's review in, the decision's patch out, and never a denial.
//!
//! [`evaluate`] is pure and sees bytes only; [`router`] puts deadline, limits, metrics and the log around it.

mod body;
mod deadline;
mod evaluate;
mod record;
mod response;
mod review;
mod router;
mod settings;

pub use body::Capacity;
pub use evaluate::{Decide, Question, Refusal, Report, evaluate};
pub use review::{MAX_BODY, Outline, Request};
pub use router::{Admission, router};
pub use settings::Settings;

use crate::api::OptIn;

/// Which of the three registered paths was called; that tells how the pod was opted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The namespace is `enabled`, and the pod's label says nothing.
    Enabled,
    /// The namespace is `observe`, and the pod's label says nothing.
    Observe,
    /// The pod's own label opts in.
    Pod,
}

impl Entry {
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Observe, Self::Pod];

    /// The last segment of the path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Observe => "observe",
            Self::Pod => "pod",
        }
    }

    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Enabled => "/mutate/enabled",
            Self::Observe => "/mutate/observe",
            Self::Pod => "/mutate/pod",
        }
    }

    /// What the namespace's label says, as far as the path tells.
    #[must_use]
    pub const fn namespace_opt_in(self) -> Option<OptIn> {
        match self {
            Self::Enabled => Some(OptIn::Enabled),
            Self::Observe => Some(OptIn::Observe),
            Self::Pod => None,
        }
    }
}
