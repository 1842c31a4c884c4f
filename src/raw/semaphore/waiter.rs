//! One request for permits, as its future keeps it.

use super::node::NodeRef;
use core::ptr;
use core::task::Waker;

/// One waiter's request: how many permits, and its node while it is in the queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    asked: u32,
    pub(super) node: Option<NodeRef>,
    pub(super) waker: WakerId,
}

impl Waiter {
    pub(crate) fn new(asked: u32) -> Self {
        Self { asked, node: None, waker: WakerId([0; 2]) }
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
