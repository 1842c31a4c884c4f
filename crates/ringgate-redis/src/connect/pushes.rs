//! What the store pushes.

use crate::link::News;
use crate::script::Published;
use core::str;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

/// What was pushed and not read yet.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    /// By which number this process makes its trips.
    process: AtomicU64,
    pause: AtomicBool,
    room: AtomicBool,
    /// The node of a cluster has given the limit's slot away, and told nothing since.
    ended: AtomicBool,
    any: Notify,
}

impl Pushes {
    pub(super) fn is_for(&self, process: u64) {
        // ORDERING: Relaxed: the number is all that there is to know.
        self.process.store(process, Ordering::Relaxed);
    }

    /// What is for others wakes nobody.
    pub(super) fn push(&self, push: &PushInfo) {
        if push.kind == PushKind::SUnsubscribe {
            // ORDERING: Release, both; pair with the swaps in `has_ended` and `news`. It may have missed a pause, and asks, by another connection.
            self.ended.store(true, Ordering::Release);
            self.pause.store(true, Ordering::Release);
            self.any.notify_one();
            return;
        }
        if !matches!(push.kind, PushKind::Message | PushKind::SMessage) {
            return;
        }
        let Some(Value::BulkString(message)) = push.data.last() else { return };
        let Some(message) = str::from_utf8(message).ok() else { return };
        match message.parse() {
            // ORDERING: Release; pairs with the swap in `news`. The notification carries it, too.
            Ok(Published::Pause) => self.pause.store(true, Ordering::Release),
            Ok(Published::Room(process) | Published::Slots(process))
                // ORDERING: Relaxed: as in `is_for`.
                if process == self.process.load(Ordering::Relaxed) =>
            {
                // ORDERING: Release; pairs with the swap in `news`.
                self.room.store(true, Ordering::Release);
            }
            _ => return,
        }
        self.any.notify_one();
    }

    /// Whether the subscription has ended since the last look. The client does not begin it again.
    pub(super) fn has_ended(&self) -> bool {
        // ORDERING: Acquire; pairs with the store in `push`.
        self.ended.swap(false, Ordering::Acquire)
    }

    pub(super) async fn news(&self) -> News {
        loop {
            // ORDERING: Acquire, both; pair with the stores in `push`. One that comes later notifies again.
            if self.pause.swap(false, Ordering::Acquire) {
                return News::Pause;
            }
            if self.room.swap(false, Ordering::Acquire) {
                return News::Room;
            }
            self.any.notified().await;
        }
    }
}
