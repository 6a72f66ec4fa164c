//! What the parts of a scan cost on this machine, measured once, and the estimates that plans are chosen by.

use crate::Instructions;
use crate::codes::Codec;
use crate::kernels::{self, CodedTerm, ExactTerm, GROUP, GROUPS, Rows};
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds of each kind of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// One number of an exact row, rows one after the other.
    pub exact_number: f64,
    /// One exact row at a random place.
    pub random_row: f64,
    /// One residual code of an item in a scan of codes.
    pub residual_code: f64,
    /// The look-up tables of one head.
    pub tables: f64,
    /// The estimate of one slot in a scan of codes, whether or not its item may be returned: it is emptied, and looked at.
    pub slot: f64,
}

/// What a plan has to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Items that may be returned.
    pub(crate) allowed: u64,
    /// Groups of 64 slots that hold at least one of them, at most.
    pub(crate) groups: u64,
    /// Slots of the blocks that there are.
    pub(crate) slots: u64,
    /// Heads in play.
    pub(crate) heads: u64,
    /// Sum of their dimensions.
    pub(crate) numbers: u64,
    /// Of these, the dimensions of the heads that are worth an estimate.
    pub(crate) estimated_numbers: u64,
    /// Results wanted.
    pub(crate) k: u64,
}

/// Candidates that are scored first after a scan of codes; more follow where they are needed.
pub(crate) const FIRST_MIN: usize = 256;
/// Results from which on an index must keep more candidates than it does anyway.
const WIDER_FROM: f64 = 256.0;
const DIM: usize = 64;
/// Items and heads of which codes are scanned.
const CODED: usize = 1 << 14;
const CODED_HEADS: usize = 4;
/// Rows measured: 64 MiB, more than most caches hold.
const ROWS: usize = 1 << 18;
/// One row in so many is read at random.
const RANDOM_SHARE: usize = 64;
/// How many of them are fetched ahead.
const FETCHED: usize = 4;
/// The fastest of so many passes counts; others were disturbed.
const PASSES: usize = 4;

/// About how many candidates an answer of `k` needs.
fn candidates(k: u64) -> u64 {
    FIRST_MIN as u64 + 2 * k
}

impl Costs {
    /// Measured on first use, in about 100 milliseconds, for the best kernels of this processor.
    #[must_use]
    pub fn of_this_machine() -> Self {
        static COSTS: OnceLock<Costs> = OnceLock::new();
        *COSTS.get_or_init(|| Self::measure(Instructions::best()))
    }

    fn measure(level: Instructions) -> Self {
        let rows: Vec<f32> = (0..ROWS * DIM).map(|i| (i % 251) as f32 / 2000.0).collect();
        let query = &rows[7..7 + DIM];
        let term = ExactTerm { query, weight: 1.0, missing: 0.0 };
        let mut sums = [0.0; GROUP];
        let exact = fastest(|| {
            for group in rows.chunks_exact(GROUP * DIM) {
                kernels::add_distances(level, &term, Rows::F32(group), u64::MAX, &mut sums);
            }
            black_box(&sums);
        });
        // Other rows in each pass: those of the one before are in the caches. The next ones are fetched, as in a search.
        let mut state = 1u64;
        let random = fastest(|| {
            let mut row = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % ROWS;
                let row = Rows::F32(&rows[at * DIM..][..DIM]);
                kernels::prefetch(row);
                row
            };
            let (mut ahead, mut sum) = ([(); FETCHED].map(|()| row()), 0.0);
            for at in 0..ROWS / RANDOM_SHARE {
                let row = std::mem::replace(&mut ahead[at % FETCHED], row());
                sum += kernels::squared_distance(level, query, row);
            }
            black_box(sum);
        });
        let codec = Codec::train(&rows[..GROUP * DIM], DIM, 0);
        let codes = vec![0x5a; codec.group_bytes() * GROUPS];
        let all = [u64::MAX; GROUPS];
        let tables = codec.tables(query, 1.0, 0.0);
        let terms = [CodedTerm { tables: &tables, codes: &codes, present: &all, next: &codes }; CODED_HEADS];
        let coded = fastest(|| {
            for at in 0..CODED / GROUP {
                kernels::add_estimates(level, &terms, at % GROUPS, &mut sums);
            }
            black_box(&sums);
        });
        let mut estimates = vec![[0.0; GROUP]; ROWS / GROUP];
        let slot = fastest(|| {
            for sums in &mut estimates {
                sums.fill(0.0);
                black_box(kernels::finish(level, u64::MAX, sums));
            }
            black_box(&estimates);
        });
        let prepared = fastest(|| {
            black_box(codec.tables(black_box(query), 1.0, 0.0));
        });
        Self {
            exact_number: exact / (ROWS * DIM) as f64,
            random_row: random / (ROWS / RANDOM_SHARE) as f64,
            residual_code: coded / (CODED * CODED_HEADS * DIM / 4) as f64,
            tables: prepared,
            slot: slot / ROWS as f64,
        }
    }

    /// The exact scan: wanted rows in full, one after the other where most of a group is wanted.
    pub(crate) fn exact(&self, work: &Work) -> f64 {
        let dense = work.groups as f64 * GROUP as f64 * work.numbers as f64 * self.exact_number;
        let sparse = (work.allowed * work.heads) as f64 * self.random_row;
        dense.min(sparse)
    }

    /// The compressed scan: every code of the wanted groups, then the candidates in full.
    pub(crate) fn codes(&self, work: &Work) -> f64 {
        let residual_codes = work.groups as f64 * GROUP as f64 * work.estimated_numbers as f64 / 4.0;
        let candidates = candidates(work.k).min(work.allowed) * work.heads;
        residual_codes * self.residual_code
            + work.slots as f64 * self.slot
            + candidates as f64 * self.random_row
            + work.heads as f64 * self.tables
    }

    /// One head's index, of which a search for a few takes `search_ns`: its candidates in full.
    pub(crate) fn hnsw(&self, work: &Work, search_ns: f64) -> f64 {
        let wider = (work.k as f64 / WIDER_FROM).max(1.0);
        search_ns * wider + work.k as f64 * self.random_row
    }
}

fn fastest(mut work: impl FnMut()) -> f64 {
    let pass = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_nanos() as f64
    };
    (0..PASSES).map(pass).fold(f64::INFINITY, f64::min)
}
