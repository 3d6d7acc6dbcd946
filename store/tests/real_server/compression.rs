//! gzip, as in grpc-go's servers: a request may be compressed, and its answer is then compressed too. Frames are made
//! by hand, so that both servers get the same bytes.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use prost::Message;
use squall_store::proto::etcdserverpb::{
    PutRequest, PutResponse, RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest,
    kv_client::KvClient, watch_client::WatchClient, watch_request::RequestUnion,
};
use tonic::{Code, Status, body::Body, codec::CompressionEncoding};
use tower::ServiceExt;

use crate::reference::{PATIENCE, Subject};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn frame(compressed: bool, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&[u8::from(compressed)], &length[..], payload].concat()
}

struct Answer {
    headers: HeaderMap,
    data: Bytes,
    status: Status,
}

impl Answer {
    fn encoding(&self) -> Option<&str> {
        Some(self.headers.get("grpc-encoding")?.to_str().expect("ASCII"))
    }

    /// The one message, and whether it came compressed.
    fn message<M: Message + Default>(&self) -> (M, bool) {
        let payload = &self.data[5..];
        assert_eq!(self.data[1..5], (payload.len() as u32).to_be_bytes(), "one message");
        let compressed = self.data[0] == 1;
        let mut plain = Vec::new();
        match compressed {
            true => drop(GzDecoder::new(payload).read_to_end(&mut plain).expect("gzip")),
            false => plain.extend(payload),
        }
        (M::decode(&plain[..]).expect("a message"), compressed)
    }
}

async fn call(subject: &Subject, path: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> Answer {
    let mut request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(Full::new(Bytes::from(body)))).expect("a request");
    let response = subject.channel().oneshot(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body");
    // An answer without a message has its status in the headers.
    let trailers = body.trailers().cloned().unwrap_or_else(|| head.headers.clone());
    let status = Status::from_header_map(&trailers).expect("a status");
    Answer { headers: head.headers, data: body.to_bytes(), status }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_compressed_as_its_request_was() {
    for subject in Subject::both() {
        let name = subject.name;
        let value = Bytes::from(vec![b'v'; 200_000]);
        let put = PutRequest { key: "k".into(), value: value.clone(), ..Default::default() }.encode_to_vec();
        let answer = call(&subject, PUT, &[("grpc-encoding", "gzip")], frame(true, &gzip(&put))).await;
        assert_eq!(
            (answer.status.code(), answer.encoding()),
            (Code::Ok, Some("gzip")),
            "{name}: {}",
            answer.status
        );
        let (response, compressed) = answer.message::<PutResponse>();
        assert!(compressed && response.header.expect("a header").revision == 2, "{name}");

        let range = RangeRequest { key: "k".into(), ..Default::default() }.encode_to_vec();
        // (headers, the request's frame, whether the answer is compressed)
        let cases: [(&[_], _, _); 4] = [
            (&[("grpc-encoding", "gzip")], frame(true, &gzip(&range)), true),
            // The client's accepted encodings do not matter.
            (
                &[("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity")],
                frame(true, &gzip(&range)),
                true,
            ),
            (&[("grpc-accept-encoding", "gzip")], frame(false, &range), false),
            (&[("grpc-encoding", "identity"), ("grpc-accept-encoding", "gzip")], frame(false, &range), false),
        ];
        for (headers, request, is_compressed) in cases {
            let answer = call(&subject, RANGE, headers, request).await;
            assert_eq!(answer.status.code(), Code::Ok, "{name}: {}", answer.status);
            let (response, compressed) = answer.message::<RangeResponse>();
            assert_eq!(compressed, is_compressed, "{name}: {headers:?}");
            assert_eq!(answer.encoding() == Some("gzip"), is_compressed, "{name}: {headers:?}");
            assert_eq!(response.kvs[0].value, value);
            assert!(
                !compressed || answer.data.len() < value.len() / 10,
                "{name}: {} bytes",
                answer.data.len()
            );
        }
        // A request may announce an encoding and not use it.
        let answer = call(&subject, RANGE, &[("grpc-encoding", "gzip")], frame(false, &range)).await;
        assert_eq!(
            (answer.status.code(), answer.encoding()),
            (Code::Ok, Some("gzip")),
            "{name}: {}",
            answer.status
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_in_grpc_gos_words() {
    for subject in Subject::both() {
        let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() }.encode_to_vec();
        let large = PutRequest { key: "k".into(), value: vec![0; 5_000_000].into(), ..Default::default() };
        let bomb = frame(true, &gzip(&large.encode_to_vec()));
        assert!(bomb.len() < 100_000);
        let gzipped = [("grpc-encoding", "gzip")];
        let snappy = "grpc: Decompressor is not installed for grpc-encoding \"snappy\"";
        let unsaid = "grpc: compressed flag set with identity or empty encoding";
        for (headers, request, code, text) in [
            (&[("grpc-encoding", "snappy")][..], frame(true, &put), Code::Unimplemented, snappy),
            (&[], frame(true, &gzip(&put)), Code::Internal, unsaid),
            (
                &gzipped,
                frame(true, b"abcd"),
                Code::Internal,
                "grpc: failed to decompress the received message",
            ),
            (&gzipped, bomb, Code::ResourceExhausted, "grpc: received message larger than max ("),
        ] {
            let answer = call(&subject, PUT, headers, request).await;
            assert_eq!(answer.status.code(), code, "{}: {}", subject.name, answer.status);
            let said = answer.status.message();
            assert!(said.starts_with(text), "{}: {said}, and not {text}", subject.name);
        }
        let range = RangeRequest { key: "k".into(), ..Default::default() }.encode_to_vec();
        let answer = call(&subject, RANGE, &[], frame(false, &range)).await;
        assert!(
            answer.message::<RangeResponse>().0.kvs.is_empty(),
            "{}: a refused put took effect",
            subject.name
        );
    }
}

/// The same for streams, and with tonic's own client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_compresses_puts_and_watches() {
    let gzip = CompressionEncoding::Gzip;
    for subject in Subject::both() {
        let channel = subject.channel();
        let mut watches = WatchClient::new(channel.clone()).send_compressed(gzip).accept_compressed(gzip);
        let create = WatchCreateRequest { key: "k".into(), ..Default::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let (_keep_open, requests) = {
            let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
            sender.send(create).expect("open");
            let requests = futures_util::stream::unfold(receiver, async |mut receiver| {
                Some((receiver.recv().await?, receiver))
            });
            (sender, requests)
        };
        let mut watched = watches.watch(requests).await.expect("a stream").into_inner();
        assert!(watched.message().await.expect("no error").expect("not the end").created);
        let value = Bytes::from("v".repeat(10_000));
        let mut kv = KvClient::new(channel).send_compressed(gzip).accept_compressed(gzip);
        kv.put(PutRequest { key: "k".into(), value: value.clone(), ..Default::default() })
            .await
            .expect("put");
        let told = tokio::time::timeout(PATIENCE, watched.message()).await.expect("in time");
        let told = told.expect("no error").expect("not the end");
        assert_eq!(told.events[0].kv.as_ref().expect("a key").value, value, "{}", subject.name);
    }
}
