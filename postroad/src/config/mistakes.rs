//! Mistakes in a configuration: all of them at once, each with its place and what to do.

use std::fmt;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
    /// Nowhere: it is missing, or follows from several values.
    Whole,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where.
    pub origin: Origin,
    /// What is wrong: one line that names the key.
    pub problem: String,
    /// What to do about it: one line.
    pub fix: String,
}

/// All mistakes of one configuration; never empty when returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    /// Name of the file, for people.
    pub file: String,
    /// The mistakes, in the order of the file.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn add(
        &mut self,
        origin: &Origin,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let mistake = Mistake { origin: origin.clone(), problem: problem.into(), fix: fix.into() };
        self.list.push(mistake);
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.list.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            match &mistake.origin {
                Origin::Line(line) => write!(f, "{}:{line}: ", self.file)?,
                Origin::Variable(name) => write!(f, "environment variable {name}: ")?,
                Origin::Whole => write!(f, "{}: ", self.file)?,
            }
            write!(f, "{}\n  fix: {}", mistake.problem, mistake.fix)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
