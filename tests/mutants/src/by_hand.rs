//! Re-checks left out, steps swapped.

use crate::checkout::Checkout;
use crate::{Kind, Mutant};

struct Change {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const LINE: &str = "src/raw/semaphore/line.rs";
const NODE: &str = "src/raw/semaphore/node.rs";
const STORE: &str = "src/raw/semaphore/store.rs";
const NODES: &str = "src/raw/semaphore/chunks.rs";
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
        name: "link: no look at the mark",
        file: LINE,
        from: "            if next.is_marked() || generation(node) != at.generation {\n                at = match",
        to: "            if generation(node) != at.generation {\n                at = match",
    },
    Change {
        name: "link: no look at the generation",
        file: LINE,
        from: "            if next.is_marked() || generation(node) != at.generation {\n                at = match",
        to: "            if next.is_marked() {\n                at = match",
    },
    Change {
        name: "line_up: no look at CLOSED",
        file: LINE,
        from: "            if state.is_closed() {\n                return Poll::Ready(Err(Refusal::Closed));\n            }\n            let Some(front) = state.front() else {\n                if u64",
        to: "            let Some(front) = state.front() else {\n                if u64",
    },
    Change {
        name: "line_up: need not set anew at the front",
        file: LINE,
        from: "store.set_need(place, need);",
        to: "let _ = need;",
    },
    Change {
        name: "line_up: need not set anew behind others",
        file: LINE,
        from: "store.set_need(place, asked);",
        to: "",
    },
    Change {
        name: "poll_place: no look at CLOSED",
        file: LINE,
        from: "if self.is_closed() {\n                self.cancel(ticket);",
        to: "if false {\n                self.cancel(ticket);",
    },
    Change {
        name: "link: does not unlink what is in its way",
        file: LINE,
        from: "                        unlink_behind(store, before);\n                        before",
        to: "                        before",
    },
    Change {
        name: "line_up: concluded front not helped",
        file: LINE,
        from: "                Err(FrontLeaves) => self.hand_out(0, wakes),",
        to: "                Err(FrontLeaves) => {}",
    },
    Change {
        name: "collect: a grant seen after the close kept",
        file: LINE,
        from: "if granted && closed {",
        to: "if false {",
    },
    Change {
        name: "conclude_poll: permits kept by a panic",
        file: LINE,
        from: "if taken && wakes.will_panic() {",
        to: "if false && taken && wakes.will_panic() {",
    },
    Change {
        name: "change_waker: word from before the change",
        file: LINE,
        from: "    let found = Word(node.word.fetch_and(!Word::BUSY, Ordering::Release));\n",
        to: "    node.word.fetch_and(!Word::BUSY, Ordering::Release);\n",
    },
    Change {
        name: "concluded: a visitor although the owner is inside",
        file: NODE,
        from: "status != Status::Cancelled && !self.is_busy()",
        to: "status != Status::Cancelled",
    },
    Change {
        name: "attend: no look at BUSY",
        file: LINE,
        from: "if before.is_busy() { None } else {",
        to: "if false && before.is_busy() { None } else {",
    },
    Change {
        name: "visit: no look at the generation",
        file: LINE,
        from: "word.generation() != place.generation || !concluded",
        to: "!concluded",
    },
    Change {
        name: "visit: no look at BUSY",
        file: LINE,
        from: "!concluded || word.is_busy() || word",
        to: "!concluded || word",
    },
    Change {
        name: "visit: no look at LEFT",
        file: LINE,
        from: "|| word.is_busy() || word.has_left()",
        to: "|| word.is_busy()",
    },
    Change {
        name: "visit: no look whether it is concluded",
        file: LINE,
        from: "place.generation || !concluded || word",
        to: "place.generation || (false && !concluded) || word",
    },
    Change {
        name: "leave: nobody recycles for an owner that has left",
        file: LINE,
        from: "Ok(_) if word.has_left() && word.visitors() == 1 => {",
        to: "Ok(_) if false && word.has_left() && word.visitors() == 1 => {",
    },
    Change {
        name: "leave: not only the last visitor recycles",
        file: LINE,
        from: "Ok(_) if word.has_left() && word.visitors() == 1 => {",
        to: "Ok(_) if word.has_left() => {",
    },
    Change {
        name: "leave: others may come in while the waker is taken",
        file: LINE,
        from: "if takes { word.0 | Word::BUSY }",
        to: "if takes { word.0 }",
    },
    Change {
        name: "leave: takes the waker while the owner is inside",
        file: LINE,
        from: "let takes = word.visitors() == 1 && !word.is_busy() && !word.has_left();",
        to: "let takes = word.visitors() == 1 && !word.has_left();",
    },
    Change {
        name: "leave: takes the waker although others are inside",
        file: LINE,
        from: "let takes = word.visitors() == 1 && !word.is_busy() && !word.has_left();",
        to: "let takes = word.visitors() > 0 && !word.is_busy() && !word.has_left();",
    },
    Change {
        name: "leave: the waker stays",
        file: LINE,
        from: "let takes = word.visitors() == 1 && !word.is_busy() && !word.has_left();",
        to: "let takes = false;",
    },
    Change {
        name: "depart: no look at visitors",
        file: LINE,
        from: "let alone = word.visitors() == 0;",
        to: "let alone = true;",
    },
    Change {
        name: "depart: front not retired first",
        file: LINE,
        from: "if self.state().front() == Some(place) {\n            self.retire(store, place, Status::Granted, wakes);",
        to: "if false {\n            self.retire(store, place, Status::Granted, wakes);",
    },
    Change {
        name: "mark_front: no look whether it still is the front",
        file: LINE,
        from: "if self.state().front() != Some(front) {\n                return None;\n            }\n            if next.is_marked()",
        to: "if next.is_marked()",
    },
    Change {
        name: "mark_front: no mark",
        file: LINE,
        from: "if next.is_marked() || mark(node, next) {\n                return Some",
        to: "if next.is_marked() || next.0 != 0 || mark(node, next) {\n                return Some",
    },
    Change {
        name: "retire: no look whether it still is the front",
        file: LINE,
        from: "            if state.front() != Some(front) {\n                return;\n            }\n            let to",
        to: "            let to",
    },
    Change {
        name: "retire: a cancelled front not freed",
        file: LINE,
        from: "if status == Status::Cancelled {\n            free_cancelled(store, front.index, wakes);",
        to: "if false && status == Status::Cancelled {\n            free_cancelled(store, front.index, wakes);",
    },
    Change {
        name: "hand_out: no look at the generation",
        file: LINE,
        from: "            if word.generation() != front.generation {\n                continue;\n            }\n            let served",
        to: "            let served",
    },
    Change {
        name: "hand_out: a concluded front not woken again",
        file: LINE,
        from: "if !awake && visit(node, front) {",
        to: "if false && !awake && visit(node, front) {",
    },
    Change {
        name: "hand_out: unlinked first, woken then",
        file: LINE,
        from: "                        let from_inside = self.attend(store, front, node, word, wakes);\n                        self.retire(store, front, Status::Granted, wakes);\n",
        to: "                        self.retire(store, front, Status::Granted, wakes);\n                        let from_inside = self.attend(store, front, node, word, wakes);\n",
    },
    Change {
        name: "hand_out: no look whether this thread is waking it",
        file: LINE,
        from: "concluded == Status::Cancelled || wakes::is_waking(self.address(), front)",
        to: "concluded == Status::Cancelled",
    },
    Change {
        name: "hand_out: nothing left to the outer operation",
        file: LINE,
        from: "Status::Queued if wakes::leave_to_outer(self.address(), permits) => return,",
        to: "",
    },
    Change {
        name: "hand_out: what a waker left is lost",
        file: LINE,
        from: "permits = left.saturating_add(from_inside.unwrap_or(0));",
        to: "permits = left;",
    },
    Change {
        name: "hand_out: no late look at the debt",
        file: LINE,
        from: "return self.settle_late(state);",
        to: "return;",
    },
    Change {
        name: "hand_out: no debt paid",
        file: LINE,
        from: "if state.has_debt() && permits > 0 {",
        to: "if false && state.has_debt() {",
    },
    Change {
        name: "hand_out: what is left after a grant is lost",
        file: LINE,
        from: "permits = left.saturating_add(from_inside.unwrap_or(0));",
        to: "permits = from_inside.unwrap_or(0); let _ = left;",
    },
    Change {
        name: "settle: once only",
        file: LINE,
        from: "            paid += taken;\n        }",
        to: "            return paid + taken;\n        }",
    },
    Change {
        name: "settle: what was claimed in vain is not owed again",
        file: LINE,
        from: "if taken < claimed {",
        to: "if false && taken < claimed {",
    },
    Change {
        name: "reduce: DEBT set before the debt is written",
        file: LINE,
        from: "            store.owe(owed);\n            paid = self.settle(store).min(owed);",
        to: "            paid = self.settle(store).min(owed);\n            store.owe(owed);",
    },
    Change {
        name: "reduce: no settlement",
        file: LINE,
        from: "            paid = self.settle(store).min(owed);",
        to: "            paid = 0;",
    },
    Change {
        name: "collect: told as served though there can never be as many",
        file: LINE,
        from: "if !granted && !closed {",
        to: "if false && !granted && !closed {",
    },
    Change {
        name: "line_up: no look at the bound",
        file: LINE,
        from: "                if u64::from(asked) > self.bound().most() {\n                    return Poll::Ready(Err(Refusal::TooMany));\n                }\n",
        to: "",
    },
    Change {
        name: "hand_out: the next front is not looked at after a grant",
        file: LINE,
        from: "from_inside.is_none() && !self.bound().is_some()",
        to: "from_inside.is_none()",
    },
    Change {
        name: "add: no bound",
        file: LINE,
        from: "let added = if before.is_some() { permits.min(room(before)) } else { permits };",
        to: "let added = permits;",
    },
    Change {
        name: "reduce: the bound stays",
        file: LINE,
        from: "let most = bound.most().saturating_sub(permits);",
        to: "let most = bound.most();",
    },
    Change {
        name: "reduce: a front that cannot be met is not told",
        file: LINE,
        from: "            self.refuse_what_cannot_be();\n",
        to: "",
    },
    Change {
        name: "release: no look at DEBT",
        file: LINE,
        from: "self.0 & (Self::QUEUE | Self::DEBT) == 0",
        to: "self.0 & Self::QUEUE == 0",
    },
    Change {
        name: "permits: a line is taken for permits",
        file: LINE,
        from: "if self.0 & Self::QUEUE == 0 { self.0 >> Self::SHIFT } else { 0 }",
        to: "self.0 >> Self::SHIFT",
    },
    Change {
        name: "forget: a store for an exchange",
        file: LINE,
        from: "if taken == 0 || self.swing(state, state.free(state.permits() - taken)) {",
        to: "if taken == 0 || { self.state.store(state.free(state.permits() - taken).0, Ordering::Release); true } {",
    },
    Change {
        name: "try_take: no second look at the close",
        file: LINE,
        from: "                self.state();\n                return Err(Refusal::Closed);",
        to: "                return Err(Refusal::Closed);",
    },
    Change {
        name: "close: watchers left out",
        file: LINE,
        from: "store.watchers.conclude_all(&mut wakes);",
        to: "let _ = &store.watchers;",
    },
    Change {
        name: "close: nobody concluded",
        file: LINE,
        from: "self.state.fetch_or(State::CLOSED, Ordering::Release);\n        self.hand_out(0, wakes);",
        to: "self.state.fetch_or(State::CLOSED, Ordering::Release);\n        let _ = wakes;",
    },
    Change {
        name: "poll_closed: a load for an exchange",
        file: LINE,
        from: "if State(self.state.fetch_or(0, Ordering::AcqRel)).is_closed() {",
        to: "if self.is_closed() {",
    },
    Change {
        name: "close_node: collected permits kept",
        file: LINE,
        from: "u64::from(total - word.need()).saturating_add(",
        to: "u64::from(total - total).saturating_add(",
    },
    Change {
        name: "cancel: a grant kept",
        file: LINE,
        from: "Status::Granted => self.depart(place, &mut wakes),",
        to: "Status::Granted => { self.depart(place, &mut wakes); back = 0; }",
    },
    Change {
        name: "cancel: a closed waiter gives back, too",
        file: LINE,
        from: "back = 0; // the closer gave it back",
        to: "",
    },
    Change {
        name: "cancel: collected permits kept",
        file: LINE,
        from: "back -= word.need();",
        to: "back = 0 * word.need();",
    },
    Change {
        name: "bury: a cancelled front not retired",
        file: LINE,
        from: "        if self.state().front() == Some(place) {\n            self.retire(store, place, Status::Cancelled, wakes);\n            return;\n        }\n        if unlink",
        to: "        if unlink",
    },
    Change {
        name: "bury: not unlinked at once",
        file: LINE,
        from: "        if unlink(store, place) {\n            return;\n        }\n",
        to: "",
    },
    Change {
        name: "bury: no sweep",
        file: LINE,
        from: "if count >= leftovers.sweep_at.load(Ordering::Relaxed) {",
        to: "if false && count >= leftovers.sweep_at.load(Ordering::Relaxed) {",
    },
    Change {
        name: "conclude_cancelled: tried once",
        file: LINE,
        from: "            Ok(_) => break,\n            Err(now) => word = Word(now),\n        }\n    }\n    (word, waker)",
        to: "            _ => break,\n        }\n    }\n    (word, waker)",
    },
    Change {
        name: "sweep_from: no look at mark and generation",
        file: LINE,
        from: "        if next.is_marked() || generation(node) != at.generation {\n            return (Swept::Lost, living);",
        to: "        if false {\n            return (Swept::Lost, living);",
    },
    Change {
        name: "sweep_from: no look at the mark",
        file: LINE,
        from: "        if next.is_marked() || generation(node) != at.generation {\n            return (Swept::Lost, living);",
        to: "        if generation(node) != at.generation {\n            return (Swept::Lost, living);",
    },
    Change {
        name: "sweep_from: no look at the generation",
        file: LINE,
        from: "        if next.is_marked() || generation(node) != at.generation {\n            return (Swept::Lost, living);",
        to: "        if next.is_marked() {\n            return (Swept::Lost, living);",
    },
    Change {
        name: "unlink_behind: no look at the generation",
        file: LINE,
        from: "if next.is_marked() || generation(node) != before.generation || next.index() == NIL {",
        to: "if next.is_marked() || next.index() == NIL {",
    },
    Change {
        name: "unlink_behind: no look at the mark",
        file: LINE,
        from: "if next.is_marked() || generation(node) != before.generation || next.index() == NIL {",
        to: "if generation(node) != before.generation || next.index() == NIL {",
    },
    Change {
        name: "unlink_after: recycles what it has not unlinked",
        file: LINE,
        from: "while unlinked.is_ok() && index != end {",
        to: "while index != end {",
    },
    Change {
        name: "condemn: no look whether it is still linked",
        file: LINE,
        from: "    if node.next.load(Ordering::Relaxed) != next.0 {\n        return Fate::Unknown;\n    }\n",
        to: "",
    },
    Change {
        name: "condemn: the hint stays on the last one that has left",
        file: LINE,
        from: "        store.replace_last(Some(Ref { index, generation: word.generation() }), before);\n",
        to: "",
    },
    Change {
        name: "condemn: no mark",
        file: LINE,
        from: "!(beyond.is_marked() || mark(child, beyond))",
        to: "false",
    },
    Change {
        name: "condemn: whoever is concluded",
        file: LINE,
        from: "if word.status() != Status::Cancelled {\n        return Fate::Lives;",
        to: "if word.status() == Status::Queued {\n        return Fate::Lives;",
    },
    Change {
        name: "successor: no second look at the link",
        file: LINE,
        from: "unchanged.then_some(Ref",
        to: "(unchanged || true).then_some(Ref",
    },
    Change {
        name: "walk: no look at the generation",
        file: LINE,
        from: "            if word.generation() != at.generation {\n                return None;\n            }\n            waiters",
        to: "            waiters",
    },
    Change {
        name: "walk: no look at the anchor",
        file: LINE,
        from: "            if !holds {\n                return None;",
        to: "            if false && !holds {\n                return None;",
    },
    Change {
        name: "ahead_of: what it counted before it was lost",
        file: LINE,
        from: "if let Some((ahead, true)) = self.walk(Some(place))",
        to: "if let Some((ahead, _)) = self.walk(Some(place))",
    },
    Change {
        name: "free_cancelled: recycled before it is sealed",
        file: LINE,
        from: "    seal_cancelled(store.node(index));\n    wakes.drop(store.recycle(index));",
        to: "    wakes.drop(store.recycle(index));\n    seal_cancelled(store.node(index));",
    },
    Change {
        name: "depart: recycled before it is sealed",
        file: LINE,
        from: "Ok(_) if alone => return wakes.drop(store.recycle(place.index)),",
        to: "Ok(_) if alone => { node.word.store(word.0, Ordering::Release); let old = store.recycle(place.index); node.word.store(to.0, Ordering::Release); return wakes.drop(old); }",
    },
    Change {
        name: "store_or_new: the loser keeps its store",
        file: LINE,
        from: "if installed.is_err() {\n                // SAFETY",
        to: "if false && installed.is_err() {\n                // SAFETY",
    },
    Change {
        name: "Drop: the store is kept",
        file: LINE,
        from: "        if !store.is_null() {\n            // SAFETY: it came",
        to: "        if false && !store.is_null() {\n            // SAFETY: it came",
    },
    Change {
        name: "next_life: the same generation",
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
        file: STORE,
        from: "((self.0 >> INDEX_BITS).wrapping_add(1)) << INDEX_BITS",
        to: "(self.0 >> INDEX_BITS) << INDEX_BITS",
    },
    Change {
        name: "far_slot_or_new: the loser keeps its table",
        file: NODES,
        from: "            if installed.is_err() {\n                // SAFETY: `ours`",
        to: "            if false && installed.is_err() {\n                // SAFETY: `ours`",
    },
    Change {
        name: "bring: the rest of the chunk is lost",
        file: STORE,
        from: "        if indices.len() > 1 {",
        to: "        if false && indices.len() > 1 {",
    },
    Change {
        name: "recycle: the waker stays",
        file: STORE,
        from: "node.waker.with_mut(|slot| unsafe { (*slot).take() });\n        self.push",
        to: "node.waker.with_mut(|slot| unsafe { (*slot).clone() });\n        self.push",
    },
    Change {
        name: "recycle_all: forgotten",
        file: STORE,
        from: "            self.push(together.first, together.last);\n            together.len = 0;",
        to: "            together.len = 0;",
    },
    Change {
        name: "prepare: linkable before it is named",
        file: STORE,
        from: "        // ORDERING: Release, as when the last life ended (`end_life`): this store hides that one.\n        node.word.store(Word::queued(generation, need).0, Ordering::Release);\n",
        to: "",
    },
    Change {
        name: "prepare: end of the line not set",
        file: STORE,
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
