//! Why a command did not do what it was asked: one line, and what to do about it.

use std::fmt;

/// Told to the user as `error: …` and `hint: …`; the exit code is 1.
#[derive(Debug)]
pub struct Failure {
    /// What failed on what.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with advice.
    pub fn new(error: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self { error: error.to_string(), hint: Some(hint.into()) }
    }

    /// A failure and the chain of its causes.
    pub fn caused(error: &dyn std::error::Error, hint: impl Into<String>) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(one) = cause {
            let words = one.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = one.source();
        }
        Self { error: text, hint: Some(hint.into()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

macro_rules! with_hint {
    ($($type:ty),+ $(,)?) => {$(
        impl From<$type> for Failure {
            fn from(error: $type) -> Self {
                Self::caused(&error, error.hint())
            }
        }
    )+};
}
with_hint!(
    crate::admin::AdminError,
    crate::config::ConfigError,
    crate::events::FilterSyntax,
    engine::OpenError,
    net::BindError,
    net::TlsError,
);

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { error: error.to_string(), hint: None }
    }
}
