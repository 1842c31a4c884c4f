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
    /// Its last one.
    trip: AtomicU64,
    pause: AtomicBool,
    room: AtomicBool,
    /// The node of a cluster has given the limit's slot away, and told nothing since.
    ended: AtomicBool,
    any: Notify,
}

impl Pushes {
    /// A trip begins. What was told before it is known by its answer; if it has none, another one is made anyway.
    pub(super) fn is_for(&self, process: u64, trip: u64) {
        // ORDERING: Relaxed, all: the numbers are all that there is to know. A message that meets only some of them makes a trip too many.
        self.process.store(process, Ordering::Relaxed);
        self.trip.store(trip, Ordering::Relaxed);
        self.room.store(false, Ordering::Relaxed);
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
            Ok(Published::Room { process, trip } | Published::Slots { process, trip })
                // ORDERING: Relaxed, both: as in `is_for`.
                if process == self.process.load(Ordering::Relaxed)
                    && trip >= self.trip.load(Ordering::Relaxed) =>
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

#[cfg(test)]
mod tests {
    use super::{News, PushInfo, PushKind, Pushes, Value};
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    fn told(pushes: &Pushes, message: &str) {
        let data = vec![Value::BulkString(b"key".to_vec()), Value::BulkString(message.into())];
        pushes.push(&PushInfo { kind: PushKind::Message, data });
    }

    fn news(pushes: &Pushes) -> Option<News> {
        match pin!(pushes.news()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(news) => Some(news),
            Poll::Pending => None,
        }
    }

    /// A trip had found the room, and its news made another trip, which found nothing.
    #[test]
    fn news_from_before_the_last_trip_made_another_one() {
        let pushes = Pushes::default();
        pushes.is_for(1, 5);
        told(&pushes, "room 0000000000000001 5");
        assert_eq!(news(&pushes), Some(News::Room));
        told(&pushes, "room 0000000000000001 5");
        pushes.is_for(1, 6);
        assert_eq!(news(&pushes), None);
        told(&pushes, "slots 0000000000000001 5");
        told(&pushes, "room 0000000000000002 6");
        assert_eq!(news(&pushes), None);
        told(&pushes, "pause");
        pushes.is_for(1, 7);
        assert_eq!(news(&pushes), Some(News::Pause), "a pause is for all");
        told(&pushes, "slots 0000000000000001 7");
        assert_eq!(news(&pushes), Some(News::Room));
    }
}
