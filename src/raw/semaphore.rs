//! The engine of the semaphore: permits in one word, waiters in a lock-free queue.
//!
//! ```text
//! state   [ permits : 61              | DEBT | CLOSED | QUEUE = 0 ]    no task waits
//!         [ NodeRef of the front node | DEBT | CLOSED | QUEUE = 1 ]    tasks wait; no permit is free
//!
//!         state ──► front ──next──► node ──next──► last ──next──► NIL
//!                   oldest; collects permits in its own word
//! ```
//!
//! # The invariant
//!
//! While `QUEUE` is set, no permit is free: holders have them, or the front node's word collects them. So
//! a newcomer cannot overtake. Only the front has a partial grant. Every hand-over is one compare-and-swap
//! on one of two words: `state` or the front's `word`.
//!
//! # The operations
//!
//! * **acquire(n)** takes from `state` while `QUEUE` is clear. If too few permits are free, it takes those
//!   and becomes the front, which lacks the rest. If `QUEUE` is set, it links its node behind the last one
//!   (Michael and Scott 1996). A hint names the last node. The code checks it, and walks from the front if
//!   it is wrong.
//! * **release(k)** adds to `state` while `QUEUE` is clear. Otherwise it assigns permits to the front until
//!   `k` is spent. A front that gets all it lacks is granted, woken and retired.
//! * **retire** takes a completed front off. It marks the front's `next`, so that no thread links behind it
//!   any more. Then it moves `state` to the next node, or to "0 permits".
//! * **cancel** completes its own node. At the front, it retires the node. In the middle, it unlinks the node
//!   (Harris 2001, Michael 2002) from the predecessor that the hint `prev` names. If that one has left, too,
//!   it unlinks the node from the one before. If neighbours leave at the same moment, the hints may lead nowhere. Then the node is
//!   a leftover for the sweep.
//! * **sweep** goes through the queue in steps of at most 128 nodes. Once there are many leftovers, each
//!   canceller that leaves one more does one step.
//! * **claim** is an acquire(1) whose permit may go on. A releaser counts it among the unclaimed permits before it grants
//!   the waiter, and the waiter claims one from that count when it is polled. If it is not polled, somebody else may claim
//!   it; then the waiter asks again.
//! * **close** sets `CLOSED` and refuses every waiter, front to back.
//! * **reduce(k)** takes what is free. It records the rest as a debt before it sets `DEBT`. A release that
//!   sees `DEBT` pays the debt first. The bit is never cleared: a late clear could erase the bit of a newer
//!   debt.
//!
//! # The state word
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | permits | fewer permits | any thread: `try_acquire`, `try_acquire_all`, `take_free` | enough are free |
//! | permits | more permits | any thread: `release`, `make_free` | no task waits, the debt is paid |
//! | permits | front | a newcomer, with its own node: `acquire_or_enqueue` | too few are free |
//! | front | the next front, or 0 permits | any thread: `retire` | the front is completed and marked |
//! | – | `CLOSED` set, for good | `close` | always |
//! | – | `DEBT` set, for good | `settle` | the debt is recorded |
//!
//! # A node's life
//!
//! | state | who may act | what it does | next state |
//! |---|---|---|---|
//! | free | any thread | takes it off the free list | private |
//! | private: `QUEUED`, not linked | its owner | sets the need | private |
//! | | | links it, or makes it the front | queued |
//! | | | acquires at once and frees it | free |
//! | queued: `QUEUED` | its owner | registers another waker, under `REGISTERING` | queued |
//! | | | cancels | cancelled |
//! | | any thread, if it is the front | assigns a part of its need | queued |
//! | | | assigns all of it | granted |
//! | | | refuses it: closed, or more than the bound | refused |
//! | granted or refused | any thread, as a visitor | wakes the waiter; the last visitor takes the waker | the same |
//! | | any thread | retires it | the same, off the queue |
//! | | its owner, which has helped to retire it | frees it if no visitor is inside | free |
//! | | | else sets `ABANDONED` and goes | abandoned |
//! | abandoned | the last visitor | frees it | free |
//! | cancelled | any thread | marks and unlinks it, then frees it | free |
//!
//! Once a node is queued, `QUEUED` ends exactly once, by one compare-and-swap on `word`. The node is freed
//! exactly once, after it has left the queue, and its generation rises first.
//!
//! # The races that matter
//!
//! **A releaser stalls between the grant and the wake.**
//! 1. Thread A grants the front and stalls before it wakes the waiter.
//! 2. Thread B meets the granted front. It enters as a visitor, wakes the waiter, marks `next` and moves
//!    `state` to the next node.
//! 3. Thread A resumes and wakes the waiter again, which is harmless. Then it finds another front and goes.
//!
//! No thread waits for A. Several may wake, but one compare-and-swap moves `state`.
//!
//! **A newcomer links behind a front that leaves.**
//! 1. Thread A reads that the front is the last node: its `next` is NIL.
//! 2. Thread B grants the front, marks its `next` and sets `state` to "0 permits".
//! 3. Thread A's compare-and-swap on `next` fails at the mark. A helps to retire the front and starts again.
//!
//! If A links before B marks, B's mark fails instead. B reads the new successor and makes it the front.
//!
//! **A node is reused under a late thread.**
//! 1. Thread A reads the front from `state` and stalls.
//! 2. Thread B retires the node. Its owner frees it, and a newcomer queues it again.
//! 3. Thread A finds another generation in `word` and starts again. If A has read `word` before, the
//!    generation makes its compare-and-swap fail.
//!
//! **A waiter is granted while its future is dropped.**
//! 1. Thread A, the owner, sets `REGISTERING`, sees `QUEUED`, and takes the waker out of the slot.
//! 2. Thread B grants the node. It sees `REGISTERING`, so it is no visitor and leaves the slot alone.
//! 3. Thread A's compare-and-swap to cancelled fails. A sees the grant and passes the permits on.
//!
//! If B grants before step 1, A sees the grant at once and leaves the slot to the visitors.
//!
//! **A releaser stalls while it grants a waiter that must claim its permit** (`unclaimed`).
//! 1. Thread A counts the permit among the unclaimed and stalls before the grant.
//! 2. Thread B releases another permit, counts it and grants the front. Its owner claims one of the two.
//! 3. Thread A resumes. Its exchange fails, so it takes its count back, or the permit is in use already.
//!
//! If A never resumes, its permit stays unclaimed until somebody looks for those.
//!
//! **A debt is recorded while permits are released.**
//! 1. Thread A records the debt, then sets `DEBT` in `state`.
//! 2. Thread B releases by a compare-and-swap on `state`.
//!
//! If B comes first, A's operation on `state` returns B's permits, and A takes them for the debt. If A comes
//! first, B sees `DEBT` and pays.
//!
//! From the second debt on, `DEBT` is set already, and B's exchange succeeds although A comes after B's look at the
//! debt. Then B looks again, takes its permits back, pays, and releases those that others have paid for meanwhile.
//! Before B takes them back, a third thread may take them. Then the next release pays.
//!
//! **Permits are added while a debt is being paid.** If B paid A's debt before it had a permit in hand:
//! 1. Thread A has reduced, and its debt is recorded. Thread B pays it and is to remove a free permit for it.
//! 2. Thread C takes that one first.
//! 3. Thread A adds a permit: no debt is left, so that is free, beside the one that C has.
//!
//! So whoever pays with free permits, a release or a reduction, takes them first, and puts back what others have paid for
//! meanwhile. Then each payment is final, and two who pay cannot undo each other's steps without end.
//!
//! **An owed permit is forgotten.** Its debt stays, and a bound counts fewer permits than none until some are added: they
//! pay it. Whose debt it was need not be known.
//!
//! # Files
//!
//! From the bottom up: each file uses only those above it in the table.
//!
//! | file | what it holds |
//! |---|---|
//! | `node`, `state`, `waiter` | the words: a node's, the semaphore's; a future's request |
//! | `transitions` | the compare-and-swaps on one node |
//! | `chunks`, `pool` | where nodes come from and return to |
//! | `queue`, `unlink`, `enqueue` | the linked list |
//! | `wake` | running the user's wakers |
//! | `debt`, `leftovers`, `unclaimed` | counts |
//! | `raw_semaphore` | the struct; taking what is free |
//! | `retire`, `release` | waking, handing out |
//! | `resize`, `sweep`, `leave`, `acquire`, `close` | the other operations |
//! | `count`, `probes` | counting waiters; what the checks ask |
//!
//! # Sources
//!
//! * R. K. Treiber, *Systems Programming: Coping with Parallelism*, 1986: the free list.
//! * M. M. Michael and M. L. Scott, *Simple, Fast, and Practical Non-Blocking and Blocking Concurrent Queue
//!   Algorithms*, 1996: the queue.
//! * T. L. Harris, *A Pragmatic Implementation of Non-Blocking Linked-Lists*, 2001: mark, then unlink.
//! * M. M. Michael, *High Performance Dynamic Lock-Free Hash Tables and List-Based Sets*, 2002: unlinking with
//!   versions against reuse.

mod acquire;
mod chunks;
mod close;
mod count;
mod debt;
mod enqueue;
mod leave;
mod leftovers;
mod node;
mod pool;
#[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
mod probes;
mod queue;
mod raw_semaphore;
mod release;
mod resize;
mod retire;
mod state;
mod sweep;
mod transitions;
mod unclaimed;
mod unlink;
mod waiter;
mod wake;

pub(crate) use raw_semaphore::RawSemaphore;
pub(crate) use state::Refusal;
pub(crate) use unclaimed::Epoch;
pub(crate) use waiter::Waiter;
