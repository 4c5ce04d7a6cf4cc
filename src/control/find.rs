//! The workload of a name, or a sentence that helps to find it.

use htc_core::workload::names::Uid;

use crate::engine::Engine;
use crate::http::error::HttpError;

/// So many names are suggested.
const SUGGESTED: usize = 5;

/// The workload of an outside object.
pub fn find(engine: &Engine, door: Option<&str>, namespace: &str, name: &str) -> Result<Uid, HttpError> {
    engine.find(door, namespace, name).ok_or_else(|| {
        let rows = engine.table(door).into_iter().filter_map(|uid| engine.workload_row(&uid));
        let known: Vec<(String, String)> = rows.map(|row| (row.namespace, row.name)).collect();
        HttpError::NotFound(unknown(namespace, name, &known))
    })
}

fn unknown(namespace: &str, name: &str, known: &[(String, String)]) -> String {
    let near: Vec<String> = known
        .iter()
        .filter(|(other, known)| if other == namespace { is_near(name, known) } else { name == known })
        .take(SUGGESTED)
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    let hint = match near.is_empty() {
        true => "`htc-operator jobs` lists those that are known; one that was refused is not among them"
            .to_owned(),
        false => format!("did you mean {}?", near.join(" or ")),
    };
    format!("{namespace}/{name}: no such job is known here; {hint}")
}

/// Whether one was perhaps meant by the other: equal, but for one letter, or for what one has more.
fn is_near(wanted: &str, known: &str) -> bool {
    let common = wanted.bytes().zip(known.bytes()).take_while(|(a, b)| a == b).count();
    let (wanted, known) = (&wanted.as_bytes()[common..], &known.as_bytes()[common..]);
    let behind = wanted.iter().rev().zip(known.iter().rev()).take_while(|(a, b)| a == b).count();
    let differ = wanted.len().max(known.len()) - behind;
    differ <= 1 || (common >= 2 && (wanted.is_empty() || known.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_known_gets_those_that_may_have_been_meant() {
        let known = [("default", "zero"), ("default", "queue"), ("other", "mine"), ("default", "notzero")];
        let known = known.map(|(a, b)| (a.to_owned(), b.to_owned()));
        let hint = |name| unknown("default", name, &known);
        for near in ["zer", "zeros", "zerp", "xzero", "zeo"] {
            assert!(hint(near).ends_with("did you mean default/zero?"), "{}", hint(near));
        }
        assert!(hint("mine").ends_with("did you mean other/mine?"));
        assert!(hint("nothing").contains("htc-operator jobs"), "{}", hint("nothing"));
    }
}
