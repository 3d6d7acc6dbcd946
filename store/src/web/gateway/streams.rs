//! Calls whose answer is a stream, and whose input may be one. Nothing is collected: a message is read when the service
//! asks for it, and an answer when the client's connection can take it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use tonic::{Code, Status, body::Body};

use super::{Gateway, codec::Method, frame, routes::Input, status::stream_failed};
use crate::{
    seam::{GrpcRequest, GrpcResponse},
    web::reply,
};

impl Gateway {
    pub(super) async fn streaming(
        &self,
        method: &Method,
        input: Input,
        request: GrpcRequest,
    ) -> Result<GrpcResponse, Status> {
        let (head, body) = request.into_parts();
        let messages = match input {
            Input::One => Body::new(Full::new(frame(&self.one_message(method, body).await?))),
            Input::Many | Input::ManyAndOpen => {
                let mut messages = Messages {
                    body,
                    method: method.clone(),
                    limit: self.limit,
                    waiting: BytesMut::new(),
                    ended: false,
                    stays_open: input == Input::ManyAndOpen,
                };
                // An error in the first message can still be answered as an error.
                let first = std::future::poll_fn(|cx| messages.poll_message(cx)).await;
                let first = match first {
                    Some(Err(what)) => return Err(Status::unknown(what)),
                    Some(Ok(message)) => frame(&message),
                    None => Bytes::new(),
                };
                Body::new(Following { first: Some(first), rest: messages })
            }
        };
        let answer = self.call(method, &head.headers, messages).await?;
        let lines =
            Lines { body: answer, method: Arc::new(method.clone()), waiting: BytesMut::new(), ended: false };
        Ok(reply::with_type(200, "application/json", Body::new(lines)))
    }
}

/// The messages of a request's body, JSON values one after another.
struct Messages {
    body: Body,
    method: Method,
    limit: usize,
    /// Bytes that have arrived, and are not yet a whole value.
    waiting: BytesMut,
    ended: bool,
    stays_open: bool,
}

impl Messages {
    /// The next message; `None` at the body's end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, String>>> {
        loop {
            let mut values =
                serde_json::Deserializer::from_slice(&self.waiting).into_iter::<serde_json::Value>();
            match values.next() {
                Some(Ok(value)) => {
                    let taken = values.byte_offset();
                    self.waiting.advance(taken);
                    return Poll::Ready(Some(self.method.encode(value)));
                }
                Some(Err(error)) if !error.is_eof() || self.ended => {
                    return Poll::Ready(Some(Err(error.to_string())));
                }
                Some(Err(_)) => {}
                None if self.ended => return Poll::Ready(None),
                None => self.waiting.clear(),
            }
            if self.waiting.len() > self.limit {
                return Poll::Ready(Some(Err(format!("a message of more than {} bytes", self.limit))));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.waiting.extend_from_slice(&data);
                    }
                }
                // The client is gone, and the call ends with the connection.
                Some(Err(_)) | None => self.ended = true,
            }
        }
    }
}

/// A call's input: the first message, and then the others. As in etcd it ends at an unreadable message.
struct Following {
    first: Option<Bytes>,
    rest: Messages,
}

impl http_body::Body for Following {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take()
            && !first.is_empty()
        {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match ready!(self.rest.poll_message(cx)) {
            Some(Ok(message)) => Poll::Ready(Some(Ok(Frame::data(frame(&message))))),
            // The input stays open: the call ends with the body of its answer.
            _ if self.rest.stays_open => Poll::Pending,
            _ => Poll::Ready(None),
        }
    }
}

/// An answer's body: each message of the call is a line.
struct Lines {
    body: Body,
    method: Arc<Method>,
    /// Bytes that have arrived, and are not yet a whole message.
    waiting: BytesMut,
    ended: bool,
}

impl Lines {
    /// The next whole message, as a line.
    fn line(&mut self) -> Option<Result<Bytes, Status>> {
        let (head, rest) = self.waiting.split_at_checked(5)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if rest.len() < length {
            return None;
        }
        self.waiting.advance(5);
        let message = self.waiting.split_to(length);
        let line = self.method.decode(&message);
        Some(line.map(|json| format!("{{\"result\":{json}}}\n").into()))
    }

    fn failed(&mut self, status: &Status) -> Frame<Bytes> {
        self.ended = true;
        Frame::data(format!("{}\n", stream_failed(status)).into())
    }
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            match self.line() {
                Some(Ok(line)) => return Poll::Ready(Some(Ok(Frame::data(line)))),
                Some(Err(status)) => return Poll::Ready(Some(Ok(self.failed(&status)))),
                None if self.ended => return Poll::Ready(None),
                None => {}
            }
            let failed = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.waiting.extend_from_slice(&data);
                        continue;
                    }
                    Err(frame) => {
                        let status = frame.trailers_ref().and_then(Status::from_header_map);
                        status.filter(|status| status.code() != Code::Ok)
                    }
                },
                Some(Err(status)) => Some(status),
                None => None,
            };
            self.ended = true;
            if let Some(status) = failed {
                return Poll::Ready(Some(Ok(self.failed(&status))));
            }
        }
    }
}
