//! Work that several threads share, in chunks that can be done twice.
//!
//! Chunks are dealt out in order. A thread that finds none left repeats those that are not marked as done, because their
//! owners may have stalled. So no thread waits. If none stalls, each chunk is done once, except those under way at the
//! end.

use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::ops::Range;

/// Cells in a chunk.
const CHUNK: usize = if cfg!(any(ringgate_loom, ringgate_shuttle)) { 1 } else { 1024 };

pub(super) struct Chunks {
    dealt: AtomicUsize,
    is_done: Box<[AtomicU32]>,
}

impl Chunks {
    /// For work on at most `cells` cells.
    pub(super) fn new(cells: usize) -> Self {
        let is_done = (0..cells.div_ceil(CHUNK)).map(|_| AtomicU32::new(0)).collect();
        Self { dealt: AtomicUsize::new(0), is_done }
    }

    /// Does `work` on the cells before `cells`; every thread has to call it with the same two. When this returns, all of
    /// it is done, by this thread or others.
    pub(super) fn share(&self, cells: usize, work: impl Fn(Range<usize>)) {
        let chunks = cells.div_ceil(CHUNK).min(self.is_done.len());
        let mut last = 0;
        while let Some(chunk) = self.deal(chunks) {
            self.do_chunk(chunk, cells, &work);
            last = chunk;
        }
        // From this thread's own last chunk on, so that threads do not all repeat the same.
        for chunk in (last..chunks).chain(0..last) {
            // MUTANTS: share
            // ORDERING: Acquire pairs with the Release in `do_chunk`: its cells are filled.
            if self.is_done[chunk].load(Ordering::Acquire) == 0 {
                self.do_chunk(chunk, cells, &work);
            }
        }
    }

    fn deal(&self, chunks: usize) -> Option<usize> {
        // ORDERING: Relaxed, both: which thread has a chunk says nothing about cells. The load comes first, so that
        // the count does not overflow.
        if self.dealt.load(Ordering::Relaxed) >= chunks {
            return None;
        }
        let chunk = self.dealt.fetch_add(1, Ordering::Relaxed);
        (chunk < chunks).then_some(chunk)
    }

    fn do_chunk(&self, chunk: usize, cells: usize, work: &impl Fn(Range<usize>)) {
        let start = chunk * CHUNK;
        work(start..cells.min(start + CHUNK));
        // ORDERING: Release publishes the cells, to the Acquire in `share`.
        self.is_done[chunk].store(1, Ordering::Release);
    }
}
