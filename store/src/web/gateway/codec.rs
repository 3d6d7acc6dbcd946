//! Converts JSON to protobuf and back, by descriptors.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::{Map, Value};
use tonic::Status;

/// Made by `cargo run -p squall-proto`.
const DESCRIPTORS: &[u8] = include_bytes!("../../proto/gateway.bin");

/// All calls of the API.
pub(super) struct Codec(DescriptorPool);

/// One call's messages.
#[derive(Clone)]
pub(super) struct Method {
    /// The call's path in gRPC: `/SERVICE/METHOD`.
    pub path: String,
    input: MessageDescriptor,
    output: MessageDescriptor,
}

impl Codec {
    pub(super) fn new() -> Codec {
        Codec(DescriptorPool::decode(DESCRIPTORS).expect("descriptors that the protocol's compiler has made"))
    }

    /// # Panics
    /// If there is no such method. All names come from this gateway's own table.
    pub(super) fn method(&self, service: &str, method: &str) -> Method {
        let found = self.0.get_service_by_name(service);
        let found = found.and_then(|service| service.methods().find(|found| found.name() == method));
        let found = found.unwrap_or_else(|| panic!("{service} has no method {method}"));
        Method { path: format!("/{service}/{method}"), input: found.input(), output: found.output() }
    }
}

impl Method {
    /// A request's message, from JSON. As in etcd `null` is an empty message, and unknown fields are ignored.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn encode(&self, mut json: Value) -> Result<Vec<u8>, String> {
        if json.is_null() {
            return Ok(Vec::new());
        }
        prepare(&mut json, &self.input)?;
        let message =
            DynamicMessage::deserialize(self.input.clone(), json).map_err(|error| error.to_string())?;
        Ok(message.encode_to_vec())
    }

    /// An answer's message, as JSON.
    ///
    /// # Errors
    /// `Internal` if the bytes are no such message.
    pub(super) fn decode(&self, message: &[u8]) -> Result<String, Status> {
        let broken = |error: &dyn std::fmt::Display| Status::internal(format!("squall: gateway: {error}"));
        let message = DynamicMessage::decode(self.output.clone(), message).map_err(|error| broken(&error))?;
        // Fields have etcd's names, and those that are empty or zero are left out.
        let options = SerializeOptions::new().use_proto_field_name(true);
        let mut json = Vec::new();
        let serialized =
            message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options);
        serialized.map_err(|error| broken(&error))?;
        String::from_utf8(json).map_err(|error| broken(&error))
    }
}

/// Changes a message's JSON into a form that the decoder reads as Go's does. Removes unknown fields, since the decoder
/// would either refuse them or also ignore unknown names of enumerations. Refuses base64 and numbers that Go does not
/// read.
fn prepare(json: &mut Value, message: &MessageDescriptor) -> Result<(), String> {
    let Value::Object(fields) = json else { return Ok(()) };
    let known = |name: &str| message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name));
    fields.retain(|name, _| known(name).is_some());
    keep_one_of_each(fields, message);
    for (name, value) in fields {
        let Some(field) = known(name) else { continue };
        let values = match value {
            Value::Array(values) if field.is_list() => values.iter_mut(),
            value => std::slice::from_mut(value).iter_mut(),
        };
        for value in values {
            match field.kind() {
                Kind::Message(_) if value.is_null() && field.is_list() => *value = Value::Object(Map::new()),
                Kind::Message(message) => prepare(value, &message)?,
                Kind::Bytes if value.is_array() => {
                    let bytes: Result<Vec<u8>, _> = serde_json::from_value(value.take());
                    let bytes = bytes.map_err(|_| format!("field {name}: its numbers are not bytes"))?;
                    *value = Value::String(STANDARD.encode(bytes));
                }
                Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Enum(_)
                    if is_fraction(value) =>
                {
                    return Err(format!("field {name}: {value} is not written as an integer"));
                }
                Kind::Bytes if !value.as_str().is_none_or(is_base64) => {
                    return Err(format!("field {name}: illegal base64 data"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a number, or a number in a text, has a point or an exponent. Go reads no integer from it.
fn is_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::String(text) => text.parse::<f64>().is_ok() && text.contains(['.', 'e', 'E']),
        _ => false,
    }
}

/// Where a field stands in both spellings, the one in camel case counts; of several members of a oneof, the last in the
/// declaration. So does Go's decoder, which goes through the fields of the declaration.
fn keep_one_of_each(fields: &mut Map<String, Value>, message: &MessageDescriptor) {
    for field in message.fields() {
        if field.name() != field.json_name() && fields.contains_key(field.json_name()) {
            fields.remove(field.name());
        }
    }
    for oneof in message.oneofs() {
        let is_given = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
        let mut members: Vec<_> = oneof.fields().collect();
        members.sort_by_key(|field| field.number());
        members.retain(|field| is_given(field.name()) || is_given(field.json_name()));
        members.pop();
        for field in members {
            fields.remove(field.name());
            fields.remove(field.json_name());
        }
    }
}

/// Whether a text has base64's usual alphabet and is padded; the decoder checks the rest.
fn is_base64(text: &str) -> bool {
    text.len().is_multiple_of(4) && !text.contains(['-', '_'])
}

#[cfg(test)]
mod tests {
    use super::{super::routes::ROUTES, *};

    fn encode(method: &Method, json: &str) -> Result<Vec<u8>, String> {
        method.encode(serde_json::from_str(json).map_err(|error| error.to_string())?)
    }

    #[test]
    fn every_route_has_its_method_and_shape() {
        use super::super::routes::{Input, Shape};
        let codec = Codec::new();
        let mut paths = std::collections::BTreeSet::new();
        for route in ROUTES {
            assert!(paths.insert(route.path), "{} twice", route.path);
            codec.method(route.service, route.method);
            let service = codec.0.get_service_by_name(route.service).unwrap();
            let method = service.methods().find(|method| method.name() == route.method).unwrap();
            let shape = match (method.is_client_streaming(), method.is_server_streaming()) {
                (false, false) => Shape::Unary,
                (false, true) => Shape::Streaming { input: Input::One },
                (true, _) if route.path == "watch" => Shape::Streaming { input: Input::ManyAndOpen },
                (true, _) => Shape::Streaming { input: Input::Many },
            };
            assert_eq!(route.shape, shape, "{}", route.path);
        }
        // Every method of the client API except HashKV, whose path belongs to Hash in 3.5.
        let methods: usize = codec.0.services().map(|service| service.methods().count()).sum();
        let routed: std::collections::BTreeSet<_> =
            ROUTES.iter().map(|route| (route.service, route.method)).collect();
        assert_eq!(routed.len(), methods - 1);
    }

    #[test]
    fn either_spelling_is_read_and_etcds_is_written() {
        let range = Codec::new().method("etcdserverpb.KV", "Range");
        let snake = encode(&range, r#"{"key":"YQ==","range_end":"Yg==","sort_order":"DESCEND","limit":"3"}"#);
        let camel = encode(&range, r#"{"key":"YQ==","rangeEnd":"Yg==","sortOrder":2,"limit":3,"what":[{}]}"#);
        assert_eq!(snake.unwrap(), camel.unwrap());
        let status = Codec::new().method("etcdserverpb.Maintenance", "Status");
        let answer = crate::proto::etcdserverpb::StatusResponse { db_size: 1 << 60, ..Default::default() };
        let json = status.decode(&answer.encode_to_vec()).unwrap();
        assert_eq!(json, r#"{"dbSize":"1152921504606846976"}"#);
    }

    #[test]
    fn what_stands_twice_counts_once_as_in_go() {
        let service = |service, method| Codec::new().method(service, method);
        let (kv, watch) = ("etcdserverpb.KV", "etcdserverpb.Watch");
        for (method, given, means) in [
            (service(kv, "Put"), r#"{"prev_kv":true,"prevKv":false,"key":[97]}"#, r#"{"key":"YQ=="}"#),
            (service(kv, "Put"), r#"{"prevKv":true,"prev_kv":false}"#, r#"{"prev_kv":true}"#),
            (
                service(watch, "Watch"),
                r#"{"cancel_request":{"watch_id":1},"create_request":{"key":"YQ=="}}"#,
                r#"{"cancel_request":{"watch_id":1}}"#,
            ),
            (
                service(watch, "Watch"),
                r#"{"createRequest":{"key":"YQ=="},"cancel_request":null}"#,
                r#"{"create_request":{"key":"YQ=="}}"#,
            ),
            (
                service(kv, "Txn"),
                r#"{"success":[{"request_put":{"key":"YQ=="},"request_range":{"key":"Yg=="}}]}"#,
                r#"{"success":[{"request_put":{"key":"YQ=="}}]}"#,
            ),
            (service(kv, "Txn"), r#"{"success":[null]}"#, r#"{"success":[{}]}"#),
        ] {
            assert_eq!(encode(&method, given), encode(&method, means), "{given}");
            assert!(encode(&method, given).is_ok(), "{given}");
        }
    }

    #[test]
    fn invalid_json_is_refused() {
        let put = Codec::new().method("etcdserverpb.KV", "Put");
        for json in [
            "{",
            "[]",
            "1",
            r#"{"key":1}"#,
            r#"{"key":"?"}"#,
            r#"{"key":"Yg"}"#,
            r#"{"lease":"x"}"#,
            r#"{"lease":1.5}"#,
            r#"{"lease":99999999999999999999}"#,
            r#"{"prev_kv":"yes"}"#,
            r#"{"key":["YQ=="]}"#,
            r#"{"key":[256]}"#,
            r#"{"lease":1e0}"#,
            r#"{"lease":"1e0"}"#,
            r#"{"lease":1.0}"#,
            "",
        ] {
            assert!(encode(&put, json).is_err(), "{json}");
        }
        let range = Codec::new().method("etcdserverpb.KV", "Range");
        assert!(encode(&range, r#"{"sort_order":"UP"}"#).is_err(), "no such order");
        let txn = Codec::new().method("etcdserverpb.KV", "Txn");
        let deep = r#"{"success":[{"request_txn":"#.repeat(60) + "{}" + &"}]}".repeat(60);
        assert!(encode(&txn, &deep).is_err(), "too deep");
    }
}
