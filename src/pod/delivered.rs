//! What a caller delivers together with a pod: the objects that its volumes and variables name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::refusal::Refusal;

/// Bytes by key or path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The delivered objects, by name; all are of the pod's namespace.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// ConfigMaps: `data` and `binaryData`.
    pub config_maps: BTreeMap<String, Files>,
    /// Secrets.
    pub secrets: BTreeMap<String, Files>,
    /// Projected volumes that the caller has put together itself, by the name of the volume.
    pub projected: BTreeMap<String, Files>,
}

impl Delivered {
    /// Takes a ConfigMap.
    pub fn add_config_map(&mut self, mut map: ConfigMap) {
        let Some(name) = map.metadata.name.take() else { return };
        self.config_maps.insert(name, files(map));
    }

    /// Takes a projected volume that the caller has put together: a ConfigMap with the volume's name.
    pub fn add_projected(&mut self, mut map: ConfigMap) {
        let Some(name) = map.metadata.name.take() else { return };
        self.projected.insert(name, files(map));
    }

    /// Takes a Secret.
    pub fn add_secret(&mut self, secret: Secret) {
        let Some(name) = secret.metadata.name else { return };
        let bytes = secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
        // What is written by hand wins over what is encoded, as in the API server.
        let texts = secret.string_data.into_iter().flatten();
        let texts = texts.map(|(key, text)| (key, text.into_bytes()));
        self.secrets.insert(name, bytes.chain(texts).collect());
    }

    /// The object of a kind; none when it is not there and may be missing.
    pub fn object(
        &self,
        kind: Kind,
        name: &str,
        optional: bool,
        field: &str,
    ) -> Result<Option<&Files>, Refusal> {
        let found = match kind {
            Kind::ConfigMap => self.config_maps.get(name),
            Kind::Secret => self.secrets.get(name),
        };
        if found.is_none() && !optional {
            let why = format!("the {} {name:?} did not come with the pod", kind.word());
            return Err(Refusal::new(field, why));
        }
        Ok(found)
    }
}

fn files(map: ConfigMap) -> Files {
    let texts = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
    let bytes = map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
    texts.chain(bytes).collect()
}

/// Names only: what is delivered may be secret.
impl std::fmt::Debug for Delivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [&self.config_maps, &self.secrets, &self.projected].map(|map| map.keys());
        f.debug_list().entries(names.into_iter().flatten()).finish()
    }
}

/// An object that holds files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl Kind {
    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
        }
    }
}
