//! Expands a template's parts into text.

use super::{
    Data, Datum, Template, functions,
    parse::{Command, Operand, Part},
    printf::printed,
};

pub(super) struct Run<'a, 'b> {
    pub data: &'a Data<'b>,
    variables: Vec<(String, Datum)>,
    output: String,
}

/// The expanded text of a template.
pub fn expand(template: &Template, data: &Data<'_>) -> Result<String, String> {
    let variables = vec![
        ("$".to_owned(), Datum::Root),
        ("$labels".to_owned(), Datum::map(data.labels)),
        ("$externalLabels".to_owned(), Datum::map(data.external_labels)),
        ("$externalURL".to_owned(), Datum::Text(data.external_url.to_owned())),
        ("$value".to_owned(), Datum::Float(data.value)),
    ];
    let mut run = Run { data, variables, output: String::new() };
    run.parts(&template.parts, &Datum::Root)?;
    Ok(run.output)
}

impl Run<'_, '_> {
    fn parts(&mut self, parts: &[Part], dot: &Datum) -> Result<(), String> {
        // A variable's scope ends with the block that declares it.
        let known = self.variables.len();
        let done = parts.iter().try_for_each(|part| self.part(part, dot));
        self.variables.truncate(known);
        done
    }

    fn part(&mut self, part: &Part, dot: &Datum) -> Result<(), String> {
        match part {
            Part::Text(text) => self.output += text,
            Part::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.output += &printed(&value)?;
            }
            Part::Set { name, declares, value } => {
                let value = self.pipeline(value, dot)?;
                match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                    Some(variable) if !declares => variable.1 = value,
                    _ => self.variables.push((name.clone(), value)),
                }
            }
            Part::If { condition, then, otherwise } => {
                let holds = self.pipeline(condition, dot)?.is_true();
                self.parts(if holds { then } else { otherwise }, dot)?;
            }
            Part::With { name, value, then, otherwise } => {
                let value = self.pipeline(value, dot)?;
                if !value.is_true() {
                    return self.parts(otherwise, dot);
                }
                let known = self.variables.len();
                self.variables.extend(name.iter().map(|name| (name.clone(), value.clone())));
                self.parts(then, &value)?;
                self.variables.truncate(known);
            }
            Part::Range { names, over, each, otherwise } => {
                let items: Vec<(Datum, Datum)> = match self.pipeline(over, dot)? {
                    Datum::Samples(samples) => {
                        let item = |(at, sample)| {
                            (Datum::Int(i64::try_from(at).unwrap_or(0)), Datum::Sample(sample))
                        };
                        samples.into_iter().enumerate().map(item).collect()
                    }
                    Datum::Map(map) => {
                        map.into_iter().map(|(key, value)| (Datum::Text(key), Datum::Text(value))).collect()
                    }
                    Datum::Nil => Vec::new(),
                    _ => return Err("range can't iterate over this".to_owned()),
                };
                if items.is_empty() {
                    return self.parts(otherwise, dot);
                }
                for (key, item) in items {
                    let known = self.variables.len();
                    match &names[..] {
                        [one] => self.variables.push((one.clone(), item.clone())),
                        [at, one] => {
                            self.variables.push((at.clone(), key));
                            self.variables.push((one.clone(), item.clone()));
                        }
                        _ => {}
                    }
                    self.parts(each, &item)?;
                    self.variables.truncate(known);
                }
            }
        }
        Ok(())
    }

    fn pipeline(&self, pipeline: &[Command], dot: &Datum) -> Result<Datum, String> {
        let mut result = None;
        for command in pipeline {
            result = Some(match command {
                Command::Value(operand) => self.operand(operand, dot)?,
                Command::Call { function, arguments } => {
                    let values = arguments.iter().map(|argument| self.operand(argument, dot));
                    let mut values = values.collect::<Result<Vec<Datum>, String>>()?;
                    values.extend(result);
                    functions::call(self, function, values)?
                }
            });
        }
        Ok(result.unwrap_or(Datum::Nil))
    }

    fn operand(&self, operand: &Operand, dot: &Datum) -> Result<Datum, String> {
        match operand {
            Operand::Text(text) => Ok(Datum::Text(text.clone())),
            Operand::Float(value) => Ok(Datum::Float(*value)),
            Operand::Int(value) => Ok(Datum::Int(*value)),
            Operand::Bool(value) => Ok(Datum::Bool(*value)),
            Operand::Nil => Ok(Datum::Nil),
            Operand::Function(function) => functions::call(self, function, Vec::new()),
            Operand::Dot(fields) => self.fields(dot.clone(), fields),
            Operand::Inner(pipeline, fields) => self.fields(self.pipeline(pipeline, dot)?, fields),
            Operand::Variable(name, fields) => {
                let variable = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) = variable.ok_or_else(|| format!("undefined variable {name}"))?;
                self.fields(value.clone(), fields)
            }
        }
    }

    fn fields(&self, value: Datum, fields: &[String]) -> Result<Datum, String> {
        fields.iter().try_fold(value, |value, field| match (value, field.as_str()) {
            (Datum::Root, "Labels") => Ok(Datum::map(self.data.labels)),
            (Datum::Root, "ExternalLabels") => Ok(Datum::map(self.data.external_labels)),
            (Datum::Root, "ExternalURL") => Ok(Datum::Text(self.data.external_url.to_owned())),
            (Datum::Root, "Value") => Ok(Datum::Float(self.data.value)),
            (Datum::Sample(sample), "Labels") => Ok(Datum::map(&sample.labels)),
            (Datum::Sample(sample), "Value") => Ok(Datum::Float(sample.value)),
            // A missing label has the empty value.
            (Datum::Map(map), key) => Ok(Datum::Text(map.get(key).cloned().unwrap_or_default())),
            (_, field) => Err(format!("can't evaluate field {field}")),
        })
    }
}
