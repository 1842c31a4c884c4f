//! Several limits at once, which change while callers use them.
//!
//! `cargo run --release --example change_limits`

use ringgate::{Limiter, NoSuchRateError, Rate};

fn burst(limiter: &Limiter) -> usize {
    (0..1000).take_while(|_| limiter.try_acquire().is_ok()).count()
}

fn main() -> Result<(), NoSuchRateError> {
    // A call counts in both windows or in neither.
    let limiter = Limiter::builder().rate(Rate::per_minute(60)).rate(Rate::per_hour(100)).build();
    println!("admitted at once: {}", burst(&limiter)); // 60

    // A new tier: what was admitted before still counts.
    limiter.set_rate_at(0, Rate::per_minute(600))?;
    println!("and after the first limit went up: {}", burst(&limiter)); // 40, by the hour's limit

    if let Err(refused) = limiter.try_acquire() {
        println!("{refused} ({:?})", refused.retry_after());
    }
    Ok(())
}
