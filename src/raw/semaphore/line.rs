//! The algorithm: permits in one word, waiters in a lock-free line.
//!
//! ```text
//! state   [ permits : 61          | DEBT | CLOSED | QUEUE = 0 ]    nobody waits
//!         [ Ref of the front node | DEBT | CLOSED | QUEUE = 1 ]    somebody waits; no permit is free
//!
//!         state ──► front ──next──► node ──next──► last ──next──► NIL
//!                   oldest; collects permits in its own word
//! ```
//!
//! **The invariant.** While `QUEUE` is set no permit is free: all are with their holders, or
//! collected in the front node's word. So a newcomer cannot overtake, no partial grant is held
//! anywhere else, and every hand-over is one compare-and-swap on one of two words: `state` or the
//! front's `word`.
//!
//! * **acquire(n)** takes from `state` while `QUEUE` is clear. Too few there: it takes them along
//!   and becomes the front, needing the rest. `QUEUE` set: it links behind the last node (Michael
//!   and Scott 1996; the last is found from a hint that is checked, or by walking from the front).
//! * **release(k)** adds to `state` while `QUEUE` is clear. Otherwise it pays the front's need,
//!   whole (the front is granted, woken, and retired) or in part, until `k` is spent.
//! * **retire** takes a concluded front off: MARK its `next`, so that nothing links behind it any
//!   more, then swing `state` to the next node, or to "0 permits".
//! * **cancel** concludes the own node. At the front it is retired at once. In the middle it is
//!   unlinked at once too (Harris 2001, Michael 2002), behind the node that `prev` names: where that
//!   has left itself, behind the one before. `prev` is a hint. Where it leads nowhere, which takes
//!   neighbours that leave at the same moment, the node is a leftover for the **sweep**.
//! * **sweep** goes down the line in steps of at most 128 nodes, one step for each canceller that
//!   leaves one over, once there are many. So no call walks the line, and leftovers stay few.
//! * **close** sets `CLOSED` and concludes every node, front to back.
//! * **reduce(k)** takes what is free; the rest is a debt, written down before `DEBT` is set. Seeing
//!   `DEBT`, a release pays it first. The bit stays: were it cleared, a clearer that stops in
//!   between could wipe out a later one's.
//!
//! **The race that matters.** A thread that meets a concluded front wakes its waiter, unless it has
//! been woken, and then retires it, whether or not the one who concluded it is still doing so. Two may
//! wake at the same time (harmless), one swings `state`. A thread that stops for ever in between is
//! thus finished by the next one, and nobody ever waits for it.
//!
//! **Who recycles a node.** Granted or closed: its owner, which first helps to retire it. Cancelled:
//! whoever unlinked it. Either way once, and only when it is off the line.

use super::node::{NIL, Next, Node, Ref, Status, Word};
use super::store::{Leftovers, Store, Together};
use super::wakes::{self, Wakes};
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::const_fn;
use core::ptr;
use core::task::{Context, Poll, Waker};

/// A value of [`Line::state`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u64);

impl State {
    const QUEUE: u64 = 0b001;
    const CLOSED: u64 = 0b010;
    const DEBT: u64 = 0b100;
    /// What stays when permits or front change.
    const KEPT: u64 = Self::CLOSED | Self::DEBT;
    const SHIFT: u32 = 3;

    const fn with_permits(permits: u64) -> Self {
        Self(permits << Self::SHIFT)
    }

    fn front(self) -> Option<Ref> {
        (self.0 & Self::QUEUE != 0).then(|| Ref::from_bits(self.0 >> Self::SHIFT))
    }

    fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    fn has_debt(self) -> bool {
        self.0 & Self::DEBT != 0
    }

    /// Whether permits given back are simply free.
    fn is_plain(self) -> bool {
        self.0 & (Self::QUEUE | Self::DEBT) == 0
    }

    /// Free permits: none while somebody waits.
    fn permits(self) -> u64 {
        if self.0 & Self::QUEUE == 0 { self.0 >> Self::SHIFT } else { 0 }
    }

    /// Nobody waits, `permits` are free.
    fn free(self, permits: u64) -> Self {
        Self(permits << Self::SHIFT | self.0 & Self::KEPT)
    }

    /// `front` is first in line.
    fn queue(self, front: Ref) -> Self {
        Self(front.bits() << Self::SHIFT | self.0 & Self::KEPT | Self::QUEUE)
    }
}

/// Why permits were not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Closed,
    NoPermits,
    /// More than there can ever be.
    TooMany,
}

/// The front has changed or is leaving: nothing can be linked behind it.
struct FrontLeaves;

/// One waiter's claim: how many permits, and its node once it stands in line.
#[derive(Debug)]
pub(crate) struct Ticket {
    asked: u32,
    place: Option<Ref>,
    waker: WakerId,
}

/// Tells wakers apart: data and vtable, never followed.
///
/// The owner keeps it, so that it can see without a look at the slot whether another waker is in
/// there: once it is woken, a visitor takes it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WakerId([usize; 2]);

impl WakerId {
    fn of(waker: &Waker) -> Self {
        Self([waker.data().addr(), ptr::from_ref(waker.vtable()).addr()])
    }
}

impl Ticket {
    pub(crate) fn new(asked: u32) -> Self {
        Self { asked, place: None, waker: WakerId([0; 2]) }
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked
    }
}

/// Permits and the line for them. Three words; the store comes with the first wait.
pub(crate) struct Line {
    state: AtomicU64,
    store: AtomicPtr<Store>,
    bound: AtomicU64,
}

/// A value of [`Line::bound`]: `[ permits there are : 32 | permits there may be : 32 ]`, or nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bound(u64);

impl Bound {
    /// As many as a line can count.
    const NONE: Self = Self(u64::MAX);
    /// The largest there is.
    const MOST: u64 = u32::MAX as u64 - 1;

    const fn new(made: u64, most: u64) -> Self {
        Self(made << u32::BITS | most)
    }

    fn is_some(self) -> bool {
        self != Self::NONE
    }

    fn made(self) -> u64 {
        self.0 >> u32::BITS
    }

    fn most(self) -> u64 {
        if self.is_some() { self.0 & u64::from(u32::MAX) } else { Line::MAX_PERMITS }
    }
}

impl Line {
    /// The most permits there can be.
    pub(crate) const MAX_PERMITS: u64 = (usize::MAX >> State::SHIFT) as u64;

    const_fn! {
        pub(crate) const fn new(permits: u64) -> Self {
            Self::with(permits, Bound::NONE)
        }
    }

    const_fn! {
        /// Never has more than these permits, at most [`Bound::MOST`].
        pub(crate) const fn with_max_permits(permits: u64) -> Self {
            let permits = if permits > Bound::MOST { Bound::MOST } else { permits };
            Self::with(permits, Bound::new(permits, permits))
        }
    }

    const_fn! {
        const fn with(permits: u64, bound: Bound) -> Self {
            Self {
                state: AtomicU64::new(State::with_permits(permits).0),
                store: AtomicPtr::new(ptr::null_mut()),
                bound: AtomicU64::new(bound.0),
            }
        }
    }

    fn state(&self) -> State {
        // ORDERING: Acquire pairs with the Release of whoever made a node the front, so that the
        // node's fields are visible; and with `retire`, so that what left the line is known to.
        State(self.state.load(Ordering::Acquire))
    }

    /// Replaces the state, publishing with Release and acquiring what the replaced one published.
    fn swing(&self, from: State, to: State) -> bool {
        // ORDERING: Release publishes a releaser's work to the next holder, and a new front's
        // fields to whoever loads the state; Acquire takes over what earlier releases published.
        self.state.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    // ---- permits free: one compare-and-swap each way ----------------------------------------

    pub(crate) fn available(&self) -> u64 {
        self.state().permits()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed()
    }

    pub(crate) fn is_open_and_free(&self) -> bool {
        let state = self.state();
        state.permits() > 0 && !state.is_closed()
    }

    /// Whether it may never have a permit.
    pub(crate) fn is_empty_for_good(&self) -> bool {
        self.bound().most() == 0
    }

    fn bound(&self) -> Bound {
        // ORDERING: Relaxed: a limit that is only compared. A waiter that joins by an old one meets the
        // new one when it is the front: `reduce` lowers it before its exchange of `state`, and whoever
        // makes or meets a front has acquired that.
        Bound(self.bound.load(Ordering::Relaxed))
    }

    /// Changes a bound; returns what was replaced. Nothing to do where there is none.
    fn change_bound(&self, change: impl Fn(Bound) -> Bound) -> Bound {
        let mut bound = self.bound();
        while bound.is_some() {
            // ORDERING: Relaxed, as in `bound`.
            match self.bound.compare_exchange_weak(
                bound.0,
                change(bound).0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return bound,
                Err(now) => bound = Bound(now),
            }
        }
        Bound::NONE
    }

    /// Adds permits that were not there before: no more than the bound lets there be.
    pub(crate) fn add(&self, permits: u64) {
        let room = |bound: Bound| bound.most() - bound.made();
        let before = self.change_bound(|bound| {
            Bound::new(bound.made() + permits.min(room(bound)), bound.most())
        });
        let added = if before.is_some() { permits.min(room(before)) } else { permits };
        if added > 0 {
            self.release(added);
        }
    }

    /// So many permits will not come back. Where that is more than there are to be, as some have been
    /// taken away that were in use, they are gone with these: nobody has to pay for them.
    pub(crate) fn lose(&self, permits: u64) {
        let before = self
            .change_bound(|bound| Bound::new(bound.made().saturating_sub(permits), bound.most()));
        if before.is_some() && permits > before.made() {
            self.store_or_new().cancel_debt(permits - before.made());
        }
    }

    pub(crate) fn try_take(&self, asked: u32) -> Result<(), Refusal> {
        // ORDERING: Relaxed: a guess; the exchange decides, and a refusal reads nothing else.
        let mut state = State(self.state.load(Ordering::Relaxed));
        loop {
            if state.is_closed() {
                // Read again with Acquire: whoever is told of the close sees what led to it.
                self.state();
                return Err(Refusal::Closed);
            }
            if asked == 0 {
                return Ok(());
            }
            let Some(left) = state.permits().checked_sub(u64::from(asked)) else {
                return Err(Refusal::NoPermits);
            };
            // ORDERING: Acquire pairs with the Release of the releases that made these permits
            // free: the holder sees what earlier holders did.
            match self.state.compare_exchange_weak(
                state.0,
                state.free(left).0,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => state = State(now),
            }
        }
    }

    pub(crate) fn release(&self, permits: u64) {
        // ORDERING: Relaxed: a guess; the exchange decides, the slow path loads anew.
        let mut state = State(self.state.load(Ordering::Relaxed));
        while state.is_plain() {
            let free = state.permits().saturating_add(permits).min(Self::MAX_PERMITS);
            // ORDERING: Release publishes the holder's work to whoever takes these permits (the
            // Acquire in `try_take`, `swing` and on a node's word).
            match self.state.compare_exchange_weak(
                state.0,
                state.free(free).0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => state = State(now),
            }
        }
        let mut wakes = Wakes::default();
        self.hand_out(permits, &mut wakes);
        wakes.finish();
    }

    /// Takes all free permits; at least one.
    pub(crate) fn try_take_all(&self) -> Result<u64, Refusal> {
        loop {
            let state = self.state();
            if state.is_closed() {
                return Err(Refusal::Closed);
            }
            if state.permits() == 0 {
                return Err(Refusal::NoPermits);
            }
            if self.swing(state, state.free(0)) {
                return Ok(state.permits());
            }
        }
    }

    /// Takes `permits` away for good: what is free now, the rest as it is given back. Returns how
    /// many were free.
    ///
    /// A bound goes down with it, and takes no more away than there is.
    pub(crate) fn reduce(&self, permits: u64) -> u64 {
        let fewer = |bound: Bound| permits.min(bound.made());
        let before = self.change_bound(|bound| {
            let most = bound.most().saturating_sub(permits);
            Bound::new(bound.made() - fewer(bound), most)
        });
        let permits = if before.is_some() { fewer(before) } else { permits };
        let taken = self.take_free(permits);
        let owed = permits - taken;
        let mut paid = 0;
        if owed > 0 {
            let store = self.store_or_new();
            store.owe(owed);
            paid = self.settle(store).min(owed);
        }
        if before.is_some() {
            self.refuse_what_cannot_be();
        }
        taken + paid
    }

    /// Tells a front that asks for more than there can be since the bound went down.
    fn refuse_what_cannot_be(&self) {
        let mut wakes = Wakes::default();
        // ORDERING: AcqRel, and a write although it changes nothing: if it comes before the exchange
        // that makes a front, whoever does that sees the new bound; else that front is seen here.
        self.state.fetch_or(0, Ordering::AcqRel);
        self.hand_out(0, &mut wakes);
        wakes.finish();
    }

    /// Pays the debt with what is free; returns how much.
    ///
    /// Claimed from the debt first: a thread that stops in between has taken too little away, not
    /// too much.
    fn settle(&self, store: &Store) -> u64 {
        let mut paid = 0;
        loop {
            // ORDERING: Release, and a write even where DEBT is set: if it comes before a release's
            // exchange of this word, that release acquires the debt and settles it; if after, its
            // permits are seen here, in the word itself.
            let state = State(self.state.fetch_or(State::DEBT, Ordering::Release));
            let claimed = store.claim_debt(state.permits());
            if claimed == 0 {
                return paid;
            }
            let taken = self.take_free(claimed);
            if taken < claimed {
                store.owe(claimed - taken);
            }
            paid += taken;
        }
    }

    /// What releases will pay before anybody gets anything.
    pub(crate) fn debt(&self) -> u64 {
        self.store_if_any().map_or(0, Store::debt)
    }

    /// Takes up to `permits` free permits away for good; returns how many.
    pub(crate) fn forget(&self, permits: u64) -> u64 {
        let taken = self.take_free(permits);
        self.lose(taken);
        taken
    }

    fn take_free(&self, permits: u64) -> u64 {
        loop {
            let state = self.state();
            let taken = state.permits().min(permits);
            if taken == 0 || self.swing(state, state.free(state.permits() - taken)) {
                return taken;
            }
        }
    }

    pub(crate) fn close(&self) {
        let mut wakes = Wakes::default();
        self.conclude_all(&mut wakes);
        if let Some(store) = self.store_if_any() {
            store.watchers.conclude_all(&mut wakes);
        }
        wakes.finish();
    }

    fn conclude_all(&self, wakes: &mut Wakes) {
        // ORDERING: Release orders what the closer did before whoever sees CLOSED. The load in
        // `hand_out` acquires what came before.
        self.state.fetch_or(State::CLOSED, Ordering::Release);
        self.hand_out(0, wakes);
    }

    /// Ready once the line is closed. Stands in no one's way: watchers have a line of their own.
    pub(crate) fn poll_closed(&self, ticket: &mut Ticket, cx: &mut Context<'_>) -> Poll<()> {
        if self.store_or_new().watchers.poll(ticket, cx).is_ready() {
            return Poll::Ready(());
        }
        // ORDERING: AcqRel, and a write although it changes nothing: if it comes before the
        // closer's `fetch_or`, the closer acquires the store (in `hand_out`) and finds us in it;
        // else we see CLOSED.
        if State(self.state.fetch_or(0, Ordering::AcqRel)).is_closed() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    pub(crate) fn cancel_closed(&self, ticket: &mut Ticket) {
        if let Some(store) = self.store_if_any() {
            store.watchers.cancel(ticket);
        }
    }

    // ---- waiting ---------------------------------------------------------------------------

    pub(crate) fn poll(
        &self,
        ticket: &mut Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        match ticket.place {
            Some(place) => self.poll_place(ticket, place, cx),
            None => self.poll_new(ticket, cx),
        }
    }

    fn poll_new(&self, ticket: &mut Ticket, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        match self.try_take(ticket.asked) {
            Err(Refusal::NoPermits) => self.join(ticket, cx),
            decided => Poll::Ready(decided),
        }
    }

    #[cold]
    fn join(&self, ticket: &mut Ticket, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        if u64::from(ticket.asked) > self.bound().most() {
            return Poll::Ready(Err(Refusal::TooMany));
        }
        // The user's clone runs before anything is open.
        let waker = cx.waker().clone();
        ticket.waker = WakerId::of(&waker);
        let store = self.store_or_new();
        let Some(place) = store.prepare(ticket.asked, ticket.asked, waker) else {
            // As many waiters as there can be: not in line, but asked again at once.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let mut wakes = Wakes::default();
        let decided = self.line_up(store, place, ticket.asked, &mut wakes);
        let Poll::Ready(taken) = decided else {
            ticket.place = Some(place);
            wakes.finish();
            return decided;
        };
        wakes.drop(store.recycle(place.index));
        self.conclude_poll(taken.is_ok(), ticket.asked, wakes);
        decided
    }

    /// Ends an operation that got permits, unless a panic of the user's code goes on from here: then
    /// they go back before it does.
    fn conclude_poll(&self, taken: bool, permits: u32, mut wakes: Wakes) {
        if taken && wakes.will_panic() {
            self.hand_out(u64::from(permits), &mut wakes);
        }
        wakes.finish();
    }

    /// Puts a prepared node at the end of the line, unless there is no need to wait after all.
    fn line_up(
        &self,
        store: &Store,
        place: Ref,
        asked: u32,
        wakes: &mut Wakes,
    ) -> Poll<Result<(), Refusal>> {
        loop {
            let state = self.state();
            if state.is_closed() {
                return Poll::Ready(Err(Refusal::Closed));
            }
            let Some(front) = state.front() else {
                if u64::from(asked) > self.bound().most() {
                    return Poll::Ready(Err(Refusal::TooMany));
                }
                let free = state.permits();
                match u32::try_from(free).ok().and_then(|free| asked.checked_sub(free)) {
                    None | Some(0) => {
                        if self.swing(state, state.free(free - u64::from(asked))) {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Some(need) => {
                        store.set_need(place, need);
                        let last = store.last();
                        if self.swing(state, state.queue(place)) {
                            store.replace_last(last, place);
                            return Poll::Pending;
                        }
                    }
                }
                continue;
            };
            store.set_need(place, asked);
            match Self::link(store, front, place) {
                Ok(()) => return Poll::Pending,
                Err(FrontLeaves) => self.hand_out(0, wakes),
            }
        }
    }

    /// Links `place` behind the last node of the line that starts at `front`.
    fn link(store: &Store, front: Ref, place: Ref) -> Result<(), FrontLeaves> {
        let mut last = store.last();
        let mut at = last.unwrap_or(front);
        let mut before = None;
        loop {
            let node = store.node(at.index);
            // ORDERING: Acquire pairs with the Release of the link that wrote it, so that the
            // successor is visible; and keeps the generation check below after this load.
            let next = Next(node.next.load(Ordering::Acquire));
            if next.is_marked() || generation(node) != at.generation {
                at = match before.take() {
                    _ if at == front => return Err(FrontLeaves),
                    // In the middle: it must be off before the end can be reached through it.
                    Some(before) => {
                        unlink_behind(store, before);
                        before
                    }
                    None => {
                        let told = last;
                        last = store.last();
                        let newer = last.filter(|_| last != told);
                        newer.or_else(|| in_line_before(store, told?)).unwrap_or(front)
                    }
                };
                continue;
            }
            if next.index() != NIL {
                if let Some(successor) = successor(store, node, next) {
                    (before, at) = (Some(at), successor);
                }
                continue;
            }
            // ORDERING: Relaxed: published with the link.
            store.node(place.index).prev.store(at.bits(), Ordering::Relaxed);
            // Unmarked and of this life: in line. The version makes a node that left fail.
            // ORDERING: Release publishes the new node's fields to the Acquire above and in
            // `retire` and `sweep`.
            let linked = node.next.compare_exchange(
                next.0,
                next.relinked(place.index).0,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if linked.is_ok() {
                store.replace_last(last, place);
                return Ok(());
            }
        }
    }

    fn poll_place(
        &self,
        ticket: &mut Ticket,
        place: Ref,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        let node = self.store().node(place.index);
        let mut wakes = Wakes::default();
        // ORDERING: Relaxed: if concluded, `depart` acquires.
        let mut word = Word(node.word.load(Ordering::Relaxed));
        if word.is_queued() {
            if self.is_closed() {
                self.cancel(ticket);
                return Poll::Ready(Err(Refusal::Closed));
            }
            if ticket.waker == WakerId::of(cx.waker()) {
                return Poll::Pending;
            }
            let old;
            (word, old) = change_waker(node, ticket, cx);
            wakes.drop(old);
            if word.is_queued() {
                wakes.finish();
                return Poll::Pending;
            }
        }
        Poll::Ready(self.collect(ticket, place, word, wakes))
    }

    /// The owner of a granted or closed node takes what it was given and leaves.
    fn collect(
        &self,
        ticket: &mut Ticket,
        place: Ref,
        word: Word,
        mut wakes: Wakes,
    ) -> Result<(), Refusal> {
        ticket.place = None;
        self.depart(place, &mut wakes);
        let closed = self.is_closed();
        let granted = word.status() == Status::Granted;
        if !granted && !closed {
            self.conclude_poll(false, 0, wakes);
            return Err(Refusal::TooMany);
        }
        if granted && closed {
            // Granted before, but not handed out after, the close.
            self.hand_out(u64::from(ticket.asked), &mut wakes);
        }
        self.conclude_poll(granted && !closed, ticket.asked, wakes);
        if closed { Err(Refusal::Closed) } else { Ok(()) }
    }

    /// Gives up the claim: whatever was collected or granted goes to those behind.
    pub(crate) fn cancel(&self, ticket: &mut Ticket) {
        let Some(place) = ticket.place.take() else { return };
        let store = self.store();
        let node = store.node(place.index);
        let mut wakes = Wakes::default();
        let (word, waker) = conclude_cancelled(node);
        let mut back = ticket.asked;
        match word.status() {
            Status::Granted => self.depart(place, &mut wakes),
            Status::Closed => {
                self.depart(place, &mut wakes);
                back = 0; // the closer gave it back
            }
            Status::Queued | Status::Cancelled => {
                back -= word.need();
                self.bury(store, place, &mut wakes);
            }
        }
        self.hand_out(u64::from(back), &mut wakes);
        wakes.drop(waker);
        wakes.finish();
    }

    /// A node just cancelled: off at once, or if that fails a leftover for the sweep.
    fn bury(&self, store: &Store, place: Ref, wakes: &mut Wakes) {
        if self.state().front() == Some(place) {
            self.retire(store, place, Status::Cancelled, wakes);
            return;
        }
        if unlink(store, place) {
            return;
        }
        // Its neighbour has left meanwhile: perhaps that one was the front.
        if self.state().front() == Some(place) {
            self.retire(store, place, Status::Cancelled, wakes);
            return;
        }
        let leftovers = &store.leftovers;
        // ORDERING: Relaxed: counts that only decide when to sweep; one that is lost to another
        // canceller makes it a little later.
        let count = leftovers.count.load(Ordering::Relaxed) + 1;
        // ORDERING: Relaxed, as above.
        leftovers.count.store(count, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        if count >= leftovers.sweep_at.load(Ordering::Relaxed) {
            self.sweep_on(store, wakes);
        }
    }

    // ---- serving the line --------------------------------------------------------------------

    /// Gives `permits` to the front of the line, front after front; what is left when the line is
    /// empty becomes free. Retires concluded fronts on the way, and concludes all once closed.
    #[cold]
    fn hand_out(&self, mut permits: u64, wakes: &mut Wakes) {
        loop {
            let state = self.state();
            if state.has_debt() && permits > 0 {
                permits -= self.store().claim_debt(permits);
            }
            let Some(front) = state.front() else {
                let free = state.permits().saturating_add(permits).min(Self::MAX_PERMITS);
                if permits == 0 {
                    return;
                }
                if self.swing(state, state.free(free)) {
                    return self.settle_late(state);
                }
                continue;
            };
            let store = self.store();
            let node = store.node(front.index);
            // ORDERING: Acquire pairs with the Release of a conclusion or a change of waker.
            let word = Word(node.word.load(Ordering::Acquire));
            if word.generation() != front.generation {
                continue;
            }
            let served = !state.is_closed() && self.can_be_met(node);
            match word.status() {
                Status::Queued if permits == 0 && served => return,
                // From inside a waker: whoever called it goes on.
                Status::Queued if wakes::leave_to_outer(self.address(), permits) => return,
                Status::Queued if !served => {
                    let back = self.close_node(store, front, node, word, wakes);
                    permits = permits.saturating_add(back);
                }
                Status::Queued => match pay(node, word, permits) {
                    Payment::Spent => return,
                    Payment::Raced => {}
                    Payment::Granted { left } => {
                        let from_inside = self.attend(store, front, node, word, wakes);
                        self.retire(store, front, Status::Granted, wakes);
                        permits = left.saturating_add(from_inside.unwrap_or(0));
                        if permits == 0 && from_inside.is_none() && !self.bound().is_some() {
                            return;
                        }
                    }
                },
                concluded => {
                    let awake =
                        concluded == Status::Cancelled || wakes::is_waking(self.address(), front);
                    if !awake && visit(node, front) {
                        let from_inside = self.wake(store, front, node, wakes);
                        permits = permits.saturating_add(from_inside.unwrap_or(0));
                    }
                    self.retire(store, front, concluded, wakes);
                }
            }
        }
    }

    /// Whether the waiter at the front asks for no more than there can be.
    fn can_be_met(&self, front: &Node) -> bool {
        let bound = self.bound();
        // ORDERING: Relaxed: written before the node was linked; of another life only if the exchange
        // of its word that follows fails.
        !bound.is_some() || u64::from(front.total.load(Ordering::Relaxed)) <= bound.most()
    }

    /// After permits were made free: a debt may have come since it was last looked for.
    fn settle_late(&self, state: State) {
        if state.has_debt() && self.debt() > 0 {
            self.settle(self.store());
        }
    }

    /// Names this line among those that a thread is inside of.
    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Tries to conclude a waiting front as closed; returns the permits it had collected, and those
    /// that its waker left.
    fn close_node(
        &self,
        store: &Store,
        front: Ref,
        node: &Node,
        word: Word,
        wakes: &mut Wakes,
    ) -> u64 {
        // ORDERING: Relaxed: written before the node was linked, and of this life if `conclude`
        // wins.
        let total = node.total.load(Ordering::Relaxed);
        if !conclude(node, word, word.concluded(Status::Closed)) {
            return 0;
        }
        let from_inside = self.attend(store, front, node, word, wakes);
        u64::from(total - word.need()).saturating_add(from_inside.unwrap_or(0))
    }

    /// Wakes a waiter just concluded by this thread, which is its first visitor unless the owner
    /// was inside (and will see for itself).
    fn attend(
        &self,
        store: &Store,
        front: Ref,
        node: &Node,
        before: Word,
        wakes: &mut Wakes,
    ) -> Option<u64> {
        if before.is_busy() { None } else { self.wake(store, front, node, wakes) }
    }

    /// A visitor wakes the waiter and goes; returns what was left from inside the waker.
    fn wake(&self, store: &Store, place: Ref, node: &Node, wakes: &mut Wakes) -> Option<u64> {
        wakes.inside(self.address(), place, |wakes| {
            node.waker.with(|slot| {
                // SAFETY: as a visitor: nobody writes the slot while another is inside.
                wakes.wake(unsafe { (*slot).as_ref() });
            });
            // Inside as well: with the waker perhaps its task is dropped.
            leave(store, place, node, wakes);
        })
    }

    /// Takes the concluded `front` off the line, if it still is the front.
    fn retire(&self, store: &Store, front: Ref, status: Status, wakes: &mut Wakes) {
        let Some(next) = self.mark_front(store.node(front.index), front) else { return };
        // The mark keeps `next` as it is, so the successor stays linked until `state` moves on.
        let successor = (next.index() != NIL)
            .then(|| Ref { index: next.index(), generation: generation(store.node(next.index())) });
        loop {
            let state = self.state();
            if state.front() != Some(front) {
                return;
            }
            let to = successor.map_or(state.free(0), |next| state.queue(next));
            if self.swing(state, to) {
                break;
            }
        }
        if status == Status::Cancelled {
            free_cancelled(store, front.index, wakes);
        }
    }

    /// Marks the front's `next`; `None` if it is not the front any more.
    fn mark_front(&self, node: &Node, front: Ref) -> Option<Next> {
        loop {
            // ORDERING: Acquire shows the successor, and keeps the check of `state` after it.
            let next = Next(node.next.load(Ordering::Acquire));
            if self.state().front() != Some(front) {
                return None;
            }
            if next.is_marked() || mark(node, next) {
                return Some(next.marked());
            }
        }
    }

    /// Goes on with the sweep from where it has come to, or begins one at the front.
    ///
    /// Others may sweep at the same time: each node is recycled by the one that unlinked it.
    fn sweep_on(&self, store: &Store, wakes: &mut Wakes) {
        let leftovers = &store.leftovers;
        // ORDERING: Acquire pairs with the Release below: what the node was then is visible.
        let reached = Ref::from_bits(leftovers.reached.load(Ordering::Acquire)).some();
        let from = if let Some(at) = reached.filter(|at| is_in_line(store, *at)) {
            at
        } else {
            self.hand_out(0, wakes);
            // ORDERING: Relaxed: a count.
            leftovers.passed.store(0, Ordering::Relaxed);
            let Some(front) = self.state().front() else { return };
            front
        };
        let mut together = Together::default();
        let (swept, living) = sweep_from(store, from, &mut together);
        store.recycle_all(&mut together);
        let reached = if let Swept::UpTo(at) = swept { at } else { Ref::NONE };
        // ORDERING: Release pairs with the Acquire above.
        leftovers.reached.store(reached.bits(), Ordering::Release);
        // ORDERING: Relaxed: counts that decide when to sweep, as in `bury`.
        let passed = leftovers.passed.load(Ordering::Relaxed) + living;
        // ORDERING: Relaxed, as above.
        leftovers.passed.store(passed, Ordering::Relaxed);
        if let Swept::ToTheEnd = swept {
            let next = (passed / 2).clamp(Leftovers::AT_LEAST, Leftovers::AT_MOST);
            // ORDERING: Relaxed, as above.
            leftovers.sweep_at.store(next, Ordering::Relaxed);
            // ORDERING: Relaxed, as above.
            leftovers.count.store(0, Ordering::Relaxed);
        }
    }

    /// Off the line for good: the owner of a granted or closed node recycles it, or leaves that to
    /// the last visitor.
    fn depart(&self, place: Ref, wakes: &mut Wakes) {
        let store = self.store();
        let node = store.node(place.index);
        // ORDERING: Acquire pairs with the Release of the conclusion: the permit's history, and a
        // state no older than the one in which this node was the front.
        let mut word = Word(node.word.load(Ordering::Acquire));
        if self.state().front() == Some(place) {
            self.retire(store, place, Status::Granted, wakes);
        }
        if self.bound().is_some() {
            // Whoever makes a front looks whether it can be served at all; that one may have stopped.
            self.hand_out(0, wakes);
        }
        loop {
            let alone = word.visitors() == 0;
            let to = if alone { word.next_life() } else { word.left() };
            // ORDERING: Acquire pairs with the Release of the visitors that left: their reads of
            // the waker come before the owner takes it. Release hands the node to the last one.
            match node.word.compare_exchange(word.0, to.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if alone => return wakes.drop(store.recycle(place.index)),
                Ok(_) => return,
                Err(now) => word = Word(now),
            }
        }
    }

    // ---- looking on --------------------------------------------------------------------------

    /// How many stand in line.
    pub(crate) fn waiters(&self) -> usize {
        loop {
            if let Some((waiters, _)) = self.walk(None) {
                return waiters;
            }
        }
    }

    /// How many stand before this one; `None` if it does not wait.
    pub(crate) fn ahead_of(&self, ticket: &Ticket) -> Option<usize> {
        let place = ticket.place?;
        let node = self.store().node(place.index);
        loop {
            // ORDERING: Relaxed: whether to walk once more.
            if !Word(node.word.load(Ordering::Relaxed)).is_queued() {
                return None;
            }
            if let Some((ahead, true)) = self.walk(Some(place)) {
                return Some(ahead);
            }
        }
    }

    /// Counts those who wait, up to `end`, and says whether it was met; `None` if the line changed
    /// under its feet.
    fn walk(&self, end: Option<Ref>) -> Option<(usize, bool)> {
        let Some(front) = self.state().front() else { return Some((0, false)) };
        let store = self.store();
        let mut at = front;
        // The last node that was surely in line: unmarked. What follows it through marked ones is
        // in line for as long as its `next` stays.
        let mut anchor: Option<(&Node, Next)> = None;
        let mut waiters = 0;
        while Some(at) != end {
            let node = store.node(at.index);
            // ORDERING: Acquire: the checks of the generation come after.
            let next = Next(node.next.load(Ordering::Acquire));
            // ORDERING: Acquire, as above.
            let word = Word(node.word.load(Ordering::Acquire));
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
            at = Ref { index: next.index(), generation: generation(store.node(next.index())) };
            let holds = match anchor {
                // ORDERING: Relaxed: kept after the Acquire load of the generation; only compared.
                Some((node, next)) => node.next.load(Ordering::Relaxed) == next.0,
                None => self.state().front() == Some(front),
            };
            if !holds {
                return None;
            }
        }
        Some((waiters, true))
    }

    // ---- storage ---------------------------------------------------------------------------

    fn store(&self) -> &Store {
        // ORDERING: Acquire pairs with the Release in `store_or_new`.
        let store = self.store.load(Ordering::Acquire);
        debug_assert!(!store.is_null());
        // SAFETY: called only with a node in hand or QUEUE seen, both later than the store's
        // publication; it is freed with `self` and never replaced.
        let store = unsafe { &*store };
        store.made.look();
        store
    }

    fn store_if_any(&self) -> Option<&Store> {
        // ORDERING: Acquire pairs with the Release in `store_or_new`.
        let store = self.store.load(Ordering::Acquire);
        // SAFETY: null, or published whole; it is freed with `self` and never replaced.
        unsafe { store.as_ref() }.inspect(|store| store.made.look())
    }

    /// Nodes of waiters that have not been recycled.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn nodes_in_use(&self) -> u32 {
        self.store_if_any().map_or(0, |store| store.in_use() + store.watchers.nodes_in_use())
    }

    /// Lets a sweep wait for so many cancelled nodes.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn sweep_at(&self, dead: u64) {
        // ORDERING: Relaxed: it only decides when to sweep.
        self.store_or_new().leftovers.sweep_at.store(dead, Ordering::Relaxed);
    }

    /// Leaves no hint of who stands before this one, as neighbours that leave at once may.
    #[cfg(all(test, ringgate_freeze))]
    pub(crate) fn lose_neighbour(&self, ticket: &Ticket) {
        let Some(place) = ticket.place else { return };
        // ORDERING: Relaxed: a hint.
        self.store().node(place.index).prev.store(Ref::NONE.bits(), Ordering::Relaxed);
    }

    fn store_or_new(&self) -> &Store {
        if self.store_if_any().is_none() {
            let ours = Box::into_raw(Box::new(Store::new()));
            // ORDERING: Release publishes the store; the first one stays.
            let installed = self.store.compare_exchange(
                ptr::null_mut(),
                ours,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if installed.is_err() {
                // SAFETY: ours came from `Box::into_raw` above and was not published.
                drop(unsafe { Box::from_raw(ours) });
            }
        }
        self.store()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access.
        let store = self.store.load(Ordering::Relaxed);
        if !store.is_null() {
            // SAFETY: it came from `Box::into_raw` in `store_or_new`; nobody is left.
            drop(unsafe { Box::from_raw(store) });
        }
    }
}

// ---- steps on one node ---------------------------------------------------------------------------

fn generation(node: &Node) -> u32 {
    // ORDERING: Acquire: keeps whatever is read next (a check of `next` or `state`) after it.
    Word(node.word.load(Ordering::Acquire)).generation()
}

/// The node behind `node`, whose `next` was read as `next`; `None` if that has changed since.
fn successor(store: &Store, node: &Node, next: Next) -> Option<Ref> {
    let generation = generation(store.node(next.index()));
    // Still linked now, hence not recycled before: the generation is the linked life's.
    // ORDERING: Relaxed: kept after the Acquire load above; only compared.
    let unchanged = node.next.load(Ordering::Relaxed) == next.0;
    unchanged.then_some(Ref { index: next.index(), generation })
}

fn mark(node: &Node, next: Next) -> bool {
    // ORDERING: Release: who sees the mark sees that the node is concluded. Acquire is not needed: the
    // caller has loaded `next` with it, and its version makes this the same write.
    let marked = next.marked().0;
    node.next.compare_exchange(next.0, marked, Ordering::Release, Ordering::Relaxed).is_ok()
}

/// What became of permits offered to a waiting front.
enum Payment {
    /// All went into its need.
    Spent,
    /// Its need is met; so many are left.
    Granted { left: u64 },
    /// Its word has changed: look again.
    Raced,
}

/// Offers permits to the waiting front.
fn pay(node: &Node, word: Word, permits: u64) -> Payment {
    debug_assert!(permits > 0);
    let need = u64::from(word.need());
    let (to, payment) = match u32::try_from(permits) {
        Ok(part) if permits < need => (word.with_less_need(part), Payment::Spent),
        _ => (word.concluded(Status::Granted), Payment::Granted { left: permits - need }),
    };
    if conclude(node, word, to) { payment } else { Payment::Raced }
}

fn conclude(node: &Node, from: Word, to: Word) -> bool {
    // ORDERING: Release publishes the releaser's work to the owner's Acquire; Acquire takes over
    // what earlier part-payers published, and the waker the owner may have changed.
    node.word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Becomes a visitor of a concluded node, unless it is gone or its owner is inside or has left.
fn visit(node: &Node, place: Ref) -> bool {
    // ORDERING: Relaxed: a guess; the exchange compares all of it.
    let mut word = Word(node.word.load(Ordering::Relaxed));
    loop {
        let concluded = matches!(word.status(), Status::Granted | Status::Closed);
        if word.generation() != place.generation || !concluded || word.is_busy() || word.has_left()
        {
            return false;
        }
        // ORDERING: Acquire pairs with the Release of the owner's last change of waker, which may
        // have come after the conclusion.
        match node.word.compare_exchange_weak(
            word.0,
            word.0 + Word::VISITOR,
            Ordering::Acquire,
            Ordering::Relaxed,
        ) {
            Ok(_) => return true,
            Err(now) => word = Word(now),
        }
    }
}

/// A visitor that has woken the waiter goes. The last one drops the waker, as nobody needs it any more;
/// and recycles the node if its owner has gone before.
fn leave(store: &Store, place: Ref, node: &Node, wakes: &mut Wakes) {
    let mut taken = None;
    // ORDERING: Relaxed: a guess; the exchange decides.
    let mut word = Word(node.word.load(Ordering::Relaxed));
    loop {
        let takes = word.visitors() == 1 && !word.is_busy() && !word.has_left();
        let to = if takes { word.0 | Word::BUSY } else { word.0 - Word::VISITOR };
        // ORDERING: Release: the read of the waker comes before the owner's recycling (Acquire in
        // `depart`) and another's taking it; Acquire, for the last one, as the owner's in `depart`.
        match node.word.compare_exchange_weak(word.0, to, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) if takes => {
                // SAFETY: the only visitor, and BUSY lets no other in. The owner does not touch the
                // slot while there is a visitor.
                taken = node.waker.with_mut(|slot| unsafe { (*slot).take() });
                // Counted until the slot is left alone; BUSY, so that this goes the other way.
                word = Word(to);
            }
            Ok(_) if word.has_left() && word.visitors() == 1 => {
                end_life(node, word);
                taken = taken.or(store.recycle(place.index));
                break;
            }
            Ok(_) => break,
            Err(now) => word = Word(now),
        }
    }
    wakes.drop(taken);
}

/// The owner puts another waker in; returns the word it found afterwards, and the old waker.
fn change_waker(node: &Node, ticket: &mut Ticket, cx: &Context<'_>) -> (Word, Option<Waker>) {
    let waker = cx.waker().clone();
    ticket.waker = WakerId::of(&waker);
    // ORDERING: Relaxed: nobody else touches the slot while QUEUED; if concluded, `depart` acquires.
    let found = Word(node.word.fetch_or(Word::BUSY, Ordering::Relaxed));
    if !found.is_queued() {
        return (found, None);
    }
    // SAFETY: QUEUED and BUSY: no visitor comes in until BUSY is cleared.
    let old = node.waker.with_mut(|slot| unsafe { (*slot).replace(waker) });
    // ORDERING: Release publishes the new waker to the Acquire of whoever concludes or visits.
    let found = Word(node.word.fetch_and(!Word::BUSY, Ordering::Release));
    (found, old)
}

/// The owner ends its own wait, unless somebody else has. Returns the waker, and the word that was
/// replaced (`QUEUED`: this is the end) or found.
fn conclude_cancelled(node: &Node) -> (Word, Option<Waker>) {
    // ORDERING: Relaxed, as in `change_waker`.
    let mut word = Word(node.word.fetch_or(Word::BUSY, Ordering::Relaxed));
    if !word.is_queued() {
        return (word, None);
    }
    // SAFETY: QUEUED and BUSY: no visitor comes in.
    let waker = node.waker.with_mut(|slot| unsafe { (*slot).take() });
    word = Word(word.0 | Word::BUSY);
    while word.is_queued() {
        // ORDERING: AcqRel: the permits collected so far carry their payers' history on; after
        // this the node may be recycled, so the taking of the waker must come before.
        match node.word.compare_exchange_weak(
            word.0,
            word.concluded(Status::Cancelled).0,
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            Ok(_) => break,
            Err(now) => word = Word(now),
        }
    }
    (word, waker)
}

/// Recycles a cancelled node that this thread has unlinked.
fn free_cancelled(store: &Store, index: u32, wakes: &mut Wakes) {
    seal_cancelled(store.node(index));
    wakes.drop(store.recycle(index));
}

/// Ends the life of a cancelled node that this thread has unlinked.
fn seal_cancelled(node: &Node) {
    // ORDERING: Relaxed: whoever found it cancelled, in `hand_out` or `condemn`, acquired that.
    let word = Word(node.word.load(Ordering::Relaxed));
    debug_assert!(word.status() == Status::Cancelled);
    end_life(node, word);
}

/// Seals a node that is the caller's alone: no owner, no visitor, off the line.
fn end_life(node: &Node, word: Word) {
    // ORDERING: Release pairs with the Acquire of every check of a generation: who sees the new one
    // sees that the node has left the line, and does not look at a stale line again and again.
    node.word.store(word.next_life().0, Ordering::Release);
}

/// Whether the node stands in line and could have another linked behind it.
fn is_in_line(store: &Store, at: Ref) -> bool {
    let node = store.node(at.index);
    // ORDERING: Acquire: the check of the generation comes after.
    let next = Next(node.next.load(Ordering::Acquire));
    !next.is_marked() && generation(node) == at.generation
}

/// A node in line that stood before this one, by the hints: if that one is on its way out as well, the
/// one before it, and so on.
fn in_line_before(store: &Store, mut at: Ref) -> Option<Ref> {
    /// So many neighbours that leave at the same time are gone past.
    const BACK: u32 = if cfg!(ringgate_loom) { 2 } else { 8 };
    for _ in 0..BACK {
        // ORDERING: Relaxed: a hint, checked before it is used.
        let before = store.node(at.index).prev.load(Ordering::Relaxed);
        at = Ref::from_bits(before).some()?;
        if is_in_line(store, at) {
            return Some(at);
        }
    }
    None
}

/// Unlinks a cancelled node from the middle of the line; false if it may still be there.
fn unlink(store: &Store, place: Ref) -> bool {
    let Some(before) = in_line_before(store, place) else { return false };
    unlink_behind(store, before);
    // Whoever unlinks it seals it.
    generation(store.node(place.index)) != place.generation
}

/// Unlinks the cancelled nodes right behind `before`, if that stands in line.
fn unlink_behind(store: &Store, before: Ref) {
    let node = store.node(before.index);
    // ORDERING: Acquire, as in `link`.
    let next = Next(node.next.load(Ordering::Acquire));
    if next.is_marked() || generation(node) != before.generation || next.index() == NIL {
        return;
    }
    let mut together = Together::default();
    unlink_after(store, before, next, &mut together);
    store.recycle_all(&mut together);
}

/// Where a step of the sweep ends.
enum Swept {
    /// Here the next one begins.
    UpTo(Ref),
    ToTheEnd,
    /// The line has changed under its feet.
    Lost,
}

/// Walks the line from `at`, unlinking the cancelled, a bounded number of steps. Returns how many
/// others it found as well.
fn sweep_from(store: &Store, mut at: Ref, together: &mut Together) -> (Swept, u64) {
    /// At some 20 ns each.
    const STEPS: u32 = 128;
    let mut living = 0;
    for _ in 0..STEPS {
        let node = store.node(at.index);
        // ORDERING: Acquire, as in `link`.
        let next = Next(node.next.load(Ordering::Acquire));
        if next.is_marked() || generation(node) != at.generation {
            return (Swept::Lost, living);
        }
        if next.index() == NIL {
            return (Swept::ToTheEnd, living);
        }
        if unlink_after(store, at, next, together) {
            continue;
        }
        if let Some(successor) = successor(store, node, next) {
            at = successor;
            living += 1;
        }
    }
    (Swept::UpTo(at), living)
}

/// Unlinks the cancelled nodes behind `before`, whose `next` was read as `next`: all that follow one
/// another, by one compare-and-swap. False if the one behind is not cancelled.
fn unlink_after(store: &Store, before: Ref, next: Next, together: &mut Together) -> bool {
    /// A longer run takes several.
    const RUN: u32 = 64;
    let node = store.node(before.index);
    let mut end = next.index();
    for _ in 0..RUN {
        match condemn(store, before, next, end) {
            Fate::Lives if end == next.index() => return false,
            Fate::Lives | Fate::Unknown => break,
            Fate::Leaves { successor } => end = successor,
        }
        if end == NIL {
            break;
        }
    }
    if end == next.index() {
        return true;
    }
    // ORDERING: Release carries on what the last one's `next` published. Acquire is not needed: that
    // they are cancelled, and their wakers gone, was acquired by `condemn`.
    let unlinked = node.next.compare_exchange(
        next.0,
        next.relinked(end).0,
        Ordering::Release,
        Ordering::Relaxed,
    );
    if unlinked.is_ok() && end != NIL {
        // ORDERING: Relaxed: a hint. If that node has left and come again, it is a wrong one.
        store.node(end).prev.store(before.bits(), Ordering::Relaxed);
    }
    let mut index = next.index();
    while unlinked.is_ok() && index != end {
        let node = store.node(index);
        // ORDERING: Relaxed: marked, hence as `condemn` read it.
        let behind = Next(node.next.load(Ordering::Relaxed)).index();
        seal_cancelled(node);
        store.recycle_later(together, index);
        index = behind;
    }
    true
}

/// What becomes of a node in a sweep.
enum Fate {
    Lives,
    /// Cancelled and marked.
    Leaves {
        successor: u32,
    },
    /// The line has changed.
    Unknown,
}

/// Marks the node `index` if it is cancelled. It is linked behind `before`, whose `next` was `next`,
/// directly or through others that are marked.
fn condemn(store: &Store, before: Ref, next: Next, index: u32) -> Fate {
    let node = store.node(before.index);
    let child = store.node(index);
    // ORDERING: Acquire pairs with the canceller's Release: its last touch of the waker.
    let word = Word(child.word.load(Ordering::Acquire));
    if word.status() != Status::Cancelled {
        return Fate::Lives;
    }
    // ORDERING: Acquire: shows its successor, and keeps the check below after it.
    let beyond = Next(child.next.load(Ordering::Acquire));
    // Still linked: `beyond` is of the life that was seen cancelled.
    // ORDERING: Relaxed: only compared.
    if node.next.load(Ordering::Relaxed) != next.0 {
        return Fate::Unknown;
    }
    if beyond.index() == NIL {
        // Nobody can be linked behind it once it is marked.
        store.replace_last(Some(Ref { index, generation: word.generation() }), before);
    }
    if !(beyond.is_marked() || mark(child, beyond)) {
        return Fate::Unknown;
    }
    Fate::Leaves { successor: beyond.index() }
}
