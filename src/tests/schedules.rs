//! Runs a program on many schedules, random ones and priority-based ones (PCT, Burckhardt and others 2010).
//! Their seeds are printed and can be given again.
//!
//! | variable              |                                                                        |
//! |-----------------------|------------------------------------------------------------------------|
//! | `RINGGATE_SEED`       | begin with this seed instead of a fresh one                            |
//! | `RINGGATE_SCHEDULES`  | the number of schedules of each kind, or `/4`: a fourth of each test's |
//! | `RINGGATE_SCHEDULE`   | only this one, as a failure printed it (with `--exact` and one test)   |
//!
//! Schedules come in batches. The first batch has the given seed, and each further one the next seed. A
//! failure names its batch's seed. Started with that seed, the program fails again within the first batch.
//! The seed decides the program's own random choices, too.

use crate::sync::number_threads_anew;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::thread;

/// Schedules of each kind with one seed.
const BATCH: usize = 100;
/// One more than the changes of priority in a schedule.
const DEPTH: usize = 3;

/// Checks a program on this many schedules of each kind.
pub(crate) fn check(schedules: usize, program: impl Fn() + Send + Sync + 'static) {
    let program = Arc::new(move || {
        number_threads_anew();
        program();
    });
    if let Some(schedule) = variable("RINGGATE_SCHEDULE") {
        println!("{}: the given schedule", test());
        return shuttle::replay(move || program(), schedule.trim());
    }
    let schedules = variable("RINGGATE_SCHEDULES").map_or(schedules, |given| {
        let part = given.strip_prefix('/').map(number::<usize>);
        part.map_or_else(|| number(&given), |part| schedules.div_ceil(part.max(1)))
    });
    let first = variable("RINGGATE_SEED").map_or_else(fresh_seed, |given| number(&given));
    println!("{}: seed {first:#x}, {schedules} random and {schedules} PCT schedules", test());
    let seeds = (0_u64..).map(|batch| first.wrapping_add(batch));
    for (seed, begun) in seeds.zip((0..schedules).step_by(BATCH)) {
        let batch = BATCH.min(schedules - begun);
        run(seed, "random", RandomScheduler::new_from_seed(seed, batch), &program);
        // Another seed, so that the program makes other random choices.
        run(seed, "PCT", PctScheduler::new_from_seed(!seed, DEPTH, batch), &program);
    }
}

/// A random number below `end`, from the seed.
pub(crate) fn below(end: u32) -> u32 {
    thread_rng().gen_range(0..end)
}

fn run<P>(seed: u64, kind: &'static str, scheduler: impl Scheduler + 'static, program: &Arc<P>)
where
    P: Fn() + Send + Sync + 'static,
{
    let program = Arc::clone(program);
    let batch = Batch { seed, kind };
    Runner::new(scheduler, Config::new()).run(move || program());
    drop(batch);
}

/// Prints how to run the batch again if it fails.
struct Batch {
    seed: u64,
    kind: &'static str,
}

impl Drop for Batch {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { seed, kind } = self;
            eprintln!("failed on a {kind} schedule of seed {seed:#x}; again by");
            eprintln!("RINGGATE_SEED={seed:#x} cargo shuttle --exact {}", test());
        }
    }
}

/// The name of the running test.
fn test() -> String {
    thread::current().name().unwrap_or("?").to_owned()
}

fn fresh_seed() -> u64 {
    RandomState::new().hash_one(0)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Decimal, or hexadecimal after `0x`.
fn number<T: TryFrom<u64>>(given: &str) -> T {
    let parsed = match given.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => given.parse(),
    };
    let number = parsed.ok().and_then(|number| T::try_from(number).ok());
    number.unwrap_or_else(|| panic!("not a number: {given}"))
}
