//! Chance with a seed: proptest's generator of random bits, and the few draws that the case generator makes from it.

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

pub struct Random(TestRng);

impl Random {
    /// The same seed gives the same draws, on every machine.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        for (index, chunk) in bytes.chunks_mut(8).enumerate() {
            let word = seed.wrapping_add(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// From 0 to `bound`, without it.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % bound as u64).expect("a remainder of a usize is a usize")
    }

    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    pub fn percent(&mut self, percent: u32) -> bool {
        self.bits() % 100 < percent
    }

    pub fn permille(&mut self, permille: u32) -> bool {
        self.bits() % 1000 < permille
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// One of the choices, as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, choices: &[(u32, T)]) -> T {
        let total: u32 = choices.iter().map(|(weight, _)| weight).sum();
        let mut draw = self.bits() % total;
        for (weight, choice) in choices {
            if draw < *weight {
                return *choice;
            }
            draw -= weight;
        }
        unreachable!("a draw is below the sum of the weights")
    }
}
