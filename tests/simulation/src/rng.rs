//! Dice from one seed.

/// SplitMix64: small, even, and the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Returns a number in `low..=high`.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Returns true once in `n` on average.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Returns a time between `low` and `high` microseconds, mostly near `low`, in nanoseconds.
    pub(crate) fn delay(&mut self, low_us: u64, high_us: u64) -> u64 {
        let span = (high_us - low_us).max(1);
        let skewed = if self.one_in(8) { self.below(span) } else { self.below(span / 8 + 1) };
        (low_us + skewed) * 1_000
    }

    /// Returns log2 of 1 over an even number in 0..1, in 65,536ths: exponentially spread.
    fn log2(&mut self) -> u64 {
        let n = self.next() | 1;
        let zeros = u64::from(n.leading_zeros());
        let fraction = (n << zeros) >> 47 & 0xffff;
        (zeros << 16) + (0xffff - fraction)
    }

    /// Returns a time in nanoseconds on a wire: at least 30 us, exponential about `mean_us`, and once
    /// in forty from the tail of a Pareto distribution that begins there.
    pub(crate) fn wire(&mut self, mean_us: u64) -> u64 {
        let base = 30_000 + mean_us * self.log2() * 693 / 65_536;
        if !self.one_in(40) {
            return base;
        }
        let stretched = self.log2() * 2 / 3;
        base + ((mean_us * 1_000) << (stretched >> 16).min(12))
    }
}
