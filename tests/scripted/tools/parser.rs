//! Reads ClassAd expressions.

use super::constraint::{Expression, Value};

/// From the loosest to the tightest.
const OPERATORS: &[&[&str]] = &[
    &["?:"],
    &["||"],
    &["&&"],
    &["==", "!=", "=?=", "=!=", "is", "isnt"],
    &["<", "<=", ">", ">="],
    &["+", "-"],
    &["*", "/"],
];

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Number(f64),
    Text(String),
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: &[&str] = &[
    "=?=", "=!=", "?:", "||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "!", "(", ")", "{",
    "}", ",", "?", ":", ".",
];

/// Reads an expression.
pub fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0 };
    let expression = parser.expression()?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) => Err(format!("{token:?} is one too many")),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let (token, length) = string(rest)?;
            tokens.push(Token::Text(token));
            length
        } else if first.is_ascii_digit() {
            let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            tokens.push(Token::Number(rest[..length].parse().map_err(|e| format!("{rest}: {e}"))?));
            length
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Name(rest[..length].to_owned()));
            length
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("{first:?} has no meaning"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// A string literal and how long it is in the text.
fn string(text: &str) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, at + 1)),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    Err("a string does not end".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.next += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("lacks a {sign}")) }
    }

    fn expression(&mut self) -> Result<Expression, String> {
        let condition = self.binary(0)?;
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = self.expression()?;
        self.need(":")?;
        Ok(Expression::Choice(Box::new(condition), Box::new(yes), Box::new(self.expression()?)))
    }

    fn binary(&mut self, level: usize) -> Result<Expression, String> {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let operator = match self.peek() {
                Some(Token::Sign(sign)) => (*sign).to_owned(),
                Some(Token::Name(name)) => name.to_ascii_lowercase(),
                _ => return Ok(left),
            };
            if !operators.contains(&operator.as_str()) {
                return Ok(left);
            }
            self.next += 1;
            left = Expression::Binary(operator, Box::new(left), Box::new(self.binary(level + 1)?));
        }
    }

    fn unary(&mut self) -> Result<Expression, String> {
        for sign in ['!', '-'] {
            if self.take(&sign.to_string()) {
                return Ok(Expression::Unary(sign, Box::new(self.unary()?)));
            }
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expression, String> {
        let token = self.peek().cloned().ok_or("ends too early")?;
        self.next += 1;
        match token {
            Token::Number(n) => Ok(Expression::Literal(Value::Number(n))),
            Token::Text(text) => Ok(Expression::Literal(Value::Text(text))),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.need(")")?;
                Ok(inner)
            }
            Token::Sign("{") => Ok(Expression::List(self.items("}")?)),
            Token::Sign(sign) => Err(format!("{sign} is in the wrong place")),
            Token::Name(name) => self.name(name),
        }
    }

    fn name(&mut self, name: String) -> Result<Expression, String> {
        if self.take("(") {
            return Ok(Expression::Function(name, self.items(")")?));
        }
        if self.take(".") {
            let Some(Token::Name(attribute)) = self.peek().cloned() else {
                return Err(format!("{name}. lacks a name"));
            };
            self.next += 1;
            // Mostly there is only the job's ad here; what is known of a machine stands in it by that name.
            let of_machine = name.eq_ignore_ascii_case("TARGET");
            let name = if of_machine { format!("TARGET.{attribute}") } else { attribute };
            return Ok(Expression::Attribute(name));
        }
        Ok(match name.to_ascii_lowercase().as_str() {
            "true" => Expression::Literal(Value::Bool(true)),
            "false" => Expression::Literal(Value::Bool(false)),
            "undefined" => Expression::Literal(Value::Undefined),
            "error" => Expression::Literal(Value::Error),
            _ => Expression::Attribute(name),
        })
    }

    fn items(&mut self, end: &str) -> Result<Vec<Expression>, String> {
        let mut items = Vec::new();
        while !self.take(end) {
            if !items.is_empty() {
                self.need(",")?;
            }
            items.push(self.expression()?);
        }
        Ok(items)
    }
}
