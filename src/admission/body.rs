//! Reads a request's body: bounded in memory and in time, and as much of it as there is.

use std::pin::pin;

use axum::body::Body;
use futures::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::deadline::Deadline;
use super::review::MAX_BODY;

/// The bodies that are held at once. What doesn't fit is shed, not queued.
#[derive(Debug)]
pub struct Capacity(Semaphore);

/// A share of the capacity, given back on drop.
#[derive(Debug)]
pub struct Share<'c>(#[expect(dead_code, reason = "held, not read")] SemaphorePermit<'c>);

/// What was read, and how it ended.
#[derive(Debug)]
pub struct Intake {
    pub bytes: Vec<u8>,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    /// There was more than is kept; `bytes` is its beginning.
    TooLarge,
    /// The deadline came first.
    Late,
    /// The client went away, or sent what isn't HTTP.
    Broken,
}

const KIB: usize = 1024;
/// A small request costs more than its body.
const SMALLEST_SHARE: usize = 16;
/// Holds the fields of a review that an answer without a decision needs.
const BEGINNING: usize = 64 * KIB;
/// Without a usable Content-Length: most reviews are smaller.
const USUAL: usize = 32 * KIB;
/// Read on past the limit, so that the client gets to read the answer, but not for ever.
const MAX_DISCARDED: usize = 4 * MAX_BODY;

// === impl Capacity ===

impl Capacity {
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Semaphore::new(bytes.div_ceil(KIB)))
    }

    /// A share for a body of that length, if there is one left. A body of unknown length may be as large as allowed.
    #[must_use]
    pub fn try_reserve(&self, length: Option<usize>) -> Option<Share<'_>> {
        let length = length.unwrap_or(MAX_BODY).min(MAX_BODY).div_ceil(KIB).max(SMALLEST_SHARE);
        self.0.try_acquire_many(u32::try_from(length).ok()?).ok().map(Share)
    }
}

// === impl Intake ===

impl Intake {
    /// Reads a body that is to be decided.
    pub async fn whole(body: Body, length: Option<usize>, deadline: Deadline) -> Self {
        let keep = if length.is_some_and(|length| length > MAX_BODY) { BEGINNING } else { MAX_BODY };
        Self::read(body, keep, length, deadline).await
    }

    /// Reads a body that is only to be answered: its beginning is kept, and the rest discarded.
    pub async fn beginning(body: Body, deadline: Deadline) -> Self {
        Self::read(body, BEGINNING, None, deadline).await
    }

    async fn read(body: Body, keep: usize, length: Option<usize>, deadline: Deadline) -> Self {
        let mut frames = pin!(body.into_data_stream());
        let mut bytes = Vec::with_capacity(length.unwrap_or(USUAL).min(keep).min(2 * USUAL));
        let mut discarded = 0;
        let reading = async {
            while let Some(frame) = frames.next().await {
                let Ok(frame) = frame else { return End::Broken };
                if discarded == 0 && bytes.len() + frame.len() <= keep {
                    bytes.extend_from_slice(&frame);
                    continue;
                }
                if discarded == 0 {
                    bytes.extend_from_slice(&frame[..keep - bytes.len()]);
                    bytes.truncate(BEGINNING);
                    bytes.shrink_to_fit();
                }
                discarded += frame.len();
                if discarded > MAX_DISCARDED {
                    break;
                }
            }
            if discarded == 0 { End::Complete } else { End::TooLarge }
        };
        let end = tokio::time::timeout_at(deadline.instant().into(), reading).await.unwrap_or(End::Late);
        Self { bytes, end }
    }
}
