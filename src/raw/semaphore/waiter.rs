//! One request for permits, as its future keeps it.

use super::node::NodeRef;
use core::ptr;
use core::task::Waker;

/// One waiter's request: how many permits, and its node while it is in the queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    asked: u32,
    must_claim: bool,
    pub(super) node: Option<NodeRef>,
    pub(super) waker: WakerId,
}

impl Waiter {
    pub(crate) fn new(asked: u32) -> Self {
        Self { asked, must_claim: false, node: None, waker: WakerId([0; 2]) }
    }

    /// Asks for one permit. If it is not polled for long after it was granted one, another may claim that one by
    /// [`claim_lapsed`](super::RawSemaphore::claim_lapsed); then its poll says [`Lapsed`](super::Refusal::Lapsed).
    pub(crate) fn claiming() -> Self {
        Self { must_claim: true, ..Self::new(1) }
    }

    pub(super) fn must_claim(&self) -> bool {
        self.must_claim
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked
    }
}

/// Tells wakers apart by data and vtable, neither of which is followed.
///
/// The owner compares this copy instead of the waker in the node's slot, because a visitor may have
/// taken that one out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WakerId([usize; 2]);

impl WakerId {
    pub(super) fn of(waker: &Waker) -> Self {
        Self([waker.data().addr(), ptr::from_ref(waker.vtable()).addr()])
    }
}
