//! Exim: a second daemon, whose small configuration includes the primary's and asks for AUTH before it.
//!
//! This file says where Exim is known to live, which of its processes are ours and which the primary's, and what ends
//! ours. The primary is never edited and never told anything. `alternate` gives the answers about a listener, `needs`
//! says what is missing, `conf` makes the texts, `read` understands what Exim prints. Writing, waiting and proving are
//! `change`'s; what cannot be found out is an [`MtaError`].

mod alternate;
pub mod conf;
mod daemons;
mod needs;
pub mod read;

use std::path::{Path, PathBuf};

use self::daemons::{KIND, LAYOUTS, Layout, UNIT, VIEW, Whose, daemons, end};
use super::machine::{first_line, systemd_runs};
use super::sheet::{Alternate, Context, KeptBy, Kind, Listener, Mta, MtaError, Presence, Tell};
use crate::sys::{Command, Process, View};
use crate::wire::reason::Reason;

/// Exim 4.
#[derive(Debug, Clone, Copy)]
pub struct Exim;

impl Mta for Exim {
    fn kind(&self) -> Kind {
        KIND
    }

    fn looked_for(&self) -> String {
        let rows = LAYOUTS.iter().map(|layout| {
            let configurations = layout.configurations.join(" or ");
            format!("{} with {configurations}", layout.daemon)
        });
        rows.collect::<Vec<_>>().join(", ")
    }

    fn presence(&self, host: &dyn View) -> Presence {
        if Layout::of(host).is_none() {
            Presence::Missing
        } else if matches!(daemons(host, Whose::Primary).as_deref(), Ok([])) {
            Presence::Installed
        } else {
            Presence::Runs
        }
    }

    fn owners(&self, host: &dyn View) -> Result<Vec<i32>, MtaError> {
        Ok(daemons(host, Whose::Ours)?.into_iter().map(|process| process.pid).collect())
    }

    fn view(&self) -> &Path {
        Path::new(VIEW)
    }

    fn is_own(&self, _: &dyn View, _: &Process) -> bool {
        // Whatever was given our configuration owns its socket; nothing else of Exim's is ours.
        false
    }

    fn kept_by(&self, host: &dyn View, _: Option<i32>) -> Option<KeptBy> {
        systemd_runs(host).then(|| KeptBy::Unit(UNIT.to_owned()))
    }

    fn comes_back(&self, host: &dyn View) -> bool {
        systemd_runs(host)
    }

    fn manual(&self) -> Option<&'static str> {
        Some(include_str!("../../manual/mail-smtp2-exim.7.md"))
    }

    fn blocks(&self) -> Vec<PathBuf> {
        LAYOUTS.iter().flat_map(Layout::files).map(PathBuf::from).collect()
    }

    fn version(&self, context: Context<'_>) -> Option<String> {
        let command = Command::new(Layout::of(context.view)?.daemon).arg("-bV");
        let line = first_line(&context.ask(&command).ok()?.stdout)?;
        line.strip_prefix("Exim version ")?.split(' ').next().map(str::to_owned)
    }

    fn listener_in(&self, block: &str) -> Option<Listener> {
        conf::listener_in(block)
    }

    fn belongings(&self, _: &[&Path]) -> Vec<PathBuf> {
        Vec::new()
    }

    fn remains(&self, host: &dyn View) -> Result<Vec<Tell>, MtaError> {
        end(host)
    }

    fn alternate<'a>(&'a self, context: Context<'a>) -> Result<Box<dyn Alternate + 'a>, MtaError> {
        let looked = || {
            MtaError::Cannot(
                Reason::MtaMissing,
                format!("Exim was not found; looked for {}", self.looked_for()),
            )
        };
        let layout = Layout::of(context.view).ok_or_else(looked)?;
        Ok(Box::new(alternate::EximAlternate::new(context, layout)))
    }
}
