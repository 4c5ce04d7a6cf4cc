//! Who calls, by a name that outlives tokens and certificates, and what is theirs.

use std::fmt;
use std::sync::Arc;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Our own user, to whom everything here belongs.
    Ourselves,
    /// Somebody who was not asked.
    Anybody,
    /// Who has shown a token or a certificate, by the name that it gives: `token:a`, `user:…`, `certificate:…`.
    Named(Arc<str>),
}

impl Caller {
    /// To whom belongs what this caller brings; nothing where it is everybody's.
    pub fn owner(&self) -> Option<String> {
        match self {
            Caller::Ourselves | Caller::Anybody => None,
            Caller::Named(name) => Some(name.to_string()),
        }
    }

    /// Whether what belongs to this owner is this caller's.
    pub fn has(&self, owner: Option<&str>) -> bool {
        match self {
            Caller::Ourselves => true,
            Caller::Anybody => owner.is_none(),
            Caller::Named(name) => owner.is_none_or(|owner| *owner == **name),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Caller::Ourselves => "our own user",
            Caller::Anybody => "anybody",
            Caller::Named(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_brought_belongs_to_who_showed_his_name() {
        let (a, b) = (Caller::Named("a".into()), Caller::Named("b".into()));
        assert_eq!(
            (a.owner().as_deref(), Caller::Anybody.owner(), Caller::Ourselves.owner()),
            (Some("a"), None, None)
        );
        for (caller, owner, is) in [
            (&a, Some("a"), true),
            (&b, Some("a"), false),
            (&Caller::Anybody, Some("a"), false),
            (&Caller::Ourselves, Some("a"), true),
            (&a, None, true),
            (&Caller::Anybody, None, true),
        ] {
            assert_eq!(caller.has(owner), is, "{caller} {owner:?}");
        }
    }
}
