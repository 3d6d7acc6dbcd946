//! `squall schema`: the JSON Schema of the files that people write.

use super::args::{SchemaArgs, SchemaKind};
use super::{Status, Streams};
use crate::schema::{FileKind, reference, schema_text};
use crate::text::Refusal;

/// Prints a schema.
pub(super) fn schema(args: &SchemaArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    let text = match args.kind {
        SchemaKind::Scenario => schema_text(FileKind::Scenario),
        SchemaKind::Plan => schema_text(FileKind::Plan),
        SchemaKind::Reference => reference(),
    };
    let _ = streams.out.write_all(text.as_bytes());
    Ok(Status::Ok)
}
