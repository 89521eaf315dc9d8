//! gRPC over the same port: framing and trailers by tonic, messages as bytes, so that no generated code is needed.
//!
//! The body is read within the bounds of every request before tonic sees it; tonic unpacks gzip to at most the same
//! number of bytes as HTTP bodies.

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, BufMut, Bytes};
use futures::FutureExt;
use futures::future::BoxFuture;
use ingest::OtlpEncoding;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};

use super::otlp::{export_message, grpc_code};
use super::{Protocol, receive};
use crate::fault::Fault;
use crate::state::App;

/// `POST /opentelemetry.proto.collector.metrics.v1.MetricsService/Export`
pub(crate) async fn export(Extract(app): Extract<App>, request: Request) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|text| text.starts_with("application/grpc")) {
        let message = "this path speaks gRPC; send OTLP over HTTP to /v1/metrics";
        return Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message).into_text();
    }
    let (head, body) = request.into_parts();
    let received = receive(&app, &head.headers, body).await;
    let (_admitted, bytes) = match received {
        Ok(received) => received,
        Err(fault) => return status(&fault).into_http::<Body>(),
    };
    let decoded_max = app.intake.limits().decoded_bytes;
    let mut grpc = Grpc::new(Messages)
        .accept_compressed(CompressionEncoding::Gzip)
        .apply_max_message_size_config(Some(decoded_max), None);
    let answer = grpc.unary(Export(App::clone(&app)), Request::from_parts(head, Body::from(bytes))).await;
    count_refusal(&app, &answer);
    answer.map(Body::new).into_response()
}

/// Refusals by tonic itself (framing, encoding, size) have their status in the head; ours were counted before.
fn count_refusal<B>(app: &App, answer: &axum::http::Response<B>) {
    let code = answer.headers().get("grpc-status").and_then(|value| value.to_str().ok());
    let reason = match code.and_then(|text| text.parse().ok()).map(Code::from_i32) {
        Some(Code::ResourceExhausted | Code::OutOfRange) => "bomb",
        Some(Code::Unimplemented) => "content_encoding",
        Some(Code::Internal) => "framing",
        _ => return,
    };
    app.intake.metrics.refused_request(Protocol::Otlp, reason);
}

/// The one method.
struct Export(App);

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let app = App::clone(&self.0);
        async move {
            let taken = export_message(&app, request.into_inner()).await.map_err(|fault| status(&fault))?;
            let message = OtlpEncoding::Protobuf.response(taken.rejected, &taken.message);
            Ok(tonic::Response::new(message.into()))
        }
        .boxed()
    }
}

fn status(fault: &Fault) -> Status {
    Status::new(Code::from_i32(grpc_code(fault.status) as i32), fault.message.clone())
}

/// Messages as they are.
struct Messages;

impl Codec for Messages {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Messages {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Messages {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let n_bytes = message.remaining();
        Ok(Some(message.copy_to_bytes(n_bytes)))
    }
}
