//! How many random cases a test runs, and which ones.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;
use std::env;

/// Runs this number of cases, the same ones each time. With a number in `PROPTEST_CASES` it runs so many, each time others;
/// `PROPTEST_RNG_SEED` repeats those of that seed. Failures are printed, not kept in a file.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let set = ProptestConfig::default();
    let is_set = |name| env::var_os(name).is_some();
    let has_number = is_set("PROPTEST_CASES");
    let cases = if has_number { set.cases } else { cases };
    let is_free = has_number || is_set("PROPTEST_RNG_SEED");
    let rng_seed = if is_free { set.rng_seed } else { RngSeed::Fixed(1) };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..set }
}
