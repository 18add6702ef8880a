//! Bends inputs: a little chance, always the same for one seed, and a few ways to break things.

use crate::words::WORDS;

/// No bent input is longer.
pub(crate) const LONGEST: usize = 16 * 1024;
/// Octets that stand at a border of something.
const BORDERS: [u8; 12] = [
    0x00, 0x01, 0x09, 0x0A, 0x1B, 0x20, 0x7F, 0x80, 0xC3, 0xE2, 0xFE, 0xFF,
];

/// Chance with a seed (SplitMix64), and what to do with it.
#[derive(Debug, Clone)]
pub struct Bender(u64);

impl Bender {
    /// One seed, one run.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below the bound; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        match bound {
            0 => 0,
            bound => (self.bits() % bound as u64) as usize,
        }
    }

    /// True once in so many.
    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// Where there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        assert!(!from.is_empty(), "nothing to pick from");
        &from[self.below(from.len())]
    }

    /// A word that something in the product may stumble over.
    pub fn word(&mut self) -> &'static str {
        let word: &&str = self.pick(WORDS);
        word
    }

    /// The text, bent: still text, since much is refused for less.
    pub fn text(&mut self, text: &str) -> String {
        let mut octets = text.as_bytes().to_vec();
        self.bend(&mut octets, &[]);
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Bends an input in place, in one to four ways; `others` lend their pieces.
    pub fn bend(&mut self, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        for _ in 0..=self.below(4) {
            self.once(input, others);
        }
        input.truncate(LONGEST);
    }

    fn once(&mut self, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let length = 1 + self.below(16);
        let to = (at + length).min(input.len());
        match self.below(10) {
            0 => {
                if let Some(octet) = input.get_mut(at) {
                    *octet ^= 1 << self.below(8);
                }
            }
            1 => {
                let border = *self.pick(&BORDERS);
                if let Some(octet) = input.get_mut(at) {
                    *octet = border;
                }
            }
            2 => {
                let octet = self.bits() as u8;
                input.insert(at, octet);
            }
            3 => {
                input.drain(at..to);
            }
            4 => {
                let piece = input[at..to].to_vec();
                let again = 1 + self.below(8);
                put(input, at, &piece.repeat(again));
            }
            5 | 6 => {
                let word = self.word().as_bytes();
                put(input, at, word);
            }
            7 => {
                let word = self.word().as_bytes();
                input.splice(at..to, word.iter().copied());
            }
            8 => {
                let digit = b'0' + self.below(10) as u8;
                if let Some(octet) = input.get_mut(at) {
                    *octet = digit;
                }
            }
            _ if !others.is_empty() => {
                let other = self.pick(others);
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.truncate(at),
        }
    }
}

fn put(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}
