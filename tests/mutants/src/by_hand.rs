//! Re-checks left out, steps swapped.

use crate::checkout::Checkout;
use crate::{Kind, Mutant};

struct Change {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const SEMAPHORE_ACQUIRE: &str = "src/raw/semaphore/acquire.rs";
const NODES: &str = "src/raw/semaphore/chunks.rs";
const SEMAPHORE_CLOSE: &str = "src/raw/semaphore/close.rs";
const COUNT: &str = "src/raw/semaphore/count.rs";
const ENQUEUE: &str = "src/raw/semaphore/enqueue.rs";
const LEAVE: &str = "src/raw/semaphore/leave.rs";
const NODE: &str = "src/raw/semaphore/node.rs";
const POOL: &str = "src/raw/semaphore/pool.rs";
const SEMAPHORE_QUEUE: &str = "src/raw/semaphore/queue.rs";
const RAW_SEMAPHORE: &str = "src/raw/semaphore/raw_semaphore.rs";
const RELEASE: &str = "src/raw/semaphore/release.rs";
const RESIZE: &str = "src/raw/semaphore/resize.rs";
const RETIRE: &str = "src/raw/semaphore/retire.rs";
const STATE: &str = "src/raw/semaphore/state.rs";
const SWEEP: &str = "src/raw/semaphore/sweep.rs";
const TRANSITIONS: &str = "src/raw/semaphore/transitions.rs";
const UNLINK: &str = "src/raw/semaphore/unlink.rs";
const CELLS: &str = "src/raw/window/ring/cells.rs";
const CLAIM: &str = "src/raw/window/ring/claim.rs";
const FORECAST: &str = "src/raw/window/ring/forecast.rs";
const CLOSE: &str = "src/raw/window/ring/close.rs";
const HISTORY: &str = "src/raw/window/ring/history.rs";
const CHECK: &str = "src/raw/window/shards/check.rs";
const RINGS: &str = "src/raw/window/shards/rings.rs";
const SUCCESSION: &str = "src/raw/window/shards/succession.rs";
const ACQUIRE: &str = "src/raw/window/log/acquire.rs";
const CHANGE: &str = "src/raw/window/log/change.rs";
const CURRENT: &str = "src/raw/window/log/current.rs";
const RECLAIM: &str = "src/raw/window/reclaim.rs";
const SPLIT: &str = "src/raw/window/split.rs";
const CHUNKS: &str = "src/raw/window/chunks.rs";
const QUEUED: &str = "src/limiter_core/queued.rs";
const WAKES: &str = "src/limiter_core/wake_sources.rs";
const CORE: &str = "src/limiter_core/shared.rs";
const CONCURRENCY: &str = "src/limiter_core/concurrency.rs";
const QUEUE: &str = "src/limiter_core/queue.rs";

const CHANGES: &[Change] = &[
    Change {
        name: "enqueue: no look at the mark",
        file: ENQUEUE,
        from: "            if next.is_marked() || generation(node) != at.generation {\n                at = match",
        to: "            if generation(node) != at.generation {\n                at = match",
    },
    Change {
        name: "enqueue: no look at the generation",
        file: ENQUEUE,
        from: "            if next.is_marked() || generation(node) != at.generation {\n                at = match",
        to: "            if next.is_marked() {\n                at = match",
    },
    Change {
        name: "acquire_or_enqueue: no look at CLOSED",
        file: SEMAPHORE_ACQUIRE,
        from: "            if state.is_closed() {\n                return Poll::Ready(Err(Refusal::Closed));\n            }\n            let Some(front) = state.front() else {\n                if u64",
        to: "            let Some(front) = state.front() else {\n                if u64",
    },
    Change {
        name: "acquire_or_enqueue: need not set anew at the front",
        file: SEMAPHORE_ACQUIRE,
        from: "queue.pool.set_need(new, need);",
        to: "let _ = need;",
    },
    Change {
        name: "acquire_or_enqueue: need not set anew behind others",
        file: SEMAPHORE_ACQUIRE,
        from: "queue.pool.set_need(new, asked);",
        to: "",
    },
    Change {
        name: "poll_queued: no look at CLOSED",
        file: SEMAPHORE_ACQUIRE,
        from: "if self.is_closed() {\n                self.cancel(waiter);",
        to: "if false {\n                self.cancel(waiter);",
    },
    Change {
        name: "enqueue: does not unlink what is in its way",
        file: ENQUEUE,
        from: "                        self.unlink_behind(before);\n                        before",
        to: "                        before",
    },
    Change {
        name: "acquire_or_enqueue: completed front not helped",
        file: SEMAPHORE_ACQUIRE,
        from: "                Err(FrontLeaving) => self.assign_permits(0, wakes),",
        to: "                Err(FrontLeaving) => {}",
    },
    Change {
        name: "finish_acquire: a grant seen after the close kept",
        file: SEMAPHORE_ACQUIRE,
        from: "if granted && closed {",
        to: "if false {",
    },
    Change {
        name: "finish_poll: permits kept by a panic",
        file: SEMAPHORE_ACQUIRE,
        from: "if acquired && wakes.will_panic() {",
        to: "if false && acquired && wakes.will_panic() {",
    },
    Change {
        name: "change_waker: word from before the change",
        file: TRANSITIONS,
        from: "    let found = WaiterState(node.word.fetch_and(!WaiterState::REGISTERING, Ordering::Release));\n",
        to: "    node.word.fetch_and(!WaiterState::REGISTERING, Ordering::Release);\n",
    },
    Change {
        name: "completed: a visitor although the owner is inside",
        file: NODE,
        from: "status != Status::Cancelled && !self.is_registering()",
        to: "status != Status::Cancelled",
    },
    Change {
        name: "wake_if_responsible: no look at REGISTERING",
        file: RETIRE,
        from: "if before.is_registering() { None } else {",
        to: "if false && before.is_registering() { None } else {",
    },
    Change {
        name: "begin_visit: no look at the generation",
        file: TRANSITIONS,
        from: "word.generation() != node_ref.generation\n            || !completed",
        to: "!completed",
    },
    Change {
        name: "begin_visit: no look at REGISTERING",
        file: TRANSITIONS,
        from: "            || word.is_registering()\n            || word.is_abandoned()",
        to: "            || word.is_abandoned()",
    },
    Change {
        name: "begin_visit: no look at ABANDONED",
        file: TRANSITIONS,
        from: "|| word.is_registering()\n            || word.is_abandoned()",
        to: "|| word.is_registering()",
    },
    Change {
        name: "begin_visit: no look whether it is completed",
        file: TRANSITIONS,
        from: "            || !completed\n",
        to: "            || (false && !completed)\n",
    },
    Change {
        name: "end_visit: the last visitor does not free for an owner that has gone",
        file: RETIRE,
        from: "Ok(_) if word.is_abandoned() && word.visitors() == 1 => {",
        to: "Ok(_) if false && word.is_abandoned() && word.visitors() == 1 => {",
    },
    Change {
        name: "end_visit: every visitor frees",
        file: RETIRE,
        from: "Ok(_) if word.is_abandoned() && word.visitors() == 1 => {",
        to: "Ok(_) if word.is_abandoned() => {",
    },
    Change {
        name: "end_visit: others may come in while the waker is taken",
        file: RETIRE,
        from: "if takes { word.0 | WaiterState::REGISTERING }",
        to: "if takes { word.0 }",
    },
    Change {
        name: "end_visit: takes the waker while the owner is inside",
        file: RETIRE,
        from: "let takes = word.visitors() == 1 && !word.is_registering() && !word.is_abandoned();",
        to: "let takes = word.visitors() == 1 && !word.is_abandoned();",
    },
    Change {
        name: "end_visit: takes the waker although others are inside",
        file: RETIRE,
        from: "let takes = word.visitors() == 1 && !word.is_registering() && !word.is_abandoned();",
        to: "let takes = word.visitors() > 0 && !word.is_registering() && !word.is_abandoned();",
    },
    Change {
        name: "end_visit: the waker stays",
        file: RETIRE,
        from: "let takes = word.visitors() == 1 && !word.is_registering() && !word.is_abandoned();",
        to: "let takes = false;",
    },
    Change {
        name: "release_node: no look at visitors",
        file: LEAVE,
        from: "let alone = word.visitors() == 0;",
        to: "let alone = true;",
    },
    Change {
        name: "release_node: front not retired first",
        file: LEAVE,
        from: "if self.state().front() == Some(node_ref) {\n            self.retire(queue, node_ref, Status::Granted, wakes);",
        to: "if false {\n            self.retire(queue, node_ref, Status::Granted, wakes);",
    },
    Change {
        name: "mark_front: no look whether it still is the front",
        file: RETIRE,
        from: "if self.state().front() != Some(front) {\n                return None;\n            }\n            if next.is_marked()",
        to: "if next.is_marked()",
    },
    Change {
        name: "mark_front: no mark",
        file: RETIRE,
        from: "if next.is_marked() || mark(node, next) {\n                return Some",
        to: "if next.is_marked() || next.0 != 0 || mark(node, next) {\n                return Some",
    },
    Change {
        name: "retire: no look whether it still is the front",
        file: RETIRE,
        from: "            if state.front() != Some(front) {\n                return;\n            }\n            let to",
        to: "            let to",
    },
    Change {
        name: "retire: a cancelled front not freed",
        file: RETIRE,
        from: "if status == Status::Cancelled {\n            free_cancelled(queue, front.index, wakes);",
        to: "if false && status == Status::Cancelled {\n            free_cancelled(queue, front.index, wakes);",
    },
    Change {
        name: "assign_permits: no look at the generation",
        file: RELEASE,
        from: "            if word.generation() != front.generation {\n                continue;\n            }\n            let serves",
        to: "            let serves",
    },
    Change {
        name: "assign_permits: a completed front not woken again",
        file: RELEASE,
        from: "if !awake && begin_visit(node, front) {",
        to: "if false && !awake && begin_visit(node, front) {",
    },
    Change {
        name: "assign_permits: unlinked first, woken then",
        file: RELEASE,
        from: "                        let deferred = self.wake_if_responsible(queue, front, node, word, wakes);\n                        self.retire(queue, front, Status::Granted, wakes);\n",
        to: "                        self.retire(queue, front, Status::Granted, wakes);\n                        let deferred = self.wake_if_responsible(queue, front, node, word, wakes);\n",
    },
    Change {
        name: "assign_permits: no look whether this thread is waking it",
        file: RELEASE,
        from: "completed == Status::Cancelled || wake::is_waking(self.address(), front)",
        to: "completed == Status::Cancelled",
    },
    Change {
        name: "assign_permits: nothing left to the outer operation",
        file: RELEASE,
        from: "Status::Queued if wake::defer_to_outer(self.address(), permits) => return,",
        to: "",
    },
    Change {
        name: "assign_permits: what a waker left is lost",
        file: RELEASE,
        from: "permits = left.saturating_add(deferred.unwrap_or(0));",
        to: "permits = left;",
    },
    Change {
        name: "assign_permits: no late look at the debt",
        file: RELEASE,
        from: "return self.settle_late(state);",
        to: "return;",
    },
    Change {
        name: "assign_permits: no debt paid",
        file: RELEASE,
        from: "if state.has_debt() && permits > 0 {",
        to: "if false && state.has_debt() {",
    },
    Change {
        name: "assign_permits: what is left after a grant is lost",
        file: RELEASE,
        from: "permits = left.saturating_add(deferred.unwrap_or(0));",
        to: "permits = deferred.unwrap_or(0); let _ = left;",
    },
    Change {
        name: "settle: once only",
        file: RELEASE,
        from: "            paid += taken;\n        }",
        to: "            return paid + taken;\n        }",
    },
    Change {
        name: "settle: what was claimed in vain is not owed again",
        file: RELEASE,
        from: "if taken < claimed {",
        to: "if false && taken < claimed {",
    },
    Change {
        name: "reduce: DEBT set before the debt is written",
        file: RESIZE,
        from: "            waitlist.debt.add(owed);\n            paid = self.settle(waitlist).min(owed);",
        to: "            paid = self.settle(waitlist).min(owed);\n            waitlist.debt.add(owed);",
    },
    Change {
        name: "reduce: no settlement",
        file: RESIZE,
        from: "            paid = self.settle(waitlist).min(owed);",
        to: "            paid = 0;",
    },
    Change {
        name: "finish_acquire: told as serves though there can never be that many",
        file: SEMAPHORE_ACQUIRE,
        from: "if !granted && !closed {",
        to: "if false && !granted && !closed {",
    },
    Change {
        name: "acquire_or_enqueue: no look at the bound",
        file: SEMAPHORE_ACQUIRE,
        from: "                if u64::from(asked) > self.bound().max_permits() {\n                    return Poll::Ready(Err(Refusal::TooMany));\n                }\n",
        to: "",
    },
    Change {
        name: "assign_permits: the next front is not looked at after a grant",
        file: RELEASE,
        from: "deferred.is_none() && !self.bound().is_some()",
        to: "deferred.is_none()",
    },
    Change {
        name: "add: no bound",
        file: RESIZE,
        from: "let added = if before.is_some() { permits.min(room(before)) } else { permits };",
        to: "let added = permits;",
    },
    Change {
        name: "reduce: the bound stays",
        file: RESIZE,
        from: "let max_permits = bound.max_permits().saturating_sub(permits);",
        to: "let max_permits = bound.max_permits();",
    },
    Change {
        name: "reduce: a front that cannot be satisfied is not refused",
        file: RESIZE,
        from: "            self.refuse_unsatisfiable();\n",
        to: "",
    },
    Change {
        name: "release: no look at DEBT",
        file: STATE,
        from: "self.0 & (Self::QUEUE | Self::DEBT) == 0",
        to: "self.0 & Self::QUEUE == 0",
    },
    Change {
        name: "permits: a queue is taken for permits",
        file: STATE,
        from: "if self.0 & Self::QUEUE == 0 { self.0 >> Self::SHIFT } else { 0 }",
        to: "self.0 >> Self::SHIFT",
    },
    Change {
        name: "forget: a store for an exchange",
        file: RAW_SEMAPHORE,
        from: "if taken == 0 || self.cas_state(state, state.with_permits(state.permits() - taken)) {",
        to: "if taken == 0 || { self.state.store(state.with_permits(state.permits() - taken).0, Ordering::Release); true } {",
    },
    Change {
        name: "try_acquire: no second look at the close",
        file: RAW_SEMAPHORE,
        from: "                self.state();\n                return Err(Refusal::Closed);",
        to: "                return Err(Refusal::Closed);",
    },
    Change {
        name: "close: watchers left out",
        file: SEMAPHORE_CLOSE,
        from: "waitlist.watchers.refuse_all(&mut wakes);",
        to: "let _ = &waitlist.watchers;",
    },
    Change {
        name: "refuse_all: no waiter refused",
        file: SEMAPHORE_CLOSE,
        from: "self.state.fetch_or(State::CLOSED, Ordering::Release);\n        self.assign_permits(0, wakes);",
        to: "self.state.fetch_or(State::CLOSED, Ordering::Release);\n        let _ = wakes;",
    },
    Change {
        name: "poll_closed: a load for an exchange",
        file: SEMAPHORE_CLOSE,
        from: "if State(self.state.fetch_or(0, Ordering::AcqRel)).is_closed() {",
        to: "if self.is_closed() {",
    },
    Change {
        name: "refuse_front: collected permits kept",
        file: RELEASE,
        from: "u64::from(total - word.need()).saturating_add(",
        to: "u64::from(total - total).saturating_add(",
    },
    Change {
        name: "cancel: a grant kept",
        file: LEAVE,
        from: "Status::Granted => self.release_node(node_ref, &mut wakes),",
        to: "Status::Granted => { self.release_node(node_ref, &mut wakes); back = 0; }",
    },
    Change {
        name: "cancel: a closed waiter gives back, too",
        file: LEAVE,
        from: "back = 0; // `refuse_front` gave it back",
        to: "",
    },
    Change {
        name: "cancel: collected permits kept",
        file: LEAVE,
        from: "back -= word.need();",
        to: "back = 0 * word.need();",
    },
    Change {
        name: "unlink_or_defer: a cancelled front not retired",
        file: LEAVE,
        from: "        if self.state().front() == Some(node_ref) {\n            self.retire(queue, node_ref, Status::Cancelled, wakes);\n            return;\n        }\n        if queue.unlink",
        to: "        if queue.unlink",
    },
    Change {
        name: "unlink_or_defer: not unlinked at once",
        file: LEAVE,
        from: "        if queue.unlink(node_ref) {\n            return;\n        }\n",
        to: "",
    },
    Change {
        name: "unlink_or_defer: no sweep",
        file: LEAVE,
        from: "if count >= leftovers.sweep_at.load(Ordering::Relaxed) {",
        to: "if false && count >= leftovers.sweep_at.load(Ordering::Relaxed) {",
    },
    Change {
        name: "complete_cancelled: tried once",
        file: TRANSITIONS,
        from: "            Ok(_) => break,\n            Err(now) => word = WaiterState(now),\n        }\n    }\n    (word, waker)",
        to: "            _ => break,\n        }\n    }\n    (word, waker)",
    },
    Change {
        name: "sweep_from: no look at mark and generation",
        file: SWEEP,
        from: "            if next.is_marked() || generation(node) != at.generation {\n                return (Swept::Lost, live);",
        to: "            if false {\n                return (Swept::Lost, live);",
    },
    Change {
        name: "sweep_from: no look at the mark",
        file: SWEEP,
        from: "            if next.is_marked() || generation(node) != at.generation {\n                return (Swept::Lost, live);",
        to: "            if generation(node) != at.generation {\n                return (Swept::Lost, live);",
    },
    Change {
        name: "sweep_from: no look at the generation",
        file: SWEEP,
        from: "            if next.is_marked() || generation(node) != at.generation {\n                return (Swept::Lost, live);",
        to: "            if next.is_marked() {\n                return (Swept::Lost, live);",
    },
    Change {
        name: "unlink_behind: no look at the generation",
        file: UNLINK,
        from: "if next.is_marked() || generation(node) != before.generation || next.index() == NIL {",
        to: "if next.is_marked() || next.index() == NIL {",
    },
    Change {
        name: "unlink_behind: no look at the mark",
        file: UNLINK,
        from: "if next.is_marked() || generation(node) != before.generation || next.index() == NIL {",
        to: "if generation(node) != before.generation || next.index() == NIL {",
    },
    Change {
        name: "unlink_after: frees what it has not unlinked",
        file: UNLINK,
        from: "while unlinked.is_ok() && index != end {",
        to: "while index != end {",
    },
    Change {
        name: "try_mark: no look whether it is still linked",
        file: UNLINK,
        from: "        if node.next.load(Ordering::Relaxed) != next.0 {\n            return Mark::Retry;\n        }\n",
        to: "",
    },
    Change {
        name: "try_mark: the hint stays on the last one that has left",
        file: UNLINK,
        from: "            self.move_tail_hint(Some(leaving), before);\n",
        to: "",
    },
    Change {
        name: "try_mark: no mark",
        file: UNLINK,
        from: "!(beyond.is_marked() || mark(child, beyond))",
        to: "false",
    },
    Change {
        name: "try_mark: whoever is completed",
        file: UNLINK,
        from: "if word.status() != Status::Cancelled {\n            return Mark::Live;",
        to: "if word.status() == Status::Queued {\n            return Mark::Live;",
    },
    Change {
        name: "successor: no second look at the link",
        file: SEMAPHORE_QUEUE,
        from: "unchanged.then_some(NodeRef",
        to: "(unchanged || true).then_some(NodeRef",
    },
    Change {
        name: "walk: no look at the generation",
        file: COUNT,
        from: "            if word.generation() != at.generation {\n                return None;\n            }\n            waiters",
        to: "            waiters",
    },
    Change {
        name: "walk: no look at the anchor",
        file: COUNT,
        from: "            if !holds {\n                return None;",
        to: "            if false && !holds {\n                return None;",
    },
    Change {
        name: "ahead_of: what it counted before it was lost",
        file: COUNT,
        from: "if let Some((ahead, true)) = self.walk(Some(node_ref))",
        to: "if let Some((ahead, _)) = self.walk(Some(node_ref))",
    },
    Change {
        name: "free_cancelled: freed before it is sealed",
        file: RETIRE,
        from: "    seal_cancelled(queue.node(index));\n    wakes.drop(queue.pool.free(index));",
        to: "    wakes.drop(queue.pool.free(index));\n    seal_cancelled(queue.node(index));",
    },
    Change {
        name: "release_node: freed before it is sealed",
        file: LEAVE,
        from: "Ok(_) if alone => return wakes.drop(queue.pool.free(node_ref.index)),",
        to: "Ok(_) if alone => { node.word.store(word.0, Ordering::Release); let old = queue.pool.free(node_ref.index); node.word.store(to.0, Ordering::Release); return wakes.drop(old); }",
    },
    Change {
        name: "waitlist_or_new: the loser keeps its waitlist",
        file: RAW_SEMAPHORE,
        from: "if installed.is_err() {\n                // SAFETY: `ours` came from `Box",
        to: "if false && installed.is_err() {\n                // SAFETY: `ours` came from `Box",
    },
    Change {
        name: "Drop: the waitlist is kept",
        file: RAW_SEMAPHORE,
        from: "        if !waitlist.is_null() {\n            // SAFETY: it came",
        to: "        if false && !waitlist.is_null() {\n            // SAFETY: it came",
    },
    Change {
        name: "next_generation: the same generation",
        file: NODE,
        from: "(self.generation() + 1) & ",
        to: "self.generation() & ",
    },
    Change {
        name: "relinked: the same version",
        file: NODE,
        from: "(self.0 >> Self::VERSION_SHIFT).wrapping_add(1)",
        to: "self.0 >> Self::VERSION_SHIFT",
    },
    Change {
        name: "free list: the same count",
        file: POOL,
        from: "((self.0 >> INDEX_BITS).wrapping_add(1)) << INDEX_BITS",
        to: "(self.0 >> INDEX_BITS) << INDEX_BITS",
    },
    Change {
        name: "far_slot_or_new: the loser keeps its table",
        file: NODES,
        from: "            if installed.is_err() {\n                // SAFETY: `ours` came from this",
        to: "            if false && installed.is_err() {\n                // SAFETY: `ours` came from this",
    },
    Change {
        name: "alloc_fresh: the rest of the chunk is lost",
        file: POOL,
        from: "        if indices.len() > 1 {",
        to: "        if false && indices.len() > 1 {",
    },
    Change {
        name: "free: the waker stays",
        file: POOL,
        from: "node.waker.with_mut(|slot| unsafe { (*slot).take() });\n        self.push",
        to: "node.waker.with_mut(|slot| unsafe { (*slot).clone() });\n        self.push",
    },
    Change {
        name: "free_batch: forgotten",
        file: POOL,
        from: "            self.push(batch.first, batch.last);\n            batch.len = 0;",
        to: "            batch.len = 0;",
    },
    Change {
        name: "alloc: linkable before it is named",
        file: POOL,
        from: "        // ORDERING: Release, as in `bump_generation`, whose store this one hides.\n        node.word.store(WaiterState::queued(generation, need).0, Ordering::Release);\n",
        to: "",
    },
    Change {
        name: "alloc: end of the line not set",
        file: POOL,
        from: "next.relinked(NIL).0, Ordering::Release",
        to: "next.marked().0, Ordering::Release",
    },
    Change {
        name: "check: no second look",
        file: CLAIM,
        from: "if self.is_unchanged(&found) => {",
        to: "if true => {",
    },
    Change {
        name: "check_fast: no second look at the oldest",
        file: CLAIM,
        from: "let is_unchanged = oldest_cell.load(Ordering::Relaxed) == oldest_word;",
        to: "let is_unchanged = true;",
    },
    Change {
        name: "check_fast: no second look at the newest",
        file: CLAIM,
        from: "let together = newest_cell.load(Ordering::Relaxed) == newest_word;",
        to: "let together = true;",
    },
    Change {
        name: "locate: no second look",
        file: CELLS,
        from: "if self.word(newest) == newest_word {",
        to: "if true {",
    },
    Change {
        name: "close: room that can still be claimed",
        file: CLOSE,
        from: "} else if !is_begun || self.bump(format, index, word) {",
        to: "} else {",
    },
    Change {
        name: "seed: stamps not written",
        file: HISTORY,
        from: "self.swap(index, 0, Format::pack(true",
        to: "self.swap(index, 1, Format::pack(true",
    },
    Change {
        name: "migrate_to: one stamp short",
        file: SUCCESSION,
        from: ".saturating_sub(missing).div_ceil(there);",
        to: ".saturating_sub(missing).div_ceil(there).saturating_sub(1);",
    },
    Change {
        name: "check_fast: no clamp",
        file: CLAIM,
        from: "let stamp = now.max(time);",
        to: "let stamp = now;",
    },
    Change {
        name: "check: no clamp",
        file: CLAIM,
        from: "let stamp = format.tick(now).max(format.time(found.newest_word));",
        to: "let stamp = format.tick(now);",
    },
    Change {
        name: "check: the first rule alone",
        file: CLAIM,
        from: "is_limited |= !rule.is_unlimited();\n                busy",
        to: "if is_limited { continue; }\n                is_limited |= !rule.is_unlimited();\n                busy",
    },
    Change {
        name: "check_fast: no look whether it is closed",
        file: CLAIM,
        from: "if !at_boundary || !together || time == Format::PLAIN.closed() {",
        to: "if !at_boundary || !together {",
    },
    Change {
        name: "snapshot: no second look",
        file: FORECAST,
        from: "if self.is_unchanged(&found) || tries == MAX_SNAPSHOTS {",
        to: "if true {",
    },
    Change {
        name: "check: a spent cell not sealed",
        file: CLAIM,
        from: "None if self.seal_spent_cell(format, &found, rules.first.limit) => {}",
        to: "",
    },
    Change {
        name: "has_successor: a load for an exchange",
        file: SUCCESSION,
        from: "self.successor.compare_exchange(null, null, Ordering::AcqRel, Ordering::Acquire).is_err()",
        to: "{ let _ = null; !self.successor.load(Ordering::Acquire).is_null() }",
    },
    Change {
        name: "deal: the whole limit",
        file: SPLIT,
        from: "*share = level.max(held).min(cells);",
        to: "*share = limit.max(level).max(held).min(cells);",
    },
    Change {
        name: "deal: even shares at a change",
        file: SPLIT,
        from: "*share = level.max(held).min(cells);",
        to: "*share = level.max(held * 0).min(cells);",
    },
    Change {
        name: "set_share: whatever the sequence",
        file: SPLIT,
        from: "if before >> SHARE_BITS == state.sequence() {",
        to: "if true {",
    },
    Change {
        name: "check_all_fast: no look at the state",
        file: CHECK,
        from: "if self.split.is_current(state) { found } else { Fast::Fallback }",
        to: "found",
    },
    Change {
        name: "check: no look at the state",
        file: CHECK,
        from: "if self.split.is_current(state) {\n                return found;",
        to: "if state == state {\n                return found;",
    },
    Change {
        name: "finish_change: no touch",
        file: RINGS,
        from: "if !rings.all(|ring| ring.touch(self.format, state.mark(), is_over)) {",
        to: "if !rings.all(|_| !is_over()) {",
    },
    Change {
        name: "touch: no look whether it is over",
        file: CLOSE,
        from: "if is_over() {",
        to: "if false && is_over() {",
    },
    Change {
        name: "chunks: no second round",
        file: CHUNKS,
        from: "if self.is_done[chunk].load(Ordering::Acquire) == 0 {",
        to: "if false {",
    },
    Change {
        name: "close: one ring stays open",
        file: SUCCESSION,
        from: "self.rings.iter().for_each(|ring| ring.close(self.format));",
        to: "self.rings.iter().skip(1).for_each(|ring| ring.close(self.format));",
    },
    Change {
        name: "and: the last free time of several rings",
        file: CELLS,
        from: "(self.free_at.min(other.free_at), self",
        to: "(other.free_at, self",
    },
    Change {
        name: "set: the loser's change lost",
        file: CHANGE,
        from: "while !self.set_in(&self.current(), index, limit, window) {}",
        to: "let _ = self.set_in(&self.current(), index, limit, window);",
    },
    Change {
        name: "seed_cell: stamps in reverse",
        file: SUCCESSION,
        from: "(number & self.mask(), number / rings)",
        to: "(self.mask() - (number & self.mask()), number / rings)",
    },
    Change {
        name: "migrate_to: rules not copied",
        file: SUCCESSION,
        from: "let _ = to.compare_exchange(0, word",
        to: "let _ = to.compare_exchange(7, word",
    },
    Change {
        name: "has_successor: no look whether it is closed",
        file: SUCCESSION,
        from: "self.is_linked() || self.is_closed()",
        to: "self.is_linked()",
    },
    Change {
        name: "migrate_to: the newest cell counted whole",
        file: SUCCESSION,
        from: "let missing = self.rings[0].unused_room(self.format);",
        to: "let missing = 0;",
    },
    Change {
        name: "close: settled at once",
        file: CLOSE,
        from: "let closed = if is_begun { format.closed() } else { format.settled() };",
        to: "let closed = format.settled();",
    },
    Change {
        name: "peek: a pin that ends with the check",
        file: ACQUIRE,
        from: "Ok(Reservation { at, pinned })",
        to: "{ drop(pinned); Ok(Reservation { at, pinned: None }) }",
    },
    Change {
        name: "ask: a reading that is kept though a reset or a jump has come",
        file: ACQUIRE,
        from: "reading.filter(|reading| reading.base == base)",
        to: "reading",
    },
    Change {
        name: "restart_time: whatever the time base",
        file: CHANGE,
        from: "if current.shards.time_base() == base {",
        to: "if true {",
    },
    Change {
        name: "migrate_to: several rings keep their stamps",
        file: SUCCESSION,
        from: "stamp.max(least)",
        to: "stamp",
    },
    Change {
        name: "unpin: frees, though it is not the last",
        file: RECLAIM,
        from: "        if is_last {",
        to: "        if is_last || true {",
    },
    Change {
        name: "unpin: forgets what it cannot free",
        file: RECLAIM,
        from: "        } else if !list.is_null() {\n            self.push(list);",
        to: "        } else if false {\n            self.push(list);",
    },
    Change {
        name: "push: drops what is on the list",
        file: RECLAIM,
        from: "unsafe { &*last }.set_next_retired(others);",
        to: "let _ = others;",
    },
    Change {
        name: "promote_successor: no second look at the pointer",
        file: CURRENT,
        from: "if self.current.load(Ordering::Acquire) != from {",
        to: "if false && self.current.load(Ordering::Acquire) != from {",
    },
    Change {
        name: "promote_successor: the old shards are never freed",
        file: CURRENT,
        from: "if exchanged.is_ok() && needs_pin(from) {",
        to: "if false && exchanged.is_ok() && needs_pin(from) {",
    },
    Change {
        name: "migrate_to: a fresh successor gets the stamps",
        file: SUCCESSION,
        from: "        if is_fresh(place) {\n            return;\n        }\n",
        to: "",
    },
    Change {
        name: "reset: content with any successor",
        file: CHANGE,
        from: "if is_fresh(current.shards.successor()) {",
        to: "if true {",
    },
    Change {
        name: "check_all_fast: no floor",
        file: CHECK,
        from: "-> Fast<(&Ring, Claim)> {\n        let now = now.max(self.floor);",
        to: "-> Fast<(&Ring, Claim)> {",
    },
    Change {
        name: "ask: a jump is not noticed",
        file: CORE,
        from: "if back > JUMP {",
        to: "if false {",
    },
    Change {
        name: "the slot kept before the turn is left",
        file: QUEUED,
        from: "                self.leave();\n                slot.keep();",
        to: "                slot.keep();\n                self.leave();",
    },
    Change {
        name: "alarm: no last look",
        file: QUEUED,
        from: "let last = self.as_mut().advance(cx);",
        to: "let last: Poll<Result<(), Refused>> = Poll::Pending;",
    },
    Change {
        name: "stamp: counted as waiting until it has left",
        file: QUEUED,
        from: "        *this.counted = None;\n        if core.is_closed()",
        to: "        if core.is_closed()",
    },
    Change {
        name: "estimate_for_newcomer: no second look",
        file: CORE,
        from: "if still >= waiting {",
        to: "if still >= 0 {",
    },
    Change {
        name: "slot: deaf to changes",
        file: QUEUED,
        from: "if !changes.has_come(cx)? {",
        to: "if true {",
    },
    Change {
        name: "slot: back to the rate at any change",
        file: QUEUED,
        from: "if core.peek().is_err() {",
        to: "if true {",
    },
    Change {
        name: "no_slot: no look whether there ever is one",
        file: CONCURRENCY,
        from: "semaphore.is_permanently_empty().then(|| Refused",
        to: "false.then(|| Refused",
    },
    Change {
        name: "stamp: no look at the close",
        file: QUEUED,
        from: "        if core.is_closed() {\n            return Some(Err(Refused::closed()));\n        }\n",
        to: "",
    },
    Change {
        name: "close: those before the line are not told",
        file: CORE,
        from: "        self.changes.close();\n",
        to: "",
    },
    Change {
        name: "has_come: one change at a time",
        file: WAKES,
        from: "        self.core.changes.forget_permits(usize::MAX);\n        self.next",
        to: "        self.next",
    },
    Change {
        name: "places: one more",
        file: QUEUE,
        from: "if taken >= self.max {",
        to: "if taken > self.max {",
    },
    Change {
        name: "estimate: others who never leave",
        file: CORE,
        from: "turn.is_none() && ahead > 0",
        to: "false",
    },
    Change {
        name: "rate: looks again at once",
        file: WAKES,
        from: "            sleep.set(None);\n            return yield_now(cx);",
        to: "            sleep.set(None);\n            continue;",
    },
    Change {
        name: "stamp refused: looks again at once",
        file: QUEUED,
        from: "None => return yield_now(cx),",
        to: "None => {}",
    },
    Change {
        name: "set_rate: nobody told",
        file: CORE,
        from: "limit, window)?;\n        self.changes.add_permits(1);",
        to: "limit, window)?;",
    },
    Change {
        name: "position: as if at the head",
        file: QUEUED,
        from: "map_or(0, |ahead| ahead + 1)",
        to: "map_or(0, |ahead| ahead)",
    },
    Change {
        name: "check_satisfiable: never",
        file: CORE,
        from: "if refused.is_permanent() { Err(refused) } else { Ok(()) }",
        to: "Ok(())",
    },
    Change {
        name: "wait_for_rate: deaf to the close",
        file: WAKES,
        from: "if sources.is_closed(cx) {",
        to: "if false && sources.is_closed(cx) {",
    },
    Change {
        name: "stamp refused: the slot kept meanwhile",
        file: QUEUED,
        from: "                drop(slot);\n                not_until",
        to: "                slot.keep();\n                not_until",
    },
];

pub(crate) fn all(checkout: &Checkout) -> Vec<Mutant> {
    let apply = |change: &Change| {
        let text = checkout.read(change.file);
        let found = text.matches(change.from).count();
        assert!(found == 1, "{}: what it replaces is there {found} times", change.name);
        let text = text.replace(change.from, change.to);
        let name = format!("{} {}", change.file, change.name);
        Mutant { name, file: change.file, text, kind: Kind::Step }
    };
    CHANGES.iter().map(apply).collect()
}
