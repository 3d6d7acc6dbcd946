//! The codec of all our services: prost's, with buffers of the size that our messages have.
//!
//! tonic begins with a buffer of 8 KiB for each direction and side of a call: four for a put that fills 200 bytes of
//! each, and an allocator has no quick way for blocks of that size. These begin with [`BUFFER_BYTES`] and grow with the
//! message. What is sent, and in which frames, is the same.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::ProstCodec;

/// What a buffer begins with, in bytes.
const BUFFER_BYTES: usize = 1024;
/// tonic's default: an encoder hands on what it has once it is this much, in bytes.
const YIELD_BYTES: usize = 32 * 1024;

/// Encodes `T`, decodes `U`.
#[derive(Debug, Clone)]
pub(crate) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as tonic::codec::Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as tonic::codec::Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}
