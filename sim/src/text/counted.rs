//! Numbers with their nouns.

/// `1 run`, `2 runs`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `1 run is`, `2 runs are`.
pub(crate) fn counted_are(count: u64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::{counted, counted_are};

    #[test]
    fn one_is_no_plural() {
        assert_eq!([counted(0, "run"), counted(1, "run"), counted(2, "run")], ["0 runs", "1 run", "2 runs"]);
        assert_eq!([counted_are(1, "run"), counted_are(2, "run")], ["1 run is", "2 runs are"]);
    }
}
