//! A server's answer, made neutral.

use std::fmt;

use tonic::{Code, Status};

use crate::condense;

/// An answer to one operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The compared part: the neutral response, one field a line, or the refusal.
    pub said: Result<String, Refused>,
    /// The store's revision in the response's header; 0 if it has none.
    pub revision: i64,
    /// The stand-in of the id that the server gave to a new lease or member; [`NO_ID`] if the call made neither.
    pub id: i64,
}

/// The value of `id` if there is no id.
pub const NO_ID: i64 = i64::MIN + 1;

/// A refusal, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// gRPC's code.
    pub code: Code,
    /// Its text.
    pub message: String,
}

impl Answer {
    /// A response.
    pub fn said(response: &impl fmt::Debug, revision: i64) -> Answer {
        Answer { said: Ok(format!("{response:#?}")), revision, id: NO_ID }
    }

    /// Its text, as recordings hold it.
    pub fn condensed(&self) -> String {
        condense::text(&self.to_string())
    }

    pub(crate) fn refused(status: &Status) -> Answer {
        let refused = Refused { code: status.code(), message: status.message().to_owned() };
        Answer { said: Err(refused), revision: 0, id: NO_ID }
    }

    /// The server gave no answer in time.
    pub(crate) fn silence() -> Answer {
        Answer::refused(&Status::deadline_exceeded("(no answer in time)"))
    }

    pub(crate) fn with_id(self, id: i64) -> Answer {
        Answer { id, ..self }
    }

    /// Whether it is a refusal.
    pub fn is_refused(&self) -> bool {
        self.said.is_err()
    }

    /// Whether it is a refusal; also if the refusal came inside a watch stream.
    pub fn declines(&self) -> bool {
        self.said.as_ref().map_or(true, |text| text.contains("canceled: true"))
    }

    /// The text of the refusal, if it is one.
    pub fn refusal(&self) -> Option<&str> {
        self.said.as_ref().err().map(|refused| refused.message.as_str())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.said {
            Ok(text) => f.write_str(text),
            Err(refused) => write!(f, "refused: {:?} {:?}", refused.code, refused.message),
        }
    }
}
