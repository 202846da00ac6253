//! The policy suite: what the contract's sections 7, 8 and 9 promise, on real mail servers and on the sandbox.
//!
//! Every policy is written once (`policies/`) against a [`subject::Subject`] and is one test per subject, named as a
//! sentence. `machine/` makes the machines: Debian with the MTA installed in an overlay, in namespaces of their own, one
//! fresh for each test. That needs root on Debian; elsewhere one line says what was left out, and the run is green.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "bans for the program; a test spawns it, reads its own environment and fails by panicking"
)]

mod clients;
mod exim;
mod machine;
mod policies;
mod postfix;
mod qmail;
mod sandbox;
mod subject;
#[path = "../plugin/support/mod.rs"]
#[allow(dead_code, reason = "shared with the protocol tests, which use all of it")]
mod support;
mod systemd;

/// One test for each policy that the subject has to hold.
macro_rules! suite {
    ($module:ident, $subject:ty: $($group:ident { $($policy:ident),* $(,)? })*) => {
        mod $module {
            $(mod $group {
                $(#[test]
                fn $policy() {
                    crate::policies::$group::$policy::<$subject>();
                })*
            })*
        }
    };
}

suite! { on_the_sandbox, crate::support::sandbox::Sandbox:
    truth {
        where_tls_is_required_smtplib_finds_what_is_promised,
        where_tls_is_optional_smtplib_finds_what_is_promised,
    }
    life {
        the_port_is_open_on_every_address_before_start_says_success,
        the_port_is_closed_on_every_address_before_stop_says_success,
        the_old_port_is_closed_and_the_new_one_open_before_update_says_success,
        the_mode_is_the_new_one_before_update_says_success,
        the_first_update_opens_no_port_and_edits_no_file,
        an_update_of_a_stopped_service_leaves_it_stopped,
        a_restart_leaves_the_service_open_whether_it_ran_or_not,
        what_is_running_agrees_with_the_kernel_at_every_step,
        an_unconfigured_service_is_412_to_start_and_restart,
        a_service_never_configured_reads_as_the_page_says,
    }
    idempotence {
        starting_what_runs_touches_nothing,
        updating_to_what_is_so_touches_nothing,
        an_update_that_names_nothing_touches_nothing,
        reads_touch_nothing,
        another_plugin_that_starts_and_ends_touches_nothing,
        stopping_what_is_stopped_touches_nothing,
        an_update_of_a_stopped_service_writes_our_settings_only,
    }
    conflicts {
        a_port_held_on_ipv4_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_ipv6_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv4_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv6_address_is_a_conflict_that_names_the_holder,
        a_port_taken_after_update_is_a_conflict_of_start,
        another_program_on_the_port_is_not_running,
        a_session_that_outlives_its_listener_is_no_conflict,
        what_is_left_of_closed_connections_is_no_conflict,
        its_own_old_sessions_do_not_keep_a_stopped_service_from_starting,
    }
    administrator {
        while_it_runs_every_foreign_byte_is_where_it_was,
        stop_leaves_the_administrators_files_byte_for_byte,
        remove_leaves_the_administrators_files_and_no_state,
        mode_and_owner_of_an_edited_file_are_kept,
        a_symlinked_file_stays_a_link_and_its_target_is_edited_in_place,
        a_configuration_that_is_already_broken_is_422_and_not_touched,
        an_update_of_a_stopped_service_does_not_mind_a_broken_configuration,
        what_cannot_be_edited_is_403_and_nothing_is_told,
    }
    crashes {
        after_each_of_many_kills_the_next_process_tells_the_truth_and_heals,
    }
    two {
        two_plugins_at_once_end_as_one_of_their_successes,
        each_plugin_sees_what_another_one_did,
        changes_and_removals_at_once_never_see_half_of_each_other,
    }
}

suite! { on_postfix, crate::postfix::Postfix:
    truth {
        where_tls_is_required_smtplib_finds_what_is_promised,
        where_tls_is_optional_smtplib_finds_what_is_promised,
        where_tls_is_required_swaks_finds_what_is_promised,
        where_tls_is_optional_swaks_finds_what_is_promised,
        a_message_accepted_after_auth_arrives_in_the_mailbox,
    }
    life {
        the_port_is_open_on_every_address_before_start_says_success,
        the_port_is_closed_on_every_address_before_stop_says_success,
        the_old_port_is_closed_and_the_new_one_open_before_update_says_success,
        the_mode_is_the_new_one_before_update_says_success,
        the_first_update_opens_no_port_and_edits_no_file,
        an_update_of_a_stopped_service_leaves_it_stopped,
        a_restart_leaves_the_service_open_whether_it_ran_or_not,
        what_is_running_agrees_with_the_kernel_at_every_step,
        an_unconfigured_service_is_412_to_start_and_restart,
        a_service_never_configured_reads_as_the_page_says,
    }
    primary {
        port_25_is_served_throughout_every_change,
    }
    idempotence {
        starting_what_runs_touches_nothing,
        updating_to_what_is_so_touches_nothing,
        an_update_that_names_nothing_touches_nothing,
        reads_touch_nothing,
        another_plugin_that_starts_and_ends_touches_nothing,
        stopping_what_is_stopped_touches_nothing,
        an_update_of_a_stopped_service_writes_our_settings_only,
    }
    conflicts {
        a_port_held_on_ipv4_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_ipv6_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv4_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv6_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_another_loopback_address_is_a_conflict_that_names_the_holder,
        a_port_taken_after_update_is_a_conflict_of_start,
        another_program_on_the_port_is_not_running,
        a_session_that_outlives_its_listener_is_no_conflict,
        what_is_left_of_closed_connections_is_no_conflict,
        its_own_old_sessions_do_not_keep_a_stopped_service_from_starting,
        the_primarys_own_port_is_refused_input,
    }
    administrator {
        while_it_runs_every_foreign_byte_is_where_it_was,
        stop_leaves_the_administrators_files_byte_for_byte,
        remove_leaves_the_administrators_files_and_no_state,
        mode_and_owner_of_an_edited_file_are_kept,
        a_symlinked_file_stays_a_link_and_its_target_is_edited_in_place,
        nothing_is_left_beside_the_edited_files,
        a_configuration_that_is_already_broken_is_422_and_not_touched,
        an_update_of_a_stopped_service_does_not_mind_a_broken_configuration,
        what_cannot_be_edited_is_403_and_nothing_is_told,
    }
    crashes {
        after_each_of_many_kills_the_next_process_tells_the_truth_and_heals,
    }
    hangs {
        a_control_command_that_hangs_in_start_is_504_and_rolled_back,
        a_control_command_that_hangs_in_stop_is_504_and_rolled_back,
        a_control_command_that_hangs_in_update_is_504_and_rolled_back,
        a_control_command_that_hangs_in_restart_is_504_and_rolled_back,
        a_control_command_that_hangs_in_a_change_holds_up_no_read,
    }
    two {
        two_plugins_at_once_end_as_one_of_their_successes,
        each_plugin_sees_what_another_one_did,
        changes_and_removals_at_once_never_see_half_of_each_other,
    }
}

suite! { on_exim, crate::exim::Exim:
    truth {
        where_tls_is_required_smtplib_finds_what_is_promised,
        where_tls_is_optional_smtplib_finds_what_is_promised,
        where_tls_is_required_swaks_finds_what_is_promised,
        where_tls_is_optional_swaks_finds_what_is_promised,
        a_message_accepted_after_auth_arrives_in_the_mailbox,
    }
    life {
        the_port_is_open_on_every_address_before_start_says_success,
        the_port_is_closed_on_every_address_before_stop_says_success,
        the_old_port_is_closed_and_the_new_one_open_before_update_says_success,
        the_mode_is_the_new_one_before_update_says_success,
        the_first_update_opens_no_port_and_edits_no_file,
        an_update_of_a_stopped_service_leaves_it_stopped,
        a_restart_leaves_the_service_open_whether_it_ran_or_not,
        what_is_running_agrees_with_the_kernel_at_every_step,
        an_unconfigured_service_is_412_to_start_and_restart,
        a_service_never_configured_reads_as_the_page_says,
    }
    primary {
        port_25_is_served_throughout_every_change,
    }
    idempotence {
        starting_what_runs_touches_nothing,
        updating_to_what_is_so_touches_nothing,
        an_update_that_names_nothing_touches_nothing,
        reads_touch_nothing,
        another_plugin_that_starts_and_ends_touches_nothing,
        stopping_what_is_stopped_touches_nothing,
        an_update_of_a_stopped_service_writes_our_settings_only,
    }
    conflicts {
        a_port_held_on_ipv4_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_ipv6_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv4_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv6_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_another_loopback_address_is_a_conflict_that_names_the_holder,
        a_port_taken_after_update_is_a_conflict_of_start,
        another_program_on_the_port_is_not_running,
        a_session_that_outlives_its_listener_is_no_conflict,
        what_is_left_of_closed_connections_is_no_conflict,
        its_own_old_sessions_do_not_keep_a_stopped_service_from_starting,
        the_primarys_own_port_is_refused_input,
    }
    administrator {
        while_it_runs_every_foreign_byte_is_where_it_was,
        stop_leaves_the_administrators_files_byte_for_byte,
        remove_leaves_the_administrators_files_and_no_state,
        mode_and_owner_of_an_edited_file_are_kept,
        a_symlinked_file_stays_a_link_and_its_target_is_edited_in_place,
        nothing_is_left_beside_the_edited_files,
        a_configuration_that_is_already_broken_is_422_and_not_touched,
        an_update_of_a_stopped_service_does_not_mind_a_broken_configuration,
        what_cannot_be_edited_is_403_and_nothing_is_told,
    }
    crashes {
        after_each_of_many_kills_the_next_process_tells_the_truth_and_heals,
    }
    hangs {
        a_control_command_that_hangs_in_start_is_504_and_rolled_back,
        a_control_command_that_hangs_in_stop_is_504_and_rolled_back,
        a_control_command_that_hangs_in_update_is_504_and_rolled_back,
        a_control_command_that_hangs_in_restart_is_504_and_rolled_back,
        a_control_command_that_hangs_in_a_change_holds_up_no_read,
    }
    two {
        two_plugins_at_once_end_as_one_of_their_successes,
        each_plugin_sees_what_another_one_did,
        changes_and_removals_at_once_never_see_half_of_each_other,
    }
}

suite! { on_qmail_under_daemontools, crate::qmail::Qmail<crate::qmail::Daemontools>:
    truth {
        where_tls_is_required_smtplib_finds_what_is_promised,
        where_tls_is_optional_smtplib_finds_what_is_promised,
    }
    life {
        the_port_is_open_on_every_address_before_start_says_success,
        the_port_is_closed_on_every_address_before_stop_says_success,
        the_old_port_is_closed_and_the_new_one_open_before_update_says_success,
        the_mode_is_the_new_one_before_update_says_success,
        the_first_update_opens_no_port_and_edits_no_file,
        an_update_of_a_stopped_service_leaves_it_stopped,
        a_restart_leaves_the_service_open_whether_it_ran_or_not,
        what_is_running_agrees_with_the_kernel_at_every_step,
        an_unconfigured_service_is_412_to_start_and_restart,
        a_service_never_configured_reads_as_the_page_says,
    }
    primary {
        port_25_is_served_throughout_every_change,
    }
    idempotence {
        starting_what_runs_touches_nothing,
        updating_to_what_is_so_touches_nothing,
        an_update_that_names_nothing_touches_nothing,
        reads_touch_nothing,
        another_plugin_that_starts_and_ends_touches_nothing,
        stopping_what_is_stopped_touches_nothing,
        an_update_of_a_stopped_service_writes_our_settings_only,
    }
    conflicts {
        a_port_held_on_ipv4_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_ipv6_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv4_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv6_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_another_loopback_address_is_a_conflict_that_names_the_holder,
        a_port_taken_after_update_is_a_conflict_of_start,
        another_program_on_the_port_is_not_running,
        a_session_that_outlives_its_listener_is_no_conflict,
        what_is_left_of_closed_connections_is_no_conflict,
        its_own_old_sessions_do_not_keep_a_stopped_service_from_starting,
        the_primarys_own_port_is_refused_input,
    }
    administrator {
        while_it_runs_every_foreign_byte_is_where_it_was,
        stop_leaves_the_administrators_files_byte_for_byte,
        remove_leaves_the_administrators_files_and_no_state,
        mode_and_owner_of_an_edited_file_are_kept,
        nothing_is_left_beside_the_edited_files,
        what_cannot_be_edited_is_403_and_nothing_is_told,
    }
    crashes {
        after_each_of_many_kills_the_next_process_tells_the_truth_and_heals,
    }
    two {
        two_plugins_at_once_end_as_one_of_their_successes,
        each_plugin_sees_what_another_one_did,
        changes_and_removals_at_once_never_see_half_of_each_other,
    }
}

suite! { on_qmail_under_runit, crate::qmail::Qmail<crate::qmail::Runit>:
    truth {
        where_tls_is_required_smtplib_finds_what_is_promised,
        where_tls_is_optional_smtplib_finds_what_is_promised,
    }
    life {
        the_port_is_open_on_every_address_before_start_says_success,
        the_port_is_closed_on_every_address_before_stop_says_success,
        the_old_port_is_closed_and_the_new_one_open_before_update_says_success,
        the_mode_is_the_new_one_before_update_says_success,
        the_first_update_opens_no_port_and_edits_no_file,
        an_update_of_a_stopped_service_leaves_it_stopped,
        a_restart_leaves_the_service_open_whether_it_ran_or_not,
        what_is_running_agrees_with_the_kernel_at_every_step,
        an_unconfigured_service_is_412_to_start_and_restart,
        a_service_never_configured_reads_as_the_page_says,
    }
    primary {
        port_25_is_served_throughout_every_change,
    }
    idempotence {
        starting_what_runs_touches_nothing,
        updating_to_what_is_so_touches_nothing,
        an_update_that_names_nothing_touches_nothing,
        reads_touch_nothing,
        another_plugin_that_starts_and_ends_touches_nothing,
        stopping_what_is_stopped_touches_nothing,
        an_update_of_a_stopped_service_writes_our_settings_only,
    }
    conflicts {
        a_port_held_on_ipv4_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_ipv6_only_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv4_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_one_ipv6_address_is_a_conflict_that_names_the_holder,
        a_port_held_on_another_loopback_address_is_a_conflict_that_names_the_holder,
        a_port_taken_after_update_is_a_conflict_of_start,
        another_program_on_the_port_is_not_running,
        a_session_that_outlives_its_listener_is_no_conflict,
        what_is_left_of_closed_connections_is_no_conflict,
        its_own_old_sessions_do_not_keep_a_stopped_service_from_starting,
        the_primarys_own_port_is_refused_input,
    }
    administrator {
        while_it_runs_every_foreign_byte_is_where_it_was,
        stop_leaves_the_administrators_files_byte_for_byte,
        remove_leaves_the_administrators_files_and_no_state,
        mode_and_owner_of_an_edited_file_are_kept,
        nothing_is_left_beside_the_edited_files,
        what_cannot_be_edited_is_403_and_nothing_is_told,
    }
    crashes {
        after_each_of_many_kills_the_next_process_tells_the_truth_and_heals,
    }
    two {
        two_plugins_at_once_end_as_one_of_their_successes,
        each_plugin_sees_what_another_one_did,
        changes_and_removals_at_once_never_see_half_of_each_other,
    }
}
