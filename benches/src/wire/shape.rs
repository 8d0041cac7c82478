//! The shape of a load: how many connections call, how much each has in flight, and how many answer.

use std::fmt;
use std::str::FromStr;

/// `64x4:8`: 64 requester connections, 4 calls in flight on each, 8 responder connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Connections that call.
    pub(crate) requesters: usize,
    /// Calls in flight on each of them.
    pub(crate) in_flight: usize,
    /// Connections that answer.
    pub(crate) responders: usize,
}

/// The most that each of the three numbers may be.
const MOST: usize = 10_000;

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<usize>> = text.split(['x', ':']).map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[requesters, in_flight, responders])
                if [requesters, in_flight, responders].iter().all(|number| (1..=MOST).contains(number)) =>
            {
                Ok(Self { requesters, in_flight, responders })
            }
            _ => Err(format!("a shape is requesters x in flight : responders, such as 64x4:8, each 1 to {MOST}")),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}:{}", self.requesters, self.in_flight, self.responders)
    }
}

/// A JSON string that is `bytes` bytes long, its quotes counted; two at least.
pub(crate) fn data(bytes: usize) -> Vec<u8> {
    let mut text = vec![b'x'; bytes.max(2)];
    if let [first, .., last] = text.as_mut_slice() {
        (*first, *last) = (b'"', b'"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_reads_what_it_prints() {
        let shape: Shape = "64x4:8".parse().unwrap();
        assert_eq!((shape.requesters, shape.in_flight, shape.responders), (64, 4, 8));
        assert_eq!(shape.to_string(), "64x4:8");
        for wrong in ["", "1x1", "0x1:1", "1x1:1:1", "axb:c", "1x10001:1"] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
        }
    }
}
