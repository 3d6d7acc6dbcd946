//! Requests that no generated client sends: unknown methods, bytes that are not a message, unknown fields. Also the
//! health service, which every gRPC server has.

use bytes::{Buf, BufMut};
use squall_store::proto::grpc::health::v1::{HealthCheckRequest, health_client::HealthClient};
use tonic::{
    Code, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::{
    answer::Answer,
    operation::{Call, Caller},
    server::Server,
};

impl Server {
    pub(super) async fn wire(&self, caller: &Caller, call: &Call) -> Answer {
        match call.clone() {
            Call::Health(service) => {
                let request = HealthCheckRequest { service };
                match unary!(self, caller, HealthClient.check(request)) {
                    Ok(response) => Answer::said(&response, 0),
                    Err(status) => Answer::refused(&status),
                }
            }
            Call::Wire { path, bytes } => {
                let mut request = tonic::Request::new(bytes);
                *request.metadata_mut() = self.metadata(caller);
                let mut grpc = Grpc::new(self.channel.clone());
                if let Err(error) = grpc.ready().await {
                    return Answer::refused(&Status::unavailable(error.to_string()));
                }
                let path = http::uri::PathAndQuery::from_static(path);
                match super::in_time(&self.seams, grpc.unary(request, path, Raw)).await {
                    // The other calls compare the content; here only the presence of an answer counts.
                    Ok(_) => Answer::said(&"(an answer)", 0),
                    Err(status) => Answer::refused(&without_words_of_decoder(&status)),
                }
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }
}

/// Makes a decoder's message neutral: each decoder has its own words for bytes that it cannot read.
fn without_words_of_decoder(status: &Status) -> Status {
    let says = |text: &str| status.message().contains(text);
    if status.code() == Code::Internal && (says("unmarshal") || says("failed to decode Protobuf message")) {
        return Status::internal("(this is no message)");
    }
    status.clone()
}

/// Bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; from.remaining()];
        from.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
