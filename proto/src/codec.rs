//! The codec of every method: prost's, with a bound on the fields of a request.

use crate::fields::{FIELDS_MAX, fields_of};
use prost::bytes::{Buf, Bytes};
use prost::{Message, Name};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// Characters of the reason why a message cannot be read: that of a deep one names every message around.
const WHY_CHARS: usize = 300;

/// Prost's codec, but that a request of more than [`FIELDS_MAX`] fields is refused with OUT_OF_RANGE before anything of it
/// is decoded. Answers, which clients read from a server that they trust, have no bound.
#[derive(Debug, Clone)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

/// Decodes messages of one type.
#[derive(Debug, Clone)]
pub struct BoundedDecoder<U>(PhantomData<U>);

impl<U: Message + Name + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message lies in one piece, which is not copied.
        decode(source.copy_to_bytes(source.remaining())).map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Decodes a message; a request only when it has no more than [`FIELDS_MAX`] fields.
///
/// # Errors
/// OUT_OF_RANGE for more, INVALID_ARGUMENT for bytes that are no message, or nested too deeply to be one: it is the caller's
/// fault. Of an answer that is INTERNAL, as prost's own codec has it.
pub fn decode<M: Message + Name + Default>(bytes: Bytes) -> Result<M, Status> {
    let is_request = M::NAME.ends_with("Request");
    if is_request && fields_of(&M::full_name(), &bytes) > FIELDS_MAX {
        return Err(Status::out_of_range(format!(
            "a message may have up to {FIELDS_MAX} texts and messages in it; this one has more"
        )));
    }
    M::decode(bytes).map_err(|error| {
        let why: String = error.to_string().chars().take(WHY_CHARS).collect();
        if is_request { Status::invalid_argument(why) } else { Status::internal(why) }
    })
}
