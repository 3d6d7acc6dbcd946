//! Any scalar as a register's value: strings, keywords, booleans and floats get separate numbers.
//!
//! The models hold integers ([`Value`]), since a state is compared, hashed and copied by the million. Integers stand
//! for themselves; every other scalar is given one from the far end of the range, and its text is kept for what people
//! read ([`Names`]). Equal scalars have equal numbers, and others have not.

use std::collections::BTreeMap;

use super::edn::Edn;
use super::event::{RawOperation, RawOutcome};
use crate::model::value::{FIRST_NAMED, MOST_NAMED, Names, Value};

/// The numbers of a history's scalars that are no integers.
#[derive(Clone, Debug, Default)]
pub struct Scalars {
    numbers: BTreeMap<String, i64>,
    texts: Vec<String>,
}

impl Scalars {
    /// Those of a history.
    pub(super) fn of(operations: &[RawOperation]) -> Scalars {
        let mut scalars = Scalars::default();
        for raw in operations {
            scalars.gather(&raw.value);
            if let RawOutcome::Ok(value) = &raw.outcome {
                scalars.gather(value);
            }
        }
        scalars
    }

    fn gather(&mut self, value: &Edn) {
        match value {
            Edn::Seq(parts) => parts.iter().for_each(|part| self.gather(part)),
            scalar => _ = self.add(scalar),
        }
    }

    fn add(&mut self, scalar: &Edn) -> Option<Value> {
        match scalar {
            Edn::Nil => return Some(None),
            Edn::Int(number) if *number >= FIRST_NAMED + MOST_NAMED => return Some(Some(*number)),
            _ => {}
        }
        let text = scalar.scalar()?;
        let next = FIRST_NAMED + self.texts.len() as i64;
        let number = *self.numbers.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            next
        });
        Some(Some(number))
    }

    /// The value of a scalar of this history.
    ///
    /// # Errors
    /// If it is a collection.
    pub(super) fn value(&self, scalar: &Edn) -> Result<Value, String> {
        match scalar {
            Edn::Nil => return Ok(None),
            Edn::Int(number) if *number >= FIRST_NAMED + MOST_NAMED => return Ok(Some(*number)),
            _ => {}
        }
        let number = scalar.scalar().and_then(|text| self.numbers.get(&text).copied());
        number.map(Some).ok_or_else(|| {
            format!(
                "expected a scalar value, found {}: a register's values are scalars, `[key scalar]` with independent \
                 keys in every operation, or `[version scalar]` with versions in every operation",
                scalar.kind()
            )
        })
    }

    /// The value that a person means by a text: EDN, or a word for the string or keyword of this history.
    ///
    /// # Errors
    /// If it is no scalar.
    pub fn parse(&mut self, text: &str) -> Result<Value, String> {
        let scalar = Edn::parse(text.trim())
            .ok()
            .filter(|scalar| scalar.scalar().is_some())
            .ok_or_else(|| format!("`{text}` is no scalar: expected an integer, nil, a string, a keyword"))?;
        if let Edn::Symbol(word) = &scalar {
            for meant in [Edn::Str(word.clone()), Edn::Keyword(word.clone())] {
                if let Ok(value) = self.value(&meant) {
                    return Ok(value);
                }
            }
        }
        self.add(&scalar).ok_or_else(|| format!("`{text}` is no scalar"))
    }

    /// Whether any value of the history is no integer.
    pub fn any_named(&self) -> bool {
        !self.texts.is_empty()
    }

    /// The texts, for a model.
    pub fn names(&self) -> Names {
        Names::new(self.texts.clone())
    }
}
