//! One whole `pool.stream()` call on a provider that is ready at once: oxi-ai's own pool, ringgate's
//! in its place, and no pool; time and allocations.
//!
//! Each call is made, answered, and its stream dropped. The window fills as it does in a minute of
//! calls that comes after a quiet one: a pool makes as many calls as its window has places, and the
//! time is their mean. Making the pools is not timed. ringgate goes by the system's clock unless the
//! row says otherwise, as the original does.
//!
//! `cargo bench -p ringgate-oxi-ai`

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]
#![allow(missing_docs, reason = "criterion's macros")]

#[allow(dead_code, reason = "a part of it is for the tests")]
#[path = "../../../tests/common/counting.rs"]
mod counting;
#[path = "../tests/common/ready.rs"]
mod ready;

use counting::{Counting, allocations};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use oxi_ai::provider_pool;
use oxi_ai::{Api, Context, Model, Provider, ProviderError, ProviderEvent};
use ready::Ready;
use ringgate::time::{Clock, FastClock, SystemClock};
use ringgate::{EventStream, Limiter, Rate};
use ringgate_oxi_ai as in_its_place;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// More than are made at a time.
const CONCURRENCY: usize = 16;

fn original(rpm: u32) -> provider_pool::ProviderPool {
    let policy = provider_pool::RateLimitPolicy { rpm, max_concurrent: CONCURRENCY };
    provider_pool::ProviderPool::new(Arc::new(Ready), policy, "original")
}

fn ringgate(rpm: u32, clock: impl Clock) -> in_its_place::ProviderPool {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(rpm))
        .max_concurrent(CONCURRENCY)
        .clock(clock)
        .build();
    in_its_place::ProviderPool::with_limiter(Arc::new(Ready), limiter, "ringgate")
}

/// A row: how it is called, what a pool is, and how it makes a call.
struct Row<P> {
    name: &'static str,
    make: fn(u32) -> P,
    call: fn(&P, &Model, &Context),
}

/// Through the trait, as code that holds an `Arc<dyn Provider>` calls it.
fn through_the_trait<P: AsRef<dyn Provider>>(provider: &P, model: &Model, context: &Context) {
    done(provider.as_ref().stream(model, context, None).now_or_never());
}

fn directly(pool: &in_its_place::ProviderPool, model: &Model, context: &Context) {
    done(pool.stream(model, context, None).now_or_never());
}

fn done(answer: Option<Result<EventStream<ProviderEvent>, ProviderError>>) {
    drop(black_box(answer.expect("no call waits").expect("no call is refused")));
}

impl<P> Row<P> {
    /// As many calls as the window has places, on a pool of their own.
    fn minute(&self, rpm: u32, model: &Model, context: &Context) -> Duration {
        let pool = black_box((self.make)(rpm));
        let start = Instant::now();
        for _ in 0..rpm {
            (self.call)(&pool, model, context);
        }
        start.elapsed()
    }

    fn bench(&self, criterion: &mut Criterion, rpms: &[u32]) {
        let model = Model::new("model", "Model", Api::OpenAiCompletions, "provider", "");
        let context = Context::new();
        let pool = (self.make)(100);
        (self.call)(&pool, &model, &context);
        let count = allocations(|| (self.call)(&pool, &model, &context));
        println!("{}: {count} allocations", self.name);
        let mut group = criterion.benchmark_group("pool_stream");
        for &rpm in rpms {
            group.bench_function(BenchmarkId::new(self.name, rpm), |bencher| {
                bencher.iter_custom(|calls| {
                    let minutes = calls.div_ceil(u64::from(rpm));
                    let time: Duration =
                        (0..minutes).map(|_| self.minute(rpm, &model, &context)).sum();
                    scale(time, calls, minutes * u64::from(rpm))
                });
            });
        }
        group.finish();
    }
}

/// The time for `calls` calls, if `made` calls took `time`.
#[expect(clippy::cast_precision_loss, reason = "a ratio of small numbers")]
fn scale(time: Duration, calls: u64, made: u64) -> Duration {
    time.mul_f64(calls as f64 / made as f64)
}

fn pool_stream(criterion: &mut Criterion) {
    let rpms = [60, 600, 6_000];
    let call = through_the_trait;
    Row { name: "no pool", make: |_| Arc::new(Ready) as Arc<dyn Provider>, call }
        .bench(criterion, &rpms);
    Row { name: "original", make: |rpm| Arc::new(original(rpm)) as Arc<dyn Provider>, call }
        .bench(criterion, &rpms);
    Row { name: "ringgate", make: |rpm| ringgate(rpm, SystemClock::new()), call: directly }
        .bench(criterion, &rpms);
    let make = |rpm| Arc::new(ringgate(rpm, SystemClock::new())) as Arc<dyn Provider>;
    Row { name: "ringgate as dyn Provider", make, call }.bench(criterion, &rpms);
    let make = |rpm| ringgate(rpm, FastClock::new());
    Row { name: "ringgate, fast clock", make, call: directly }.bench(criterion, &rpms);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = pool_stream
}
criterion_main!(benches);
