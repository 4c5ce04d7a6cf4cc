//! What a pod is told when it cannot be honoured: the field path and the reason.

use thiserror::Error;

/// Why a pod is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {why}")]
pub struct Refusal {
    /// The path of the field, as `kubectl explain` has it: `spec.volumes[1].csi`.
    pub field: String,
    /// Why, and what helps.
    pub why: String,
}

/// Bytes of a sentence at most: it quotes what the user wrote, and must fit into a status beside it.
const TEXT_MAX: usize = 4 << 10;

impl Refusal {
    /// A refusal of this field.
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Refusal {
        Refusal { field: in_brief(field.into()), why: in_brief(why.into()) }
    }
}

/// The text without its middle, where it is long: what is wrong stands before or behind what is quoted.
pub fn in_brief(text: String) -> String {
    if text.len() <= TEXT_MAX {
        return text;
    }
    let start = &text[..text.floor_char_boundary(TEXT_MAX * 3 / 4)];
    let end = &text[text.ceil_char_boundary(text.len() - TEXT_MAX / 4)..];
    format!("{start}…{end}")
}

/// A refusal of the field `name` below `at`.
pub fn refuse<T>(at: &str, name: &str, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(format!("{at}.{name}"), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_quotes_a_long_text_still_says_what_is_wrong() {
        let image = "ä b".repeat(500_000);
        let refusal = Refusal::new("spec.containers[0].image", format!("{image:?} is no image")).to_string();
        assert!(refusal.len() < 2 * TEXT_MAX && refusal.ends_with("is no image"), "{}", refusal.len());
        assert!(refusal.starts_with("spec.containers[0].image: "));
        assert_eq!(in_brief("short".to_owned()), "short");
    }
}
