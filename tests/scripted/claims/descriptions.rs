//! Descriptions are read as `condor_submit` reads them.

use crate::tools::description::{parse, split};

super::claims![
    each_item_is_a_job_with_its_variables,
    macros_are_replaced_from_the_inside_out,
    items_that_look_like_comments_are_no_jobs,
    blanks_commas_and_tabs_end_a_column_and_the_unit_separator_does_not,
    each_plain_queue_is_a_job_with_what_stands_before_it,
];

fn values(text: &str, name: &str) -> Vec<String> {
    let description = parse(text).unwrap();
    let value = |(n, proc): (usize, crate::tools::description::Proc)| {
        proc.with_id(7, n).value(name).unwrap().unwrap()
    };
    description.procs().enumerate().map(value).collect()
}

async fn each_item_is_a_job_with_its_variables() {
    let text = "A = x\n+Own = $(c1), $(A)\nqueue c0, c1 from (\n1 two words, and = more\n2\n)\n";
    assert_eq!(values(text, "MY.Own"), ["two words, and = more, x", ", x"]);
}

async fn macros_are_replaced_from_the_inside_out() {
    let text = "r0 = zero $(none) $(none:or this)\nr1 = one (it)\nv = $(r$(i)) of $(ClusterId).$(ProcId)\n\
                queue i from (\n0\n1\n)\n";
    assert_eq!(values(text, "v"), ["zero  or this of 7.0", "one (it) of 7.1"]);
}

async fn items_that_look_like_comments_are_no_jobs() {
    assert_eq!(values("v = $(i)\nqueue i from (\n#0\n1\n\n)\n", "v"), ["1"]);
}

async fn blanks_commas_and_tabs_end_a_column_and_the_unit_separator_does_not() {
    assert_eq!(split("w x,y\tz", 4), ["w", "x", "y", "z"]);
    assert_eq!(split("x\u{1f}y z, w", 2), ["x\u{1f}y", "z, w"]);
    assert_eq!(split("x\u{1f}y", 2), ["x\u{1f}y"]);
    assert_eq!(split("2 , 3 ,", 3), ["2", "", "3 ,"]);
}

async fn each_plain_queue_is_a_job_with_what_stands_before_it() {
    assert_eq!(values("v = 1\nqueue\nv = 2\nqueue\n", "v"), ["1", "2"]);
}
