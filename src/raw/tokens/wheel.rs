//! One wheel: the head, and what is remembered of the ticks behind it.

use super::baselines::Baselines;
use super::offset::{Now, Offset};
use super::scale::{BLOCK, Scale, block};
use super::word::Word;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sync::leak::Tracked;
use crate::sync::zeros;
use crate::time::Timestamp;
use core::ptr;

/// The limit of a wheel that takes over its predecessor's, until it has.
pub(super) const UNSET: u64 = u64::MAX;

/// The wheel has got a successor; ask that one.
pub(crate) struct Closed;

/// The head has moved meanwhile; begin again.
pub(super) struct Moved;

pub(crate) struct Wheel {
    pub(super) scale: Scale,
    pub(super) offset: Offset,
    /// In tokens.
    limit: AtomicU64,
    /// `[tick | sum of all that has ever been counted]`.
    head: AtomicU64,
    /// `[tick | sum at the end of that tick]`, for ticks that the head has left.
    ends: Box<[AtomicU64]>,
    /// `[block | sum before that block]`, for blocks in which something has been counted.
    starts: Box<[AtomicU64]>,
    /// `[tick | what has been given back of that tick]`.
    credits: Box<[AtomicU64]>,
    /// `[block | what has been given back of that block]`.
    block_credits: Box<[AtomicU64]>,
    /// No later tick has been given anything back, so that most searches need not ask.
    latest_credit: AtomicU32,
    /// `[a block | a later block]`: from the one to before the other nothing has been counted, nor will be.
    empty: AtomicU64,
    /// `[the latest tick of which not all has been counted | 1]`, in one slot.
    cut: Box<[AtomicU64]>,
    /// For what others have used.
    pub(super) baselines: Baselines,
    /// How many wheels came before.
    pub(super) generation: u32,
    /// The first wheel whose admissions can be given back here. What has been counted in coarser units may be more than
    /// there are finer ones, and is cut off then.
    pub(super) gives_back_since: u32,
    /// No admission of an older wheel that ended before is counted here, in the time that all wheels share.
    kept_since: AtomicU64,
    /// How many jumps of the clock and resets came before.
    pub(super) era: u32,
    /// A reset has made it: it takes nothing over.
    pub(super) is_fresh: bool,
    /// The tick in which the head began.
    begun: AtomicU32,
    /// As long as the head is there, it may be later than the clock by this: by a tick of a predecessor.
    pub(super) slack: u64,
    /// Its time begins earlier than its predecessor's by this, where that would have come to its end.
    pub(super) shift: u64,
    /// The successor; null as long as there is none.
    pub(super) successor: AtomicPtr<Self>,
    pub(super) tracked: Tracked,
}

/// One of the arrays.
#[derive(Clone, Copy)]
pub(super) enum Track {
    Ends,
    Starts,
    Credits,
    BlockCredits,
    Cut,
}

impl Wheel {
    pub(super) fn new(scale: Scale, offset: Offset, limit: u64, generation: u32) -> Self {
        let slots = usize::try_from(scale.slots).unwrap_or(usize::MAX);
        let blocks = usize::try_from(scale.slots / BLOCK).unwrap_or(usize::MAX);
        Self {
            scale,
            offset,
            limit: AtomicU64::new(limit),
            head: AtomicU64::new(0),
            ends: zeros(slots),
            starts: zeros(blocks),
            credits: zeros(slots),
            block_credits: zeros(blocks),
            latest_credit: AtomicU32::new(0),
            empty: AtomicU64::new(0),
            cut: zeros(1),
            baselines: Baselines::new(),
            generation,
            gives_back_since: generation,
            kept_since: AtomicU64::new(0),
            era: 0,
            is_fresh: false,
            begun: AtomicU32::new(0),
            slack: 0,
            shift: 0,
            successor: AtomicPtr::new(ptr::null_mut()),
            tracked: Tracked::new(),
        }
    }

    /// The first wheel: nothing has been counted yet.
    pub(super) fn first(scale: Scale, limit: u64) -> Self {
        let mut wheel = Self::new(scale, Offset::fixed(0), limit, 0);
        wheel.baselines.first = Some(0);
        wheel.start(Word::new(scale.first(), 0));
        wheel
    }

    // ---- time ----------------------------------------------------------------------------------

    /// A reading of the clock, and this wheel's time then.
    #[inline]
    pub(super) fn read(&self, clock: impl Now) -> (Timestamp, u64) {
        let Some(offset) = self.offset.get() else { return self.read_first(clock) };
        let now = clock.read();
        (now, now.as_nanos().saturating_add(offset))
    }

    /// The first reading fixes the offset.
    #[cold]
    fn read_first(&self, clock: impl Now) -> (Timestamp, u64) {
        let now = clock.read();
        let latest = self.scale.begin(self.head_word().tick());
        // If another thread has fixed it, this reading may be from before.
        let is_fixed = self.offset.fix(now.as_nanos(), latest);
        // MUTANTS: read_first
        let now = if is_fixed { now } else { clock.read() };
        (now, self.time(now.as_nanos()))
    }

    /// This wheel's time for a reading of the clock.
    pub(super) fn time(&self, clock: u64) -> u64 {
        clock.saturating_add(self.offset.so_far())
    }

    /// The clock's time at which a tick begins; `None` if time ends before.
    pub(super) fn clock_at(&self, tick: u32) -> Option<u64> {
        self.scale.begins(tick).map(|time| time.saturating_sub(self.offset.so_far()))
    }

    /// By this a tick in which the head has been may begin later than the clock, without a jump.
    pub(super) fn rounding(&self, tick: u32) -> u64 {
        // ORDERING: Relaxed: stored before the wheel became the current one.
        let slack = if tick <= self.begun.load(Ordering::Relaxed) { self.slack } else { 0 };
        self.scale.granularity().saturating_add(slack)
    }

    // ---- the limit -----------------------------------------------------------------------------

    /// In tokens.
    #[inline]
    pub(super) fn limit(&self) -> u64 {
        // ORDERING: Relaxed: one word; no other memory goes with it.
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn store_limit(&self, limit: u64) {
        // ORDERING: Relaxed, as in `limit`; `is_linked` orders it before or after a successor.
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Takes over the limit, unless another thread has, or it has been set.
    pub(super) fn seed_limit(&self, limit: u64) {
        // ORDERING: Relaxed, as in `limit`.
        let _ = self.limit.compare_exchange(UNSET, limit, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether this is the rule.
    pub(super) fn obeys(&self, limit: u64, window: u64) -> bool {
        self.scale.window == window && self.limit() == limit
    }

    /// No admission of an older wheel that ended before is counted here.
    pub(super) fn kept_since(&self) -> u64 {
        // ORDERING: Relaxed: stored before the wheel became the current one.
        self.kept_since.load(Ordering::Relaxed)
    }

    /// Every thread that takes over stores the same.
    pub(super) fn store_kept_since(&self, time: u64) {
        // ORDERING: Relaxed: published with the wheel.
        self.kept_since.store(time, Ordering::Relaxed);
    }

    /// Changes the limit from one to another. Whether it is the other one now: not if it was neither.
    pub(super) fn exchange_limit(&self, from: u64, to: u64) -> bool {
        // ORDERING: Relaxed, both, as in `store_limit`.
        let exchanged = self.limit.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        exchanged.map_or_else(|limit| limit == to, |_| true)
    }

    // ---- the head ------------------------------------------------------------------------------

    #[inline]
    pub(super) fn head_word(&self) -> Word {
        // ORDERING: Acquire pairs with the Release in `swap_head`: what was written of the ticks and blocks behind this
        // head is seen.
        Word(self.head.load(Ordering::Acquire))
    }

    /// The head, unless there is a successor.
    #[inline]
    pub(super) fn head(&self) -> Result<Word, Closed> {
        let head = self.head_word();
        if head.is_closed() { Err(Closed) } else { Ok(head) }
    }

    #[inline]
    pub(super) fn swap_head(&self, from: Word, to: Word) -> bool {
        // ORDERING: Release publishes the end of the tick and the start of the block that this leaves behind, by this
        // thread or by one whose words it has read. Relaxed on failure: the caller reads the head anew.
        self.head.compare_exchange(from.0, to.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Sets the head for the first time; nothing if another thread has.
    pub(super) fn start(&self, head: Word) {
        // ORDERING: Relaxed: published with the wheel. All threads that take over store the same.
        self.begun.store(head.tick(), Ordering::Relaxed);
        self.swap_head(Word(0), head);
    }

    // ---- the tracks ----------------------------------------------------------------------------

    #[inline]
    fn slots(&self, track: Track) -> &[AtomicU64] {
        match track {
            Track::Ends => &self.ends,
            Track::Starts => &self.starts,
            Track::Credits => &self.credits,
            Track::BlockCredits => &self.block_credits,
            Track::Cut => &self.cut,
        }
    }

    #[inline]
    fn slot(&self, track: Track, number: u32) -> &AtomicU64 {
        let slots = self.slots(track);
        // Their lengths are powers of two.
        &slots[number as usize & (slots.len() - 1)]
    }

    #[inline]
    pub(super) fn word(&self, track: Track, number: u32) -> Word {
        // ORDERING: Acquire pairs with the Release in `swap_word`. A word of a later lap shows that the head has moved
        // on, and the next load of the head sees that.
        Word(self.slot(track, number).load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn swap_word(&self, track: Track, number: u32, from: Word, to: Word) -> bool {
        let slot = self.slot(track, number);
        // ORDERING: Release: the head that this thread has read comes before. It pairs with the Acquire in `word`.
        // Relaxed on failure: the caller reads the word anew.
        slot.compare_exchange(from.0, to.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// What the slot says of this tick or block; `None` if nothing. A later lap has taken its place if the head has
    /// moved on.
    #[inline]
    pub(super) fn amount(&self, track: Track, number: u32) -> Result<Option<u32>, Moved> {
        let word = self.word(track, number);
        if word.tick() > number {
            return Err(Moved);
        }
        Ok((word.tick() == number).then(|| word.amount()))
    }

    /// What the slots say of all these together.
    #[inline]
    pub(super) fn add_up(&self, track: Track, from: u32, end: u32) -> Result<u32, Moved> {
        let slots = self.slots(track);
        let (mut sum, mut has_moved) = (0_u32, false);
        for number in from..end {
            // ORDERING: Acquire, as in `word`.
            let word = slots[number as usize & (slots.len() - 1)].load(Ordering::Acquire);
            let word = Word(word);
            has_moved |= word.tick() > number;
            let amount = if word.tick() == number { word.amount() } else { 0 };
            sum = sum.saturating_add(amount);
        }
        if has_moved { Err(Moved) } else { Ok(sum) }
    }

    /// The first block from this one on that is not known to be empty, if this head has come that far.
    ///
    /// Behind the head nothing is counted any more, so what was once empty there stays so.
    #[inline]
    pub(super) fn after_empty(&self, at: u32, head: u32) -> u32 {
        // ORDERING: Relaxed: it is true whenever it is seen.
        let empty = self.empty.load(Ordering::Relaxed);
        let (from, end) = (super::word::low(empty >> 32), super::word::low(empty));
        // MUTANTS: after_empty
        if from <= at && at < end && end <= head { end } else { at }
    }

    /// These blocks are empty, and behind the head.
    pub(super) fn note_empty(&self, from: u32, end: u32) {
        // ORDERING: Relaxed, as in `after_empty`. It says nothing that the next reader could not find out.
        self.empty.store(u64::from(from) << 32 | u64::from(end), Ordering::Relaxed);
    }

    /// The latest tick of which something has been given back.
    #[inline]
    pub(super) fn latest_credit(&self) -> u32 {
        // ORDERING: Relaxed: a thread that has seen a credit (Acquire in `word`) sees this, which was written before.
        self.latest_credit.load(Ordering::Relaxed)
    }

    /// Before something of this tick is given back.
    #[inline]
    pub(super) fn note_credit(&self, tick: u32) {
        if self.latest_credit() < tick {
            // ORDERING: Relaxed: published with the credit (Release in `swap_word`).
            self.latest_credit.fetch_max(tick, Ordering::Relaxed);
        }
    }

    /// Writes down the sum at the end of the head's tick before the head leaves it. The latest sum stays: the one that
    /// the head left with.
    #[inline]
    pub(super) fn leave(&self, head: Word) {
        loop {
            let known = self.word(Track::Ends, head.tick());
            let is_later = known.tick() > head.tick()
                || known.tick() == head.tick()
                    && super::word::between(known.amount(), head.amount()) > u32::MAX / 2;
            // MUTANTS: leave
            if is_later || known == head {
                return;
            }
            if self.swap_word(Track::Ends, head.tick(), known, head) {
                return;
            }
        }
    }

    /// Writes down the sum before the head's block, before anything is counted in it. Nothing is if another thread has
    /// done so.
    #[inline]
    pub(super) fn open(&self, head: Word) {
        let block = block(head.tick());
        loop {
            let known = self.word(Track::Starts, block);
            // MUTANTS: open
            if known.tick() >= block {
                return;
            }
            if self.swap_word(Track::Starts, block, known, Word::new(block, head.amount())) {
                return;
            }
        }
    }

    /// This word does not change from now on.
    pub(super) fn seal(&self, track: Track, number: u32) {
        loop {
            let word = self.word(track, number);
            if word.is_closed() || self.swap_word(track, number, word, word.closed()) {
                return;
            }
        }
    }
}
