//! What the models read and set inside the engine.

#[cfg(ringgate_freeze)]
use super::node::NodeRef;
use super::raw_semaphore::RawSemaphore;
#[cfg(ringgate_freeze)]
use super::waiter::Waiter;
use crate::sync::atomic::Ordering;

impl RawSemaphore {
    /// Nodes of waiters that have not been freed.
    pub(crate) fn nodes_in_use(&self) -> u32 {
        self.waitlist_if_any()
            .map_or(0, |waitlist| waitlist.queue.pool.in_use() + waitlist.watchers.nodes_in_use())
    }

    /// Sets how many leftovers start a step of the sweep.
    pub(crate) fn sweep_at(&self, leftovers: u64) {
        // ORDERING: Relaxed: it only decides when to sweep.
        self.waitlist_or_new().leftovers.sweep_at.store(leftovers, Ordering::Relaxed);
    }

    /// Removes the hint of the node before this one, as neighbours that leave at the same moment may.
    #[cfg(ringgate_freeze)]
    pub(crate) fn lose_neighbour(&self, waiter: &Waiter) {
        let Some(node_ref) = waiter.node else { return };
        // ORDERING: Relaxed: a hint.
        self.queue().node(node_ref.index).prev.store(NodeRef::NONE.bits(), Ordering::Relaxed);
    }
}
