//! What the administrator's lists of restrictions say of clients that have logged in.
//!
//! Answers for: which of his restrictions hold on the alternate listener, list by list, in his order. Does not know: what
//! an access table says. What is meant for strangers (networks, policy services, DNS lists) is left out, and so is what
//! somebody who has logged in never comes to.
//! Source: postconf(5), SASL_README, the sample of a submission service in Postfix's `master.cf`.

use super::alternate::{Here, LISTS};
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
/// Nobody who has logged in comes past one of these.
const LAST: [&str; 4] = ["permit_sasl_authenticated", "permit", "reject", "defer"];
/// How deep a restriction class may hold another.
const DEPTH: usize = 8;

/// The values of the five lists on the alternate listener.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) client: String,
    pub(super) helo: String,
    pub(super) sender: String,
    pub(super) relay: String,
    pub(super) recipient: String,
}

impl Rules {
    /// Whether they can be asked only once somebody has had the time to log in.
    pub(super) fn wait_for_recipients(&self) -> bool {
        !self.client.is_empty() || !self.helo.is_empty()
    }
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
        if LAST.contains(&name.as_str()) {
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

impl Here<'_> {
    /// The lists of the alternate listener: by convention what mail programs have, then what the administrator's own say
    /// of those who have logged in, and at last that nobody else sends.
    pub(super) fn rules(&self) -> Result<Rules, MtaError> {
        let classes = entries(self.parameter("smtpd_restriction_classes")?);
        let class = |name: &str| match classes.iter().any(|class| class == name) {
            true => self.ask(&["-x", "-h", name]).map(Some),
            false => Ok(None),
        };
        let of = |list: &str| Ok::<_, MtaError>(kept(self.parameter(list)?, 0, &class)?.0);
        let mut lists = Vec::new();
        for (list, convention, carrier) in LISTS {
            let defined = !self.parameter(carrier)?.is_empty();
            let first = defined.then(|| format!("${convention}"));
            lists.push(first.into_iter().chain(of(list)?).collect::<Vec<_>>());
        }
        let mut relay = of("smtpd_relay_restrictions")?;
        let mut recipient = of("smtpd_recipient_restrictions")?;
        let [client, helo, mut sender] = <[_; 3]>::try_from(lists).unwrap_or_default();
        let all = [&client, &helo, &sender, &relay, &recipient];
        let by_convention = LISTS.iter().try_fold(String::new(), |all, (.., carrier)| {
            Ok::<_, MtaError>(all + self.parameter(carrier)? + " ")
        })?;
        let says_who = all.iter().any(|list| list.iter().any(|entry| entry.ends_with("login_mismatch")))
            || by_convention.contains("login_mismatch");
        if !says_who && !self.parameter("smtpd_sender_login_maps")?.is_empty() {
            // Who may send as whom is written down, and nowhere else is it asked for.
            sender.push(MISMATCH.to_owned());
        }
        for list in [&mut sender, &mut relay, &mut recipient] {
            list.extend(["permit_sasl_authenticated", "reject"].map(str::to_owned));
        }
        let [client, helo, sender, relay, recipient] =
            [client, helo, sender, relay, recipient].map(|list| list.join(","));
        Ok(Rules { client, helo, sender, relay, recipient })
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
}
