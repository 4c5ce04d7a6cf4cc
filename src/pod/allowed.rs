//! Images that a site allows or not: the worker itself (`host`), and paths of the worker's disk. Those of
//! registries are anybody's.

use std::path::Path;

use htc_core::workload::container::Image;

/// Stands for every namespace.
const ALL: &str = "*";
/// As a prefix it allows any path.
const ROOT: &str = "/";

/// Who may run what without an image of a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The namespaces whose containers may run on the worker itself; `*` stands for all.
    pub host: Vec<String>,
    /// Paths of the workers that an image may be or lie below; `/` allows any.
    pub paths: Vec<String>,
}

impl Allowed {
    /// What settings say: an empty text in a list stands for nothing.
    pub fn of(host: &[String], paths: &[String]) -> Allowed {
        let list = |list: &[String]| list.iter().filter(|text| !text.is_empty()).cloned().collect();
        Allowed { host: list(host), paths: list(paths) }
    }

    /// Everything, for everybody.
    pub fn everything() -> Allowed {
        Allowed { host: vec![ALL.to_owned()], paths: vec![ROOT.to_owned()] }
    }

    /// The image as the worker shall take it, if this namespace may use it; else what to do.
    pub fn check(&self, image: Image, namespace: &str) -> Result<Image, String> {
        match image {
            Image::Host if self.host.iter().any(|allowed| allowed == ALL || allowed == namespace) => {
                Ok(Image::Host)
            }
            Image::Host => Err(format!(
                "`host` runs outside of any container, which this site does not allow to the namespace \
                 {namespace:?}: name an image, or ask the operator's administrators"
            )),
            Image::Apptainer(path) if path.starts_with('/') => self.path(path).map(Image::Apptainer),
            image => Ok(image),
        }
    }

    /// The prefixes for the worker, which follows links; none where any path will do.
    pub fn prefixes(&self) -> Vec<String> {
        if self.any_path() { Vec::new() } else { self.paths.clone() }
    }

    fn any_path(&self) -> bool {
        self.paths.iter().any(|allowed| allowed == ROOT)
    }

    fn path(&self, path: String) -> Result<String, String> {
        if self.any_path() {
            return Ok(path);
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") {
            // Behind a link it leads elsewhere than it looks.
            return Err(format!("{path:?} has a `..`: write the path without it"));
        }
        let plain = format!("/{}", parts.join("/"));
        // By whole parts: /cvmfs2 is not below /cvmfs.
        if self.paths.iter().any(|allowed| Path::new(&plain).starts_with(allowed)) {
            return Ok(plain);
        }
        let list = if self.paths.is_empty() { "none".to_owned() } else { self.paths.join(", ") };
        Err(format!("{path:?} is not below a path that this site allows for images: {list}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &[&str], paths: &[&str]) -> Allowed {
        let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Allowed { host: list(host), paths: list(paths) }
    }

    fn path(paths: &[&str], image: &str) -> Result<Image, String> {
        allowed(&[], paths).check(Image::Apptainer(image.to_owned()), "n")
    }

    #[test]
    fn the_worker_itself_is_for_the_namespaces_that_are_named() {
        let may = |host: &[&str], namespace| allowed(host, &[]).check(Image::Host, namespace).is_ok();
        assert!(may(&["a", "b"], "b") && may(&["*"], "b") && may(&["*"], ""));
        assert!(!may(&[], "b") && !may(&["a"], "b") && !may(&["a"], "") && !may(&["a"], "*"));
        let why = allowed(&["a"], &[]).check(Image::Host, "b").unwrap_err();
        assert!(why.contains("\"b\"") && why.contains("name an image"), "{why}");
    }

    #[test]
    fn a_path_is_made_plain_before_it_is_compared() {
        let good = |image: &str, plain: &str| {
            assert_eq!(path(&["/cvmfs", "/eos/images"], image), Ok(Image::Apptainer(plain.to_owned())));
        };
        good("/cvmfs/x.sif", "/cvmfs/x.sif");
        good("//cvmfs///./x/", "/cvmfs/x");
        good("/cvmfs", "/cvmfs");
        good("/eos/images/a", "/eos/images/a");
        for bad in [
            "/",
            "//",
            "/.",
            "/etc",
            "/cvmfs/../etc",
            "/cvmfs/x/..",
            "/./cvmfs/../etc",
            "/cvmfs2/x",
            "/eos/images2",
            "/eos",
        ] {
            assert!(path(&["/cvmfs", "/eos/images"], bad).is_err(), "{bad}");
        }
        assert!(path(&[], "/cvmfs/x").unwrap_err().ends_with("none"));
    }

    #[test]
    fn where_any_path_will_do_it_stays_as_it_was_written() {
        let everything = Allowed::everything();
        let image = Image::Apptainer("/data/../x".to_owned());
        assert_eq!(everything.check(image.clone(), "n"), Ok(image));
        assert!(everything.prefixes().is_empty());
        assert_eq!(allowed(&[], &["/cvmfs"]).prefixes(), ["/cvmfs"]);
    }

    #[test]
    fn images_of_registries_are_for_everybody() {
        for image in ["docker://a", "oras://a/b"] {
            assert!(path(&[], image).is_ok());
        }
    }
}
