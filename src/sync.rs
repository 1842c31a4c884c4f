//! The one door to primitives: the crate's own atomics and cells come from here. (Two of other crates are used beside
//! them: a `OnceBox` in `time`, and an `AtomicWaker` in `ManualClock`.)
//!
//! Four bodies, chosen by `cfg`, with the same face:
//!
//! | cfg                | body                                                       |
//! |--------------------|------------------------------------------------------------|
//! | (none)             | `core`, at no cost                                         |
//! | `ringgate_loom`    | loom: every interleaving and every allowed stale read      |
//! | `ringgate_shuttle` | shuttle: long random schedules                             |
//! | `ringgate_freeze`  | `core`, with a stop before each step (`sync/freeze.rs`)        |

#[cfg(ringgate_freeze)]
pub(crate) mod freeze;

/// Atomics.
pub(crate) mod atomic {
    #[cfg(not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze)))]
    pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

    #[cfg(ringgate_loom)]
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

    #[cfg(ringgate_shuttle)]
    pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

    #[cfg(ringgate_freeze)]
    pub(crate) use super::freeze::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

    pub(crate) use core::sync::atomic::Ordering;
}

/// Zeroed words. Pages that are not written yet cost no memory if the allocator maps them lazily.
pub(crate) fn zeros(count: usize) -> Box<[atomic::AtomicU64]> {
    #[cfg(any(ringgate_loom, ringgate_shuttle, ringgate_freeze))]
    return (0..count).map(|_| atomic::AtomicU64::new(0)).collect();
    #[cfg(not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze)))]
    {
        use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
        let layout = Layout::array::<atomic::AtomicU64>(count);
        let Ok(layout) = layout else { handle_alloc_error(Layout::new::<atomic::AtomicU64>()) };
        if layout.size() == 0 {
            return Box::default();
        }
        #[expect(clippy::cast_ptr_alignment, reason = "the layout is that of the words")]
        // SAFETY: the layout is not of size zero.
        let words = unsafe { alloc_zeroed(layout) }.cast::<atomic::AtomicU64>();
        if words.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: allocated just now by the global allocator, with the layout of this slice; zeroed
        // bytes are an atomic nought.
        unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(words, count)) }
    }
}

/// A constructor that is `const`, except under the checkers, whose atomics have no `const fn new`.
macro_rules! const_fn {
    (
        $(#[$meta:meta])*
        $vis:vis const fn $name:ident($($arg:ident: $type:ty),*) -> $returns:ty $body:block
    ) => {
        $(#[$meta])*
        #[cfg(not(any(ringgate_loom, ringgate_shuttle)))]
        $vis const fn $name($($arg: $type),*) -> $returns $body

        $(#[$meta])*
        #[cfg(any(ringgate_loom, ringgate_shuttle))]
        $vis fn $name($($arg: $type),*) -> $returns $body
    };
}
pub(crate) use const_fn;

/// A thread-local value: `std`'s, or the checker's for its threads.
macro_rules! per_thread {
    (static $name:ident: $type:ty = $value:expr;) => {
        #[cfg(not(any(ringgate_loom, ringgate_shuttle)))]
        std::thread_local! { static $name: $type = const { $value } }
        #[cfg(ringgate_loom)]
        loom::thread_local! { static $name: $type = $value }
        #[cfg(ringgate_shuttle)]
        shuttle::thread_local! { static $name: $type = $value }
    };
}
pub(crate) use per_thread;

/// A small number for this thread, counted from the first that asks.
#[inline]
pub(crate) fn thread_number() -> usize {
    NUMBER.with(|number| {
        if number.get() == UNNUMBERED {
            number.set(next_number());
        }
        number.get()
    })
}

const UNNUMBERED: usize = usize::MAX;
per_thread! { static NUMBER: core::cell::Cell<usize> = core::cell::Cell::new(UNNUMBERED); }

#[cfg(not(any(ringgate_loom, ringgate_shuttle)))]
#[cold]
fn next_number() -> usize {
    static THREADS: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
    // ORDERING: Relaxed: a counter.
    THREADS.fetch_add(1, atomic::Ordering::Relaxed)
}

// A checker plays all threads of an execution on one: every execution must be like the first, and
// none may hear of another test's.
#[cfg(any(ringgate_loom, ringgate_shuttle))]
std::thread_local! { static THREADS: core::cell::Cell<usize> = const { core::cell::Cell::new(0) } }

#[cfg(any(ringgate_loom, ringgate_shuttle))]
fn next_number() -> usize {
    THREADS.replace(THREADS.get() + 1)
}

/// Restarts the numbering of threads, for a new execution.
#[cfg(all(test, any(ringgate_loom, ringgate_shuttle)))]
pub(crate) fn number_threads_anew() {
    THREADS.set(0);
}

/// How many threads can run at once.
pub(crate) fn parallelism() -> usize {
    static KNOWN: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
    // ORDERING: Relaxed: every thread computes the same value.
    match KNOWN.load(atomic::Ordering::Relaxed) {
        0 => {
            let found = std::thread::available_parallelism().map_or(1, usize::from);
            // ORDERING: Relaxed, as above.
            KNOWN.store(found, atomic::Ordering::Relaxed);
            found
        }
        known => known,
    }
}

/// Plain memory that is shared by agreement; loom checks that the agreement holds.
pub(crate) mod cell {
    #[cfg(ringgate_loom)]
    pub(crate) use loom::cell::UnsafeCell;

    #[cfg(not(ringgate_loom))]
    pub(crate) use plain::UnsafeCell;

    #[cfg(not(ringgate_loom))]
    mod plain {
        /// A cell with loom's closure face.
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct UnsafeCell<T>(
            #[expect(clippy::disallowed_types, reason = "this is the one home")]
            core::cell::UnsafeCell<T>,
        );

        impl<T> UnsafeCell<T> {
            #[expect(clippy::disallowed_types, reason = "this is the one home")]
            pub(crate) const fn new(value: T) -> Self {
                Self(core::cell::UnsafeCell::new(value))
            }

            pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
                f(self.0.get())
            }

            pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
                f(self.0.get())
            }
        }
    }
}

/// Threads for the models.
#[cfg(all(test, ringgate_loom))]
pub(crate) use loom::thread;
#[cfg(all(test, ringgate_shuttle))]
pub(crate) use shuttle::thread;

/// Makes the models fail if its owner leaks, or is read before it was published. Nothing elsewhere.
pub(crate) mod leak {
    #[cfg(ringgate_loom)]
    pub(crate) struct Tracked {
        made: loom::cell::UnsafeCell<()>,
        #[expect(dead_code, reason = "its drop counts")]
        track: loom::alloc::Track<()>,
    }

    #[cfg(not(ringgate_loom))]
    pub(crate) struct Tracked;

    impl Tracked {
        #[cfg(ringgate_loom)]
        pub(crate) fn new() -> Self {
            let made = loom::cell::UnsafeCell::new(());
            made.with_mut(|_| ());
            Self { made, track: loom::alloc::Track::new(()) }
        }

        #[cfg(ringgate_loom)]
        pub(crate) fn check(&self) {
            self.made.with(|_| ());
        }

        #[cfg(not(ringgate_loom))]
        pub(crate) const fn new() -> Self {
            Self
        }

        #[cfg(not(ringgate_loom))]
        #[inline]
        pub(crate) const fn check(&self) {
            let _ = self;
        }
    }

    #[cfg(ringgate_loom)]
    impl Drop for Tracked {
        /// Its last reader is gone.
        fn drop(&mut self) {
            self.made.with_mut(|_| ());
        }
    }

    // SAFETY: the cell is written before anybody else has it, which the models check.
    #[cfg(ringgate_loom)]
    unsafe impl Sync for Tracked {}
    // SAFETY: as above.
    #[cfg(ringgate_loom)]
    unsafe impl Send for Tracked {}
}

/// Checks a model in every interleaving with at most `preemptions` involuntary switches.
#[cfg(all(test, ringgate_loom))]
pub(crate) fn model(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    models(preemptions, [body]);
}

/// Checks several models that belong together, and says on one line what that took.
#[cfg(all(test, ringgate_loom))]
pub(crate) fn models<Body: Fn() + Send + Sync + 'static>(
    preemptions: usize,
    bodies: impl IntoIterator<Item = Body>,
) {
    // A bound given from outside (LOOM_MAX_PREEMPTIONS) goes before the models' own.
    let mut builder = loom::model::Builder::new();
    let bound = *builder.preemption_bound.get_or_insert(preemptions);
    // Two calls with timeouts take that many.
    builder.max_branches = builder.max_branches.max(20_000);
    #[expect(clippy::disallowed_methods, reason = "how long a check takes is no limiter's time")]
    let begun = std::time::Instant::now();
    let executions: u64 = bodies.into_iter().map(|body| explore(&builder, body)).sum();
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let seconds = begun.elapsed().as_secs_f64();
    println!("model {name}: bound {bound}, {executions} executions, {seconds:.2} s");
    // loom lets a load that comes first stay first: a scene whose first thread only reads is
    // played once. The reader has to be the spawned thread.
    assert!(executions > 10, "only {executions} executions: this model checks nothing");
}

/// Checks one model; returns how many executions that took.
#[cfg(all(test, ringgate_loom))]
fn explore(builder: &loom::model::Builder, body: impl Fn() + Send + Sync + 'static) -> u64 {
    let executions = std::sync::Arc::new(core::sync::atomic::AtomicU64::new(0));
    let count = std::sync::Arc::clone(&executions);
    builder.check(move || {
        // ORDERING: Relaxed: a count.
        count.fetch_add(1, atomic::Ordering::Relaxed);
        number_threads_anew();
        body();
    });
    // ORDERING: Relaxed: a count.
    executions.load(atomic::Ordering::Relaxed)
}
