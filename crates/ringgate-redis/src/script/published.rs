//! What the script publishes.

use core::str::FromStr;

/// A message on the channel of the limit's key. It may be lost, or come late: nothing depends on it.
///
/// The process that it is for makes a trip, also if no call of it waits any more: that trip tells the next one. A message names the last trip of
/// that process before it: to a later one it has nothing to tell. If that one has no answer, the next one tries again anyway.
///
/// ```
/// use ringgate_redis::script::Published;
///
/// assert_eq!("pause".parse(), Ok(Published::Pause));
/// assert_eq!("room 00000000000000ff 7".parse(), Ok(Published::Room { process: 255, trip: 7 }));
/// assert!("something else".parse::<Published>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// A pause has begun, has become longer, or has ended. For all.
    Pause,
    /// There is room in the windows for the first call in line of this process.
    Room {
        /// [`Trip::process`](super::Trip::process).
        process: u64,
        /// [`Trip::seq`](super::Trip::seq).
        trip: u64,
    },
    /// There are slots for this process.
    Slots {
        /// [`Trip::process`](super::Trip::process).
        process: u64,
        /// [`Trip::seq`](super::Trip::seq).
        trip: u64,
    },
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
        let (what, whom) = message.split_once(' ').ok_or(NotPublished)?;
        let (process, trip) = whom.split_once(' ').ok_or(NotPublished)?;
        let process = Some(process).filter(|process| process.len() == 16);
        let process = process.and_then(|process| u64::from_str_radix(process, 16).ok());
        let process = process.ok_or(NotPublished)?;
        let trip = trip.parse().map_err(|_| NotPublished)?;
        match what {
            "room" => Ok(Self::Room { process, trip }),
            "slots" => Ok(Self::Slots { process, trip }),
            _ => Err(NotPublished),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotPublished, Published};

    #[test]
    fn no_message_however_odd_is_taken_for_another() {
        let slots = Ok(Published::Slots { process: 1, trip: 2 });
        assert_eq!("slots 0000000000000001 2".parse(), slots);
        let odd = [
            "",
            "room",
            "room ",
            "slots 1 2",
            "pause 0000000000000001",
            "room 000000000000000g 2",
            "room 0000000000000001",
            "room 0000000000000001 ",
            "room 0000000000000001 -2",
            "room 0000000000000001 99999999999999999999",
        ];
        for message in odd {
            assert_eq!(message.parse::<Published>(), Err(NotPublished), "{message}");
        }
    }
}
