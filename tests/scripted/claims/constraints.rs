//! The evaluator of constraints gives what ClassAds give.

use serde_json::{Value as Json, json};

use crate::tools::constraint::{Expression, Value};
use crate::tools::state::Ad;

super::claims![
    undefined_is_neither_true_nor_false,
    logic_does_not_need_what_cannot_matter,
    strings_are_equal_without_regard_to_case_and_identical_with_it,
    member_finds_texts_in_a_list,
    our_leave_in_queue_holds_until_acknowledged_or_old,
    expressions_in_ads_are_evaluated,
    what_is_no_expression_is_refused,
    literals_become_json_and_the_rest_stays_an_expression,
];

fn ad() -> Ad {
    let ad = json!({ "JobStatus": 5, "Key": "u/0/0/1", "Yes": true, "Sum": "/Expr(JobStatus + 1)/", "Gone": null });
    ad.as_object().cloned().unwrap()
}

fn value(text: &str) -> Value {
    Expression::parse(text).unwrap().value(&ad(), 1_000)
}

fn holds(text: &str) -> bool {
    Expression::parse(text).unwrap().holds(&ad(), 1_000)
}

async fn undefined_is_neither_true_nor_false() {
    for text in [
        "NotThere",
        "NotThere == 1",
        "NotThere != 1",
        "!NotThere",
        "Gone == 1",
        "NotThere && Yes",
        "-NotThere",
    ] {
        assert_eq!(value(text), Value::Undefined, "{text}");
        assert!(!holds(text), "{text}");
    }
    for text in
        ["NotThere =!= true", "NotThere =?= undefined", "Gone is undefined", "JobStatus isnt undefined"]
    {
        assert!(holds(text), "{text}");
    }
}

async fn logic_does_not_need_what_cannot_matter() {
    assert!(holds("Yes || NotThere"));
    assert!(holds("NotThere || Yes"));
    assert_eq!(value("NotThere && false"), Value::Bool(false));
    assert_eq!(value("false && \"x\""), Value::Bool(false));
    assert_eq!(value("\"x\" == 1"), Value::Error);
    assert!(holds("JobStatus == 5 && (Key == \"nothing\" || Yes) && !(JobStatus < 5)"));
    assert!(holds("(NumJobStarts ?: 0) == 0"));
    assert!(holds("JobStatus == 5 ? Yes : NotThere"));
}

async fn strings_are_equal_without_regard_to_case_and_identical_with_it() {
    assert!(holds("Key == \"U/0/0/1\" && key == \"u/0/0/1\""));
    assert!(!holds("Key =?= \"U/0/0/1\""));
    assert!(holds("Key =?= \"u/0/0/1\" && \"a\\\"b\\\\\" == \"a\\\"b\\\\\""));
}

async fn member_finds_texts_in_a_list() {
    assert!(holds("member(Key, {\"x\", \"u/0/0/1\"})"));
    assert!(!holds("member(Key, {\"x\"})"));
    assert!(!holds("member(Key, {})"));
    assert_eq!(value("member(NotThere, {\"x\"})"), Value::Undefined);
}

async fn our_leave_in_queue_holds_until_acknowledged_or_old() {
    let leave = Expression::parse(
        "(JobStatus == 3 || JobStatus == 4) && HTCAck =!= true && time() - EnteredCurrentStatus < 864000",
    );
    let leave = leave.unwrap();
    let ad = |status: i64, ack: Json| {
        json!({ "JobStatus": status, "EnteredCurrentStatus": 1_000, "HTCAck": ack })
            .as_object()
            .cloned()
            .unwrap()
    };
    assert!(leave.holds(&ad(3, Json::Null), 1_001));
    assert!(leave.holds(&ad(4, Json::Bool(false)), 1_001));
    assert!(!leave.holds(&ad(1, Json::Null), 1_001));
    assert!(!leave.holds(&ad(4, Json::Bool(true)), 1_001));
    assert!(!leave.holds(&ad(4, Json::Null), 1_000 + 864_000));
}

async fn expressions_in_ads_are_evaluated() {
    assert!(holds("Sum == 6"));
}

async fn what_is_no_expression_is_refused() {
    for text in ["a b", "(a", "a == ", "\"a", "{1, 2", "a == 1)", "", "a @ b", "1 2"] {
        assert!(Expression::parse(text).is_err(), "{text}");
    }
}

async fn literals_become_json_and_the_rest_stays_an_expression() {
    for (text, expected) in [
        ("true", json!(true)),
        ("\"a \\\"b\\\"\"", json!("a \"b\"")),
        ("-7", json!(-7)),
        ("2.5", json!(2.5)),
        ("a && b", json!("/Expr(a && b)/")),
    ] {
        assert_eq!(Expression::to_json(text).unwrap(), expected, "{text}");
    }
}
