//! Reads a request's body: bounded in memory and in time, and as much of it as there is.

use std::time::Duration;

use axum::Error;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::deadline::Deadline;
use super::review::{LARGE, MAX_BODY};

/// What all requests together may take up. What doesn't fit is shed.
#[derive(Debug)]
pub struct Capacity {
    /// Of all bodies beyond their first [`STEP`], which is any connection's.
    kibibytes: Semaphore,
    /// The part of that for what they have beyond [`LARGE`]: it leaves room for usual ones.
    beyond: Semaphore,
    /// The view of a review can be dozens of times its size.
    large: Semaphore,
    /// Places in the line for that; who stands there holds a body.
    line: Semaphore,
}

/// Given back on drop.
#[derive(Debug)]
pub struct Turn<'c>(#[expect(dead_code, reason = "held, not read")] Option<SemaphorePermit<'c>>);

/// What was read, and how it ended.
#[derive(Debug)]
pub struct Intake<'c> {
    pub bytes: Vec<u8>,
    pub end: End,
    share: Option<SemaphorePermit<'c>>,
    beyond: Option<SemaphorePermit<'c>>,
    pace: Pace,
}

/// How long the body has to be, and when.
#[derive(Clone, Copy, Debug)]
struct Pace {
    length: usize,
    by: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    /// There was more than is kept; `bytes` is its beginning.
    TooLarge,
    /// There was no capacity for more; `bytes` is the beginning, and more may come.
    Shed,
    /// The deadline came first, or hardly anything came of a body that takes up what others could have.
    Late,
    /// The client went away, or sent what isn't HTTP.
    Broken,
}

const KIB: usize = 1024;
/// Memory is taken as bytes arrive, and never for a mere Content-Length. The first step needs no capacity; it also holds
/// the fields of a review that an answer without a decision needs.
const STEP: usize = 32 * KIB;
/// Of a body that declares no length.
const USUAL: usize = 32 * KIB;
/// For another [`STEP`] of a body that has a share. No network between an API server and a webhook is that slow.
const STALLED: Duration = Duration::from_secs(2);
/// Large reviews take milliseconds each: a line that is longer than this is no burst.
const LINE: usize = 32;
/// Of the rest of a body that is answered before its end, read and thrown away so that the client gets to read the answer.
const MAX_DISCARDED: usize = 4 * MAX_BODY;
/// For the same. Less than the server's limit for a request's head, and than that of its drain.
const LINGERING: Duration = Duration::from_secs(5);

// === impl Capacity ===

impl Capacity {
    /// For that many bytes of bodies.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let kibibytes = bytes.div_ceil(KIB);
        Self {
            kibibytes: Semaphore::new(kibibytes),
            beyond: Semaphore::new(kibibytes * 2 / 3),
            large: Semaphore::new(1),
            line: Semaphore::new(LINE),
        }
    }

    /// Leave to decide a review of that length. Large ones are decided one at a time: the others wait in a line, which
    /// is as long as the bytes of their bodies and [`LINE`] allow, and none beyond its deadline.
    pub async fn turn(&self, length: usize, deadline: Deadline) -> Option<Turn<'_>> {
        if length <= LARGE {
            return Some(Turn(None));
        }
        let _place = self.line.try_acquire().ok()?;
        let permit = timeout_at(deadline.instant().into(), self.large.acquire()).await.ok()?;
        permit.ok().map(|permit| Turn(Some(permit)))
    }
}

/// Adds as many bytes to a share, if there are as many left.
fn enlarge<'c>(share: &mut Option<SemaphorePermit<'c>>, of: &'c Semaphore, bytes: usize) -> bool {
    let more = u32::try_from(bytes.div_ceil(KIB)).ok().and_then(|kibibytes| of.try_acquire_many(kibibytes).ok());
    let Some(more) = more else { return false };
    match share {
        Some(share) => share.merge(more),
        none => *none = Some(more),
    }
    true
}

// === impl End ===

impl End {
    /// Whether there may be more to come, so that the connection can't go on with another request.
    #[must_use]
    pub fn leaves_a_rest(self) -> bool {
        matches!(self, Self::TooLarge | Self::Shed | Self::Late)
    }
}

// === impl Intake ===

impl<'c> Intake<'c> {
    /// Reads a body until its end, the deadline's, or that of the capacity, or until it stalls with a part of that; of one
    /// that says beforehand that it is too large, the beginning.
    pub async fn of(body: Body, deadline: Deadline, capacity: &'c Capacity) -> Self {
        let declared = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
        let limit = if declared.is_some_and(|length| length > MAX_BODY) { STEP } else { MAX_BODY };
        let bytes = Vec::with_capacity(declared.unwrap_or(USUAL).min(STEP));
        let mut frames = body.into_data_stream();
        let pace = Pace { length: 0, by: deadline.instant().into() };
        let mut intake = Self { bytes, end: End::Complete, share: None, beyond: None, pace };
        let reading = timeout_at(deadline.instant().into(), intake.fill(&mut frames, limit, capacity)).await;
        intake.end = reading.unwrap_or(End::Late);
        if intake.end.leaves_a_rest() {
            tokio::spawn(linger(frames));
        }
        intake
    }

    async fn fill(&mut self, frames: &mut BodyDataStream, limit: usize, capacity: &'c Capacity) -> End {
        loop {
            let frame = match self.next(frames).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return End::Broken,
                Ok(None) => return End::Complete,
                Err(_) => return End::Late,
            };
            let length = self.bytes.len() + frame.len();
            if length > limit || !self.makes_room(length, capacity) {
                self.keep_the_beginning(&frame);
                return if length > limit { End::TooLarge } else { End::Shed };
            }
            self.bytes.extend_from_slice(&frame);
        }
    }

    /// What comes next; not waited for as long where there is a share.
    async fn next(&mut self, frames: &mut BodyDataStream) -> Result<Option<Result<Bytes, Error>>, Elapsed> {
        if self.share.is_none() {
            return Ok(frames.next().await);
        }
        let length = self.bytes.len();
        if length >= self.pace.length {
            self.pace = Pace { length: length + STEP, by: Instant::now() + STALLED };
        }
        timeout_at(self.pace.by, frames.next()).await
    }

    fn makes_room(&mut self, length: usize, capacity: &'c Capacity) -> bool {
        let before = self.bytes.capacity();
        if length <= before {
            return true;
        }
        // By a part of what is there, so that a long body isn't copied at every step.
        let most = if length <= LARGE { LARGE } else { MAX_BODY };
        let wanted = length.max(before + before / 4).next_multiple_of(STEP).min(most);
        let beyond = |kept: usize| wanted.max(kept) - before.max(kept);
        if wanted > STEP
            && !(enlarge(&mut self.share, &capacity.kibibytes, beyond(STEP))
                && enlarge(&mut self.beyond, &capacity.beyond, beyond(LARGE)))
        {
            return false;
        }
        self.bytes.reserve_exact(wanted - self.bytes.len());
        true
    }

    fn keep_the_beginning(&mut self, next: &[u8]) {
        self.bytes.truncate(STEP);
        let missing = next.len().min(STEP - self.bytes.len());
        self.bytes.extend_from_slice(&next[..missing]);
        self.bytes.shrink_to_fit();
        (self.share, self.beyond) = (None, None);
    }
}

/// The server reads on as long as somebody takes what it reads. A client that writes its whole request before it reads
/// would else find a reset connection in place of the answer.
async fn linger(mut frames: BodyDataStream) {
    let discarding = async {
        let mut left = MAX_DISCARDED;
        while let Some(Ok(frame)) = frames.next().await {
            let Some(less) = left.checked_sub(frame.len()) else { break };
            left = less;
        }
    };
    // However it ends, there is nothing more to do.
    let _ = timeout(LINGERING, discarding).await;
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::future::join_all;
    use futures::poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_ones_wait_in_a_line_until_their_deadline() {
        let capacity = Capacity::new(0);
        let at = |query| Deadline::new(Instant::now(), Some(query));
        let first = capacity.turn(LARGE + 1, at("timeout=1s")).await.expect("nobody else is there");
        assert!(capacity.turn(LARGE, at("timeout=1s")).await.is_some(), "what isn't large doesn't wait");
        let mut line: Vec<_> = (0..LINE).map(|_| Box::pin(capacity.turn(LARGE + 1, at("timeout=30s")))).collect();
        for waiting in &mut line {
            assert!(poll!(waiting).is_pending());
        }
        assert!(capacity.turn(LARGE + 1, at("timeout=30s")).await.is_none(), "the line has an end");
        drop(line.pop());
        assert!(capacity.turn(LARGE + 1, at("timeout=1s")).await.is_none(), "its deadline came");
        drop(first);
        let turns = join_all(line.into_iter().map(async |turn| turn.await.is_some())).await;
        assert_eq!(turns, [true; LINE - 1]);
    }
}
