//! `mail-smtp2 schema`: writes the published documents, or says how they differ from what they should be.
//!
//! What stands in them is `schema::files`'s. Ends with 1 if a file differs, or cannot be read or written.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use mail_smtp2::schema::files;

use super::output::{Ending, complain};

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Only compare; exit 1 if anything differs
    #[arg(long)]
    check: bool,
    /// Where the documents are
    #[arg(default_value = "schema")]
    dir: PathBuf,
}

impl Schema {
    pub(super) fn run(self) -> Ending {
        let dir = self.dir.display();
        let differences = if self.check {
            files::check(&self.dir)
        } else {
            files::write(&self.dir).map(|()| String::new())
        };
        match differences {
            Ok(differences) if differences.is_empty() => Ok(ExitCode::SUCCESS),
            Ok(differences) => {
                Err(complain(&format!("{differences}to write them anew: mail-smtp2 schema {dir}"), 1))
            }
            Err(error) => Err(complain(&format!("{dir}: {error}"), 1)),
        }
    }
}
