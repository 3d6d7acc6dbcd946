//! EDN histories of Jepsen and Knossos, and Porcupine's KV text, which is EDN with a map a line: maps with
//! `:process :type :f :value`, and `:key` where there are several objects, in one vector or list, or one after
//! another. Other keys (`:time`, `:error`, `:index`) are passed over, and so are events of a process that is no
//! number, such as `:nemesis`.

use std::io::BufRead;

use super::edn::{Edn, EdnReader, Place, Token};
use super::event::{Kind, Pairing, RawEvent, RawOperation};
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
                None => return Ok(pairing.finish()),
                Some(place) => {
                    return Err(
                        edn.malformed(place, "the file ends before the list that opens here is closed")
                    );
                }
            },
            Token::Value(value) => match event(value, place.line) {
                Ok(Some(event)) => pairing.event(event)?,
                Ok(None) => pairing.skip(),
                Err(what) => return Err(edn.malformed(place, what)),
            },
        }
    }
}

fn event(value: Edn, line: u64) -> Result<Option<RawEvent>, String> {
    const SHAPE: &str = "expected a map with `:process :type :f :value`";
    let Edn::Map(entries) = value else { return Err(format!("{SHAPE}, found {}", value.kind())) };
    let (mut process, mut kind, mut function, mut key, mut value) = (None, None, None, None, Edn::Nil);
    for (name, entry) in entries {
        let Edn::Keyword(name) = name else { continue };
        match name.as_str() {
            "process" => process = Some(entry),
            "type" => kind = Some(entry),
            "f" => function = Some(entry),
            "key" => key = Some(entry),
            "value" => value = entry,
            _ => {}
        }
    }
    let process = match process {
        Some(Edn::Int(process)) if process >= 0 => process as u64,
        Some(Edn::Keyword(_)) => return Ok(None),
        Some(other) => return Err(format!("expected a process's number, found {}", other.kind())),
        None => return Err(format!("{SHAPE}, found none with `:process`")),
    };
    let kind = match kind {
        Some(Edn::Keyword(name)) => Kind::from_keyword(&name)
            .ok_or(format!("unknown type `:{name}`: expected :invoke, :ok, :fail or :info"))?,
        Some(other) => return Err(format!("expected a type, found {}", other.kind())),
        None => return Err(format!("{SHAPE}, found none with `:type`")),
    };
    let function = match function {
        Some(Edn::Keyword(name)) => name,
        Some(other) => return Err(format!("expected a function's keyword, found {}", other.kind())),
        None => return Err(format!("{SHAPE}, found none with `:f`")),
    };
    let key = match key {
        None | Some(Edn::Nil) => None,
        Some(Edn::Str(key) | Edn::Keyword(key) | Edn::Symbol(key)) => Some(key),
        Some(Edn::Int(key)) => Some(key.to_string()),
        Some(other) => return Err(format!("expected a key, found {}", other.kind())),
    };
    Ok(Some(RawEvent { line, process, kind, function, key, value }))
}
