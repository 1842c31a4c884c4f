//! What the script answers.

use super::StoreError;
use core::str;
use redis::Value;

/// The answer to a [`Trip`](super::Trip).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Another one than before: the store may have lost what it knew. Grants go on to be good, slots are to be told anew.
    pub epoch: u64,
    /// The limit's own time, which never goes back in an epoch.
    pub now: u64,
    /// How often the store's clock has stepped.
    pub steps: u64,
    /// What is left of a pause.
    pub paused: u64,
    /// Until then nothing is granted, because the store may have lost what it knew.
    pub quiet: u64,
    /// When to ask again for what was not granted. Zero: now, or when something changes.
    /// `None`: never, the first call in line needs more than a limit.
    pub retry: Option<u64>,
    /// It is in line, and others who have waited longer need some of what was not granted.
    pub is_behind: bool,
    /// How many processes there are, with this one.
    pub processes: u64,
    /// The slots that this process has, until its time to live is over.
    pub slots: u64,
    /// How many more slots the others need.
    pub slots_wanted: u64,
    /// How many slots one process may keep while others wait for some: of those that are not kept free for processes that are cut off, as many as
    /// for each. Zero if there are fewer than processes.
    pub slots_fair: u64,
    /// The share of each limit and of the slots, in millionths, that this process may use by itself while the store is away. To be believed only if the
    /// answer came within a second from the beginning of its trip: otherwise it is none.
    pub fallback: u64,
    /// For each window.
    pub windows: Vec<Granted>,
}

/// What a window has granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// To be used within the length of a lease, from before the trip began.
    pub amount: u64,
    /// What all processes have been granted in the window, with this, and have used beyond that. Of a window that counts as produced: what they
    /// have used, and hold.
    pub used: u64,
    /// What the others in line need.
    pub wanted: u64,
}

/// The most of an answer that an error shows.
const SHOWN: usize = 120;

impl Reply {
    pub(super) fn read(answer: &Value, windows: usize) -> Result<Self, StoreError> {
        let unreadable = || {
            let shown: String = format!("{answer:?}").chars().take(SHOWN).collect();
            StoreError::Unreadable(shown)
        };
        let Value::Array(parts) = answer else { return Err(unreadable()) };
        let status = parts.first().and_then(text).ok_or_else(unreadable)?;
        if status != "ok" {
            let detail = parts.get(1).and_then(text).unwrap_or_default();
            return Err(StoreError::of_status(status, detail).unwrap_or_else(unreadable));
        }
        Self::parse(&parts[1..], windows).ok_or_else(unreadable)
    }

    fn parse(parts: &[Value], windows: usize) -> Option<Self> {
        let (epoch, numbers) = parts.split_first()?;
        let (head, rest) = numbers.split_at_checked(11)?;
        let [now, steps, paused, quiet, retry, behind, head @ ..] = head else { return None };
        let [processes, slots, slots_wanted, slots_fair, fallback] = head else { return None };
        let retry = match retry {
            Value::Int(-1) => None,
            retry => Some(number(retry)?),
        };
        let chunks = rest.chunks_exact(3);
        if chunks.len() != windows || !chunks.remainder().is_empty() {
            return None;
        }
        Some(Self {
            epoch: u64::from_str_radix(text(epoch)?, 16).ok()?,
            now: number(now)?,
            steps: number(steps)?,
            paused: number(paused)?,
            quiet: number(quiet)?,
            retry,
            is_behind: number(behind)? > 0,
            processes: number(processes)?,
            slots: number(slots)?,
            slots_wanted: number(slots_wanted)?,
            slots_fair: number(slots_fair)?,
            fallback: number(fallback)?,
            windows: chunks.map(granted).collect::<Option<_>>()?,
        })
    }
}

fn granted(parts: &[Value]) -> Option<Granted> {
    let [amount, used, wanted] = parts else { return None };
    Some(Granted { amount: number(amount)?, used: number(used)?, wanted: number(wanted)? })
}

fn number(value: &Value) -> Option<u64> {
    let Value::Int(number) = value else { return None };
    u64::try_from(*number).ok()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Reply, StoreError, Value};

    fn answer(numbers: &[i64]) -> Value {
        let words = ["ok", "00000000000000ff"];
        let words = words.map(|word| Value::BulkString(word.into()));
        Value::Array(words.into_iter().chain(numbers.iter().copied().map(Value::Int)).collect())
    }

    #[test]
    fn an_answer_is_read() {
        let reply = Reply::read(&answer(&[9, 1, 0, 0, -1, 1, 2, 3, 4, 1, 8, 5, 6, 7]), 1).unwrap();
        assert_eq!((reply.epoch, reply.now, reply.retry, reply.slots), (255, 9, None, 3));
        assert!(reply.is_behind);
        assert_eq!((reply.windows[0].amount, reply.windows[0].wanted), (5, 7));
    }

    #[test]
    fn no_answer_however_odd_is_taken_for_another() {
        let good = [9, 1, 0, 0, 0, 1, 2, 3, 4, 1, 8, 5, 6, 7];
        let mut odd: Vec<Value> = (0..good.len()).map(|length| answer(&good[..length])).collect();
        for place in 0..good.len() {
            let mut numbers = good;
            numbers[place] = -2;
            odd.push(answer(&numbers));
        }
        odd.extend([Value::Nil, Value::Okay, Value::Int(1), Value::Array(Vec::new())]);
        odd.push(Value::Array(vec![Value::BulkString(vec![0xff, 0xfe])]));
        odd.push(Value::Array(vec![Value::BulkString(b"unheard-of".to_vec())]));
        odd.push(Value::Array(vec![Value::Array(vec![Value::Nil; 1000])]));
        for value in odd {
            let error = Reply::read(&value, 1).unwrap_err();
            assert!(matches!(error, StoreError::Unreadable(_)), "{value:?}: {error:?}");
            assert!(error.to_string().len() < 400, "{error}");
        }
    }
}
