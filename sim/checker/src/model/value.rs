//! The value of a register: nil, an integer, or any other scalar under a separate number.

use std::sync::Arc;

/// A register's value; `None` is nil. A scalar that is no integer, such as a string, has a number from
/// [`FIRST_NAMED`] on, and its text is in [`Names`].
pub type Value = Option<i64>;

/// Where the numbers of scalars that are no integers begin.
pub const FIRST_NAMED: i64 = i64::MIN;

/// How many numbers there are for them.
pub const MOST_NAMED: i64 = 1 << 40;

/// The texts of the scalars that are no integers, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Arc<Vec<String>>);

impl Names {
    /// The texts of the numbers from [`FIRST_NAMED`] on.
    pub fn new(texts: Vec<String>) -> Names {
        Names(Arc::new(texts))
    }

    /// A value as a person reads it.
    pub fn show(&self, value: &Value) -> String {
        let Some(number) = value else { return "nil".to_owned() };
        let place = number.wrapping_sub(FIRST_NAMED);
        match usize::try_from(place).ok().and_then(|place| self.0.get(place)) {
            Some(text) => text.clone(),
            None => number.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_show_themselves_and_other_scalars_their_text() {
        let names = Names::new(vec!["\"a\"".to_owned()]);
        assert_eq!(names.show(&None), "nil");
        assert_eq!(names.show(&Some(-7)), "-7");
        assert_eq!(names.show(&Some(FIRST_NAMED)), "\"a\"");
        assert_eq!(names.show(&Some(FIRST_NAMED + 1)), (FIRST_NAMED + 1).to_string());
        assert_eq!(names.show(&Some(i64::MAX)), i64::MAX.to_string());
    }
}
