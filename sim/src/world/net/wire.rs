//! The wire format of our gRPC channel: HTTP/2's frames in a simpler encoding.
//!
//! A segment holds whole frames, one after the other: length of the payload (u32, little-endian like everything here),
//! type, flags, stream (u32), payload. Header blocks are not compressed. Both sides are generated clients and servers,
//! so the frames carry what tonic would give to hyper.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A frame that has arrived.
#[derive(Debug)]
pub(super) enum Frame {
    /// A request's or response's head.
    Head { subject: Subject, headers: HeaderMap, end: bool },
    /// Bytes of the body.
    Data { bytes: Bytes, end: bool },
    /// The headers at the end; they always end the stream.
    Trailers(HeaderMap),
    /// The sender gives the stream up.
    Reset(ResetCode),
    /// The receiver has room for this many more bytes.
    Window(u32),
}

/// Whether a head begins a request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A request for this path.
    Request(Bytes),
    /// A response of this HTTP status.
    Response(u16),
}

/// Why a stream was given up, by HTTP/2's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResetCode {
    /// The caller no longer wants the answer.
    Cancel,
    /// Any other code.
    Other(u32),
}

impl ResetCode {
    fn number(self) -> u32 {
        match self {
            ResetCode::Cancel => 8,
            ResetCode::Other(number) => number,
        }
    }
}

const HEAD_REQUEST: u8 = 1;
const HEAD_RESPONSE: u8 = 2;
const DATA: u8 = 3;
const TRAILERS: u8 = 4;
const RESET: u8 = 5;
const WINDOW: u8 = 6;
const END: u8 = 1;
const PREFIX: usize = 10;

/// Appends a request's head. The path must be shorter than 64 KiB.
pub(super) fn put_request(out: &mut BytesMut, stream: u32, path: &str, headers: &HeaderMap) {
    let at = begin(out, HEAD_REQUEST, 0, stream);
    out.put_u16_le(u16::try_from(path.len()).expect("a gRPC path is short"));
    out.put_slice(path.as_bytes());
    put_headers(out, headers);
    finish(out, at);
}

/// Appends a response's head.
pub(super) fn put_response(out: &mut BytesMut, stream: u32, status: u16, headers: &HeaderMap, end: bool) {
    let at = begin(out, HEAD_RESPONSE, if end { END } else { 0 }, stream);
    out.put_u16_le(status);
    put_headers(out, headers);
    finish(out, at);
}

/// Appends bytes of a body.
pub(super) fn put_data(out: &mut BytesMut, stream: u32, bytes: &[u8], end: bool) {
    let at = begin(out, DATA, if end { END } else { 0 }, stream);
    out.put_slice(bytes);
    finish(out, at);
}

/// Appends trailers.
pub(super) fn put_trailers(out: &mut BytesMut, stream: u32, headers: &HeaderMap) {
    let at = begin(out, TRAILERS, END, stream);
    put_headers(out, headers);
    finish(out, at);
}

/// A segment that gives a stream up.
pub(super) fn reset(stream: u32, code: ResetCode) -> Bytes {
    number_frame(RESET, stream, code.number())
}

/// A segment that says for how many more bytes the receiver has room.
pub(super) fn window(stream: u32, bytes: u32) -> Bytes {
    number_frame(WINDOW, stream, bytes)
}

fn number_frame(kind: u8, stream: u32, number: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + 4);
    let at = begin(&mut out, kind, 0, stream);
    out.put_u32_le(number);
    finish(&mut out, at);
    out.freeze()
}

fn begin(out: &mut BytesMut, kind: u8, flags: u8, stream: u32) -> usize {
    let at = out.len();
    out.put_u32_le(0);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32_le(stream);
    at
}

fn finish(out: &mut BytesMut, at: usize) {
    let length = u32::try_from(out.len() - at - PREFIX).expect("a frame of less than 4 GiB");
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_headers(out: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        out.put_u16_le(u16::try_from(name.as_str().len()).expect("a header's name is short"));
        out.put_slice(name.as_str().as_bytes());
        out.put_u32_le(u32::try_from(value.len()).expect("a header of less than 4 GiB"));
        out.put_slice(value.as_bytes());
    }
}

/// Takes the next frame off a segment, with its stream. `None` at the segment's end.
///
/// # Panics
/// If the bytes are no frame. Both ends use this module, so that is a bug of it.
pub(super) fn take(segment: &mut Bytes) -> Option<(u32, Frame)> {
    if segment.is_empty() {
        return None;
    }
    let length = segment.get_u32_le() as usize;
    let kind = segment.get_u8();
    let end = segment.get_u8() & END != 0;
    let stream = segment.get_u32_le();
    let mut payload = segment.split_to(length);
    let frame = match kind {
        HEAD_REQUEST => {
            let length = usize::from(payload.get_u16_le());
            let path = payload.split_to(length);
            Frame::Head { subject: Subject::Request(path), headers: take_headers(payload), end }
        }
        HEAD_RESPONSE => {
            let status = payload.get_u16_le();
            Frame::Head { subject: Subject::Response(status), headers: take_headers(payload), end }
        }
        DATA => Frame::Data { bytes: payload, end },
        TRAILERS => Frame::Trailers(take_headers(payload)),
        RESET => Frame::Reset(match payload.get_u32_le() {
            8 => ResetCode::Cancel,
            other => ResetCode::Other(other),
        }),
        WINDOW => Frame::Window(payload.get_u32_le()),
        _ => panic!("a frame of unknown type {kind} on stream {stream}"),
    };
    Some((stream, frame))
}

fn take_headers(mut block: Bytes) -> HeaderMap {
    let mut headers = HeaderMap::new();
    while !block.is_empty() {
        let length = usize::from(block.get_u16_le());
        let name =
            HeaderName::from_bytes(&block.split_to(length)).expect("the other end wrote a header's name");
        let length = block.get_u32_le() as usize;
        let value = HeaderValue::from_maybe_shared(block.split_to(length))
            .expect("the other end wrote a header's value");
        headers.append(name, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_way_in_order() {
        let mut headers = HeaderMap::new();
        headers.append("grpc-timeout", HeaderValue::from_static("10S"));
        headers.append("x-many", HeaderValue::from_static("1"));
        headers.append("x-many", HeaderValue::from_bytes(&[0xff, 0x20]).unwrap());
        let mut out = BytesMut::new();
        put_request(&mut out, 3, "/a.B/C", &headers);
        put_data(&mut out, 3, b"hello", false);
        put_response(&mut out, 5, 200, &headers, true);
        put_trailers(&mut out, 7, &headers);
        out.extend_from_slice(&reset(9, ResetCode::Cancel));
        out.extend_from_slice(&reset(9, ResetCode::Other(2)));
        out.extend_from_slice(&window(11, 70_000));
        let mut segment = out.freeze();
        let mut seen = Vec::new();
        while let Some((stream, frame)) = take(&mut segment) {
            seen.push(format!("{stream} {frame:?}"));
        }
        let block = r#"{"grpc-timeout": "10S", "x-many": "1", "x-many": "\xff "}"#;
        assert_eq!(
            seen,
            [
                format!(r#"3 Head {{ subject: Request(b"/a.B/C"), headers: {block}, end: false }}"#),
                r#"3 Data { bytes: b"hello", end: false }"#.to_owned(),
                format!("5 Head {{ subject: Response(200), headers: {block}, end: true }}"),
                format!("7 Trailers({block})"),
                "9 Reset(Cancel)".to_owned(),
                "9 Reset(Other(2))".to_owned(),
                "11 Window(70000)".to_owned(),
            ]
        );
    }
}
