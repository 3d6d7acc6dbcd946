//! Calls with one message in each direction.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tonic::{Status, body::Body};

use super::{BODY_PATIENCE, Gateway, codec::Method, frame};
use crate::{
    seam::{GrpcRequest, GrpcResponse, grpc_timeout, timeout},
    web::reply,
};

impl Gateway {
    pub(super) async fn unary(&self, method: &Method, request: GrpcRequest) -> Result<GrpcResponse, Status> {
        let (head, body) = request.into_parts();
        let message = self.one_message(method, body).await?;
        let call = async {
            let answer = self.call(method, &head.headers, Body::new(Full::new(frame(&message)))).await?;
            let collected = answer.collect().await?;
            if let Some(status) = collected.trailers().and_then(Status::from_header_map)
                && status.code() != tonic::Code::Ok
            {
                return Err(status);
            }
            Ok(collected.to_bytes())
        };
        let clock = &*self.node.env().clock;
        let bytes = match grpc_timeout(&head.headers) {
            None => call.await?,
            Some(within) => {
                let late = |_| Status::deadline_exceeded("context deadline exceeded");
                timeout(clock, within, call).await.map_err(late)??
            }
        };
        // One frame, of one message.
        let json = method.decode(bytes.get(5..).unwrap_or_default())?;
        let mut response = reply::json(200, json);
        let of_grpc = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("grpc-metadata-content-type", of_grpc);
        Ok(response)
    }

    /// The message in a body. As in etcd, an empty body is an empty message, and anything after the message is
    /// ignored.
    ///
    /// # Errors
    /// `InvalidArgument`, `ResourceExhausted`, `DeadlineExceeded`.
    pub(super) async fn one_message(&self, method: &Method, body: Body) -> Result<Vec<u8>, Status> {
        let arrived =
            timeout(&*self.node.env().clock, BODY_PATIENCE, Limited::new(body, self.limit).collect()).await;
        let arrived =
            arrived.map_err(|_| Status::deadline_exceeded("squall: the request's body takes too long"))?;
        let body: Bytes = arrived
            .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => self.too_large(),
                None => Status::invalid_argument(format!("squall: the request's body: {error}")),
            })?
            .to_bytes();
        let first = serde_json::Deserializer::from_slice(&body).into_iter::<serde_json::Value>().next();
        let json = first.transpose().map_err(|error| Status::invalid_argument(error.to_string()))?;
        method.encode(json.unwrap_or_default()).map_err(Status::invalid_argument)
    }

    pub(super) fn too_large(&self) -> Status {
        Status::resource_exhausted(format!(
            "grpc: received message larger than max (JSON of more than {} bytes)",
            self.limit
        ))
    }
}
