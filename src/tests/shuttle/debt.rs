//! Permits that are removed while they are in use, and come back: there are never more than at the start.

use super::{AtomicUsize, Ordering, on_threads};
use crate::Semaphore;
use crate::tests::schedules::{below, check};
use std::sync::Arc;

const STEPS: u32 = 6;

struct Scene {
    semaphore: Semaphore,
    permits: usize,
    in_use: AtomicUsize,
}

impl Scene {
    fn new(permits: usize) -> Self {
        let semaphore = Semaphore::new(permits);
        // From here on there may be a debt.
        semaphore.reduce_permits(permits + 1);
        semaphore.add_permits(permits + 1);
        Self { semaphore, permits, in_use: AtomicUsize::new(0) }
    }

    fn begin(&self, permits: usize) {
        let in_use = self.in_use.fetch_add(permits, Ordering::SeqCst) + permits;
        assert!(in_use <= self.permits, "{in_use} in use");
    }

    fn end<P>(&self, permits: usize, permit: P) {
        self.in_use.fetch_sub(permits, Ordering::SeqCst);
        drop(permit);
    }

    fn try_acquire(&self) -> Option<(usize, crate::SemaphorePermit<'_>)> {
        let asked = 1 + below(u32::try_from(self.permits).unwrap());
        let permit = self.semaphore.try_acquire_many(asked).ok()?;
        self.begin(asked as usize);
        Some((asked as usize, permit))
    }

    fn program(&self) {
        // At most one of each, kept from step to step.
        let (mut held, mut removed) = (None, 0);
        for _ in 0..STEPS {
            match below(3) {
                0 if removed == 0 => {
                    removed = 1 + below(2) as usize;
                    self.semaphore.reduce_permits(removed);
                }
                0 => self.semaphore.add_permits(std::mem::take(&mut removed)),
                _ => match held.take() {
                    None => held = self.try_acquire(),
                    Some((permits, permit)) => self.end(permits, permit),
                },
            }
        }
        self.semaphore.add_permits(removed);
        held.into_iter().for_each(|(permits, permit)| self.end(permits, permit));
    }
}

/// Broken by: one that pays a debt before it has permits in hand; permits taken back in vain that are not released again.
#[test]
fn shuttle_permits_that_are_removed_while_held_let_no_others_out() {
    check(50_000, || {
        let scene = Arc::new(Scene::new(1 + below(2) as usize));
        on_threads({
            let scene = Arc::clone(&scene);
            move || scene.program()
        });
        let semaphore = &scene.semaphore;
        assert_eq!((semaphore.available_permits(), semaphore.permits_owed()), (scene.permits, 0));
    });
}

/// With a bound, and permits that are forgotten in use, owed or not.
fn forgetful_program(
    semaphore: &Semaphore,
    in_use: &AtomicUsize,
    most: usize,
    removed: &AtomicUsize,
) {
    let mut held = None;
    for _ in 0..STEPS {
        match below(6) {
            0 if removed.load(Ordering::SeqCst) < 2 => {
                removed.fetch_add(1, Ordering::SeqCst);
                semaphore.reduce_permits(1);
            }
            0 | 1 => semaphore.add_permits(1),
            2 => drop(semaphore.forget_permits(1)),
            _ => match held.take() {
                None => {
                    held = semaphore.try_acquire().ok();
                    if held.is_some() {
                        let in_use = in_use.fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(in_use <= most, "{in_use} in use");
                    }
                }
                Some(permit) => {
                    in_use.fetch_sub(1, Ordering::SeqCst);
                    if below(2) == 0 { permit.forget() } else { drop(permit) }
                }
            },
        }
    }
    if held.is_some() {
        in_use.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whatever was forgotten can be added again, up to the bound. Broken by: a `forget` that cancels a debt instead of leaving
/// fewer than none.
#[test]
fn shuttle_permits_that_are_forgotten_while_owed_can_be_added_again() {
    check(50_000, || {
        const MOST: usize = 3;
        type Shared = (Semaphore, AtomicUsize, AtomicUsize);
        let shared: Arc<Shared> =
            Arc::new((Semaphore::with_max_permits(MOST), AtomicUsize::new(0), AtomicUsize::new(0)));
        on_threads({
            let shared = Arc::clone(&shared);
            move || forgetful_program(&shared.0, &shared.1, MOST, &shared.2)
        });
        let (semaphore, _, removed) = &*shared;
        semaphore.add_permits(100);
        let left = MOST.saturating_sub(removed.load(Ordering::SeqCst));
        assert_eq!((semaphore.available_permits(), semaphore.permits_owed()), (left, 0));
    });
}
