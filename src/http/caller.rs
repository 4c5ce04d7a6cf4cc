//! Who calls, by a name that outlives tokens and certificates, and what is theirs.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Whom a token or certificate names: `token:a`, `user:…`, `certificate:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    name: Arc<str>,
    /// Those whose pods are taken; all without.
    namespaces: Option<Arc<[String]>>,
}

impl Bearer {
    /// The same for pods of these namespaces only.
    pub fn within(self, namespaces: &[String]) -> Bearer {
        Bearer { namespaces: Some(namespaces.into()), ..self }
    }

    fn is_within(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|all| all.iter().any(|one| one == namespace))
    }
}

impl<T: Into<Arc<str>>> From<T> for Bearer {
    fn from(name: T) -> Bearer {
        Bearer { name: name.into(), namespaces: None }
    }
}

/// The name.
impl Deref for Bearer {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Our own user, to whom everything here belongs.
    Ourselves,
    /// Somebody who was not asked.
    Anybody,
    /// Who has shown a token or a certificate.
    Named(Bearer),
}

impl Caller {
    /// To whom belongs what this caller brings; nothing where it is everybody's.
    pub fn owner(&self) -> Option<String> {
        match self {
            Caller::Ourselves | Caller::Anybody => None,
            Caller::Named(bearer) => Some(bearer.to_string()),
        }
    }

    /// Whether what belongs to this owner is this caller's.
    pub fn has(&self, owner: Option<&str>) -> bool {
        match self {
            Caller::Ourselves => true,
            Caller::Anybody => owner.is_none(),
            Caller::Named(bearer) => owner.is_none_or(|owner| *owner == **bearer),
        }
    }

    /// Whether this caller may have pods of all namespaces.
    pub fn is_unbound(&self) -> bool {
        match self {
            Caller::Ourselves | Caller::Anybody => true,
            Caller::Named(bearer) => bearer.namespaces.is_none(),
        }
    }

    /// Whether this caller may have pods of this namespace.
    pub fn is_within(&self, namespace: &str) -> bool {
        match self {
            Caller::Ourselves | Caller::Anybody => true,
            Caller::Named(bearer) => bearer.is_within(namespace),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Caller::Ourselves => "our own user",
            Caller::Anybody => "anybody",
            Caller::Named(bearer) => bearer,
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
