//! Parses a template's text into its parts.

use super::functions;

/// The most actions that a template may have, and the most parentheses.
const MOST_NESTED: usize = 500;

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template, at `{}`: {what}", rest.chars().take(40).collect::<String>())]
pub struct TemplateError {
    rest: String,
    what: String,
}

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    Print(Pipeline),
    /// `$x := …`, which declares the variable, or `$x = …`, which does not.
    Set {
        name: String,
        declares: bool,
        value: Pipeline,
    },
    If {
        condition: Pipeline,
        then: Vec<Part>,
        otherwise: Vec<Part>,
    },
    With {
        name: Option<String>,
        value: Pipeline,
        then: Vec<Part>,
        otherwise: Vec<Part>,
    },
    Range {
        names: Vec<String>,
        over: Pipeline,
        each: Vec<Part>,
        otherwise: Vec<Part>,
    },
}

/// Commands; each takes the result of the one before as its last argument.
pub(super) type Pipeline = Vec<Command>;

#[derive(Clone, Debug)]
pub(super) enum Command {
    Call { function: String, arguments: Vec<Operand> },
    Value(Operand),
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Text(String),
    Float(f64),
    Int(i64),
    Bool(bool),
    Nil,
    /// The dot, with the fields that are read of it (`.a.b`).
    Dot(Vec<String>),
    /// A variable, with the fields that are read of it.
    Variable(String, Vec<String>),
    /// A pipeline in parentheses, with the fields that are read of its result.
    Inner(Pipeline, Vec<String>),
    /// The name of a function without arguments that stands as an argument.
    Function(String),
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        // Blocks and parentheses are read by recursive descent: nesting without a limit would overflow the stack.
        if text.matches("{{").count() > MOST_NESTED || text.matches('(').count() > MOST_NESTED {
            return Err(refuse(text, format!("more than {MOST_NESTED} actions or parentheses")));
        }
        let mut parser = Parser { actions: split(text)?, next: 0, variables: Vec::new() };
        for name in ["$labels", "$externalLabels", "$externalURL", "$value", "$"] {
            parser.variables.push(name.to_owned());
        }
        let (parts, end) = parser.parts()?;
        match end {
            None => Ok(Self { parts }),
            Some(word) => Err(refuse(&word, "it ends nothing")),
        }
    }

    /// Whether the template has no actions, so that its text is always the same.
    pub fn is_plain(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }
}

fn refuse(rest: &str, what: impl Into<String>) -> TemplateError {
    TemplateError { rest: rest.to_owned(), what: what.into() }
}

enum Action {
    Text(String),
    /// The words between the braces, and the text that they come from.
    Words(Vec<Word>, String),
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Name(String),
    Variable(String),
    /// `.a.b`; true if no space precedes it, so that the fields belong to the word before.
    Fields(Vec<String>, bool),
    Dot,
    Text(String),
    Number(String),
    Sign(&'static str),
}

/// The text split at its braces; `{{-` and `-}}` remove the white space beside them.
fn split(text: &str) -> Result<Vec<Action>, TemplateError> {
    let (mut actions, mut rest, mut trim_next) = (Vec::new(), text, false);
    loop {
        let begin = rest.find("{{");
        let mut before = &rest[..begin.unwrap_or(rest.len())];
        if trim_next {
            before = before.trim_start();
        }
        let Some(begin) = begin else {
            actions.push(Action::Text(before.to_owned()));
            return Ok(actions);
        };
        let whole = &rest[begin..];
        let mut inside = &whole[2..];
        if let Some(trimmed) = inside.strip_prefix('-').filter(|t| t.starts_with(char::is_whitespace)) {
            (before, inside) = (before.trim_end(), trimmed);
        }
        actions.push(Action::Text(before.to_owned()));
        let end = action_end(inside).ok_or_else(|| refuse(whole, "the action does not end"))?;
        let mut body = &inside[..end];
        rest = &inside[end + 2..];
        trim_next = body.ends_with('-') && body[..body.len() - 1].ends_with(char::is_whitespace);
        if trim_next {
            body = &body[..body.len() - 1];
        }
        if !body.trim().starts_with("/*") {
            actions.push(Action::Words(words(body)?, body.trim().to_owned()));
        }
    }
}

/// The place of the closing braces, outside strings and comments.
fn action_end(inside: &str) -> Option<usize> {
    if inside.trim_start().starts_with("/*") {
        let end = inside.find("*/")?;
        return inside[end..].find("}}").map(|at| end + at);
    }
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in inside.char_indices() {
        match quote {
            None if inside[at..].starts_with("}}") => return Some(at),
            None if matches!(c, '"' | '`' | '\'') => quote = Some(c),
            Some(_) if escaped => escaped = false,
            Some(q) if c == '\\' && q != '`' => escaped = true,
            Some(q) if c == q => quote = None,
            _ => {}
        }
    }
    None
}

fn words(body: &str) -> Result<Vec<Word>, TemplateError> {
    let name_length =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (mut found, mut rest) = (Vec::new(), body);
    loop {
        let trimmed = rest.trim_start();
        let spaced = trimmed.len() != rest.len();
        rest = trimmed;
        let Some(c) = rest.chars().next() else { return Ok(found) };
        let length = match c {
            '"' | '`' => {
                let (text, length) =
                    string(rest, c).ok_or_else(|| refuse(rest, "a string that does not end"))?;
                found.push(Word::Text(text));
                length
            }
            '$' => {
                let length = 1 + name_length(&rest[1..]);
                found.push(Word::Variable(rest[..length].to_owned()));
                length
            }
            '.' if rest[1..].starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                let mut fields = Vec::new();
                let mut length = 0;
                while rest[length..].starts_with('.') {
                    let field = name_length(&rest[length + 1..]);
                    if field == 0 {
                        return Err(refuse(rest, "a field without a name"));
                    }
                    fields.push(rest[length + 1..=length + field].to_owned());
                    length += 1 + field;
                }
                found.push(Word::Fields(fields, !spaced));
                length
            }
            c if c.is_ascii_digit()
                || (matches!(c, '.' | '-' | '+') && rest[1..].starts_with(|c: char| c.is_ascii_digit())) =>
            {
                let more = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
                let mut length = 1 + rest[1..].find(|c| !more(c)).unwrap_or(rest.len() - 1);
                if rest[..length].ends_with(['e', 'E']) && rest[length..].starts_with(['-', '+']) {
                    length += 1 + rest[length + 1..].find(|c| !more(c)).unwrap_or(rest.len() - length - 1);
                }
                found.push(Word::Number(rest[..length].to_owned()));
                length
            }
            '.' => {
                found.push(Word::Dot);
                1
            }
            c if c.is_alphabetic() || c == '_' => {
                let length = name_length(rest);
                found.push(Word::Name(rest[..length].to_owned()));
                length
            }
            _ => {
                let sign = [":=", "=", "|", "(", ")", ","].into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| refuse(rest, "an unexpected character"))?;
                found.push(Word::Sign(sign));
                sign.len()
            }
        };
        rest = &rest[length..];
    }
}

fn string(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((text, at + 1)),
            '\\' if quote == '"' => text.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => text.push(c),
        }
    }
    None
}

struct Parser {
    actions: Vec<Action>,
    next: usize,
    variables: Vec<String>,
}

impl Parser {
    /// The parts up to the end of the text, or up to an action that ends them: `end`, `else`, `else if …`.
    fn parts(&mut self) -> Result<(Vec<Part>, Option<String>), TemplateError> {
        let mut parts = Vec::new();
        while self.next < self.actions.len() {
            let action = std::mem::replace(&mut self.actions[self.next], Action::Text(String::new()));
            self.next += 1;
            let (words, text) = match action {
                Action::Text(text) => {
                    if !text.is_empty() {
                        parts.push(Part::Text(text));
                    }
                    continue;
                }
                Action::Words(words, text) => (words, text),
            };
            let mut line = Line { words: &words, next: 0, text: &text, variables: &mut self.variables };
            let keyword = if let Some(Word::Name(name)) = words.first() { name.as_str() } else { "" };
            match keyword {
                "end" | "else" => return Ok((parts, Some(text))),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(refuse(&text, format!("{keyword} is not supported")));
                }
                "if" => {
                    line.next = 1;
                    let condition = line.pipeline_to_end()?;
                    parts.push(self.conditional(condition, &text)?);
                }
                "with" | "range" => {
                    line.next = 1;
                    let mut names = line.declaration();
                    let value = line.pipeline_to_end()?;
                    let known = self.variables.len();
                    self.variables.extend(names.iter().cloned());
                    let (then, otherwise) = self.block(&text)?;
                    self.variables.truncate(known);
                    let most = if keyword == "with" { 1 } else { 2 };
                    if names.len() > most {
                        return Err(refuse(&text, format!("{keyword} declares at most {most} variable(s)")));
                    }
                    parts.push(if keyword == "with" {
                        Part::With { name: names.pop(), value, then, otherwise }
                    } else {
                        Part::Range { names, over: value, each: then, otherwise }
                    });
                }
                _ => {
                    let declared =
                        matches!(words.get(..2), Some([Word::Variable(_), Word::Sign(":=" | "=")]));
                    if !declared {
                        parts.push(Part::Print(line.pipeline_to_end()?));
                        continue;
                    }
                    let Some(Word::Variable(name)) = words.first().cloned() else { continue };
                    line.next = 2;
                    let value = line.pipeline_to_end()?;
                    let declares = words[1] == Word::Sign(":=");
                    if declares {
                        self.variables.push(name.clone());
                    } else if !self.variables.contains(&name) {
                        return Err(refuse(&text, format!("the variable {name} is not known")));
                    }
                    parts.push(Part::Set { name, declares, value });
                }
            }
        }
        Ok((parts, None))
    }

    fn conditional(&mut self, condition: Pipeline, text: &str) -> Result<Part, TemplateError> {
        let known = self.variables.len();
        let (then, end) = self.parts()?;
        self.variables.truncate(known);
        let end = end.ok_or_else(|| refuse(text, "it has no end"))?;
        let otherwise = match end.strip_prefix("else").map(str::trim) {
            None => Vec::new(),
            Some("") => self.until_end(text)?,
            Some(chained) => {
                let condition =
                    chained.strip_prefix("if ").ok_or_else(|| refuse(&end, "expected else or else if"))?;
                let words = words(condition)?;
                let mut line =
                    Line { words: &words, next: 0, text: condition, variables: &mut self.variables };
                let condition = line.pipeline_to_end()?;
                vec![self.conditional(condition, text)?]
            }
        };
        Ok(Part::If { condition, then, otherwise })
    }

    /// The parts of a `with` or `range`, and those of its `else`.
    fn block(&mut self, text: &str) -> Result<(Vec<Part>, Vec<Part>), TemplateError> {
        let (then, end) = self.parts()?;
        match end.as_deref() {
            None => Err(refuse(text, "it has no end")),
            Some("end") => Ok((then, Vec::new())),
            Some("else") => Ok((then, self.until_end(text)?)),
            Some(other) => Err(refuse(other, "expected else or end")),
        }
    }

    fn until_end(&mut self, text: &str) -> Result<Vec<Part>, TemplateError> {
        match self.parts()? {
            (parts, Some(end)) if end == "end" => Ok(parts),
            (_, Some(other)) => Err(refuse(&other, "expected end")),
            (_, None) => Err(refuse(text, "it has no end")),
        }
    }
}

/// The words of one action.
struct Line<'a> {
    words: &'a [Word],
    next: usize,
    text: &'a str,
    variables: &'a mut Vec<String>,
}

impl Line<'_> {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.next)
    }

    /// The names in `$a, $b :=` if the line has such a declaration; otherwise none.
    fn declaration(&mut self) -> Vec<String> {
        let Some(end) = self.words.iter().position(|word| *word == Word::Sign(":=")) else {
            return Vec::new();
        };
        let names = self.words[self.next..end].iter().filter_map(|word| match word {
            Word::Variable(name) => Some(name.clone()),
            _ => None,
        });
        let names = names.collect();
        self.next = end + 1;
        names
    }

    fn pipeline_to_end(&mut self) -> Result<Pipeline, TemplateError> {
        let pipeline = self.pipeline()?;
        match self.peek() {
            None => Ok(pipeline),
            Some(_) => Err(refuse(self.text, "expected one pipeline")),
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, TemplateError> {
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if !commands.is_empty() && matches!(command, Command::Value(_)) {
                return Err(refuse(self.text, "only a function can take what a pipeline hands on"));
            }
            commands.push(command);
            if self.peek() != Some(&Word::Sign("|")) {
                return Ok(commands);
            }
            self.next += 1;
        }
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        let first = self.operand()?.ok_or_else(|| refuse(self.text, "expected a value"))?;
        let mut arguments = Vec::new();
        while let Some(argument) = self.operand()? {
            arguments.push(argument);
        }
        match first {
            Operand::Function(function) => Ok(Command::Call { function, arguments }),
            value if arguments.is_empty() => Ok(Command::Value(value)),
            _ => Err(refuse(self.text, "only a function takes arguments")),
        }
    }

    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let operand = match self.peek().cloned() {
            None | Some(Word::Sign("|" | ")")) => return Ok(None),
            Some(Word::Text(text)) => Operand::Text(text),
            Some(Word::Number(number)) => match (number.parse(), number.parse()) {
                (Ok(int), _) => Operand::Int(int),
                (_, Ok(float)) => Operand::Float(float),
                _ => return Err(refuse(self.text, format!("{number:?} is no number"))),
            },
            Some(Word::Dot) => Operand::Dot(Vec::new()),
            Some(Word::Fields(fields, _)) => Operand::Dot(fields),
            Some(Word::Name(name)) => match name.as_str() {
                "true" | "false" => Operand::Bool(name == "true"),
                "nil" => Operand::Nil,
                _ if functions::known(&name) => Operand::Function(name),
                _ => return Err(refuse(self.text, format!("the function {name} is not supported"))),
            },
            Some(Word::Variable(name)) => {
                if !self.variables.contains(&name) {
                    return Err(refuse(self.text, format!("the variable {name} is not known")));
                }
                self.next += 1;
                return Ok(Some(Operand::Variable(name, self.fields())));
            }
            Some(Word::Sign("(")) => {
                self.next += 1;
                let inner = self.pipeline()?;
                if self.peek() != Some(&Word::Sign(")")) {
                    return Err(refuse(self.text, "expected )"));
                }
                self.next += 1;
                return Ok(Some(Operand::Inner(inner, self.fields())));
            }
            Some(Word::Sign(sign)) => return Err(refuse(self.text, format!("unexpected {sign}"))),
        };
        self.next += 1;
        Ok(Some(operand))
    }

    /// The fields that follow the last word without a space.
    fn fields(&mut self) -> Vec<String> {
        match self.peek() {
            Some(Word::Fields(fields, true)) => {
                let fields = fields.clone();
                self.next += 1;
                fields
            }
            _ => Vec::new(),
        }
    }
}
