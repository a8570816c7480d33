//! What is left to do after a step, and what is told of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::held::{FIRST_RETRY, Held, Why};
use super::{Key, Outcome};
use crate::controller::contest::Contested;
use crate::unavailable::Unavailable;

/// What a step came to.
pub enum Step {
    /// For the first lists.
    Waiting,
    Done(Outcome),
    Again(Duration, Option<Outcome>),
}

/// What is left to do after a step, and the first of each that keeps it from being done.
#[derive(Default)]
pub struct Due {
    soonest: Option<Instant>,
    foreign: Option<Key>,
    refused: Option<(Key, Unavailable)>,
    contested: Option<(Key, Contested)>,
}

// === impl Due ===

impl Due {
    pub fn at(&mut self, until: Instant) {
        self.soonest = Some(self.soonest.map_or(until, |soonest| soonest.min(until)));
    }

    /// By the time at which the step began: what is held then is until its end, however long its calls take.
    pub fn is_held(&mut self, held: &Held, key: &Key, sent: &Value, began: Instant) -> bool {
        let Some((why, until)) = held.until(key, sent, began) else { return false };
        self.at(until);
        if let Some(answer) = why.answer() {
            self.refused.get_or_insert_with(|| (key.clone(), answer.clone()));
        } else if *why == Why::Foreign {
            self.foreign.get_or_insert_with(|| key.clone());
        }
        true
    }

    pub fn contested(&mut self, key: Key, contested: Contested) {
        self.at(contested.until);
        self.contested.get_or_insert((key, contested));
    }

    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    #[must_use]
    pub fn step(self, generation: i64) -> Step {
        let named = |key: &Key| format!("{} {}", key.kind, key.name);
        let told = if let Some(key) = &self.foreign {
            Some(Outcome::Foreign { generation, object: named(key) })
        } else if let Some((key, why)) = &self.refused {
            Some(Outcome::refused(generation, named(key), why))
        } else {
            self.contested.map(|(key, Contested { how, by, .. })| {
                let object = named(&key);
                Outcome::Contested { generation, object, how, by }
            })
        };
        let delay = self.soonest.map(|until| until.saturating_duration_since(Instant::now()));
        match (told, delay) {
            (None, None) => Step::Done(Outcome::Kept { generation }),
            (told, delay) => Step::Again(delay.unwrap_or(FIRST_RETRY), told),
        }
    }
}
