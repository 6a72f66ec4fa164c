//! The instructions that inner loops are compiled for, chosen once by what the processor says.

use pulp::{Scalar128b, Simd, WithSimd};
use std::sync::OnceLock;

/// The instructions that a kernel uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, CD, DQ and VL.
    Avx512,
}

/// Chains of products and sums that do not wait for each other, more than any processor has under way.
const CHAINS: usize = 12;

/// A computation that is compiled for every level. What it calls must be `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;

    /// `ROWS` rows of `REGISTERS` registers of results are what the level's registers hold at once.
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(self, simd: S) -> Self::Output;
}

impl Level {
    /// The best that this processor has.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().copied().unwrap_or(Self::Portable))
    }

    /// All that this processor has, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if pulp::x86::V3::is_available() {
                levels.push(Self::Avx2);
                if pulp::x86::V4::is_available() {
                    levels.push(Self::Avx512);
                }
            }
        }
        levels
    }

    /// Numbers of a row of results that are computed at once.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Portable | Self::Avx2 => 16,
            Self::Avx512 => 32,
        }
    }

    /// Numbers of a register.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Portable => 4,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }

    /// Billions of multiplications and additions a second that one thread does on numbers in registers: what products of
    /// matrices can reach at most. Takes some milliseconds.
    #[must_use]
    pub fn peak_gflops(self) -> f64 {
        let once = || {
            let start = std::time::Instant::now();
            let operations = self.run(Peak);
            operations as f64 / start.elapsed().as_secs_f64() / 1e9
        };
        (0..8).map(|_| once()).fold(0.0, f64::max)
    }

    /// Runs a kernel with this level's instructions, or with those that the processor has.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            // 8 rows of two registers are enough to hide the latency, and 16 tiles are two times 8.
            if self == Self::Avx512
                && let Some(simd) = pulp::x86::V4::try_new()
            {
                return Simd::vectorize(simd, Sized::<K, 8, 2>(kernel));
            }
            // With two registers of weights and one of a broadcast number, 15 of the 16 there are.
            if self != Self::Portable
                && let Some(simd) = pulp::x86::V3::try_new()
            {
                return Simd::vectorize(simd, Sized::<K, 6, 2>(kernel));
            }
        }
        Simd::vectorize(Scalar128b, Sized::<K, 2, 4>(kernel))
    }
}

struct Sized<K, const ROWS: usize, const REGISTERS: usize>(K);

impl<K: Kernel, const ROWS: usize, const REGISTERS: usize> WithSimd for Sized<K, ROWS, REGISTERS> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> K::Output {
        self.0.run::<S, ROWS, REGISTERS>(simd)
    }
}

/// Nothing but products and sums in registers; gives how many.
struct Peak;

impl Kernel for Peak {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(self, simd: S) -> u64 {
        const STEPS: u64 = 100_000;
        let mut sums = [simd.splat_f32s(0.5); CHAINS];
        let factor = simd.splat_f32s(std::hint::black_box(0.999));
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, factor);
            }
        }
        std::hint::black_box(sums);
        STEPS * (2 * CHAINS * S::F32_LANES) as u64
    }
}
