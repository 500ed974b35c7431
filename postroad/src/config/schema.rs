//! How a section declares its keys: once, with documentation and default, in [`section!`].

use std::collections::BTreeMap;

use super::mistakes::{Mistakes, Origin};
use super::tree::{Tree, Value};

/// What is documented of one key, or of one section (without kind).
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// `section.key`
    pub(super) path: String,
    /// Lines of its doc comment, each with its leading space.
    pub(super) docs: Vec<&'static str>,
    /// What values it takes; `None`: a section.
    pub(super) kind: Option<String>,
    /// Default, as TOML; `None`: there is none.
    pub(super) default: Option<String>,
}

/// A key's or a section's value.
pub(super) trait Node {
    /// Takes over what `tree` says; the rest stays as it is.
    fn read(&mut self, tree: &Tree, path: &str, mistakes: &mut Mistakes);
    /// Appends what is to be said about this, with `self` as the default.
    fn describe(&self, path: &str, docs: &[&'static str], out: &mut Vec<Entry>);
}

/// A table with any names: `[listeners.NAME]`.
impl<T: Node + Default> Node for BTreeMap<String, T> {
    fn read(&mut self, tree: &Tree, path: &str, mistakes: &mut Mistakes) {
        for (name, tree) in table(tree, path, mistakes).into_iter().flatten() {
            self.entry(name.clone()).or_default().read(tree, &join(path, name), mistakes);
        }
    }

    fn describe(&self, path: &str, docs: &[&'static str], out: &mut Vec<Entry>) {
        T::default().describe(&join(path, "NAME"), docs, out);
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(super) fn table<'a>(
    tree: &'a Tree,
    path: &str,
    mistakes: &mut Mistakes,
) -> Option<&'a BTreeMap<String, Tree>> {
    let Value::Table(table) = &tree.value else {
        let problem = format!("`{path}` is a section, not a value");
        mistakes.add(&tree.origin, problem, format!("write it as [{path}] with keys below it"));
        return None;
    };
    Some(table)
}

/// Notes a key that nobody knows, and what may have been meant.
pub(super) fn unknown(
    path: &str,
    key: &str,
    known: &[&str],
    origin: &Origin,
    mistakes: &mut Mistakes,
) {
    let problem = format!("unknown key `{}`", join(path, key));
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, key), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(key.len()) / 3)
        .min();
    let fix = match nearest {
        Some((_, name)) => format!("did you mean `{}`?", join(path, name)),
        None => format!("remove it; known here: {}", known.join(", ")),
    };
    mistakes.add(origin, problem, fix);
}

/// Declares a section: its struct, its defaults, its documentation and its reader are one text.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ pub $field:ident: $type:ty = $default:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::schema::Node for $name {
            fn read(
                &mut self,
                tree: &$crate::config::tree::Tree,
                path: &str,
                mistakes: &mut $crate::config::mistakes::Mistakes,
            ) {
                use $crate::config::schema;
                for (key, tree) in schema::table(tree, path, mistakes).into_iter().flatten() {
                    match key.as_str() {
                        $( stringify!($field) => {
                            self.$field.read(tree, &schema::join(path, key), mistakes);
                        } )+
                        _ => {
                            let known = [$( stringify!($field) ),+];
                            schema::unknown(path, key, &known, &tree.origin, mistakes);
                        }
                    }
                }
            }

            fn describe(
                &self,
                path: &str,
                docs: &[&'static str],
                out: &mut Vec<$crate::config::schema::Entry>,
            ) {
                use $crate::config::schema;
                if !path.is_empty() {
                    let docs = if docs.is_empty() { vec![$( $about ),+] } else { docs.to_vec() };
                    let path = path.to_owned();
                    out.push(schema::Entry { path, docs, kind: None, default: None });
                }
                $( self.$field.describe(
                    &schema::join(path, stringify!($field)),
                    &[$( $doc ),+],
                    out,
                ); )+
            }
        }
    };
}
pub(super) use section;
