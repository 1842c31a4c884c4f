//! A function that only its owner calls.

/// A function of the user's, of any type. It need not be `Sync` for what has it to be.
pub(super) struct Exclusive<F: ?Sized>(Box<F>);

// SAFETY: a shared reference to it gives access to nothing: the function is reached through `&mut`, or taken out.
unsafe impl<F: ?Sized> Sync for Exclusive<F> {}

impl<F: ?Sized> Exclusive<F> {
    pub(super) fn new(function: Box<F>) -> Self {
        Self(function)
    }

    pub(super) fn get_mut(&mut self) -> &mut F {
        &mut self.0
    }

    pub(super) fn into_inner(self) -> Box<F> {
        self.0
    }
}
