//! What the script publishes.

use core::str::FromStr;

/// A message on the channel of the limit's key. It may be lost, or come late: nothing depends on it.
///
/// The process that it is for makes a trip, also if no call of it waits any more: that trip tells the next one.
///
/// ```
/// use ringgate_redis::script::Published;
///
/// assert_eq!("pause".parse(), Ok(Published::Pause));
/// assert_eq!("room 00000000000000ff".parse(), Ok(Published::Room(255)));
/// assert!("something else".parse::<Published>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// A pause has begun, has become longer, or has ended. For all.
    Pause,
    /// There is room in the windows for the first call in line of this process.
    Room(u64),
    /// There are slots for this process.
    Slots(u64),
}

/// It is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPublished;

impl FromStr for Published {
    type Err = NotPublished;

    fn from_str(message: &str) -> Result<Self, NotPublished> {
        if message == "pause" {
            return Ok(Self::Pause);
        }
        let (what, process) = message.split_once(' ').ok_or(NotPublished)?;
        let process = Some(process).filter(|process| process.len() == 16);
        let process = process.and_then(|process| u64::from_str_radix(process, 16).ok());
        let process = process.ok_or(NotPublished)?;
        match what {
            "room" => Ok(Self::Room(process)),
            "slots" => Ok(Self::Slots(process)),
            _ => Err(NotPublished),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotPublished, Published};

    #[test]
    fn no_message_however_odd_is_taken_for_another() {
        assert_eq!("slots 0000000000000001".parse(), Ok(Published::Slots(1)));
        let odd =
            ["", "room", "room ", "slots 1", "pause 0000000000000001", "room 000000000000000g"];
        for message in odd {
            assert_eq!(message.parse::<Published>(), Err(NotPublished), "{message}");
        }
    }
}
