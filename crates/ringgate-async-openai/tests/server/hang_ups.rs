//! Who hangs up gets the permit back, at whatever point.

use crate::scene::{HOUR, SLOTS, Scene, request};
use futures_util::StreamExt;
use ringgate_mock_provider::{After, Fault, MockProvider};

async fn slow() -> Scene {
    Scene::with(MockProvider::builder().answer_time(HOUR..=HOUR), SLOTS).await
}

#[tokio::test]
async fn while_the_call_waits_for_its_answer() {
    let scene = slow().await;
    let client = scene.client();
    let call = tokio::spawn(async move { client.chat().create(request()).await });
    scene.until(|counts| counts.in_flight == 1).await;
    assert_eq!(scene.limiter.available_permits(), SLOTS - 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(scene.limiter.available_permits(), SLOTS);
    let counts = scene.until(|counts| counts.in_flight == 0).await;
    assert_eq!((counts.hung_up, scene.requests()), (1, 1));
}

#[tokio::test]
async fn while_the_call_waits_for_its_permit() {
    let scene = slow().await;
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let client = scene.client();
    let call = tokio::spawn(async move { client.chat().create(request()).await });
    crate::scene::until(|| (scene.limiter.waiters() == 1).then_some(())).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(scene.limiter.waiters(), 0);
    drop(held);
    assert_eq!((scene.limiter.available_permits(), scene.requests()), (SLOTS, SLOTS));
    assert_eq!(scene.provider.counts().accepted, 0);
}

/// After each event of the stream, and before the first.
#[tokio::test]
async fn while_the_answer_streams() {
    for events in 0..=6 {
        let scene = Scene::new().await;
        scene.provider.fail_next(1, Fault::Stall(After::Frames(events)));
        let mut stream = scene.client().chat().create_stream(request()).await.unwrap();
        for _ in 0..events {
            stream.next().await.unwrap().unwrap();
        }
        assert_eq!(scene.limiter.available_permits(), SLOTS - 1, "after {events}");
        drop(stream);
        scene.until_free().await;
        let counts = scene.until(|counts| counts.in_flight == 0).await;
        assert_eq!((counts.hung_up, scene.requests()), (1, 1), "after {events}");
    }
}

/// An answer that is no stream is read by its own call.
#[tokio::test]
async fn while_the_answer_is_read() {
    let scene = Scene::new().await;
    scene.provider.fail_next(1, Fault::Stall(After::Bytes(20)));
    let client = scene.client();
    let call = tokio::spawn(async move { client.chat().create(request()).await });
    scene.until(|counts| counts.in_flight == 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(scene.limiter.available_permits(), SLOTS);
    let counts = scene.until(|counts| counts.in_flight == 0).await;
    assert_eq!((counts.hung_up, scene.requests()), (1, 1));
}

#[tokio::test]
async fn between_two_attempts() {
    let scene = Scene::new().await;
    scene.provider.close_for(HOUR);
    let client = scene.client();
    let call = tokio::spawn(async move { client.chat().create(request()).await });
    scene.until(|counts| counts.closed == 1).await;
    scene.until_free().await;
    assert!(crate::scene::until(|| scene.limiter.paused_for()).await > HOUR / 60);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!((scene.limiter.available_permits(), scene.requests()), (SLOTS, 1));
}
