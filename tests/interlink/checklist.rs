//! What an endpoint must do (WIRE 10), item by item, and the tests that prove it.

use std::collections::BTreeSet;
use std::path::Path;

/// The items of the checklist, in order. Tests on the bed have their file in `tests/bed/`, those beside the
/// code theirs in `src/`.
const ITEMS: [(u8, &str, &[&str]); 20] = [
    (
        1,
        "exactly 200; object on create, list on status; no redirect; one segment",
        &[
            "creating::every_caller_gets_one_object_and_exactly_200",
            "polling::every_caller_gets_a_list_in_its_order",
            "serving::an_answer_leaves_in_one_piece",
        ],
    ),
    (
        2,
        "PodUID is the pod's, PodJID is not empty",
        &[
            "creating::every_caller_gets_one_object_and_exactly_200",
            "creating::the_id_is_known_before_submission_and_never_changes",
        ],
    ),
    (
        3,
        "create is idempotent by UID, in flight and after a restart",
        &[
            "creating::the_same_pod_at_once_and_again_is_one_job",
            "creating::a_pod_that_comes_again_after_a_crash_is_one_job",
            "bed interlink/killing::two_hundred_pods_across_kills_are_two_hundred_jobs",
        ],
    ),
    (
        4,
        "create always answers, and soon",
        &[
            "creating::create_answers_while_no_tool_of_htcondor_does",
            "creating::what_cannot_run_is_refused_in_one_sentence",
            "mutating::mutated_creates_never_break_the_endpoint",
        ],
    ),
    (
        5,
        "status from memory, all containers, in order, init containers first as waiting",
        &[
            "polling::status_answers_while_no_tool_of_htcondor_does",
            "polling::every_container_is_listed_at_every_moment",
            "polling::init_containers_wait_in_the_first_answer",
        ],
    ),
    (6, "an unknown pod waits, then has ended", &["polling::an_unknown_pod_waits_and_then_is_lost"]),
    (
        7,
        "containers that create did not offer",
        &["polling::containers_that_were_not_offered_wait_and_end_with_0"],
    ),
    (
        8,
        "no end is taken back",
        &["ending::an_end_stays_after_a_crash", "ending::a_lost_job_has_failed_for_good"],
    ),
    (
        9,
        "delete is recorded, retried, and taken in any order",
        &[
            "deleting::delete_answers_both_verbs_with_an_empty_list",
            "deleting::a_create_after_its_delete_starts_nothing",
            "deleting::a_delete_is_tried_again_until_the_job_is_gone",
            "deleting::a_delete_survives_a_crash",
        ],
    ),
    (
        10,
        "logs",
        &[
            "logs::every_option_is_honoured",
            "logs::a_log_that_is_not_there_yet_is_a_line_and_200",
            "logs::names_that_are_none_are_refused",
            "logs::init_containers_and_no_name_have_logs",
            "logs::a_log_stays_after_the_end_and_after_delete",
            "bed interlink/following::a_follower_ends_with_its_container",
        ],
    ),
    (
        11,
        "what the virtual kubelet leaves undone about volumes",
        &[
            "replaying::volumes_arrive_as_the_job_needs_them",
            "bed interlink/living::a_recorded_pod_with_volumes_runs",
        ],
    ),
    (
        12,
        "$(VAR) in command and args; names that no shell takes",
        &["replaying::arguments_and_environment_arrive_byte_for_byte"],
    ),
    (
        13,
        "tokens in files for us alone, in no log and no argument",
        &["replaying::tokens_of_pods_are_told_to_nobody"],
    ),
    (
        14,
        "lists on create, many pods in one status",
        &[
            "replaying::the_traffic_of_0_4_1_directly",
            "replaying::the_traffic_of_0_4_1_through_its_server",
            "polling::finished_pods_are_answered_for_as_well",
        ],
    ),
    (
        15,
        "capacity as strings, once named always named",
        &["pinging::capacity_is_told_in_strings", "pinging::a_pool_that_is_away_keeps_its_capacity"],
    ),
    (
        16,
        "ping answers 200 as long as it can serve",
        &[
            "pinging::ping_answers_while_the_pool_is_away",
            "pinging::a_pool_that_is_away_is_told_in_words_while_pings_are_well",
        ],
    ),
    (
        17,
        "a bearer token only where it is asked for",
        &[
            "admitting::a_token_is_asked_for_where_a_file_names_it",
            "admitting::a_port_alone_is_open_on_loopback",
        ],
    ),
    (18, "a unix socket for both hops", &["admitting::without_a_flag_there_is_a_socket_for_us_alone"]),
    (
        19,
        "idle connections are closed, each request may have its own",
        &[
            "serving::ten_thousand_idle_connections_do_not_keep_others_out",
            "admitting::tls_takes_only_certified_callers",
            "src http/idle_tests::a_connection_left_idle_is_closed_and_one_that_waits_for_its_answer_is_not",
            "src http/idle_tests::a_room_full_of_idle_connections_has_a_seat_for_a_newcomer",
        ],
    ),
    (
        20,
        "pods that nobody asks for are collected",
        &["deleting::a_pod_that_nobody_asks_for_is_collected_and_others_stay"],
    ),
];

/// Fails where an item has no test, or names one that does not exist among `ours`, on the bed and beside the
/// code.
pub fn check(ours: &BTreeSet<String>) {
    let numbers: Vec<u8> = ITEMS.iter().map(|(number, _, _)| *number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>(), "every item, once");
    for (number, what, tests) in ITEMS {
        assert!(!tests.is_empty(), "{number} ({what}) has no test");
        for test in tests {
            let exists = match test.split_once(' ') {
                Some(("bed", test)) => exists_below("tests/bed", test),
                Some((folder, test)) => exists_below(folder, test),
                None => ours.contains(*test),
            };
            assert!(exists, "{number} ({what}): there is no test {test}");
        }
    }
}

/// Whether a file below this folder has a test of this name.
fn exists_below(folder: &str, test: &str) -> bool {
    let (file, name) = test.split_once("::").expect("file and name");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(file).with_extension("rs");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test = |n: usize| (n.saturating_sub(2)..n).any(|n| lines[n] == "#[tokio::test]");
    let begins = format!("async fn {name}(");
    lines.iter().enumerate().any(|(n, line)| line.starts_with(&begins) && is_test(n))
}
