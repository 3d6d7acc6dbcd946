//! What a server answered, made neutral.

use std::fmt;

use tonic::{Code, Status};

/// An answer to one operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is compared: the neutral response, one field a line, or the refusal.
    pub said: Result<String, Refused>,
    /// The store's revision that the response's header names; 0 where it names none.
    pub revision: i64,
    /// The id that the server gave to what was made, as both servers call it; [`NO_ID`] where nothing was.
    pub id: i64,
}

/// Nobody's id.
pub const NO_ID: i64 = i64::MIN + 1;

/// A refusal: what a client can tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// gRPC's code.
    pub code: Code,
    /// Its text.
    pub message: String,
}

impl Answer {
    pub fn said(response: &impl fmt::Debug, revision: i64) -> Answer {
        Answer { said: Ok(format!("{response:#?}")), revision, id: NO_ID }
    }

    pub fn refused(status: &Status) -> Answer {
        let refused = Refused { code: status.code(), message: status.message().to_owned() };
        Answer { said: Err(refused), revision: 0, id: NO_ID }
    }

    /// The server gave no answer in time.
    pub fn silence() -> Answer {
        Answer::refused(&Status::deadline_exceeded("(no answer in time)"))
    }

    pub fn with_id(self, id: i64) -> Answer {
        Answer { id, ..self }
    }

    pub fn is_refused(&self) -> bool {
        self.said.is_err()
    }

    /// Whether it is a refusal, also one inside a watch stream.
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
