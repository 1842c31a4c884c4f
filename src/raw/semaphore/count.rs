//! Counts waiters by walking the queue.

use super::node::{Link, NIL, Node, NodeRef, WaiterState};
use super::raw_semaphore::RawSemaphore;
use super::transitions::generation;
use super::waiter::Waiter;
use crate::sync::atomic::Ordering;

impl RawSemaphore {
    /// How many waiters are in the queue.
    pub(crate) fn waiters(&self) -> usize {
        loop {
            if let Some((waiters, _)) = self.walk(None) {
                return waiters;
            }
        }
    }

    /// Whether this waiter's wait has ended, though its owner has not polled it since.
    pub(crate) fn is_served(&self, waiter: &Waiter) -> bool {
        // ORDERING: Relaxed: a hint; the owner's poll acquires.
        let word = |index| WaiterState(self.queue().node(index).word.load(Ordering::Relaxed));
        waiter.node.is_some_and(|node| !word(node.index).is_queued())
    }

    /// How many waiters are ahead of this one; `None` if it does not wait.
    pub(crate) fn ahead_of(&self, waiter: &Waiter) -> Option<usize> {
        let node_ref = waiter.node?;
        let node = self.queue().node(node_ref.index);
        loop {
            // ORDERING: Relaxed: it only decides whether to walk once more.
            if !WaiterState(node.word.load(Ordering::Relaxed)).is_queued() {
                return None;
            }
            // MUTANTS: ahead_of
            if let Some((ahead, true)) = self.walk(Some(node_ref)) {
                return Some(ahead);
            }
        }
    }

    /// Counts waiters up to `end`, and says whether it met `end`. `None` if the queue changed during the
    /// walk.
    fn walk(&self, end: Option<NodeRef>) -> Option<(usize, bool)> {
        let Some(front) = self.state().front() else { return Some((0, false)) };
        let queue = self.queue();
        let mut at = front;
        // The last unmarked node, which was certainly in the queue. What follows it through marked nodes
        // is in the queue for as long as its `next` stays.
        let mut anchor: Option<(&Node, Link)> = None;
        let mut waiters = 0;
        while Some(at) != end {
            let node = queue.node(at.index);
            // ORDERING: Acquire pairs with the Release in `enqueue` and `unlink_after`, and keeps the
            // checks of the generation after it.
            let next = Link(node.next.load(Ordering::Acquire));
            // ORDERING: Acquire pairs with the Release in `bump_generation`, and keeps the checks of the
            // anchor or the front after it.
            let word = WaiterState(node.word.load(Ordering::Acquire));
            // MUTANTS: walk 1
            if word.generation() != at.generation {
                return None;
            }
            waiters += usize::from(word.is_queued());
            if next.index() == NIL {
                return Some((waiters, false));
            }
            if !next.is_marked() {
                anchor = Some((node, next));
            }
            at = NodeRef { index: next.index(), generation: generation(queue.node(next.index())) };
            let holds = match anchor {
                // ORDERING: Relaxed: kept after the Acquire load of the generation; only compared.
                Some((node, next)) => node.next.load(Ordering::Relaxed) == next.0,
                None => self.state().front() == Some(front),
            };
            // MUTANTS: walk 2
            if !holds {
                return None;
            }
        }
        Some((waiters, true))
    }
}
