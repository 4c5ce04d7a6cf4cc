//! A small evaluator of ClassAd expressions: the part of the language that our constraints and
//! `leave_in_queue` are written in. What it does not know evaluates to an error.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::state::Ad;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An attribute that is not there.
    Undefined,
    /// Nonsense.
    Error,
    /// `true`, `false`.
    Bool(bool),
    /// Any number.
    Number(f64),
    /// A string.
    Text(String),
    /// `{a, b}`.
    List(Vec<Value>),
}

/// An expression.
#[derive(Clone, Debug)]
pub enum Expression {
    /// A literal.
    Literal(Value),
    /// An attribute of the job.
    Attribute(String),
    /// `{a, b}`.
    List(Vec<Expression>),
    /// `!a`, `-a`.
    Unary(char, Box<Expression>),
    /// `a op b`.
    Binary(String, Box<Expression>, Box<Expression>),
    /// `a ? b : c`.
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
    /// `f(a, b)`.
    Function(String, Vec<Expression>),
}

/// How an expression appears as the value of an attribute.
const MARK: &str = "/Expr(";

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Expression, String> {
        super::parser::parse(text)
    }

    /// Reads an expression as it stands in an ad.
    pub fn of_ad(text: &str) -> Result<Expression, String> {
        let inner = text.strip_prefix(MARK).and_then(|text| text.strip_suffix(")/"));
        Expression::parse(inner.ok_or("is no expression")?)
    }

    /// The value of an attribute with this expression: itself when it is a literal.
    pub fn to_json(text: &str) -> Result<Json, String> {
        let negative = text.trim_start().starts_with('-');
        Ok(match Expression::parse(text)? {
            Expression::Literal(Value::Bool(is)) => Json::from(is),
            Expression::Literal(Value::Number(n)) => number(n),
            Expression::Unary('-', inner) if negative => match *inner {
                Expression::Literal(Value::Number(n)) => number(-n),
                _ => Json::from(format!("{MARK}{text})/")),
            },
            Expression::Literal(Value::Text(text)) => Json::from(text),
            Expression::Literal(Value::Undefined) => Json::Null,
            _ => Json::from(format!("{MARK}{text})/")),
        })
    }

    /// Whether it is true of a job; undefined is not.
    pub fn holds(&self, ad: &Ad, now: i64) -> bool {
        match self.value(ad, now) {
            Value::Bool(is) => is,
            Value::Number(n) => n != 0.0,
            _ => false,
        }
    }

    /// Its value for a job at this time.
    pub fn value(&self, ad: &Ad, now: i64) -> Value {
        match self {
            Expression::Literal(value) => value.clone(),
            Expression::Attribute(name) => ad
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map_or(Value::Undefined, |(_, v)| of_json(v, ad, now)),
            Expression::List(items) => Value::List(items.iter().map(|item| item.value(ad, now)).collect()),
            Expression::Unary(op, inner) => match (op, inner.value(ad, now)) {
                (_, Value::Undefined) => Value::Undefined,
                ('!', Value::Bool(is)) => Value::Bool(!is),
                ('-', Value::Number(n)) => Value::Number(-n),
                _ => Value::Error,
            },
            Expression::Choice(condition, yes, no) => match condition.value(ad, now) {
                Value::Bool(true) => yes.value(ad, now),
                Value::Bool(false) => no.value(ad, now),
                Value::Undefined => Value::Undefined,
                _ => Value::Error,
            },
            Expression::Binary(op, left, right) => {
                let left = left.value(ad, now);
                match (op.as_str(), &left) {
                    ("&&", Value::Bool(false)) | ("||", Value::Bool(true)) => left,
                    ("?:", Value::Undefined) => right.value(ad, now),
                    ("?:", _) => left,
                    _ => binary(op, left, right.value(ad, now)),
                }
            }
            Expression::Function(name, arguments) => {
                let arguments: Vec<Value> = arguments.iter().map(|a| a.value(ad, now)).collect();
                function(name, &arguments, now)
            }
        }
    }
}

fn number(n: f64) -> Json {
    #[allow(clippy::cast_possible_truncation, reason = "only when nothing is cut off")]
    if n.fract() == 0.0 && n.abs() < 9e15 { Json::from(n as i64) } else { Json::from(n) }
}

fn of_json(json: &Json, ad: &Ad, now: i64) -> Value {
    match json {
        Json::Null => Value::Undefined,
        Json::Bool(is) => Value::Bool(*is),
        Json::Number(n) => n.as_f64().map_or(Value::Error, Value::Number),
        Json::String(text) if text.starts_with(MARK) => {
            Expression::of_ad(text).map_or(Value::Error, |expression| expression.value(ad, now))
        }
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(|item| of_json(item, ad, now)).collect()),
        Json::Object(_) => Value::Error,
    }
}

fn binary(op: &str, left: Value, right: Value) -> Value {
    match (op, left, right) {
        // These never are undefined, and mind the case of strings.
        ("=?=" | "is", left, right) => Value::Bool(left == right),
        ("=!=" | "isnt", left, right) => Value::Bool(left != right),
        ("&&", Value::Bool(true) | Value::Undefined, Value::Bool(false)) => Value::Bool(false),
        ("||", Value::Bool(false) | Value::Undefined, Value::Bool(true)) => Value::Bool(true),
        (_, Value::Error, _) | (_, _, Value::Error) => Value::Error,
        (_, Value::Undefined, _) | (_, _, Value::Undefined) => Value::Undefined,
        ("&&", Value::Bool(left), Value::Bool(right)) => Value::Bool(left && right),
        ("||", Value::Bool(left), Value::Bool(right)) => Value::Bool(left || right),
        ("+", Value::Number(left), Value::Number(right)) => Value::Number(left + right),
        ("-", Value::Number(left), Value::Number(right)) => Value::Number(left - right),
        ("*", Value::Number(left), Value::Number(right)) => Value::Number(left * right),
        ("/", Value::Number(_), Value::Number(0.0)) => Value::Error,
        ("/", Value::Number(left), Value::Number(right)) => Value::Number(left / right),
        (op, left, right) => match (compare(&left, &right), op) {
            (None, _) => Value::Error,
            (Some(order), "==") => Value::Bool(order == Ordering::Equal),
            (Some(order), "!=") => Value::Bool(order != Ordering::Equal),
            (Some(order), "<") => Value::Bool(order == Ordering::Less),
            (Some(order), "<=") => Value::Bool(order != Ordering::Greater),
            (Some(order), ">") => Value::Bool(order == Ordering::Greater),
            (Some(order), ">=") => Value::Bool(order != Ordering::Less),
            _ => Value::Error,
        },
    }
}

/// As `==` and `<` see two values: strings without regard to case.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    let number = |value: &Value| match value {
        Value::Bool(is) => Some(f64::from(u8::from(*is))),
        Value::Number(n) => Some(*n),
        _ => None,
    };
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.to_lowercase().cmp(&right.to_lowercase())),
        _ => number(left)?.partial_cmp(&number(right)?),
    }
}

fn function(name: &str, arguments: &[Value], now: i64) -> Value {
    match (name.to_ascii_lowercase().as_str(), arguments) {
        #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        ("time", []) => Value::Number(now as f64),
        ("member", [Value::Undefined, _] | [_, Value::Undefined]) => Value::Undefined,
        ("member", [item, Value::List(list)]) => {
            Value::Bool(list.iter().any(|other| compare(item, other) == Some(Ordering::Equal)))
        }
        ("isundefined", [value]) => Value::Bool(*value == Value::Undefined),
        _ => Value::Error,
    }
}
