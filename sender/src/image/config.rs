//! What an image says of itself: its entry point and its working folder.

use std::fs::{self, File};
use std::path::Path;

use serde::Deserialize;

use super::sif;

/// What the maker of an image chose. Every field may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The words before the arguments.
    pub entry_point: Vec<String>,
    /// The arguments where nobody gives others.
    pub command: Vec<String>,
    /// Where it starts.
    pub working_dir: Option<String>,
}

/// Where images that were converted from Docker's form, or made from a definition, keep their start.
const RUN_SCRIPT: &str = "/.singularity.d/runscript";

/// The config of a Docker image.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Oci {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
}

/// What apptainer keeps beside an image.
#[derive(Deserialize)]
struct Metadata {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    runscript: Option<String>,
}

impl Config {
    /// Of an image file or an unpacked image. What cannot be read says nothing.
    pub fn of(path: &Path) -> Config {
        if path.is_dir() {
            let script = fs::read(path.join(&RUN_SCRIPT[1..])).ok();
            return script.map(|text| Config::of_script(&String::from_utf8_lossy(&text))).unwrap_or_default();
        }
        let Ok(file) = File::open(path) else { return Config::default() };
        let object = |name| sif::object(&file, name).ok().flatten();
        if let Some(config) = object("oci-config.json").and_then(|json| Config::of_oci(&json)) {
            return config;
        }
        // A file that was made from a definition, or long ago.
        let metadata = object("inspect-metadata.json");
        let metadata = metadata.and_then(|json| serde_json::from_slice::<Metadata>(&json).ok());
        let script = metadata.and_then(|metadata| metadata.data.attributes.runscript);
        script.map(|text| Config::of_script(&text)).unwrap_or_default()
    }

    /// The command line with these arguments, by the rules of
    /// <https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/>;
    /// empty where the image names no command.
    pub fn command_line(&self, args: Vec<String>) -> Vec<String> {
        let args = if args.is_empty() { self.command.clone() } else { args };
        self.entry_point.iter().cloned().chain(args).collect()
    }

    fn of_oci(json: &[u8]) -> Option<Config> {
        let Oci { entrypoint, cmd, working_dir } = serde_json::from_slice(json).ok()?;
        Some(Config {
            entry_point: entrypoint.unwrap_or_default(),
            command: cmd.unwrap_or_default(),
            working_dir: working_dir.filter(|folder| folder.starts_with('/')),
        })
    }

    /// Of the script that starts a converted image: it has the words of the Docker image, quoted
    /// twice. Any other script is the entry point itself.
    fn of_script(script: &str) -> Config {
        let words = |variable: &str| {
            let (_, value) = script.split_once(&format!("\n{variable}="))?;
            let words = shlex::Shlex::new(value).next()?;
            shlex::split(&words)
        };
        match (words("OCI_ENTRYPOINT"), words("OCI_CMD")) {
            (None, None) => Config { entry_point: vec![RUN_SCRIPT.to_owned()], ..Config::default() },
            (entry_point, command) => Config {
                entry_point: entry_point.unwrap_or_default(),
                command: command.unwrap_or_default(),
                working_dir: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn file(objects: &[(&str, &[u8])]) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.sif");
        fs::write(&path, sif::image(objects)).unwrap();
        Config::of(&path)
    }

    #[test]
    fn arguments_replace_the_command_and_never_the_entry_point() {
        let config = |entry: &[&str], command: &[&str]| Config {
            entry_point: words(entry),
            command: words(command),
            working_dir: None,
        };
        for (entry, command, args, expected) in [
            (&["e", "1"][..], &["c"][..], &[][..], &["e", "1", "c"][..]),
            (&["e"], &["c", "2"], &["a"], &["e", "a"]),
            (&["e"], &[], &[], &["e"]),
            (&[], &["c"], &[], &["c"]),
            (&[], &["c"], &["a"], &["a"]),
            (&[], &[], &[], &[]),
        ] {
            assert_eq!(config(entry, command).command_line(words(args)), expected);
        }
    }

    #[test]
    fn the_config_of_a_docker_image_is_read_from_its_file() {
        let json =
            br#"{"Entrypoint":["httpd","-f"],"Cmd":null,"Env":["A=b"],"WorkingDir":"/srv","User":"1"}"#;
        let config = file(&[("inspect-metadata.json", b"{}"), ("oci-config.json", json)]);
        let expected = Config {
            entry_point: words(&["httpd", "-f"]),
            command: Vec::new(),
            working_dir: Some("/srv".to_owned()),
        };
        assert_eq!(config, expected);
        assert_eq!(file(&[("oci-config.json", br#"{"WorkingDir":""}"#)]), Config::default());
    }

    /// As apptainer 1.4 writes it for ENTRYPOINT ["a b", "it's", "$HOME\""] and no CMD.
    const CONVERTED: &str = r#"#!/bin/sh
OCI_ENTRYPOINT='"a b" "it'"'"'s" "\$HOME\""'
OCI_CMD=''

if [ -n "$SINGULARITY_NO_EVAL" ]; then
    exec "$@"
fi
"#;

    #[test]
    fn the_words_of_an_unpacked_image_are_read_without_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".singularity.d")).unwrap();
        fs::write(folder.path().join(".singularity.d/runscript"), CONVERTED).unwrap();
        let config = Config::of(folder.path());
        assert_eq!(config.entry_point, ["a b", "it's", "$HOME\""]);
        assert_eq!(config.command, Vec::<String>::new());
    }

    #[test]
    fn an_image_that_was_made_from_a_definition_starts_with_its_script() {
        let metadata = br##"{"data":{"attributes":{"runscript":"#!/bin/sh\nexec python3 \"$@\""}}}"##;
        let config = file(&[("inspect-metadata.json", metadata)]);
        assert_eq!(config.command_line(words(&["a"])), ["/.singularity.d/runscript", "a"]);
    }

    #[test]
    fn what_says_nothing_names_no_command() {
        for config in [file(&[]), Config::of(Path::new("/no/such")), Config::of(Path::new("/proc"))] {
            assert_eq!(config, Config::default());
        }
    }
}
