//! A configuration as it was written: values with their places, from the file and the
//! environment, before anybody knows what they mean.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::de::{DeTable, DeValue};

use super::mistakes::{Mistakes, Origin};

/// Variables of this form override keys: `POSTROAD_SECTION__KEY`.
const PREFIX: &str = "POSTROAD_";

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Table(BTreeMap<String, Tree>),
    List(Vec<Tree>),
    Text(String),
    /// An integer, as digits.
    Number(String),
    Bool(bool),
    /// A kind of value that no key takes (a float, a date).
    Other,
    /// From the environment: text, whatever the key takes.
    Variable(String),
}

impl Tree {
    /// Puts `value` at `path`, in place of what is there.
    fn put(&mut self, path: &[String], value: Self) {
        let Some((key, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            self.value = Value::Table(BTreeMap::new());
        }
        if let Value::Table(table) = &mut self.value {
            let origin = value.origin.clone();
            let empty = Self { value: Value::Table(BTreeMap::new()), origin };
            table.entry(key.clone()).or_insert(empty).put(rest, value);
        }
    }
}

/// Parses a file's text; mistakes of syntax are noted and what can be read is returned.
pub(super) fn parse(text: &str, mistakes: &mut Mistakes) -> Tree {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let origin = error.span().map_or(Origin::Whole, |span| lines.origin(span.start));
        let problem = format!("not TOML: {}", error.message());
        mistakes.add(&origin, problem, "see https://toml.io for how TOML is written");
    }
    Tree { value: Value::Table(convert_table(table.get_ref(), &lines)), origin: Origin::Whole }
}

fn convert_table(table: &DeTable<'_>, lines: &Lines) -> BTreeMap<String, Tree> {
    let convert = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key_origin = lines.origin(key.span().start);
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.to_string(), convert_value(value.get_ref(), key_origin, lines))
    };
    table.iter().map(convert).collect()
}

fn convert_value(value: &DeValue<'_>, origin: Origin, lines: &Lines) -> Tree {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => {
            Value::Number(number.as_str().replace('_', ""))
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Array(list) => {
            let convert = |item: &toml::Spanned<DeValue<'_>>| {
                convert_value(item.get_ref(), lines.origin(item.span().start), lines)
            };
            Value::List(list.iter().map(convert).collect())
        }
        DeValue::Table(table) => Value::Table(convert_table(table, lines)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
    };
    Tree { value, origin }
}

/// Puts the environment's values over the file's: `POSTROAD_LIMITS__DRAIN=5s` sets `limits.drain`.
/// Variables without `__` are not configuration (`POSTROAD_CONFIG`).
pub(super) fn overlay(
    tree: &mut Tree,
    environment: impl Iterator<Item = (OsString, OsString)>,
    mistakes: &mut Mistakes,
) {
    let named = environment.filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let path = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__"))?;
        let path = path.split("__").map(str::to_ascii_lowercase).collect::<Vec<_>>();
        Some((name, path, value))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    for (name, path, value) in named {
        let origin = Origin::Variable(name);
        let Ok(value) = value.into_string() else {
            mistakes.add(&origin, "its value is not UTF-8", "write it in UTF-8");
            continue;
        };
        let value = Tree { value: Value::Variable(value), origin };
        tree.put(&path, value);
    }
}

/// Finds the line of an offset.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: std::iter::once(0).chain(after_breaks.map(|(at, _)| at + 1)).collect() }
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::Line(self.starts.partition_point(|start| *start <= offset))
    }
}
