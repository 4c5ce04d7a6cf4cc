//! Arguments and environment arrive byte for byte.

use std::fs;

use htc_core::workload::container::Image;
use proptest::prelude::*;

use crate::image::busybox;
use crate::scratch::{Scratch, job, variable};
use crate::trouble::{LONGEST, troublesome};

/// Runs a shell that writes its arguments and its environment to a file; both as they arrived.
fn arrived(image: Image, arguments: &[String], values: &[String]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let write = r#"printf '%s\0' "$@" > arguments; env -0 > environment"#;
    let words: Vec<&str> =
        ["sh", "-c", write, "sh"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let mut job = job(image, &["true"], "");
    let words = words.into_iter().map(Into::into).collect();
    job.containers[0].program = htc_core::workload::container::Program::Words(words);
    job.containers[0].env = values.iter().enumerate().map(|(n, v)| variable(&format!("V{n}"), v)).collect();
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
    let split = |name: &str| {
        let bytes = fs::read(scratch.path().join("work").join(name)).unwrap();
        let all = bytes.strip_suffix(b"\0").unwrap_or_default();
        all.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let environment = split("environment");
    let value = |n: usize| {
        let name = format!("V{n}=");
        environment.iter().find_map(|line| line.strip_prefix(name.as_bytes()).map(<[u8]>::to_vec)).unwrap()
    };
    (split("arguments"), (0..values.len()).map(value).collect())
}

fn bytes(texts: &[String]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.clone().into_bytes()).collect()
}

fn troublesome_values_arrive(image: Image) {
    let mut values = troublesome();
    let arguments: Vec<String> = troublesome();
    // The name, `=` and the value together.
    values.push("x".repeat(LONGEST - "V17=".len()));
    assert_eq!(arrived(image, &arguments, &values), (bytes(&arguments), bytes(&values)));
}

#[test]
fn seventeen_kinds_of_quoting_and_the_longest_value_arrive_as_they_were_sent() {
    troublesome_values_arrive(Image::Host);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn seventeen_kinds_of_quoting_and_the_longest_value_arrive_in_an_image() {
    troublesome_values_arrive(busybox());
}

#[test]
fn the_longest_argument_arrives_and_a_longer_one_is_refused_in_words() {
    let longest = vec!["\u{e9}".repeat(LONGEST / 2)];
    assert_eq!(arrived(Image::Host, &longest, &[]).0, bytes(&longest));
    let scratch = Scratch::of(&job(Image::Host, &["echo", &"x".repeat(LONGEST + 1)], ""));
    let run = scratch.run();
    let (_, _, reason, message) = run.end(0);
    assert_eq!((run.code(), reason.as_str()), (127, "ContainerCannotRun"));
    assert_eq!(message, r#"exec: "echo": argument list too long"#);
}

proptest! {
    // Each is a job of its own.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_words_and_values_arrive(
        arguments in prop::collection::vec("[^\0]{0,40}", 1..6),
        values in prop::collection::vec("[^\0]{0,40}", 0..6),
    ) {
        let (got_arguments, got_values) = arrived(Image::Host, &arguments, &values);
        prop_assert_eq!(got_arguments, bytes(&arguments));
        prop_assert_eq!(got_values, bytes(&values));
    }
}
