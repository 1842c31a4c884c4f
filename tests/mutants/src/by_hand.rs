//! Re-checks left out, steps swapped.
//!
//! The source marks each place with a comment, `// MUTANTS: label`, above the statement that changes. So a mutant
//! is found by its label, whatever the file and the names around it are.

use crate::checkout::Checkout;
use crate::{Kind, Mutant};

struct Change {
    name: &'static str,
    /// The label behind `// MUTANTS: `.
    at: &'static str,
    edit: Edit,
}

/// What becomes of the marked statement.
enum Edit {
    /// The condition of its `if` or `while` is always this.
    Always(bool),
    Remove,
    /// The first text behind the marker that is the first one becomes the second one.
    Replace(&'static str, &'static str),
}

const CHANGES: &[Change] = &[
    Change {
        name: "enqueue: no look at the mark",
        at: "enqueue 1",
        edit: Edit::Replace("next.is_marked() || ", ""),
    },
    Change {
        name: "enqueue: no look at the generation",
        at: "enqueue 1",
        edit: Edit::Replace("|| generation(node) != at.generation ", ""),
    },
    Change {
        name: "acquire_or_enqueue: no look at CLOSED",
        at: "acquire_or_enqueue 1",
        edit: Edit::Remove,
    },
    Change {
        name: "acquire_or_enqueue: need not set anew at the front",
        at: "acquire_or_enqueue 3",
        edit: Edit::Replace("queue.pool.set_need(new, need)", "let _ = need"),
    },
    Change {
        name: "acquire_or_enqueue: need not set anew behind others",
        at: "acquire_or_enqueue 4",
        edit: Edit::Remove,
    },
    Change { name: "poll_queued: no look at CLOSED", at: "poll_queued", edit: Edit::Always(false) },
    Change {
        name: "enqueue: does not unlink what is in its way",
        at: "enqueue 2",
        edit: Edit::Remove,
    },
    Change {
        name: "acquire_or_enqueue: completed front not helped",
        at: "acquire_or_enqueue 5",
        edit: Edit::Replace("self.assign_permits(0, wakes),", "{}"),
    },
    Change {
        name: "finish_acquire: a grant seen after the close kept",
        at: "finish_acquire 2",
        edit: Edit::Always(false),
    },
    Change {
        name: "finish_poll: permits kept by a panic",
        at: "finish_poll",
        edit: Edit::Always(false),
    },
    Change {
        name: "change_waker: word from before the change",
        at: "change_waker",
        edit: Edit::Replace(
            "let found = WaiterState(node.word.fetch_and(!WaiterState::REGISTERING, Ordering::Release)",
            "node.word.fetch_and(!WaiterState::REGISTERING, Ordering::Release",
        ),
    },
    Change {
        name: "completed: a visitor although the owner is inside",
        at: "completed",
        edit: Edit::Replace("&& !self.is_registering()", ""),
    },
    Change {
        name: "wake_if_responsible: no look at REGISTERING",
        at: "wake_if_responsible",
        edit: Edit::Replace("before", "false && before"),
    },
    Change {
        name: "begin_visit: no look at the generation",
        at: "begin_visit",
        edit: Edit::Replace("word.generation() != node_ref.generation\n            || ", ""),
    },
    Change {
        name: "begin_visit: no look at REGISTERING",
        at: "begin_visit",
        edit: Edit::Replace("is_registering()\n            || word.is_abandoned", "is_abandoned"),
    },
    Change {
        name: "begin_visit: no look at ABANDONED",
        at: "begin_visit",
        edit: Edit::Replace("|| word.is_abandoned()", ""),
    },
    Change {
        name: "begin_visit: no look whether it is completed",
        at: "begin_visit",
        edit: Edit::Replace("!completed", "(false && !completed)"),
    },
    Change {
        name: "end_visit: the last visitor does not free for an owner that has gone",
        at: "end_visit 3",
        edit: Edit::Replace("word", "false && word"),
    },
    Change {
        name: "end_visit: every visitor frees",
        at: "end_visit 3",
        edit: Edit::Replace("&& word.visitors() == 1 ", ""),
    },
    Change {
        name: "end_visit: others may come in while the waker is taken",
        at: "end_visit 2",
        edit: Edit::Replace("| WaiterState::REGISTERING ", ""),
    },
    Change {
        name: "end_visit: takes the waker while the owner is inside",
        at: "end_visit 1",
        edit: Edit::Replace("is_registering() && !word.is_abandoned", "is_abandoned"),
    },
    Change {
        name: "end_visit: takes the waker although others are inside",
        at: "end_visit 1",
        edit: Edit::Replace("== 1", "> 0"),
    },
    Change {
        name: "end_visit: the waker stays",
        at: "end_visit 1",
        edit: Edit::Replace(
            "word.visitors() == 1 && !word.is_registering() && !word.is_abandoned()",
            "false",
        ),
    },
    Change {
        name: "release_node: no look at visitors",
        at: "release_node 2",
        edit: Edit::Replace("word.visitors() == 0", "true"),
    },
    Change {
        name: "release_node: front not retired first",
        at: "release_node 1",
        edit: Edit::Always(false),
    },
    Change {
        name: "mark_front: no look whether it still is the front",
        at: "mark_front 1",
        edit: Edit::Replace(
            "self.state().front() != Some(front) {\n                return None;\n            }\n            if ",
            "",
        ),
    },
    Change {
        name: "mark_front: no mark",
        at: "mark_front 2",
        edit: Edit::Replace(" mark", " next.0 != 0 || mark"),
    },
    Change {
        name: "retire: no look whether it still is the front",
        at: "retire 1",
        edit: Edit::Remove,
    },
    Change {
        name: "retire: a cancelled front not freed",
        at: "retire 2",
        edit: Edit::Always(false),
    },
    Change {
        name: "assign_permits: no look at the generation",
        at: "assign_permits 3",
        edit: Edit::Remove,
    },
    Change {
        name: "assign_permits: a completed front not woken again",
        at: "assign_permits 9",
        edit: Edit::Always(false),
    },
    Change {
        name: "assign_permits: unlinked first, woken then",
        at: "assign_permits 5",
        edit: Edit::Replace(
            "let deferred = self.wake_if_responsible(queue, front, node, word, wakes);\n                        self.retire(queue, front, Status::Granted",
            "self.retire(queue, front, Status::Granted, wakes);\n                        let deferred = self.wake_if_responsible(queue, front, node, word",
        ),
    },
    Change {
        name: "assign_permits: no look whether this thread is waking it",
        at: "assign_permits 8",
        edit: Edit::Replace("|| wake::is_waking(self.address(), front)", ""),
    },
    Change {
        name: "assign_permits: nothing left to the outer operation",
        at: "assign_permits 4",
        edit: Edit::Replace(
            "Status::Queued if wake::defer_to_outer(self.address(), permits) => return,",
            "",
        ),
    },
    Change {
        name: "assign_permits: what a waker left is lost",
        at: "assign_permits 6",
        edit: Edit::Replace(".saturating_add(deferred.unwrap_or(0))", ""),
    },
    Change {
        name: "make_free: no late look at the debt",
        at: "make_free",
        edit: Edit::Replace("self.take_back_for_debt(state, permits)", "0"),
    },
    Change {
        name: "assign_permits: no debt paid",
        at: "assign_permits 1",
        edit: Edit::Replace("state.has_debt() && permits > 0", "false && state.has_debt()"),
    },
    Change {
        name: "assign_permits: what is left after a grant is lost",
        at: "assign_permits 6",
        edit: Edit::Replace(
            "left.saturating_add(deferred.unwrap_or(0))",
            "deferred.unwrap_or(0); let _ = left",
        ),
    },
    Change {
        name: "settle: once only",
        at: "settle",
        edit: Edit::Replace("taken == 0", "taken < most + 1"),
    },
    Change {
        name: "pay_with_free: the debt is paid first",
        at: "pay_with_free",
        edit: Edit::Replace(
            "let taken = self.take_free(waitlist.debt.owed().min(most));\n        (taken, waitlist.debt.claim(taken))",
            "let taken = self.take_free(waitlist.debt.claim(most));\n        (taken, taken)",
        ),
    },
    Change {
        name: "pay_with_free: what others have paid is not released again",
        at: "pay_with_free",
        edit: Edit::Replace(
            "(taken, waitlist.debt.claim(taken))",
            "waitlist.debt.claim(taken); (taken, taken)",
        ),
    },
    Change {
        name: "reduce: DEBT set before the debt is written",
        at: "reduce 2",
        edit: Edit::Replace(
            "waitlist.debt.add(owed);\n            paid = self.settle(waitlist, owed, &mut wakes)",
            "paid = self.settle(waitlist, owed, &mut wakes);\n            waitlist.debt.add(owed)",
        ),
    },
    Change {
        name: "reduce: no settlement",
        at: "reduce 3",
        edit: Edit::Replace("self.settle(waitlist, owed, &mut wakes)", "0"),
    },
    Change {
        name: "finish_acquire: told as serves though there can never be that many",
        at: "finish_acquire 1",
        edit: Edit::Always(false),
    },
    Change {
        name: "acquire_or_enqueue: no look at the bound",
        at: "acquire_or_enqueue 2",
        edit: Edit::Remove,
    },
    Change {
        name: "assign_permits: the next front is not looked at after a grant",
        at: "assign_permits 7",
        edit: Edit::Replace("&& !self.bound().is_some()", ""),
    },
    Change { name: "add: no bound", at: "add", edit: Edit::Replace("before.is_some()", "false") },
    Change {
        name: "reduce: the bound stays",
        at: "reduce 1",
        edit: Edit::Replace(".saturating_sub(permits)", ""),
    },
    Change {
        name: "reduce: a front that cannot be satisfied is not refused",
        at: "reduce 4",
        edit: Edit::Remove,
    },
    Change {
        name: "release: no look at DEBT",
        at: "is_plain",
        edit: Edit::Replace("(Self::QUEUE | Self::DEBT)", "Self::QUEUE"),
    },
    Change {
        name: "permits: a queue is taken for permits",
        at: "permits",
        edit: Edit::Replace(
            "if self.0 & Self::QUEUE == 0 { self.0 >> Self::SHIFT } else { 0 }",
            "self.0 >> Self::SHIFT",
        ),
    },
    Change {
        name: "forget: a store for an exchange",
        at: "take_free",
        edit: Edit::Replace(
            "self.cas_state(state, state.with_permits(state.permits() - taken))",
            "{ self.state.store(state.with_permits(state.permits() - taken).0, Ordering::Release); true }",
        ),
    },
    Change {
        name: "try_acquire: no second look at the close",
        at: "try_acquire",
        edit: Edit::Remove,
    },
    Change {
        name: "close: watchers left out",
        at: "close 1",
        edit: Edit::Replace(
            "waitlist.watchers.refuse_all(&mut wakes)",
            "let _ = &waitlist.watchers",
        ),
    },
    Change {
        name: "refuse_all: no waiter refused",
        at: "refuse_all",
        edit: Edit::Replace("self.assign_permits(0, wakes)", "let _ = wakes"),
    },
    Change {
        name: "poll_closed: a load for an exchange",
        at: "poll_closed",
        edit: Edit::Replace("State(self.state.fetch_or(0, Ordering::AcqRel))", "self"),
    },
    Change {
        name: "refuse_front: collected permits kept",
        at: "refuse_front",
        edit: Edit::Replace("word.need()", "total"),
    },
    Change {
        name: "cancel: a grant kept",
        at: "cancel 1",
        edit: Edit::Replace(
            "back = self.take_grant(waiter, node_ref, &mut wakes),",
            "{ self.take_grant(waiter, node_ref, &mut wakes); back = 0; }",
        ),
    },
    Change {
        name: "offer: counted after the grant",
        at: "offer 1",
        edit: Edit::Replace(
            "let epoch = unclaimed.add();",
            "let assigned = assign_to(node, word, permits);\n        \
             if matches!(assigned, Assignment::Satisfied { .. }) {\n            \
             unclaimed.add();\n        }\n        return assigned;\n        \
             #[expect(unreachable_code, reason = \"a mutant\")]\n        \
             let epoch = unclaimed.add();",
        ),
    },
    Change {
        name: "offer: takes nothing back",
        at: "offer 2",
        edit: Edit::Replace("!unclaimed.claim(epoch)", "false"),
    },
    Change {
        name: "offer: gives on a permit that is claimed by now",
        at: "offer 2",
        edit: Edit::Replace("left: left - 1", "left"),
    },
    Change {
        name: "take_grant: no claim",
        at: "take_grant",
        edit: Edit::Replace(
            "|| unclaimed.claim(Epoch::from_number(granted_in))",
            "|| granted_in <= u32::MAX",
        ),
    },
    Change {
        name: "claim_lapsed: no second look at CLOSED",
        at: "claim_lapsed",
        edit: Edit::Replace("self.is_closed() || ", ""),
    },
    Change {
        name: "claim_lapsed: no look at the debt",
        at: "claim_lapsed",
        edit: Edit::Replace(" || self.debt() > 0", ""),
    },
    Change {
        name: "cancel: a closed waiter gives back, too",
        at: "cancel 2",
        edit: Edit::Replace("back = 0; // `refuse_front` gave it back", ""),
    },
    Change {
        name: "cancel: collected permits kept",
        at: "cancel 3",
        edit: Edit::Replace("-=", "= 0 *"),
    },
    Change {
        name: "unlink_or_defer: a cancelled front not retired",
        at: "unlink_or_defer 1",
        edit: Edit::Replace(
            "self.state().front() == Some(node_ref) {\n            self.retire(queue, node_ref, Status::Cancelled, wakes);\n            return;\n        }\n        if ",
            "",
        ),
    },
    Change {
        name: "unlink_or_defer: not unlinked at once",
        at: "unlink_or_defer 2",
        edit: Edit::Remove,
    },
    Change {
        name: "unlink_or_defer: no sweep",
        at: "unlink_or_defer 3",
        edit: Edit::Always(false),
    },
    Change {
        name: "complete_cancelled: tried once",
        at: "complete_cancelled",
        edit: Edit::Replace(
            "Ok(_) => break,\n            Err(now) => word = WaiterState(now)",
            "_ => break",
        ),
    },
    Change {
        name: "sweep_from: no look at mark and generation",
        at: "sweep_from",
        edit: Edit::Always(false),
    },
    Change {
        name: "sweep_from: no look at the mark",
        at: "sweep_from",
        edit: Edit::Replace("next.is_marked() || ", ""),
    },
    Change {
        name: "sweep_from: no look at the generation",
        at: "sweep_from",
        edit: Edit::Replace("|| generation(node) != at.generation ", ""),
    },
    Change {
        name: "unlink_behind: no look at the generation",
        at: "unlink_behind",
        edit: Edit::Replace("generation(node) != before.generation || ", ""),
    },
    Change {
        name: "unlink_behind: no look at the mark",
        at: "unlink_behind",
        edit: Edit::Replace("next.is_marked() || ", ""),
    },
    Change {
        name: "unlink_after: frees what it has not unlinked",
        at: "unlink_after",
        edit: Edit::Replace("unlinked.is_ok() && ", ""),
    },
    Change {
        name: "try_mark: no look whether it is still linked",
        at: "try_mark 2",
        edit: Edit::Remove,
    },
    Change {
        name: "try_mark: the hint stays on the last one that has left",
        at: "try_mark 3",
        edit: Edit::Remove,
    },
    Change { name: "try_mark: no mark", at: "try_mark 4", edit: Edit::Always(false) },
    Change {
        name: "try_mark: whoever is completed",
        at: "try_mark 1",
        edit: Edit::Replace("!= Status::Cancelled", "== Status::Queued"),
    },
    Change {
        name: "successor: no second look at the link",
        at: "successor",
        edit: Edit::Replace("unchanged", "(unchanged || true)"),
    },
    Change { name: "walk: no look at the generation", at: "walk 1", edit: Edit::Remove },
    Change { name: "walk: no look at the anchor", at: "walk 2", edit: Edit::Always(false) },
    Change {
        name: "ahead_of: what it counted before it was lost",
        at: "ahead_of",
        edit: Edit::Replace("true", "_"),
    },
    Change {
        name: "free_cancelled: freed before it is sealed",
        at: "free_cancelled",
        edit: Edit::Replace(
            "seal_cancelled(queue.node(index));\n    wakes.drop(queue.pool.free",
            "wakes.drop(queue.pool.free(index));\n    seal_cancelled(queue.node",
        ),
    },
    Change {
        name: "release_node: freed before it is sealed",
        at: "release_node 3",
        edit: Edit::Replace(
            "return wakes.drop(queue.pool.free(node_ref.index)),",
            "{ node.word.store(word.0, Ordering::Release); let old = queue.pool.free(node_ref.index); node.word.store(to.0, Ordering::Release); return wakes.drop(old); }",
        ),
    },
    Change {
        name: "waitlist_or_new: the loser keeps its waitlist",
        at: "waitlist_or_new",
        edit: Edit::Always(false),
    },
    Change { name: "Drop: the waitlist is kept", at: "drop 2", edit: Edit::Always(false) },
    Change {
        name: "next_generation: the same generation",
        at: "next_generation",
        edit: Edit::Replace("(self.generation() + 1", "self.generation("),
    },
    Change {
        name: "relinked: the same version",
        at: "relinked",
        edit: Edit::Replace(
            "(self.0 >> Self::VERSION_SHIFT).wrapping_add(1)",
            "self.0 >> Self::VERSION_SHIFT",
        ),
    },
    Change {
        name: "free list: the same count",
        at: "with_index",
        edit: Edit::Replace("(self.0 >> INDEX_BITS).wrapping_add(1)", "self.0 >> INDEX_BITS"),
    },
    Change {
        name: "far_slot_or_new: the loser keeps its table",
        at: "far_slot_or_new",
        edit: Edit::Always(false),
    },
    Change {
        name: "alloc_fresh: the rest of the chunk is lost",
        at: "alloc_fresh",
        edit: Edit::Always(false),
    },
    Change { name: "free: the waker stays", at: "free", edit: Edit::Replace("take", "clone") },
    Change { name: "free_batch: forgotten", at: "free_batch", edit: Edit::Remove },
    Change { name: "alloc: linkable before it is named", at: "alloc 1", edit: Edit::Remove },
    Change {
        name: "alloc: end of the line not set",
        at: "alloc 2",
        edit: Edit::Replace("relinked(NIL", "marked("),
    },
    Change {
        name: "check: no second look",
        at: "check 3",
        edit: Edit::Replace("self.is_unchanged(&found)", "true"),
    },
    Change {
        name: "check_fast: no second look at the oldest",
        at: "check_fast 3",
        edit: Edit::Replace("oldest_cell.load(Ordering::Relaxed) == oldest_word", "true"),
    },
    Change {
        name: "check_fast: no second look at the newest",
        at: "check_fast 1",
        edit: Edit::Replace("newest_cell.load(Ordering::Relaxed) == newest_word", "true"),
    },
    Change { name: "locate: no second look", at: "locate", edit: Edit::Always(true) },
    Change {
        name: "close: room that can still be claimed",
        at: "close 3",
        edit: Edit::Replace("if !is_begun || self.bump(format, index, word) ", ""),
    },
    Change { name: "seed: stamps not written", at: "seed", edit: Edit::Replace("0", "1") },
    Change {
        name: "migrate_to: one stamp short",
        at: "migrate_to 4",
        edit: Edit::Replace(";", ".saturating_sub(1);"),
    },
    Change {
        name: "check_fast: no clamp",
        at: "check_fast 4",
        edit: Edit::Replace(".max(time)", ""),
    },
    Change {
        name: "check: no clamp",
        at: "claim_at",
        edit: Edit::Replace(".max(format.time(found.newest_word))", ""),
    },
    Change {
        name: "check: the first rule alone",
        at: "check 1",
        edit: Edit::Replace(
            "is_limited",
            "if is_limited { continue; }\n                is_limited",
        ),
    },
    Change {
        name: "check_fast: no look whether it is closed",
        at: "check_fast 2",
        edit: Edit::Replace("|| time == Format::PLAIN.closed() ", ""),
    },
    Change { name: "snapshot: no second look", at: "snapshot", edit: Edit::Always(true) },
    Change {
        name: "check: a spent cell not sealed",
        at: "check 2",
        edit: Edit::Replace(
            "None if self.seal_spent_cell(format, &found, rules.first.limit) => {}",
            "",
        ),
    },
    Change {
        name: "has_successor: a load for an exchange",
        at: "is_linked",
        edit: Edit::Replace(
            "self.successor.compare_exchange(null, null, Ordering::AcqRel, Ordering::Acquire).is_err()",
            "{ let _ = null; !self.successor.load(Ordering::Acquire).is_null() }",
        ),
    },
    Change {
        name: "deal: the whole limit",
        at: "deal",
        edit: Edit::Replace("level", "limit.max(level)"),
    },
    Change { name: "deal: even shares at a change", at: "deal", edit: Edit::Replace(")", " * 0)") },
    Change { name: "set_share: whatever the sequence", at: "set_share", edit: Edit::Always(true) },
    Change {
        name: "check_all_fast: no look at the state",
        at: "check_all_fast 2",
        edit: Edit::Replace(
            "if self.split.is_current(state) { found } else { Fast::Fallback }",
            "found",
        ),
    },
    Change {
        name: "check: no look at the state",
        at: "check 4",
        edit: Edit::Replace("self.split.is_current(state)", "state == state"),
    },
    Change {
        name: "finish_change: no touch",
        at: "finish_change",
        edit: Edit::Replace("ring| ring.touch(self.format, state.mark(), is_over", "_| !is_over("),
    },
    Change { name: "touch: no look whether it is over", at: "touch", edit: Edit::Always(false) },
    Change { name: "chunks: no second round", at: "share", edit: Edit::Always(false) },
    Change {
        name: "close: one ring stays open",
        at: "close 4",
        edit: Edit::Replace("for_each", "skip(1).for_each"),
    },
    Change {
        name: "and: the last free time of several rings",
        at: "and",
        edit: Edit::Replace("self.free_at.min(other.free_at)", "other.free_at"),
    },
    Change {
        name: "set: the loser's change lost",
        at: "set",
        edit: Edit::Replace(
            "while !self.set_in(&self.current(), index, limit, window) {}",
            "let _ = self.set_in(&self.current(), index, limit, window);",
        ),
    },
    Change {
        name: "seed_cell: stamps in reverse",
        at: "seed_cell",
        edit: Edit::Replace("number & self.mask(", "self.mask() - (number & self.mask()"),
    },
    Change {
        name: "migrate_to: rules not copied",
        at: "migrate_to 1",
        edit: Edit::Replace("0", "7"),
    },
    Change {
        name: "has_successor: no look whether it is closed",
        at: "has_successor",
        edit: Edit::Replace("|| self.is_closed()", ""),
    },
    Change {
        name: "migrate_to: the newest cell counted whole",
        at: "migrate_to 3",
        edit: Edit::Replace("self.rings[0].unused_room(self.format)", "0"),
    },
    Change {
        name: "close: settled at once",
        at: "close 2",
        edit: Edit::Replace(
            "if is_begun { format.closed() } else { format.settled() }",
            "format.settled()",
        ),
    },
    Change {
        name: "peek: a pin that ends with the check",
        at: "peek_slow",
        edit: Edit::Replace(
            "Ok(Reservation { at, pinned })",
            "{ drop(pinned); Ok(Reservation { at, pinned: None }) }",
        ),
    },
    Change {
        name: "ask: a reading that is kept though a reset or a jump has come",
        at: "ask",
        edit: Edit::Replace(".filter(|reading| reading.base == base)", ""),
    },
    Change {
        name: "restart_time: whatever the time base",
        at: "restart_time",
        edit: Edit::Always(true),
    },
    Change {
        name: "migrate_to: several rings keep their stamps",
        at: "migrate_to 5",
        edit: Edit::Replace(".max(least)", ""),
    },
    Change {
        name: "unpin: frees, though it is not the last",
        at: "unpin 1",
        edit: Edit::Replace("{", "|| true {"),
    },
    Change { name: "unpin: forgets what it cannot free", at: "unpin 2", edit: Edit::Always(false) },
    Change {
        name: "push: drops what is on the list",
        at: "push",
        edit: Edit::Replace("unsafe { &*last }.set_next_retired(others)", "let _ = others"),
    },
    Change {
        name: "promote_successor: no second look at the pointer",
        at: "promote_successor 1",
        edit: Edit::Always(false),
    },
    Change {
        name: "promote_successor: the old shards are never freed",
        at: "promote_successor 2",
        edit: Edit::Always(false),
    },
    Change {
        name: "migrate_to: a fresh successor gets the stamps",
        at: "migrate_to 2",
        edit: Edit::Remove,
    },
    Change { name: "reset: content with any successor", at: "reset", edit: Edit::Always(true) },
    Change { name: "check_all_fast: no floor", at: "check_all_fast 1", edit: Edit::Remove },
    Change { name: "ask: a jump is not noticed", at: "notice_jump", edit: Edit::Always(false) },
    Change {
        name: "the slot kept before the turn is left",
        at: "stamp 3",
        edit: Edit::Replace(
            "self.leave();\n                slot.keep();",
            "slot.keep();\n                self.leave();",
        ),
    },
    Change {
        name: "alarm: no last look",
        at: "poll",
        edit: Edit::Replace(
            " = self.as_mut().advance(cx)",
            ": Poll<Result<(), Refused>> = Poll::Pending",
        ),
    },
    Change {
        name: "stamp: counted as waiting until it has left",
        at: "stamp 1",
        edit: Edit::Remove,
    },
    Change {
        name: "estimate_for_newcomer: no second look",
        at: "estimate_for_newcomer",
        edit: Edit::Replace("waiting", "0"),
    },
    Change {
        name: "no_slot: no look whether there ever is one",
        at: "permanent_refusal",
        edit: Edit::Replace("shared.is_permanently_empty()", "false"),
    },
    Change { name: "stamp: no look at the close", at: "stamp 2", edit: Edit::Remove },
    Change { name: "places: one more", at: "take", edit: Edit::Replace("=", "") },
    Change {
        name: "estimate: others who never leave",
        at: "estimate",
        edit: Edit::Replace("free_at.is_none() && ahead > 0", "false"),
    },
    Change { name: "set_rate: nobody told", at: "set_rate", edit: Edit::Remove },
    Change { name: "resume: nobody told", at: "resume", edit: Edit::Remove },
    Change { name: "stop: nobody told", at: "stop", edit: Edit::Remove },
    Change { name: "ramp: all go at once", at: "pass", edit: Edit::Always(true) },
    Change {
        name: "a pause that is over is cleared, whatever has come since",
        at: "look",
        edit: Edit::Replace(
            "let _ = self.until.compare_exchange(until, NONE, Ordering::Relaxed, Ordering::Relaxed)",
            "self.until.store(NONE, Ordering::Relaxed)",
        ),
    },
    Change {
        name: "the last pause wins",
        at: "extend",
        edit: Edit::Replace("merged(until | kind.bits(), in_force(found))", "until | kind.bits()"),
    },
    Change {
        name: "a call in line does not see a pause",
        at: "check_pause",
        edit: Edit::Always(true),
    },
    Change {
        name: "a newcomer does not see a pause",
        at: "try_admit_uncontended",
        edit: Edit::Always(false),
    },
    Change {
        name: "check_satisfiable: never",
        at: "check_satisfiable",
        edit: Edit::Replace(
            "if refused.ends_the_wait() { Err(refused) } else { Ok(()) }",
            "Ok(())",
        ),
    },
    Change {
        name: "stamp refused: the slot kept meanwhile",
        at: "stamp 4",
        edit: Edit::Replace("drop(slot", "slot.keep("),
    },
    Change { name: "close: newcomers are not told", at: "close", edit: Edit::Remove },
    Change { name: "a new call in line does not look", at: "advance 1", edit: Edit::Remove },
    Change {
        name: "the first in line goes before those that have a turn",
        at: "advance 2",
        edit: Edit::Replace("!this.core.has_room_beside_turns(None)", "false"),
    },
    Change {
        name: "the first in line sleeps for ever",
        at: "advance 3",
        edit: Edit::Replace(
            "sleep(true, cx)?.is_pending()",
            "sleep(true, cx)?.is_pending() | true",
        ),
    },
    Change {
        name: "a call uses its second turn at once",
        at: "advance 4",
        edit: Edit::Replace("gives_way", "false"),
    },
    Change {
        name: "others are silent at the first look",
        at: "look_past_silent",
        edit: Edit::Replace("went.is_some() && went == *this.unused_since", "went.is_some()"),
    },
    Change { name: "others are never silent", at: "look_past_silent", edit: Edit::Always(false) },
    Change { name: "no room: it waits behind", at: "wait_again 1", edit: Edit::Always(true) },
    Change {
        name: "a call that waits again in front takes those before it for watching",
        at: "wait_again 2",
        edit: Edit::Replace("lane == Lane::Front && core.line.late() == 0", "false"),
    },
    Change {
        name: "a call from before those in front waits behind them",
        at: "lane_ahead",
        edit: Edit::Replace("Lane::Late", "Lane::Front"),
    },
    Change {
        name: "position: turns not counted",
        at: "position",
        edit: Edit::Replace("ahead + with_turn", "ahead"),
    },
    Change { name: "release: looks for no call", at: "release_own", edit: Edit::Always(false) },
    Change {
        name: "hand_out: the line ends though a call has come",
        at: "hand_out_in 1",
        edit: Edit::Always(true),
    },
    Change {
        name: "hand_out: some of those that wait late have to wait",
        at: "hand_out_in 4",
        edit: Edit::Replace("turns.max(self.line.late().min(MAX_TURNS))", "turns"),
    },
    Change {
        name: "a call that looked in vain takes the first in line for untimed",
        at: "take_untimed",
        edit: Edit::Replace("is_vain && ", "false && "),
    },
    Change {
        name: "hand_out: no second look if others count turns",
        at: "hand_out_in 2",
        edit: Edit::Replace("continue", "return"),
    },
    Change {
        name: "hand_out: no second look for turns that nobody took",
        at: "hand_out_in 3",
        edit: Edit::Replace("left == 0", "{ self.line.turns.remove(left); true }"),
    },
    Change {
        name: "hand_out: nobody watches in front",
        at: "turns_for",
        edit: Edit::Replace("u64::from(reason == Reason::Successor || !is_watched)", "0"),
    },
    Change {
        name: "turns: silent ones count for good",
        at: "at",
        edit: Edit::Replace(
            "Self::new(period, now, 0)",
            "Self::new(period, self.parts().0 + now, 0)",
        ),
    },
    Change {
        name: "a call that leaves the front names no successor",
        at: "drop 1",
        edit: Edit::Replace("Reason::Successor", "Reason::Room"),
    },
    Change {
        name: "tokens have become free: nobody told",
        at: "look_for_tokens_again",
        edit: Edit::Remove,
    },
    Change {
        name: "a call whose tokens fit goes before a larger one in front",
        at: "go",
        edit: Edit::Always(false),
    },
    Change {
        name: "grant: the oldest lease goes on",
        at: "leases grant 1",
        edit: Edit::Replace("*oldest > 0", "*oldest > 0 && false"),
    },
    Change { name: "grant: no word for what comes back", at: "leases grant 2", edit: Edit::Remove },
    Change { name: "grant: wakes nobody", at: "leases grant 3", edit: Edit::Remove },
    Change {
        name: "look: what has run out is left",
        at: "leases look 1",
        edit: Edit::Always(false),
    },
    Change {
        name: "look: the number is not read again",
        at: "leases look 2",
        edit: Edit::Always(true),
    },
    Change {
        name: "look at the newest: what has run out is left",
        at: "leases look 3",
        edit: Edit::Replace("until > now.as_nanos()", "until > 0"),
    },
    Change {
        name: "look at the newest: the one before it is passed over",
        at: "leases look 4",
        edit: Edit::Always(false),
    },
    Change {
        name: "look at the newest: an older one is passed over",
        at: "leases look 5",
        edit: Edit::Replace(" && begins <= spent", ""),
    },
    Change {
        name: "look at the newest: the number is not read again",
        at: "leases look 6",
        edit: Edit::Replace("self.newest() == number", "number > 0"),
    },
    Change { name: "touch: nothing", at: "leases touch", edit: Edit::Remove },
    Change {
        name: "take: what it skips does not come back",
        at: "leases take",
        edit: Edit::Remove,
    },
    Change {
        name: "pass_to: what it skips does not come back",
        at: "leases pass_to",
        edit: Edit::Remove,
    },
    Change {
        name: "settle: all comes back of the newest lease",
        at: "leases settle",
        edit: Edit::Replace("rest.min(newest)", "rest"),
    },
    Change {
        name: "add: the number is not compared",
        at: "leases add",
        edit: Edit::Replace("found & !MOST == empty(number)", "true"),
    },
    Change {
        name: "room: as many turns as anybody wants if all in line fit",
        at: "leasing room",
        edit: Edit::Replace("calls + u64::from(newcomer.is_some())", "calls.max(u64::MAX)"),
    },
    Change {
        name: "ring_for: told before the ring, which another may do",
        at: "bell ring_for",
        edit: Edit::Replace(
            "self.ring();",
            "if self.told.fetch_max(noted, Ordering::Relaxed) < noted { self.ring() }",
        ),
    },
    Change {
        name: "ring: leaves the release to one that has rung before",
        at: "bell ring",
        edit: Edit::Replace("& ARMED != 0", "== ARMED"),
    },
    Change {
        name: "arm: forgets that it has rung",
        at: "bell arm",
        edit: Edit::Replace("& RUNG != 0", "& RUNG > RUNG"),
    },
];

pub(crate) fn all(checkout: &Checkout) -> Vec<Mutant> {
    let sources = checkout.sources();
    CHANGES.iter().map(|change| apply(change, &sources)).collect()
}

fn apply(change: &Change, sources: &[(String, String)]) -> Mutant {
    let marker = format!("// MUTANTS: {}\n", change.at);
    let mut found = sources.iter().filter(|(_, text)| text.contains(&marker));
    let (Some((file, text)), None) = (found.next(), found.next()) else {
        panic!("{}: not one file has the marker {marker}", change.name)
    };
    let (before, behind) = text.split_once(&marker).expect("it is there");
    // Others may be marked in between.
    let is_code = |line: &&str| !line.contains("// MUTANTS: ");
    let behind: String = behind.split_inclusive('\n').filter(is_code).collect();
    let (comments, code) = behind.split_at(code_begins(&behind));
    let changed = match change.edit {
        Edit::Always(value) => always(code, value),
        Edit::Remove => Some(code[statement(code)..].to_owned()),
        Edit::Replace(from, to) => replace(code, from, to),
    };
    let Some(changed) = changed else {
        panic!("{}: what it changes is not behind its marker in {file}", change.name)
    };
    let name = format!("{file} {}", change.name);
    let text = [before, comments, &changed].concat();
    Mutant { name, file: file.clone(), text, kind: Kind::Step }
}

/// Where the comments behind a marker end.
fn code_begins(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim_start().starts_with("//") {
            break;
        }
        at += line.len();
    }
    at
}

/// The length of the statement that a text begins with.
fn statement(text: &str) -> usize {
    let begins = |word| text.trim_start().starts_with(word);
    let is_block = ["if ", "while ", "for ", "loop ", "match "].into_iter().any(begins);
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return at;
        }
        if depth == 0 && (c == ';' || (c == '}' && is_block)) {
            return at + 1;
        }
    }
    text.len()
}

fn always(text: &str, value: bool) -> Option<String> {
    let line = text.lines().next()?;
    let word = ["if ", "while "].into_iter().find(|word| line.contains(word))?;
    let condition = line.find(word)? + word.len();
    let end = line.rfind(" {").filter(|end| *end > condition)?;
    Some([&text[..condition], if value { "true" } else { "false" }, &text[end..]].concat())
}

/// No further on than a long statement goes.
fn replace(text: &str, from: &str, to: &str) -> Option<String> {
    const MOST_LINES: usize = 40;
    let at = text.find(from)?;
    let near = text[..at].lines().count() <= MOST_LINES;
    near.then(|| [&text[..at], to, &text[at + from.len()..]].concat())
}
