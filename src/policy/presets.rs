//! What well-known providers count, and when.

use super::{MINUTE, RateLimitPolicy};
use crate::rate::Rate;
use crate::tokens::TokenLimit;
use core::time::Duration;

/// Policies for well-known providers. Each takes the numbers that the provider's page shows for your account and model, and
/// counts as that provider does. Requests in flight are limited as by [`rpm`](Self::rpm).
///
/// A provider may change its rules. What the docs say here was read in 2026.
impl RateLimitPolicy {
    /// OpenAI: `rpm` requests and `tpm` tokens in any minute.
    ///
    /// OpenAI counts a call when it arrives, as the larger of its `max_tokens` and an estimate from its characters, and gives
    /// nothing back (its "Rate limits" guide). So a call counts as what it was expected to use, for good
    /// ([`TokenLimit::without_refunds`]); what it uses beyond that is added. Set a small `max_tokens`, and an estimate that is
    /// not too far on the safe side. For limits per day add
    /// [`with_rate`](Self::with_rate)`(Rate::per_day(…))` and [`with_token_limit`](Self::with_token_limit).
    ///
    /// ```
    /// use ringgate::{Limiter, RateLimitPolicy, Usage};
    ///
    /// let limiter = Limiter::from(&RateLimitPolicy::openai(500, 30_000));
    /// let permit = limiter.call().tokens(Usage::new(1_200, 800)).try_acquire()?;
    /// permit.settle(Usage::new(1_180, 20));
    /// assert_eq!(limiter.remaining_tokens(), 28_000);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    #[must_use]
    pub fn openai(rpm: u32, tpm: u64) -> Self {
        Self::rpm(rpm).with_token_limit(TokenLimit::total(tpm, MINUTE).without_refunds())
    }

    /// Anthropic: `rpm` requests, `input_tpm` input tokens and `output_tpm` output tokens in any minute.
    ///
    /// Anthropic estimates the input when a call starts and corrects it later; what is read from the cache is free with
    /// nearly all models. Output counts as it is produced; `max_tokens` does not count (its "Rate limits" page). So a call
    /// counts its input from the start, and gets back what was estimated too high. Its expected output is held until the answer
    /// has ended, because it may still be produced; then what was produced counts.
    ///
    /// ```
    /// use ringgate::{Limiter, RateLimitPolicy, Usage};
    ///
    /// let limiter = Limiter::from(&RateLimitPolicy::anthropic(50, 30_000, 8_000));
    /// let permit = limiter.call().tokens(Usage::new(1_200, 4_096)).try_acquire()?;
    /// assert_eq!(limiter.remaining_output_tokens(), 3_904);
    /// permit.settle(Usage::new(1_180, 512));
    /// assert_eq!(limiter.remaining_input_tokens(), 28_820);
    /// assert_eq!(limiter.remaining_output_tokens(), 7_488);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    #[must_use]
    pub fn anthropic(rpm: u32, input_tpm: u64, output_tpm: u64) -> Self {
        Self::rpm(rpm).with_input_tpm(input_tpm).with_output_tpm(output_tpm)
    }

    /// Gemini: `rpm` requests and `input_tpm` input tokens in any minute.
    ///
    /// Gemini counts input tokens, not output, for each project (its "Rate limits" page). The page does not say whether an
    /// estimate is corrected; here a call counts as its real input as soon as its answer has told it. For the requests per
    /// day, which end at midnight Pacific time there, add [`with_rate`](Self::with_rate)`(Rate::per_day(…))`: any 24 hours.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, RateLimitPolicy};
    ///
    /// let policy = RateLimitPolicy::gemini(150, 1_000_000).with_rate(Rate::per_day(1_000));
    /// assert_eq!(Limiter::from(&policy).remaining_input_tokens(), 1_000_000);
    /// ```
    #[must_use]
    pub fn gemini(rpm: u32, input_tpm: u64) -> Self {
        Self::rpm(rpm).with_input_tpm(input_tpm)
    }

    /// Azure OpenAI: `rpm` requests and `tpm` tokens in any minute, and a sixth of `rpm` (rounded up) in any ten seconds.
    ///
    /// Azure counts a call when it arrives, as its prompt and `max_tokens` (times `best_of`), and gives nothing back. It checks
    /// the requests over one or ten seconds, so a minute's worth at once is refused (Azure OpenAI, "Manage quota"). If it is one
    /// second for your deployment, add [`with_rate`](Self::with_rate)`(Rate::per_second(rpm / 60))`.
    ///
    /// ```
    /// use ringgate::{Limiter, RateLimitPolicy};
    ///
    /// let limiter = Limiter::from(&RateLimitPolicy::azure(600, 100_000));
    /// assert_eq!(limiter.remaining(), 100);
    /// assert_eq!(limiter.remaining_tokens(), 100_000);
    /// ```
    #[must_use]
    pub fn azure(rpm: u32, tpm: u64) -> Self {
        let policy = Self::openai(rpm, tpm);
        // No limit has no sixth.
        if rpm == u32::MAX { policy } else { policy.with_rate(Rate::new(rpm.div_ceil(6), TEN)) }
    }

    /// Amazon Bedrock: `rpm` requests and `tpm` tokens in any minute, where a token of output counts as `output_factor` tokens.
    ///
    /// Bedrock reserves a call's input and `max_tokens` when it starts. When the call has ended, it counts the input, what was
    /// written to the cache, and the output times the model's burndown rate, which is 5 for some models and 1 for most; the rest is
    /// given back (Bedrock, "How tokens are counted in Amazon Bedrock"). A quota that your account does not have is `u32::MAX`
    /// for `rpm`.
    ///
    /// ```
    /// use ringgate::{Limiter, RateLimitPolicy, Usage};
    ///
    /// let limiter = Limiter::from(&RateLimitPolicy::bedrock(50, 200_000, 5));
    /// let permit = limiter.call().tokens(Usage::new(1_200, 4_096)).try_acquire()?;
    /// assert_eq!(limiter.remaining_tokens(), 194_704);
    /// permit.settle(Usage::new(1_180, 500));
    /// assert_eq!(limiter.remaining_tokens(), 196_320);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    #[must_use]
    pub fn bedrock(rpm: u32, tpm: u64, output_factor: u32) -> Self {
        let limit = TokenLimit::total(tpm, MINUTE).with_output_factor(output_factor);
        Self::rpm(rpm).with_token_limit(limit)
    }
}

const TEN: Duration = Duration::from_secs(10);
