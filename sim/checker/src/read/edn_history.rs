//! EDN histories of Jepsen and Knossos, and Porcupine's KV text, which is EDN with a map a line: maps with
//! `:process :type :f :value`, and `:key` if there are several objects, in one vector or list, or one after
//! another. Records (`#jepsen.history.Op{...}`) are maps. [`super::event`] explains the entries.

use std::io::BufRead;

use super::edn::{Edn, EdnReader, Place, Token};
use super::event::{Fields, Pairing, RawOperation};
use crate::history::{ReadError, ReadLimits};

pub(super) fn read(
    reader: impl BufRead,
    file: &str,
    limits: &ReadLimits,
) -> Result<Vec<RawOperation>, ReadError> {
    let mut edn = EdnReader::new(reader, file, 1, limits.line_bytes);
    let mut pairing = Pairing::new(file, limits);
    let mut opened: Option<Place> = None;
    loop {
        let place = edn.next_place()?;
        let token = if opened.is_some() { edn.next_value()? } else { edn.next_opening()? };
        match token {
            Token::Open => opened = Some(place),
            Token::Close if opened.take().is_some() => {}
            Token::Close => return Err(edn.malformed(place, "a closing bracket that nothing opened")),
            Token::End => match opened {
                None => return pairing.finish(),
                Some(place) => {
                    return Err(
                        edn.malformed(place, "the file ends before the list that opens here is closed")
                    );
                }
            },
            Token::Value(Edn::Map(entries)) => match Fields::of_map(entries).event(place.line) {
                Ok(event) => pairing.event(event)?,
                Err(what) => return Err(edn.malformed(place, what)),
            },
            Token::Value(other) => {
                let what = format!("expected a map with `:process :type :f :value`, found {}", other.kind());
                return Err(edn.malformed(place, what));
            }
        }
    }
}
