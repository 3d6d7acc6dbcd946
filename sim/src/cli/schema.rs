//! `squall schema`: the JSON Schema of the files that people write.

use super::args::{SchemaArgs, SchemaKind};
use super::{Status, Streams};
use crate::schema::{FileKind, schema_text};
use crate::text::Refusal;

/// Prints a schema.
pub(super) fn schema(args: &SchemaArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    let kind = match args.kind {
        SchemaKind::Scenario => FileKind::Scenario,
        SchemaKind::Plan => FileKind::Plan,
    };
    let _ = streams.out.write_all(schema_text(kind).as_bytes());
    Ok(Status::Ok)
}
