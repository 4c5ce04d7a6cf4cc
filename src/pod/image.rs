//! What the image of a container means: a reference, a path, the worker itself, or a site's script.

use htc_core::workload::container::Image;

use super::Settings;
use super::refusal::Refusal;

/// As long as a path may be; a reference is shorter.
const TEXT_MAX: usize = 4_096;

/// An image as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A container of this image, or `host`.
    Image(Image),
    /// `host:<site>`: the site's own script, which gets this word.
    Site(String),
}

/// Understands the `image` of a container of a pod of this namespace.
pub fn parse(text: &str, namespace: &str, settings: &Settings, at: &str) -> Result<Meaning, Refusal> {
    if let Some(site) = text.strip_prefix("host:").filter(|rest| !rest.starts_with('/')) {
        return match settings.site_scripts.contains_key(site) {
            true => Ok(Meaning::Site(site.to_owned())),
            false => {
                let why = format!("there is no script for the site {site:?} in the operator's settings");
                Err(Refusal::new(at, why))
            }
        };
    }
    let image = reference(text, settings.image_registry.as_deref());
    let image = image.and_then(|image| settings.images.check(image, namespace));
    image.map(Meaning::Image).map_err(|why| Refusal::new(at, why))
}

/// What an image text means: `host`, a reference with its scheme, a path, or a name, which gets
/// `docker://`, and the registry of the settings where it names none itself.
pub fn reference(text: &str, registry: Option<&str>) -> Result<Image, String> {
    if text.is_empty()
        || text.starts_with('-')
        || text.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err(format!("{text:?} is no image"));
    }
    if text.len() > TEXT_MAX {
        return Err(format!("an image has at most {TEXT_MAX} characters"));
    }
    if text == "host" {
        return Ok(Image::Host);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme {
            "docker" | "oras" if !rest.is_empty() => Ok(Image::Apptainer(text.to_owned())),
            _ => Err(format!("{scheme}:// is not supported; docker:// and oras:// are")),
        };
    }
    if text.starts_with('/') {
        return Ok(Image::Apptainer(text.to_owned()));
    }
    if text.ends_with(".sif") || text.starts_with('.') {
        return Err("a path must be absolute and seen by the workers".to_owned());
    }
    let registry = registry.filter(|_| !names_a_registry(text));
    let registry = registry.map(|registry| format!("{}/", registry.trim_end_matches('/')));
    Ok(Image::Apptainer(format!("docker://{}{text}", registry.unwrap_or_default())))
}

/// Whether a name begins with a registry: as everywhere, a first part with a dot or a port, or
/// `localhost`.
fn names_a_registry(name: &str) -> bool {
    name.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_taken_as_it_was_meant() {
        let settings = Settings {
            image_registry: Some("reg:5000/".to_owned()),
            site_scripts: [("cern".to_owned(), Vec::new())].into(),
            ..Settings::default()
        };
        let image = |text: &str| parse(text, "n", &settings, "at").unwrap();
        for (text, expected) in [
            ("busybox", "docker://reg:5000/busybox"),
            ("a/b:1", "docker://reg:5000/a/b:1"),
            ("docker.io/library/busybox:1.36", "docker://docker.io/library/busybox:1.36"),
            ("localhost/x", "docker://localhost/x"),
            ("docker://x", "docker://x"),
            ("oras://x/y", "oras://x/y"),
            ("/cvmfs/unpacked.cern.ch/x", "/cvmfs/unpacked.cern.ch/x"),
        ] {
            assert_eq!(image(text), Meaning::Image(Image::Apptainer(expected.to_owned())));
        }
        assert_eq!(image("host"), Meaning::Image(Image::Host));
        assert_eq!(image("host:cern"), Meaning::Site("cern".to_owned()));
        for bad in ["", "-x", "a b", "a\nb", "x.sif", "./x", "file:///x", "docker://", "host:other"] {
            assert!(parse(bad, "n", &settings, "at").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_site_script_runs_where_the_image_host_may_not() {
        let settings = Settings {
            images: crate::pod::Allowed::default(),
            site_scripts: [("cern".to_owned(), Vec::new())].into(),
            ..Settings::default()
        };
        assert!(parse("host:cern", "n", &settings, "at").is_ok());
        let why = parse("host", "n", &settings, "spec.containers[0].image").unwrap_err().to_string();
        assert!(why.starts_with("spec.containers[0].image"), "{why}");
    }
}
