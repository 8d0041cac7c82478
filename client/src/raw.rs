//! Data as it travels: into JSON and out of it, or untouched.

use crate::error::Error;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::any::Any;
use std::fmt;

/// JSON that is passed on as it is: as the answer of a call or the input of a handler it is neither parsed nor copied.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// use answerback::Raw;
///
/// client.serve("echo", |data: Raw| async move { answerback::Ok(data) }).await?;
/// let answer: Raw = client.call_raw("echo", r#"{"a":1}"#).await?;
/// assert_eq!(answer.as_bytes(), br#"{"a":1}"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Raw(Bytes);

impl Raw {
    /// Takes bytes, which must be one JSON value; the other end will find out if they are not. Nothing is the same as `null`.
    ///
    /// ```
    /// assert_eq!(answerback::Raw::new("[1]").as_bytes(), b"[1]");
    /// ```
    pub fn new(json: impl Into<Bytes>) -> Self {
        Self(json.into())
    }

    /// The JSON; `null` if nothing was said.
    ///
    /// ```
    /// assert_eq!(answerback::Raw::default().as_bytes(), b"null");
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        if self.0.is_empty() { b"null" } else { &self.0 }
    }

    /// The JSON, without a copy; empty if nothing was said.
    ///
    /// ```
    /// assert!(answerback::Raw::default().into_bytes().is_empty());
    /// ```
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

/// Inside of other data it is written as the JSON that it is.
impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_slice(self.as_bytes()).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Bytes::from(Box::<str>::from(value).into_string())))
    }
}

/// Reads data as the type that is wanted.
pub(crate) fn decode<T: DeserializeOwned + 'static>(data: Bytes) -> Result<T, serde_json::Error> {
    let mut as_it_is = Some(Raw(data));
    if let Some(wanted) = (&mut as_it_is as &mut dyn Any).downcast_mut::<Option<T>>() {
        return wanted.take().ok_or_else(|| serde::de::Error::custom("no data"));
    }
    serde_json::from_slice(as_it_is.unwrap_or_default().as_bytes())
}

/// Reads an answer as the type that its caller wants.
pub(crate) fn decode_answer<T: DeserializeOwned + 'static>(data: Bytes) -> Result<T, Error> {
    decode(data).map_err(|error| Error::undecodable(&error))
}

/// Writes what a handler answers.
pub(crate) fn encode_answer<T: Serialize + 'static>(mut value: T) -> Result<Bytes, serde_json::Error> {
    if let Some(as_it_is) = (&mut value as &mut dyn Any).downcast_mut::<Raw>() {
        return Ok(std::mem::take(as_it_is).into_bytes());
    }
    encode(&value)
}

/// Writes the data of a call.
pub(crate) fn encode(value: &(impl Serialize + ?Sized)) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(value).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_data_is_not_copied_and_not_read() {
        let data = Bytes::from_static(b"not even JSON");
        let raw: Raw = decode(data.clone()).unwrap();
        assert_eq!(raw.0.as_ptr(), data.as_ptr());
        assert_eq!(encode_answer(raw).unwrap().as_ptr(), data.as_ptr());
    }

    #[test]
    fn raw_data_inside_of_other_data_is_json() {
        let pair = (1, Raw::new(r#"{"a":[2]}"#));
        let written = encode(&pair).unwrap();
        assert_eq!(written, br#"[1,{"a":[2]}]"#.as_slice());
        assert_eq!(decode::<(i32, Raw)>(written).unwrap(), pair);
        assert!(encode(&Raw::new("{")).is_err());
    }

    #[test]
    fn nothing_is_null() {
        decode::<()>(Bytes::new()).unwrap();
        assert_eq!(decode::<Option<u8>>(Bytes::new()).unwrap(), None);
    }
}
