//! What a change is going to do, decided before the first byte is written.
//!
//! Five questions, a function each: what is asked for, what is there, which steps lead from one to the other, whether
//! there is anything to do at all, and what speaks against it. Their answers are the plan, and the intent that could undo
//! it. Writes nothing, tells nobody and waits only for a primary server that is just being reloaded. A refusal names what
//! is in the way; whether the first ends the questions is said by who asks ([`Against`]).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::against::Against;
use super::edits::{self, File};
use super::error::{ChangeError, refuse};
use super::journal::{self, Intent, Was};
use super::settings::{self, Settings, Wanted};
use super::site::Site;
use super::verb::Verb;
use super::{boot, live, ports, prove};
use crate::mta::{Alternate, AuthMode, Claim, Context, Goal, Listener, Mta};
use crate::sys::{Deadline, Host};

/// The port of an unconfigured machine (page of the panel).
const DEFAULT_PORT: u16 = 587;
/// How long a primary server may take to show all of its addresses, and how often is looked.
const SETTLED: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);
/// How long a listener is heard out before a change, at most.
const HEARING: Duration = Duration::from_secs(6);

/// A change that is worth carrying out.
pub(super) struct Plan<'s> {
    /// The sheet of the mail server that is changed.
    pub(super) mta: &'s dyn Mta,
    /// What it says of the listener.
    pub(super) alternate: Box<dyn Alternate + 's>,
    /// Where the listener is bound, as the primary is.
    pub(super) addresses: Vec<IpAddr>,
    /// The ports that other entries of the configuration speak of.
    pub(super) claims: Vec<Claim>,
    /// The settings that it leads to; `None` is none.
    pub(super) after: Option<Settings>,
    /// What is to become of the service, one after the other.
    pub(super) phases: Vec<Goal>,
    /// The files, as they are and as they will be.
    pub(super) files: Vec<File>,
    /// What undoes it.
    pub(super) intent: Intent,
    /// Whether only the settings change.
    pub(super) settings_only: bool,
}

/// What is asked for: from which settings to which, of which mail server.
struct Asked<'s> {
    verb: Verb,
    mta: &'s dyn Mta,
    before: Option<Settings>,
    after: Option<Settings>,
    aim: Goal,
}

/// What is there.
struct Found<'s> {
    alternate: Box<dyn Alternate + 's>,
    addresses: Vec<IpAddr>,
    was: Was,
}

/// Which steps lead to what is asked for.
struct Steps {
    phases: Vec<Goal>,
    files: Vec<File>,
    claims: Vec<Claim>,
}

impl Asked<'_> {
    /// The listener that is to run afterwards.
    fn goal(&self) -> Option<&Listener> {
        self.aim.listener()
    }

    /// The listener that was to run before.
    fn was_wanted(&self) -> Option<&Listener> {
        self.before.as_ref().and_then(Settings::target)
    }

    fn port_before(&self) -> Option<u16> {
        self.before.as_ref().map(|before| before.listener.port)
    }
}

impl<'s> Plan<'s> {
    /// Decides what there is to do; `None` is nothing.
    ///
    /// # Errors
    /// What speaks against it, or cannot be found out.
    pub(super) fn make(
        site: &'s Site,
        verb: Verb,
        context: Context<'s>,
        against: &mut Against,
    ) -> Result<Option<Self>, ChangeError> {
        let Some(asked) = asked(site, verb, against)? else { return Ok(None) };
        let found = found(site, &asked, context)?;
        let host = &*site.host;
        let mut steps = steps(&asked, &found, host, against)?;
        let after = with_saved(asked.after.clone(), &steps.files, host)?;
        let settings_only = settings_only(&asked, &found, &steps, host, context.deadline)?;
        let stand = host.stamp(&settings::path(&site.options.state_dir))?.is_some();
        if settings_only && asked.before == after && stand && against.is_quiet() {
            return Ok(None);
        }
        refuse_what_cannot_be(&asked, &found, &steps, after.as_ref(), host, against)?;
        let files = std::mem::take(&mut steps.files);
        let intent = intent(site, &asked, &found, &files, after.clone(), settings_only, context.deadline)?;
        let Found { alternate, addresses, .. } = found;
        let Steps { phases, claims, .. } = steps;
        Ok(Some(Self {
            mta: asked.mta,
            alternate,
            addresses,
            claims,
            after,
            phases,
            files,
            intent,
            settings_only,
        }))
    }
}

/// First question: what is asked for? `None`: nothing that was ever configured.
fn asked<'s>(site: &'s Site, verb: Verb, against: &mut Against) -> Result<Option<Asked<'s>>, ChangeError> {
    let before = site.settings()?;
    match &before {
        Some(before) if before.format > settings::FORMAT => {
            return Err(ChangeError::Newer { theirs: before.format, ours: settings::FORMAT });
        }
        None if verb.tears_down() => return Ok(None),
        None if matches!(verb, Verb::Start | Verb::Restart) => return Err(ChangeError::Unconfigured),
        _ => {}
    }
    let mta = site.acting(before.as_ref(), verb)?;
    let after = settings_after(verb, before.as_ref(), mta, against)?;
    let aim = after.as_ref().map_or(Goal::Removed, Settings::goal);
    Ok(Some(Asked { verb, mta, before, after, aim }))
}

/// Second question: what is there?
fn found<'s>(site: &Site, asked: &Asked<'s>, context: Context<'s>) -> Result<Found<'s>, ChangeError> {
    let (host, deadline) = (&*site.host, context.deadline);
    let alternate = site.alternate(asked.mta, context)?;
    let listener = asked.was_wanted().or(asked.goal());
    let addresses = settled(host, asked.mta, &*alternate, listener, deadline)?;
    let was = match asked.was_wanted() {
        Some(wanted) => match prove::look_once(host, asked.mta, wanted, &addresses, hearing(deadline))? {
            prove::Seen::Up(_) => Was::Up,
            prove::Seen::Unfit(_) | prove::Seen::Odd(_) | prove::Seen::PutOff(_) => Was::Odd,
            prove::Seen::Absent => Was::Absent,
        },
        None => Was::Absent,
    };
    Ok(Found { alternate, addresses, was })
}

/// Third question: which steps lead there?
fn steps(
    asked: &Asked<'_>,
    found: &Found<'_>,
    host: &dyn Host,
    against: &mut Against,
) -> Result<Steps, ChangeError> {
    let (alternate, is_ours) = (&*found.alternate, asked.mta.is_ours());
    let phases = match (asked.verb, asked.goal()) {
        (Verb::Restart, Some(_)) if found.was != Was::Absent => vec![Goal::Stopped, asked.aim],
        // Only our settings change.
        (Verb::Update { .. }, None) => Vec::new(),
        _ => vec![asked.aim],
    };
    let files = against.hear(edits::files(host, alternate, &phases, asked.before.as_ref(), is_ours))?;
    let claims = against.hear(ports::claims(host, alternate, is_ours))?;
    Ok(Steps { phases, files, claims })
}

/// Fourth question: is there anything to do but to write settings?
fn settings_only(
    asked: &Asked<'_>,
    found: &Found<'_>,
    steps: &Steps,
    host: &dyn Host,
    deadline: Deadline,
) -> Result<bool, ChangeError> {
    let is_as_asked = match (asked.goal(), asked.port_before()) {
        (Some(goal), _) => found.was == Was::Up && Some(goal) == asked.was_wanted(),
        (None, Some(port)) => {
            prove::is_down(host, asked.mta, &steps.claims, port, &found.addresses, deadline)?
        }
        (None, None) => true,
    };
    let writes = steps.files.iter().any(File::changes);
    Ok(steps.phases.is_empty() || !writes && is_as_asked && asked.verb != Verb::Restart)
}

/// Fifth question: what speaks against it?
fn refuse_what_cannot_be(
    asked: &Asked<'_>,
    found: &Found<'_>,
    steps: &Steps,
    after: Option<&Settings>,
    host: &dyn Host,
    against: &mut Against,
) -> Result<(), ChangeError> {
    let goal = asked.goal();
    if let Some(after) = after
        && (goal.is_some() || matches!(asked.verb, Verb::Update { .. }))
    {
        against.hear(port_is_to_be_had(asked, found, steps, after.listener.port, host))?;
    }
    if let Some(goal) = goal {
        let ready = found.alternate.ready(goal, &mut |error| against.object(error));
        against.hear(ready.map_err(ChangeError::from))?;
    }
    if let (Verb::Remove, Some(before)) = (asked.verb, &asked.before)
        && let Some(path) = asked.mta.strangers(host, &before.made())?.into_iter().next()
    {
        against.object(ChangeError::Stranger { path })?;
    }
    Ok(())
}

/// Of the fifth question: whether the port is nobody else's. What an entry means is not asked for once more.
fn port_is_to_be_had(
    asked: &Asked<'_>,
    found: &Found<'_>,
    steps: &Steps,
    port: u16,
    host: &dyn Host,
) -> Result<(), ChangeError> {
    ports::is_unclaimed(&steps.claims, asked.verb, port)?;
    let held = ports::is_ours_or_free(host, asked.mta, port, &found.addresses, live::ENDING);
    if let Err(ChangeError::PortHeld { holder, who, .. }) = &held
        && let Some(what) = found.alternate.starts_not(port, holder)?
    {
        return Err(ChangeError::StartsNot { what, who: who.clone() });
    }
    held?;
    let is_known = asked.was_wanted().is_some_and(|was| was.port == port);
    if asked.mta.shares_its_process() && !is_known {
        ports::is_not_held_already(host, asked.mta, port)?;
    }
    Ok(())
}

/// The settings that the verb leads to; `None` is none.
fn settings_after(
    verb: Verb,
    before: Option<&Settings>,
    mta: &dyn Mta,
    against: &mut Against,
) -> Result<Option<Settings>, ChangeError> {
    let wanting = |wanted| before.map(|before| Settings { wanted, ..before.clone() });
    Ok(match verb {
        Verb::Remove => None,
        Verb::Stop => wanting(Wanted::Stopped),
        Verb::Start | Verb::Restart => wanting(Wanted::Running),
        Verb::Update { port, auth_mode } => {
            let auth_mode = match auth_mode.or(before.map(|before| before.listener.auth_mode)) {
                Some(auth_mode) => auth_mode,
                None => {
                    let modes = [AuthMode::TlsYes, AuthMode::TlsOptional].map(AuthMode::name).join(" or ");
                    let what = format!("must be given once, {modes}: it was never set");
                    against.object(refuse("auth_mode", "required", what))?;
                    // What is said of the port is the same in both.
                    AuthMode::TlsYes
                }
            };
            let port = port.or(before.map(|before| before.listener.port)).unwrap_or(DEFAULT_PORT);
            Some(Settings {
                format: settings::FORMAT,
                mta: mta.kind(),
                listener: Listener { port, auth_mode },
                wanted: before.map_or(Wanted::Stopped, |before| before.wanted),
                saved: before.map(|before| before.saved.clone()).unwrap_or_default(),
                owners: before.map(|before| before.owners.clone()).unwrap_or_default(),
                folders: before.map(|before| before.folders.clone()).unwrap_or_default(),
            })
        }
    })
}

/// The settings, with what stood before in files that become wholly ours, whose they were, and the folders that are made for
/// those that were not there.
///
/// # Errors
/// A folder cannot be looked at.
fn with_saved(
    mut after: Option<Settings>,
    files: &[File],
    host: &dyn Host,
) -> Result<Option<Settings>, ChangeError> {
    if let Some(after) = &mut after {
        for file in files.iter().filter(|file| file.whole && file.changes()) {
            let old = || file.old.as_deref().map(journal::encode);
            after.saved.entry(file.path.clone()).or_insert_with(old);
            after.owners.extend(file.owner.map(|owner| (file.path.clone(), owner)));
        }
        for file in files.iter().filter(|file| file.is_made()) {
            for folder in file.path.ancestors().skip(1) {
                if host.meta(folder)?.is_some() {
                    break;
                }
                after.folders.insert(folder.to_owned());
            }
        }
    }
    Ok(after)
}

/// What undoes it.
fn intent(
    site: &Site,
    asked: &Asked<'_>,
    found: &Found<'_>,
    files: &[File],
    after: Option<Settings>,
    settings_only: bool,
    deadline: Deadline,
) -> Result<Intent, ChangeError> {
    let (host, state_dir) = (&*site.host, &site.options.state_dir);
    let (mta, alternate, was) = (asked.mta, &*found.alternate, found.was);
    let orphaned = match asked.port_before().filter(|_| was == Was::Absent) {
        Some(port) => live::orphaned(host, mta, port)? && live::owned(host, mta, port)?.is_empty(),
        None => false,
    };
    let bound = match asked.was_wanted() {
        Some(wanted) => live::owned(host, mta, wanted.port)?,
        None => Vec::new(),
    };
    Ok(Intent {
        format: journal::FORMAT,
        action: asked.verb.name().to_owned(),
        before: asked.before.clone(),
        after,
        was,
        found: if was == Was::Absent { alternate.found()? } else { None },
        orphaned,
        bound: bound.iter().map(|held| held.socket.address.ip()).collect(),
        primary: match settings_only {
            true => Vec::new(),
            false => prove::greeting_now(host, mta, &found.addresses, deadline),
        },
        primary_ran: alternate.primary_runs()?,
        folders: folders(host, mta, files),
        files: files.iter().map(|file| file.planned(mta.is_ours())).collect::<Result<_, _>>()?,
        boot: boot::noted(host, state_dir)?,
        undoing: false,
        tried: None,
    })
}

/// The folders that are made with the files.
fn folders(host: &dyn Host, mta: &dyn Mta, files: &[File]) -> Vec<PathBuf> {
    let made: Vec<&Path> =
        files.iter().filter(|file| file.is_made()).map(|file| file.path.as_path()).collect();
    let mut folders = if made.is_empty() { Vec::new() } else { mta.belongings(&made) };
    folders.retain(|folder| matches!(host.meta(folder), Ok(None)));
    folders
}

/// Until when a listener is heard out before a change: one that does not speak is to be changed in spite of it, and that
/// takes time, too.
fn hearing(deadline: Deadline) -> Deadline {
    deadline.within(HEARING.min(deadline.left() / 3))
}

/// The addresses of the primary server, once they stay the same: one that is just being reloaded or restarted shows a part
/// of them. A listener that runs is bound as the primary was.
fn settled(
    host: &dyn Host,
    mta: &dyn Mta,
    alternate: &dyn Alternate,
    listener: Option<&Listener>,
    deadline: Deadline,
) -> Result<Vec<IpAddr>, ChangeError> {
    let sorted = |mut addresses: Vec<IpAddr>| {
        addresses.sort();
        addresses
    };
    let mut last = sorted(alternate.addresses()?);
    let Some(listener) = listener else { return Ok(last) };
    let held = live::owned(host, mta, listener.port)?;
    let held = sorted(held.iter().map(|held| held.socket.address.ip()).collect());
    let until = deadline.within(SETTLED);
    while last != held {
        // Two looks that show the same show what stays.
        host.sleep(BETWEEN_LOOKS);
        // Asked first: what is settled only by then may have shown nothing when its addresses were read.
        let is_settled = alternate.is_settled()?;
        let now = sorted(alternate.addresses()?);
        if now == last && (held.is_empty() && is_settled || until.passed()) {
            break;
        }
        last = now;
    }
    Ok(last)
}
