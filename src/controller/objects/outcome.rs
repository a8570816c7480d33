//! What a part wants, and how it stands with that: pure.
//!
//! Both are of one generation of the spec. Between a change of the spec and the word of whoever writes, what is known is of
//! the generation before, and says nothing of this one.

use serde_json::Value;

use super::Key;
use crate::controller::contest::Undoing;
use crate::k8s::OwnerReference;
use crate::unavailable::Unavailable;

/// What a part wants, as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Of all that is in a namespace. When it changes, what was wanted in the one before is deleted there.
    pub namespace: String,
    /// As they are applied, but for what the keeper adds: the part's label and the owner.
    pub objects: Vec<Value>,
    /// Neither kept nor taken away, unless they are wanted: another part is to take them over as they are.
    pub spares: Vec<Key>,
    pub owner: OwnerReference,
    /// Of the spec that it was made from.
    pub generation: i64,
}

/// How it stands with what a part wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is there as it should be.
    Kept { generation: i64 },
    /// Objects of a kind can't be looked at, so that nothing is done: which, and why.
    Unseen { generation: i64, kind: &'static str, why: String },
    /// An object that the API server doesn't take, or a call without an answer: which, why, and whether it answered.
    Refused { generation: i64, object: String, why: String, answered: bool },
    /// An object of that name is there, and isn't ours.
    Foreign { generation: i64, object: String },
    /// Somebody undoes each time what becomes of an object: which, how, and who.
    Contested { generation: i64, object: String, how: Undoing, by: String },
}

/// How far what the spec asks for now has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// How it stands is known.
    #[default]
    Known,
    /// It was handed over a moment ago.
    HandedOver,
    /// What has to come first isn't there.
    Waiting,
}

// === impl Wanted ===

impl Wanted {
    /// `outcome` as far as it is of the spec of that generation. Where nothing is wanted, it needn't be told anew.
    #[must_use]
    pub fn outcome_of<'o>(&self, outcome: Option<&'o Outcome>, generation: i64) -> Option<&'o Outcome> {
        outcome.filter(|outcome| match (self.objects.is_empty(), outcome) {
            // Then nobody need be allowed to look.
            (true, Outcome::Unseen { .. }) => false,
            (true, _) => true,
            (false, outcome) => outcome.generation() == generation,
        })
    }

    /// Of the spec of that generation.
    #[must_use]
    pub fn progress(&self, outcome: Option<&Outcome>, generation: i64) -> Progress {
        if self.generation != generation {
            Progress::Waiting
        } else if self.objects.is_empty() || self.outcome_of(outcome, generation).is_some() {
            Progress::Known
        } else {
            Progress::HandedOver
        }
    }
}

// === impl Outcome ===

impl Outcome {
    #[must_use]
    pub fn refused(generation: i64, object: String, why: &Unavailable) -> Self {
        Self::Refused { generation, object, why: why.to_string(), answered: !why.is_of_connection() }
    }

    #[must_use]
    pub const fn generation(&self) -> i64 {
        match self {
            Self::Kept { generation }
            | Self::Unseen { generation, .. }
            | Self::Refused { generation, .. }
            | Self::Foreign { generation, .. }
            | Self::Contested { generation, .. } => *generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(objects: usize) -> Wanted {
        Wanted { objects: vec![json!({}); objects], generation: 2, ..Wanted::default() }
    }

    #[test]
    fn an_outcome_counts_for_the_spec_that_it_is_of() {
        let kept = |generation| Some(Outcome::Kept { generation });
        let unseen = |generation| Some(Outcome::Unseen { generation, kind: "Role", why: "no".to_owned() });
        for (objects, outcome, generation, counts, progress) in [
            (1, None, 2, false, Progress::HandedOver),
            (1, kept(1), 2, false, Progress::HandedOver),
            (1, unseen(1), 2, false, Progress::HandedOver),
            (1, kept(2), 2, true, Progress::Known),
            (1, unseen(2), 2, true, Progress::Known),
            // The next one hasn't been handed over yet.
            (1, kept(2), 3, false, Progress::Waiting),
            (0, kept(2), 3, true, Progress::Waiting),
            (0, kept(1), 2, true, Progress::Known),
            (0, unseen(2), 2, false, Progress::Known),
            (0, None, 2, false, Progress::Known),
        ] {
            let wanted = wanted(objects);
            let what = format!("{objects} {outcome:?} {generation}");
            assert_eq!(wanted.outcome_of(outcome.as_ref(), generation).is_some(), counts, "{what}");
            assert_eq!(wanted.progress(outcome.as_ref(), generation), progress, "{what}");
        }
    }
}
