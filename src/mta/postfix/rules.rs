//! What the administrator's lists of restrictions say of clients that have logged in.
//!
//! It tells which of his restrictions hold on the alternate listener, list by list, in his order. What is meant for
//! clients that nobody knows (networks, policy services, DNS lists) is left out, and so is what somebody who has logged
//! in never comes to; what an access table says is Postfix's to read. What Postfix cannot be asked is an error.
//! Source: postconf(5), SASL_README, the sample of a submission service in Postfix's `master.cf`.

use super::alternate::{CONVENTION, PostfixAlternate};
use crate::mta::sheet::MtaError;

/// The restrictions that ask who has logged in.
const ABOUT_LOGINS: [&str; 5] = [
    CHECK_SASL_ACCESS,
    MISMATCH,
    "reject_authenticated_sender_login_mismatch",
    "reject_known_sender_login_mismatch",
    "reject_unauthenticated_sender_login_mismatch",
];
/// The one of them that is followed by a table.
const CHECK_SASL_ACCESS: &str = "check_sasl_access";
/// The strictest one about senders.
const MISMATCH: &str = "reject_sender_login_mismatch";
/// What stands before a restriction that only warns.
const WARN: &str = "warn_if_reject";
/// Who has logged in is let in by one of these.
const LETS_IN: [&str; 2] = ["permit_sasl_authenticated", "permit"];
/// Nobody comes past one of these.
const KEEPS_OUT: [&str; 2] = ["reject", "defer"];
/// Restrictions that let in and are followed by a list's name.
const LETS_IN_BY_LIST: [&str; 2] = ["permit_dnswl_client", "permit_rhswl_client"];
/// And how those begin that refuse by one.
const REJECTS_BY_LIST: [&str; 2] = ["reject_rbl_", "reject_rhsbl_"];
/// How deep a restriction class may hold another.
const DEPTH: usize = 8;

/// The values of the lists; all but that for HELO are asked once somebody has had the time to log in. Postfix takes mail for
/// `postmaster` whatever is said at RCPT, so that AUTH is asked for at MAIL, and nothing that is not about logins stands
/// before it there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) helo: String,
    pub(super) sender: String,
    pub(super) relay: String,
    pub(super) recipient: String,
}

/// The entries of a list in `main.cf`, set apart by commas or blanks; what stands in braces is one (postconf(5)).
fn entries(list: &str) -> Vec<String> {
    let (mut all, mut depth) = (vec![String::new()], 0_usize);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c == ',' || c.is_whitespace()) {
            all.push(String::new());
        } else if let Some(last) = all.last_mut() {
            last.push(c);
        }
    }
    all.retain(|entry| !entry.is_empty());
    all
}

/// What of a list is about clients that have logged in, and whether they come past its end; `class` is what a name stands
/// for, if it is that of a restriction class.
fn kept(
    list: &str,
    depth: usize,
    class: &dyn Fn(&str) -> Result<Option<String>, MtaError>,
) -> Result<(Vec<String>, bool), MtaError> {
    let mut kept = Vec::new();
    let (mut entries, mut warns) = (entries(list).into_iter(), false);
    while let Some(entry) = entries.next() {
        let name = entry.to_ascii_lowercase();
        if LETS_IN.contains(&name.as_str()) || KEEPS_OUT.contains(&name.as_str()) {
            return Ok((kept, false));
        }
        if ABOUT_LOGINS.contains(&name.as_str()) {
            kept.extend(warns.then(|| WARN.to_owned()));
            let table = if name == CHECK_SASL_ACCESS { entries.next() } else { None };
            // A `$` that is meant as itself is written twice (postconf(5)).
            kept.extend([name.clone()].into_iter().chain(table.map(|table| table.replace('$', "$$"))));
        } else if depth < DEPTH
            && let Some(list) = class(&entry)?
        {
            let (held, goes_on) = self::kept(&list, depth + 1, class)?;
            kept.extend(held);
            if !goes_on {
                return Ok((kept, false));
            }
        }
        warns = name == WARN;
    }
    Ok((kept, true))
}

/// What of a list by convention somebody who has logged in comes to, and whether something of it may let him in: Postfix asks
/// nothing then of what stands behind it in the same list.
fn conventional(list: &str) -> (Vec<String>, bool) {
    let (mut asked, mut rejects, mut lets_in) = (Vec::new(), false, false);
    let mut entries = entries(list).into_iter().map(|entry| entry.replace('$', "$$"));
    while let Some(entry) = entries.next() {
        let name = entry.to_ascii_lowercase();
        if LETS_IN.contains(&name.as_str()) {
            break;
        }
        asked.push(entry);
        if LETS_IN_BY_LIST.contains(&name.as_str())
            || REJECTS_BY_LIST.iter().any(|begin| name.starts_with(begin))
        {
            asked.extend(entries.next());
        }
        rejects |= !name.starts_with("permit_");
        if KEEPS_OUT.contains(&name.as_str()) {
            break;
        }
        // What is looked up somewhere may come out either way.
        lets_in |= !(name.starts_with("reject_") || name == WARN);
    }
    if rejects { (asked, lets_in) } else { Default::default() }
}

impl PostfixAlternate<'_> {
    /// The lists of the alternate listener: what mail programs have by convention, what the administrator's own say of those
    /// who have logged in, and at last that nobody else sends.
    pub(super) fn rules(&self) -> Result<Rules, MtaError> {
        let classes = entries(self.parameter("smtpd_restriction_classes")?);
        let class = |name: &str| match classes.iter().any(|class| class == name) {
            true => self.ask(&["-x", "-h", name]).map(Some),
            false => Ok(None),
        };
        let of = |list: &str| Ok::<_, MtaError>(kept(self.parameter(list)?, 0, &class)?.0);
        let mut sender = of("smtpd_sender_restrictions")?;
        let (mut relay, mut letting) = (Vec::new(), Vec::new());
        for (_, carrier) in CONVENTION {
            let (list, lets_in) = conventional(self.parameter(carrier)?);
            if lets_in { letting.push(list) } else { relay.extend(list) }
        }
        // What lets in ends the list that it stands in, and nothing of another: it comes last in one of its own.
        // There are two of them after AUTH; a third one can only be that for HELO, and is asked at once.
        let helo = if letting.len() > 2 { letting.remove(1).join(",") } else { String::new() };
        let mut letting = letting.into_iter();
        relay.extend(letting.next().into_iter().flatten());
        let mut recipient = Vec::new();
        for list in ["client", "helo", "relay", "recipient"] {
            recipient.extend(of(&format!("smtpd_{list}_restrictions"))?);
        }
        recipient.extend(letting.flatten());
        let says_who = |list: &[String]| list.iter().any(|entry| entry.ends_with("login_mismatch"));
        if ![&sender, &relay, &recipient].into_iter().any(|list| says_who(list))
            && !self.parameter("smtpd_sender_login_maps")?.is_empty()
        {
            // Who may send as whom is written down, and nowhere else is it asked for.
            sender.push(MISMATCH.to_owned());
        }
        let [sender, relay, recipient] = [sender, relay, recipient].map(|mut list| {
            list.extend(["permit_sasl_authenticated", "reject"].map(str::to_owned));
            list.join(",")
        });
        Ok(Rules { helo, sender, relay, recipient })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_of(list: &str) -> String {
        let class = |name: &str| {
            Ok((name == "vip").then(|| "permit_mynetworks, check_sasl_access hash:/vip".to_owned()))
        };
        kept(list, 0, &class).unwrap().0.join(",")
    }

    #[test]
    fn what_is_about_logins_is_kept_in_its_order() {
        let list = "reject_non_fqdn_sender, check_sasl_access hash:/etc/suspended,
            warn_if_reject reject_known_sender_login_mismatch check_policy_service inet:127.0.0.1:10023";
        let kept = "check_sasl_access,hash:/etc/suspended,warn_if_reject,reject_known_sender_login_mismatch";
        assert_eq!(kept_of(list), kept);
        assert_eq!(
            kept_of("permit_mynetworks, reject_unauth_destination, reject_rbl_client zen.example"),
            ""
        );
    }

    #[test]
    fn what_nobody_who_has_logged_in_comes_to_is_left_out() {
        let list = "check_sasl_access hash:/a permit_sasl_authenticated, reject_sender_login_mismatch";
        assert_eq!(kept_of(list), "check_sasl_access,hash:/a");
        assert_eq!(kept_of("Permit, reject_sender_login_mismatch"), "");
    }

    #[test]
    fn a_table_in_braces_is_one_entry() {
        let list = "check_sasl_access { inline:{ alice=REJECT, {bob = 550 no $} } }, permit";
        assert_eq!(kept_of(list), "check_sasl_access,{ inline:{ alice=REJECT, {bob = 550 no $$} } }");
    }

    #[test]
    fn a_restriction_class_stands_for_what_it_holds() {
        assert_eq!(
            kept_of("vip, reject_sender_login_mismatch"),
            "check_sasl_access,hash:/vip,reject_sender_login_mismatch"
        );
    }

    #[test]
    fn what_lets_others_in_by_convention_is_kept_where_something_behind_it_would_refuse_them() {
        let of = |list: &str| {
            let (asked, lets_in) = conventional(list);
            format!("{}{}", asked.join(","), if lets_in { " or else" } else { "" })
        };
        let list = "permit_mynetworks, permit_dnswl_client a.b, reject_non_fqdn_sender permit_sasl_authenticated, reject";
        assert_eq!(of(list), "permit_mynetworks,permit_dnswl_client,a.b,reject_non_fqdn_sender or else");
        assert_eq!(of("permit_mynetworks, Reject"), "permit_mynetworks,Reject or else");
        assert_eq!(of("check_sender_access texthash:/a"), "check_sender_access,texthash:/a or else");
        assert_eq!(
            of("warn_if_reject reject_unknown_client_hostname, reject_rbl_client a.b, permit, reject"),
            "warn_if_reject,reject_unknown_client_hostname,reject_rbl_client,a.b"
        );
        assert_eq!([of("permit_mynetworks, permit_dnswl_client a.b, permit"), of("")], ["", ""]);
        assert_eq!(of("reject"), "reject");
    }
}
