//! A transcript's text: commands, the output of each, and comments.

/// A command: a line that begins with `$ `.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// The line as written, without the `$ `.
    pub line: String,
    pub words: Vec<String>,
    pub input: Option<String>,
    /// The name under which it runs on in the background.
    pub background: Option<String>,
}

/// A command with its output.
#[derive(Debug)]
pub struct Step {
    /// Comments before it, and the blank line before those.
    comment: String,
    pub command: Command,
    /// The output against etcd.
    pub etcd: String,
    /// The output against squalld, if it differs.
    pub squalld: Option<String>,
}

pub fn parse(text: &str) -> Vec<Step> {
    let (mut steps, mut comment): (Vec<Step>, String) = (Vec::new(), String::new());
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let (comment, command) = (std::mem::take(&mut comment), Command::parse(command));
            steps.push(Step { comment, command, etcd: String::new(), squalld: None });
        } else if line.starts_with("# ") {
            // The blank line before a comment does not belong to the output.
            if let Some(before) = steps.last_mut().filter(|_| comment.is_empty()) {
                before.etcd = before.etcd.strip_suffix('\n').unwrap_or_default().to_owned();
                comment.push('\n');
            }
            comment.push_str(&format!("{line}\n"));
        } else if let Some(step) = steps.last_mut() {
            let (said, line) = match line.strip_prefix("~ ") {
                Some(line) => (step.squalld.get_or_insert_default(), line),
                None => (&mut step.etcd, line),
            };
            said.push_str(&format!("{line}\n"));
        }
    }
    steps
}

/// The text of a transcript.
pub fn write(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        text.push_str(&format!("{}$ {}\n{}", step.comment, step.command.line, step.etcd));
        for line in step.squalld.iter().flat_map(|said| said.lines()) {
            text.push_str(&format!("~ {line}\n"));
        }
    }
    text
}

impl Command {
    pub fn parse(line: &str) -> Command {
        let (words, input) = match line.split_once(" < ") {
            Some((words, input)) => (words, Some(input.replace("\\n", "\n"))),
            None => (line, None),
        };
        let mut command = Command { line: line.to_owned(), input, ..Default::default() };
        let mut rest = words.trim();
        while !rest.is_empty() {
            let (word, after) = match rest.strip_prefix('\'') {
                Some(quoted) => quoted.split_once('\'').unwrap_or_else(|| panic!("an open quote: {line}")),
                None => rest.split_once(' ').unwrap_or((rest, "")),
            };
            match word.strip_prefix('&') {
                Some(name) => command.background = Some(name.to_owned()),
                None => command.words.push(word.to_owned()),
            }
            rest = after.trim_start();
        }
        command
    }
}

#[test]
fn a_transcript_is_written_as_it_was_read() {
    let text = "# One.\n$ put a 'b c'\nOK\n\nsaid\n\n# Two.\n# Lines.\n$ txn < x\\n\\n\n~ ! Error: no\n~ exit 1\n$ watch a &w\n";
    let steps = parse(text);
    assert_eq!(write(&steps), text);
    assert_eq!(steps[0].command.words, ["put", "a", "b c"]);
    assert_eq!(steps[0].etcd, "OK\n\nsaid\n");
    assert_eq!(steps[1].command.input.as_deref(), Some("x\n\n"));
    assert_eq!((&steps[1].etcd[..], steps[1].squalld.as_deref()), ("", Some("! Error: no\nexit 1\n")));
    assert_eq!(steps[2].command.background.as_deref(), Some("w"));
}
