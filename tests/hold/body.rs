//! HTTP bodies.

use crate::common::poll_with;
use crate::scene::{
    AS_RESERVED, Answer, Breaks, Broken, Ends, Panics, SLOTS, Says, Scene, Seen, Step, Waits,
    has_panicked, scene,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Empty, Full};
use ringgate::{Semaphore, Usage};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Its frames say what was used; one of more than 100 tokens of output is a trailer.
struct Frames {
    answer: Answer,
    /// After so many polls it says that it has ended.
    ends_after: Option<usize>,
    polls: usize,
}

type Data = std::collections::VecDeque<u8>;

impl Body for Frames {
    type Data = Data;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Broken>>> {
        self.polls += 1;
        self.answer.advance().map(|item| item.map(|item| item.map(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ends_after.is_some_and(|most| self.polls >= most)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }
}

fn frame(used: Usage) -> Frame<Data> {
    if used.output > 100 {
        let (name, value) = (HeaderName::from_static("x-output"), HeaderValue::from(used.output));
        Frame::trailers(HeaderMap::from_iter([(name, value)]))
    } else {
        Frame::data(Data::from([
            u8::try_from(used.input).unwrap(),
            u8::try_from(used.output).unwrap(),
        ]))
    }
}

fn used(frame: &Frame<Data>) -> Option<Usage> {
    if let Some(trailers) = frame.trailers_ref() {
        return Some(Usage::new(0, trailers["x-output"].to_str().ok()?.parse().ok()?));
    }
    let data = frame.data_ref()?;
    Some(Usage::new(data[0].into(), data[1].into()))
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

fn next<B: Body + Unpin>(body: &mut B) -> Polled<B> {
    let next = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
    poll_with(pin!(next), Waker::noop())
}

fn body(scene: &Scene, script: &[Step]) -> (Frames, Arc<Seen>) {
    let (answer, seen) = scene.answer(script);
    (Frames { answer, ends_after: None, polls: 0 }, seen)
}

/// Broken by: trailers that are not read, or not passed on; an end that keeps the slot.
#[test]
fn frames_and_trailers_pass_and_settle_the_call_at_the_end() {
    let scene = scene();
    let (body, seen) = body(&scene, &[Says(90, 20), Waits, Says(0, 120), Ends]);
    let mut held = scene.permit().hold_body(body).settle_with(used);
    assert_eq!(held.size_hint().exact(), Some(7));
    let Poll::Ready(Some(Ok(data))) = next(&mut held) else { panic!("no frame") };
    assert_eq!(data.into_data().unwrap(), [90, 20]);
    assert!(next(&mut held).is_pending());
    let Poll::Ready(Some(Ok(trailers))) = next(&mut held) else { panic!("no frame") };
    assert_eq!(trailers.into_trailers().unwrap()["x-output"], "120");
    assert_eq!((scene.limiter.available_permits(), held.is_end_stream()), (SLOTS - 1, false));
    assert!(matches!(next(&mut held), Poll::Ready(None)));
    assert_eq!(seen.free_at_drop(), Some(SLOTS - 1));
    scene.assert_over((90, 120));
    assert!(matches!(next(&mut held), Poll::Ready(None)));
    assert_eq!((seen.polls(), held.is_end_stream(), held.size_hint().exact()), (4, true, Some(0)));
    assert_eq!(format!("{held:?}"), "HeldBody { ended: true, .. }");
}

/// Who reads a body need not ask for the `None` then. Broken by: the end of a body told by `None` alone.
#[test]
fn the_last_frame_is_the_end_if_the_body_says_so() {
    let scene = scene();
    let (mut body, seen) = body(&scene, &[Says(80, 1), Says(90, 20)]);
    body.ends_after = Some(2);
    let mut held = scene.permit().hold_body(body).settle_with(used);
    assert!(matches!(next(&mut held), Poll::Ready(Some(Ok(_)))));
    assert_eq!((scene.limiter.available_permits(), held.is_end_stream()), (SLOTS - 1, false));
    assert!(matches!(next(&mut held), Poll::Ready(Some(Ok(_)))));
    assert_eq!((seen.free_at_drop(), held.is_end_stream()), (Some(SLOTS - 1), true));
    scene.assert_over((90, 20));
    assert!(matches!(next(&mut held), Poll::Ready(None)));
    assert_eq!(seen.polls(), 2);
}

/// Broken by: a body that nobody polls, because it is empty, and that keeps its slot.
#[test]
fn a_body_without_frames_frees_its_slot_at_once() {
    let scene = scene();
    let mut held = scene.permit().hold_body(Empty::<&[u8]>::new()).settle_with(|_| None);
    scene.assert_over(AS_RESERVED);
    assert!(held.is_end_stream());
    assert!(matches!(next(&mut held), Poll::Ready(None)));
}

/// Broken by: an error after which the body goes on; one that settles.
#[test]
fn an_error_ends_a_body() {
    let scene = scene();
    let (body, seen) = body(&scene, &[Says(90, 20), Breaks, Says(1, 1)]);
    let mut held = scene.permit().hold_body(body).settle_with(used).observe_with(|_| None);
    scene.limiter.observe(&ringgate::Feedback::overload());
    assert!(matches!(next(&mut held), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(next(&mut held), Poll::Ready(Some(Err(Broken::Reset)))));
    assert!(seen.free_at_drop().is_some());
    assert_eq!(scene.used(), AS_RESERVED);
    // And is no success.
    assert_eq!((scene.limiter.available_permits(), scene.limiter.concurrency_limit()), (1, 1));
    assert!(matches!(next(&mut held), Poll::Ready(None)));
    assert_eq!(seen.polls(), 2);
}

/// Broken by: a step without its guard.
#[test]
fn a_body_that_panics_or_is_dropped_gives_its_slot_back() {
    let script = [Says(90, 20), Waits, Says(0, 120), Panics];
    for polls in 0..=script.len() {
        let scene = scene();
        let (body, seen) = body(&scene, &script);
        let mut held = scene.permit().hold_body(body).settle_with(used);
        let mut panicked = false;
        for _ in 0..polls {
            panicked = has_panicked(|| next(&mut held));
        }
        if panicked {
            assert_eq!((polls, seen.free_at_drop()), (4, Some(SLOTS - 1)));
            assert!(matches!(next(&mut held), Poll::Ready(None)));
        }
        drop(held);
        assert_eq!(seen.free_at_drop(), Some(SLOTS - 1));
        scene.assert_over(if polls < 3 { AS_RESERVED } else { (100, 120) });
    }
}

/// Broken by: an error that is not the body's own; a slot that stays.
#[test]
fn a_body_that_stalls_ends_with_an_error() {
    let scene = scene();
    let (body, seen) = body(&scene, &[Waits, Says(90, 20)]);
    let ten = Duration::from_secs(10);
    let mut held = scene.permit().hold_body(body).idle_timeout(ten, Broken::Stalled);
    assert!(next(&mut held).is_pending());
    scene.clock.advance(ten);
    assert!(matches!(next(&mut held), Poll::Ready(Some(Ok(_)))));
    assert!(next(&mut held).is_pending());
    scene.clock.advance(ten);
    assert!(next(&mut held).is_pending());
    let Poll::Ready(Some(Err(Broken::Stalled(error)))) = next(&mut held) else {
        panic!("it goes on")
    };
    assert_eq!((error.timeout(), seen.free_at_drop()), (ten, Some(SLOTS - 1)));
    scene.assert_over(AS_RESERVED);
    assert!(matches!(next(&mut held), Poll::Ready(None)));
}

#[test]
fn borrowed_permits_and_those_of_a_semaphore_go_with_a_body_as_well() {
    let scene = scene();
    let permit = scene.limiter.call().tokens(Usage::new(100, 50)).try_acquire().unwrap();
    let mut held = permit.hold_body(body(&scene, &[Says(90, 20), Ends]).0).settle_with(used);
    assert!(matches!(next(&mut held), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(next(&mut held), Poll::Ready(None)));
    scene.assert_over((90, 20));
    let semaphore = Arc::new(Semaphore::new(1));
    let mut held =
        Arc::clone(&semaphore).try_acquire_owned().unwrap().hold_body(Full::new(&b"hello"[..]));
    assert_eq!(semaphore.available_permits(), 0);
    assert!(matches!(next(&mut held), Poll::Ready(Some(Ok(_)))));
    assert_eq!(semaphore.available_permits(), 1);
}

/// Broken by: bytes read twice, or not at all; trailers taken for the end of them.
#[cfg(feature = "http")]
#[test]
fn the_usage_in_a_body_settles_the_call() {
    use http_body_util::{BodyExt, StreamBody};

    let scene = scene();
    let text = &br#"{"id":"chatcmpl-1","choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":9}}"}}],"usage":{"prompt_tokens":90,"completion_tokens":20}}"#[..];
    let (first, last) = text.split_at(70);
    let frames = [Frame::data(first), Frame::trailers(HeaderMap::new()), Frame::data(last)];
    let frames = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Broken>)));
    let held = scene.permit().hold_body(frames).read_usage();
    assert_eq!(crate::common::at_once(held.collect()).unwrap().to_bytes(), text);
    scene.assert_over((90, 20));
}

/// As clients and servers ask of a body. Broken by: a function that is not `Sync`.
#[test]
fn it_is_what_the_body_is() {
    fn is<T: Send + Sync + Unpin>(_: &T) {}
    let scene = scene();
    let not_sync = std::cell::Cell::new(0_u32);
    is(&scene.permit().hold_body(Full::new(&b"hello"[..])).settle_with(move |_| {
        not_sync.set(1);
        None
    }));
}
