//! The two loops that most of a review's bytes go through, with as many bytes at a time as a register of every processor
//! of the architecture holds.

use std::iter;

use wide::{u8x16, u8x64};

const CHUNK: usize = 16;
const BLOCK: usize = 64;

/// Ends a string, or isn't read as it stands: a quote, a backslash, a control character.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..b' ')
}

/// Length of the part of a string, from `text`'s start, that stands for itself.
#[inline]
pub fn plain(text: &[u8]) -> usize {
    let (chunks, rest) = text.as_chunks::<CHUNK>();
    for (index, chunk) in chunks.iter().enumerate() {
        let bytes = u8x16::new(*chunk);
        let control = bytes.simd_eq(bytes.min(u8x16::splat(b' ' - 1)));
        let special = control | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
        let special = special.to_bitmask();
        if special != 0 {
            return index * CHUNK + special.trailing_zeros() as usize;
        }
    }
    let end = rest.iter().position(|byte| is_special(*byte));
    chunks.len() * CHUNK + end.unwrap_or(rest.len())
}

/// Length of the object or list that `text` starts with; `None` if it doesn't end there.
///
/// Brackets count alike, of whichever kind; those in strings don't.
pub fn bracketed(text: &[u8]) -> Option<usize> {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let mut strings = Strings::default();
    let mut depth = 0;
    for (index, block) in blocks.iter().chain(iter::once(&last)).enumerate() {
        let bytes = u8x64::new(*block);
        let places = |byte| bytes.simd_eq(u8x64::splat(byte)).to_bitmask();
        let outside = !strings.next(places(b'"'), places(b'\\'));
        // This bit tells `[` from `{`, and `]` from `}`, and nothing else from any of them.
        let bytes = bytes | u8x64::splat(b'[' ^ b'{');
        let opening = bytes.simd_eq(u8x64::splat(b'{')).to_bitmask() & outside;
        let closing = bytes.simd_eq(u8x64::splat(b'}')).to_bitmask() & outside;
        if depth <= closing.count_ones()
            && let Some(last) = last_bracket(depth, opening, closing)
        {
            return Some(index * BLOCK + last + 1);
        }
        depth = depth + opening.count_ones() - closing.count_ones();
    }
    None
}

/// The place of the bracket that ends what began `depth` brackets ago, if it is among these.
fn last_bracket(depth: u32, opening: u64, mut closing: u64) -> Option<usize> {
    for closed in 1.. {
        if closing == 0 {
            return None;
        }
        let place = closing.trailing_zeros();
        let opened = opening & ((1 << place) - 1);
        if depth + opened.count_ones() == closed {
            return Some(place as usize);
        }
        closing &= closing - 1;
    }
    None
}

/// Which bytes are in strings, block after block. In the words of 64 bits, the lowest stands for the first byte.
#[derive(Default)]
struct Strings {
    /// All ones where the block before ended in a string.
    inside: u64,
    /// One where the block before ended with a backslash that takes the next byte's meaning away.
    escaping: u64,
}

impl Strings {
    /// Strings with their opening quotes, but without the closing ones.
    fn next(&mut self, quotes: u64, backslashes: u64) -> u64 {
        let mut strings = quotes & !self.escaped(backslashes);
        // Each bit becomes the parity of those up to it: one behind an odd quote, zero behind an even one.
        for distance in [1, 2, 4, 8, 16, 32] {
            strings ^= strings << distance;
        }
        strings ^= self.inside;
        self.inside = if strings >> (u64::BITS - 1) == 0 { 0 } else { u64::MAX };
        strings
    }

    /// Bytes behind a backslash that isn't itself behind one.
    fn escaped(&mut self, mut backslashes: u64) -> u64 {
        let mut escaped = self.escaping;
        backslashes &= !self.escaping;
        self.escaping = 0;
        while backslashes != 0 {
            let backslash = backslashes & backslashes.wrapping_neg();
            let next = backslash << 1;
            if next == 0 {
                self.escaping = 1;
            }
            escaped |= next;
            backslashes &= !(backslash | next);
        }
        escaped
    }
}
