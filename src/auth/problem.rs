//! What is wrong in a file, where, and what to do about it.

use std::{fmt, io, path::Path};

/// One remark on one line of a file, together with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, named as its reader named it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}; {}",
            self.file, self.line, self.text, self.remedy
        )
    }
}

/// Why a password file or an access control list could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The file could not be read.
    Read {
        /// The file, named as the caller named it.
        file: String,
        /// What the system answered.
        error: io::Error,
    },
    /// The file was read, but these lines of it make no sense: all of them,
    /// in their order, so that one look mends the file.
    Problems(Vec<Problem>),
}

impl LoadError {
    /// The remarks on lines; empty when the file could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } => &[],
            Self::Problems(problems) => problems,
        }
    }
}

/// One problem a line, for a log or a terminal.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, error } => write!(f, "cannot read {file}: {error}"),
            Self::Problems(problems) => {
                for (index, problem) in problems.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "\n" };
                    write!(f, "{separator}{problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            Self::Problems(_) => None,
        }
    }
}

/// Reads a whole file, with its name in the error.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|error| LoadError::Read {
        file: path.display().to_string(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_gets_a_line_with_its_place() {
        let problem = |line, text: &str| Problem {
            file: "acl".into(),
            line,
            text: text.into(),
            remedy: "mend it".into(),
        };
        let error = LoadError::Problems(vec![problem(1, "no"), problem(12, "never")]);
        assert_eq!(
            error.to_string(),
            "acl:1: no; mend it\nacl:12: never; mend it"
        );
        assert_eq!(error.problems().len(), 2);
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = read(Path::new("no/such/file")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read no/such/file: "));
        assert!(error.problems().is_empty());
    }
}
