//! What belongs to the administrator stays as it is: bytes, mode, owner, links; and goes back to what it was.

use crate::subject::{
    Subject, calm_pulse, is_one_insertion, on, policies, running, settings, snapshot, stopped,
};
use crate::support::process::is_root;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_YES, failure, skip};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

policies! {
    while_it_runs_every_byte_that_is_not_ours_is_where_it_was,
    stop_leaves_the_administrators_files_byte_for_byte,
    remove_leaves_the_administrators_files_and_no_state,
    mode_and_owner_of_an_edited_file_are_kept,
    a_symlinked_file_stays_a_link_and_its_target_is_edited_in_place,
    nothing_is_left_beside_the_edited_files,
    a_configuration_that_is_already_broken_is_422_and_not_touched,
    an_update_of_a_stopped_service_does_not_mind_a_broken_configuration,
    what_cannot_be_edited_is_403_and_nothing_is_told,
}

fn while_it_runs_every_byte_that_is_not_ours_is_where_it_was<S: Subject>() {
    on::<S>(|machine| {
        let files = machine.administrators_files();
        let before = bytes(&files);
        let (_plugin, _) = running(machine, TLS_YES);
        for ((file, before), live) in files.iter().zip(&before).zip(bytes(&files)) {
            assert!(is_one_insertion(before, &live), "{} was changed elsewhere too", file.display());
        }
    });
}

fn stop_leaves_the_administrators_files_byte_for_byte<S: Subject>() {
    on::<S>(|machine| {
        let files = machine.administrators_files();
        let before = bytes(&files);
        let (mut plugin, _) = running(machine, TLS_YES);
        plugin.succeed("update", settings(machine.port(), crate::support::TLS_OPTIONAL));
        plugin.succeed("stop", Value::Null);
        assert!(before == bytes(&files));
    });
}

fn remove_leaves_the_administrators_files_and_no_state<S: Subject>() {
    on::<S>(|machine| {
        let files = machine.administrators_files();
        let before = bytes(&files);
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        let run = machine.launch().arg("remove").run();
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        for (file, before) in files.iter().zip(&before) {
            // What lives in the state directory goes with it: the sandbox's own.
            let gone = file.starts_with(machine.state());
            assert_eq!(fs::read(file).ok().as_ref(), (!gone).then_some(before), "{}", file.display());
        }
        assert!(is_closed(port), "something still listens");
        assert!(!machine.state().exists(), "the state directory is left");
        if let Some(primary) = S::PRIMARY {
            assert!(is_open(primary), "the primary was disturbed");
        }
        let mut next = crate::subject::plugin_of(machine);
        assert_eq!(next.payload("isRunning", Value::Null), false);
        failure(&next.call("start", Value::Null), 412);
    });
}

fn mode_and_owner_of_an_edited_file_are_kept<S: Subject>() {
    on::<S>(|machine| {
        let file = machine.edited_file();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        if is_root() {
            chown(&file, None, Some(65534)).unwrap();
        }
        let look = || {
            let data = fs::metadata(&file).unwrap();
            (data.mode(), data.uid(), data.gid())
        };
        let before = look();
        let (mut plugin, _) = running(machine, TLS_YES);
        assert_eq!(look(), before, "while it runs");
        plugin.succeed("stop", Value::Null);
        assert_eq!(look(), before, "after stop");
    });
}

fn a_symlinked_file_stays_a_link_and_its_target_is_edited_in_place<S: Subject>() {
    on::<S>(|machine| {
        let file = machine.edited_file();
        let (folder, name) = (file.parent().unwrap(), file.file_name().unwrap());
        let elsewhere = folder.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let target = elsewhere.join("real");
        fs::rename(&file, &target).unwrap();
        // Relative, so that it means the same inside the machine and outside.
        symlink(Path::new("elsewhere/real"), folder.join(name)).unwrap();
        let before = fs::read(&target).unwrap();
        let (mut plugin, port) = running(machine, TLS_YES);
        assert!(is_open(port));
        assert!(fs::symlink_metadata(&file).unwrap().is_symlink(), "the link was replaced");
        assert!(fs::read(&target).unwrap() != before, "the target was not edited");
        plugin.succeed("stop", Value::Null);
        assert!(fs::symlink_metadata(&file).unwrap().is_symlink(), "the link was replaced by stop");
        assert!(fs::read(&target).unwrap() == before);
        assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 1, "something was left beside the target");
    });
}

fn nothing_is_left_beside_the_edited_files<S: Subject>() {
    on::<S>(|machine| {
        let folders: Vec<_> =
            machine.administrators_files().iter().map(|file| file.parent().unwrap().to_owned()).collect();
        let names = |folder: &std::path::PathBuf| -> Vec<_> {
            let mut names: Vec<_> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let (mut plugin, _) = stopped(machine, TLS_YES);
        let before: Vec<_> = folders.iter().map(names).collect();
        plugin.succeed("start", Value::Null);
        plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        plugin.succeed("stop", Value::Null);
        let mut after: Vec<_> = folders.iter().map(names).collect();
        // postconf's own lock file may come to be, as it does when an administrator runs postconf.
        after.iter_mut().for_each(|names| names.retain(|name| name != "master.cf.tmp"));
        assert_eq!(after, before);
    });
}

fn a_configuration_that_is_already_broken_is_422_and_not_touched<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.break_configuration();
        let files = machine.administrators_files();
        let look = || {
            (
                files.iter().map(|file| snapshot(file)).collect::<Vec<_>>(),
                S::PRIMARY.map(|p| calm_pulse(machine, p)),
            )
        };
        let before = look();
        for method in ["start", "restart"] {
            failure(&plugin.call(method, Value::Null), 422);
        }
        assert!(before == look() && is_closed(port), "something was touched");
    });
}

fn an_update_of_a_stopped_service_does_not_mind_a_broken_configuration<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, _) = stopped(machine, TLS_YES);
        machine.break_configuration();
        plugin.succeed("update", json!({"auth_mode": crate::support::TLS_OPTIONAL}));
    });
}

fn what_cannot_be_edited_is_403_and_nothing_is_told<S: Subject>() {
    if !is_root() {
        return skip("only root can make a file immutable");
    }
    on::<S>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let file = machine.edited_file();
        let chattr = |flag: &str| {
            let ended = std::process::Command::new("chattr").arg(flag).arg(&file).output();
            ended.is_ok_and(|output| output.status.success())
        };
        if !chattr("+i") {
            return skip("files cannot be made immutable here");
        }
        let before = (snapshot(&file), S::PRIMARY.map(|p| calm_pulse(machine, p)));
        let answer = plugin.call("start", Value::Null);
        let after = (snapshot(&file), S::PRIMARY.map(|p| calm_pulse(machine, p)));
        assert!(chattr("-i"));
        failure(&answer, 403);
        assert!(before == after && is_closed(port), "something was touched");
        plugin.succeed("start", Value::Null);
    });
}

fn bytes(files: &[std::path::PathBuf]) -> Vec<Vec<u8>> {
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}
