//! Seeded changes to inputs: the same seed gives the same inputs, on every machine.

/// Makes inputs out of a corpus.
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    state: u64,
}

/// Longest input, so that a run of many stays short.
const BYTES_MAX: usize = 1 << 16;

/// Numbers at which readers go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 30,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

impl Mutator {
    /// Begins with a seed.
    ///
    /// # Panics
    /// Without a corpus.
    pub fn new(corpus: Vec<Vec<u8>>, seed: u64) -> Mutator {
        assert!(!corpus.is_empty(), "mutations need something to begin with");
        Mutator { corpus, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// Returns the next input: one of the corpus with one to six changes.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick_input();
        for _ in 0..=self.below(6) {
            self.change(&mut input);
            input.truncate(BYTES_MAX);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            // A bit flips.
            0 | 1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << (self.state >> 60 & 7);
                }
            }
            // A byte becomes another.
            2 => {
                let new = self.next() as u8;
                if let Some(byte) = input.get_mut(at) {
                    *byte = new;
                }
            }
            // A number becomes one at an edge, in either order of bytes.
            3 => {
                let edge = EDGES[self.below(EDGES.len())];
                let width = [1, 2, 4, 8][self.below(4)];
                let bytes = if self.below(2) == 0 { edge.to_le_bytes() } else { edge.to_be_bytes() };
                let bytes = if self.below(2) == 0 { &bytes[..width] } else { &bytes[8 - width..] };
                for (old, new) in input.iter_mut().skip(at).zip(bytes) {
                    *old = *new;
                }
            }
            4 => input.truncate(at),
            // Something is left out.
            5 => {
                let end = (at + 1 + self.below(16)).min(input.len());
                input.drain(at.min(end)..end);
            }
            // Something stands twice.
            6 => {
                let end = (at + 1 + self.below(64)).min(input.len());
                let part = input[at.min(end)..end].to_vec();
                input.splice(at..at, part);
            }
            // The end of another input follows.
            7 => {
                let other = self.pick_input();
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            // Many of the same.
            _ => {
                let (byte, count) = (self.next() as u8, 1 + self.below(600));
                let byte = if self.below(2) == 0 { input.get(at).copied().unwrap_or(byte) } else { byte };
                input.splice(at..at, std::iter::repeat_n(byte, count));
            }
        }
    }

    fn pick_input(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus[index].clone()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// xorshift64* (Marsaglia 2003, Vigna 2016).
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_inputs_again_and_others_than_another_seed() {
        let inputs = |seed| {
            let mut mutator = Mutator::new(vec![b"MATCH (n) RETURN n".to_vec(), vec![0; 40]], seed);
            (0..200).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        let changed = inputs(7).iter().filter(|input| input[..] != *b"MATCH (n) RETURN n").count();
        assert!(changed > 150, "{changed} of 200 differ from what they began with");
    }
}
