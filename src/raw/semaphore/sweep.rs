//! Walks the queue in bounded steps and unlinks the cancelled nodes it meets.
//!
//! A canceller that leaves its node over counts it. Once there are many, each further one does a step. So no
//! call walks the whole queue, and leftovers stay few.

use super::leftovers::Leftovers;
use super::node::{Link, NIL, NodeRef};
use super::pool::FreeBatch;
use super::queue::Queue;
use super::raw_semaphore::{RawSemaphore, Waitlist};
use super::transitions::generation;
use super::wake::WakeRunner;
use crate::sync::atomic::Ordering;

impl RawSemaphore {
    /// Continues the sweep where it has stopped, or begins one at the front.
    ///
    /// Several threads may sweep at the same time: the thread that unlinks a node frees it.
    pub(super) fn sweep_on(&self, waitlist: &Waitlist, wakes: &mut WakeRunner) {
        let Waitlist { queue, leftovers, .. } = waitlist;
        // ORDERING: Acquire pairs with the Release below: the node is seen as it was then.
        let reached = NodeRef::from_bits(leftovers.reached.load(Ordering::Acquire)).some();
        let from = if let Some(at) = reached.filter(|at| queue.is_linked(*at)) {
            at
        } else {
            self.assign_permits(0, wakes);
            // ORDERING: Relaxed: a count.
            leftovers.passed.store(0, Ordering::Relaxed);
            let Some(front) = self.state().front() else { return };
            front
        };
        let mut batch = FreeBatch::default();
        let (swept, live) = queue.sweep_from(from, &mut batch);
        queue.pool.free_batch(&mut batch);
        let reached = if let Swept::UpTo(at) = swept { at } else { NodeRef::NONE };
        // ORDERING: Release pairs with the Acquire above.
        leftovers.reached.store(reached.bits(), Ordering::Release);
        // ORDERING: Relaxed: counts that decide when to sweep, as in `unlink_or_defer`.
        let passed = leftovers.passed.load(Ordering::Relaxed) + live;
        // ORDERING: Relaxed, as above.
        leftovers.passed.store(passed, Ordering::Relaxed);
        if let Swept::ToTheEnd = swept {
            let next = (passed / 2).clamp(Leftovers::MIN, Leftovers::MAX);
            // ORDERING: Relaxed, as above.
            leftovers.sweep_at.store(next, Ordering::Relaxed);
            // ORDERING: Relaxed, as above.
            leftovers.count.store(0, Ordering::Relaxed);
        }
    }
}

/// Where a step of the sweep ended.
enum Swept {
    /// The next step begins here.
    UpTo(NodeRef),
    ToTheEnd,
    /// The queue has changed.
    Lost,
}

impl Queue {
    /// Walks the queue from `at` for a bounded number of steps and unlinks cancelled nodes. Returns how many
    /// live ones it passed as well.
    fn sweep_from(&self, mut at: NodeRef, batch: &mut FreeBatch) -> (Swept, u64) {
        /// Each takes about 20 ns.
        const STEPS: u32 = 128;
        let mut live = 0;
        for _ in 0..STEPS {
            let node = self.node(at.index);
            // ORDERING: Acquire pairs with the Release in `enqueue` and `unlink_after`.
            let next = Link(node.next.load(Ordering::Acquire));
            // MUTANTS: sweep_from
            if next.is_marked() || generation(node) != at.generation {
                return (Swept::Lost, live);
            }
            if next.index() == NIL {
                return (Swept::ToTheEnd, live);
            }
            if self.unlink_after(at, next, batch) {
                continue;
            }
            if let Some(successor) = self.successor(node, next) {
                at = successor;
                live += 1;
            }
        }
        (Swept::UpTo(at), live)
    }
}
