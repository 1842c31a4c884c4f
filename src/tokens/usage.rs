//! What a call is expected to use, or has used.

/// Tokens of one call: an estimate before it, the provider's numbers after it.
///
/// ```
/// use ringgate::Usage;
///
/// let usage = Usage::new(1_180, 512);
/// assert_eq!((usage.input, usage.output, usage.total()), (1_180, 512, 1_692));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Usage {
    /// Tokens of the request.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

impl Usage {
    /// `input` tokens of the request, `output` tokens of the answer.
    #[must_use]
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, output }
    }

    /// Both together; at most `u64::MAX`.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// The larger input and the larger output of the two: what two reports of one call say together.
    ///
    /// ```
    /// use ringgate::Usage;
    ///
    /// let (at_the_start, at_the_end) = (Usage::new(1_180, 1), Usage::new(0, 512));
    /// assert_eq!(at_the_start.or_more(at_the_end), Usage::new(1_180, 512));
    /// ```
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self::new(self.input.max(other.input), self.output.max(other.output))
    }
}
