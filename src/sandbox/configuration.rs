//! The sandbox's own configuration file, `<DIR>/sandbox.toml`, as its server reads it.
//!
//! It reads the one listener (port and mode) out of a file that an administrator may write in, too, and says on which
//! line a fault is. The format stands in `mta/sandbox.rs`, which writes it; what the listener does is left to `server`. A
//! file that is there and cannot be read or understood is a [`ReadError`].

use std::io;
use std::path::{Path, PathBuf};

use crate::mta::sandbox::{self, Configuration, FILE};

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// One line, as the TOML library words it.
    pub message: String,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is there and cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file was read and is not a configuration.
    #[error("{}: {fault}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        fault: Fault,
    },
}

/// The configuration that `text` is, or its first fault.
pub fn parse(text: &str) -> Result<Configuration, Fault> {
    sandbox::parse(text).map_err(|error| Fault {
        line: line_at(text.as_bytes(), error.span().map_or(0, |span| span.start)),
        message: error.message().lines().collect::<Vec<_>>().join(", "),
    })
}

/// The configuration in `file`, which has to be there.
pub fn read_file(file: &Path) -> Result<Configuration, ReadError> {
    let path = || file.to_path_buf();
    let bytes = std::fs::read(file).map_err(|source| ReadError::Read { path: path(), source })?;
    let text = str::from_utf8(&bytes).map_err(|error| Fault {
        line: line_at(&bytes, error.valid_up_to()),
        message: "not UTF-8".to_owned(),
    });
    text.and_then(parse).map_err(|fault| ReadError::Fault { path: path(), fault })
}

/// The configuration of the sandbox in `dir`; a directory without the file is a sandbox without a listener.
pub fn read(dir: &Path) -> Result<Configuration, ReadError> {
    match read_file(&dir.join(FILE)) {
        Err(ReadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Configuration { listener: None })
        }
        other => other,
    }
}

fn line_at(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mta::sandbox::Table;
    use crate::mta::sheet::AuthMode;

    const BLOCK: &str =
        "# mine\n# BEGIN mail-smtp2\n[listener]\nport = 2587\nauth_mode = \"auth_yes/tls_yes\"\n";

    #[test]
    fn a_listener_between_comments_is_read() {
        let listener = Table { port: 2587, auth_mode: AuthMode::TlsYes };
        assert_eq!(parse(BLOCK), Ok(Configuration { listener: Some(listener) }));
    }

    #[test]
    fn the_other_mode_is_known() {
        let text = BLOCK.replace("tls_yes", "tls_optional");
        assert_eq!(parse(&text).unwrap().listener.unwrap().auth_mode, AuthMode::TlsOptional);
    }

    #[test]
    fn comments_alone_are_a_sandbox_without_a_listener() {
        assert_eq!(parse("# nothing here\n"), Ok(Configuration { listener: None }));
    }

    #[test]
    fn a_fault_names_its_line() {
        let fault = parse(&BLOCK.replace("2587", "\"x\"")).unwrap_err();
        assert_eq!(fault.line, 4, "{fault}");
    }

    #[test]
    fn a_fault_is_one_line_of_text() {
        let fault = parse("[listener\nport = 1\n").unwrap_err();
        assert!(!fault.to_string().contains('\n'), "{fault}");
    }

    #[test]
    fn port_zero_is_refused() {
        assert!(parse(&BLOCK.replace("2587", "0")).is_err());
    }

    #[test]
    fn a_port_above_65535_is_refused() {
        assert!(parse(&BLOCK.replace("2587", "65536")).is_err());
    }

    #[test]
    fn a_member_nobody_knows_is_refused_with_its_name() {
        let fault = parse(&format!("{BLOCK}auth_mod = 1\n")).unwrap_err();
        assert!(fault.message.contains("auth_mod"), "{fault}");
    }

    #[test]
    fn a_table_nobody_knows_is_refused() {
        assert!(parse(&format!("{BLOCK}[listner]\n")).is_err());
    }

    #[test]
    fn a_listener_without_a_mode_is_refused() {
        assert!(parse("[listener]\nport = 2587\n").is_err());
    }

    #[test]
    fn a_second_listener_is_refused() {
        assert!(parse(&format!("{BLOCK}{BLOCK}")).is_err());
    }

    #[test]
    fn a_directory_without_the_file_has_no_listener() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Configuration { listener: None });
    }

    #[test]
    fn bytes_that_are_not_utf8_are_a_fault_of_their_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), b"# fine\n# \xff\n").unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().ends_with("line 2: not UTF-8"));
    }
}
