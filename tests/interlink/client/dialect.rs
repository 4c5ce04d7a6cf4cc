//! What each release of the callers sends for the same wish.

use serde_json::{Value, json};

use super::pods;
use super::transport::Request;

/// Releases that differ for an endpoint (WIRE 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.4.1.
    V04,
    /// 0.5.0 to 0.5.2.
    V05,
    /// 0.6.0.
    V060,
    /// 0.6.1.
    V061,
    /// 0.6.2.
    V062,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// A virtual kubelet.
    Kubelet,
    /// The API server between a virtual kubelet and us.
    Server,
}

/// A caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Its release.
    pub version: Version,
    /// Which of the two programs.
    pub hop: Hop,
}

/// What `kubectl logs` asked for; WIRE 2: all is always sent.
#[derive(Clone, Debug, Default)]
pub struct Opts {
    /// The last so many lines; 0 for all.
    pub tail: i64,
    /// At most so many bytes; 0 for all.
    pub bytes: i64,
    /// A time before each line.
    pub timestamps: bool,
    /// Go on until the container ends.
    pub follow: bool,
    /// Of the last start.
    pub previous: bool,
    /// Of the last so many seconds; 0 for all.
    pub since_seconds: i64,
    /// Since then.
    pub since_time: Option<String>,
}

impl Dialect {
    /// The newest virtual kubelet, directly.
    pub const NEWEST: Dialect = Dialect { version: Version::V062, hop: Hop::Kubelet };

    /// All that are told apart.
    pub fn all() -> impl Iterator<Item = Dialect> {
        let versions = [Version::V04, Version::V05, Version::V060, Version::V061, Version::V062];
        let hops = [Hop::Kubelet, Hop::Server];
        versions.into_iter().flat_map(move |version| hops.map(|hop| Dialect { version, hop }))
    }

    /// WIRE 1.2, 1.3: an empty POST from a virtual kubelet, a status of nothing from the API server.
    pub fn ping(self) -> Request {
        match self.hop {
            Hop::Kubelet => {
                Request { headers: Vec::new(), ..Request::bytes("POST", "/pinglink", Vec::new()) }
            }
            Hop::Server => Request::json("GET", "/status", &json!([])),
        }
    }

    /// WIRE 1.2, 1.3, 2: PodCreateRequests, or RetrievedPodData, which 0.4 puts into a list.
    pub fn create(self, pod: &Value) -> Request {
        let mut body = match self.hop {
            Hop::Kubelet => {
                json!({ "pod": pod, "configmaps": null, "secrets": null, "projectedvolumesmaps": null })
            }
            Hop::Server => json!({ "pod": pod, "container": retrieved(pod) }),
        };
        match (self.hop, self.version >= Version::V05) {
            (Hop::Kubelet, true) => body["jobscriptURL"] = "".into(),
            (Hop::Server, true) => body["jobConfig"] = job_config(),
            (Hop::Server, false) => body = json!([body]),
            (Hop::Kubelet, false) => {}
        }
        Request::json("POST", "/create", &body)
    }

    /// WIRE 1.2: a list, on GET.
    pub fn status(self, pods: &[Value]) -> Request {
        Request::json("GET", "/status", &pods.into())
    }

    /// WIRE 1.2, 1.3: DELETE from a virtual kubelet, POST from the API server.
    pub fn delete(self, pod: &Value) -> Request {
        let method = if self.hop == Hop::Kubelet { "DELETE" } else { "POST" };
        Request::json(method, "/delete", pod)
    }

    /// WIRE 2: LogStruct, unset values as Go writes them; 1.1: virtual kubelets close the connection.
    pub fn logs(self, pod: &Value, container: &str, opts: &Opts) -> Request {
        let none = "0001-01-01T00:00:00Z";
        let body = json!({
            "Namespace": pod["metadata"]["namespace"], "PodUID": pods::uid_of(pod),
            "PodName": pod["metadata"]["name"], "ContainerName": container,
            "Opts": {
                "Tail": opts.tail, "Bytes": opts.bytes, "Timestamps": opts.timestamps, "Follow": opts.follow,
                "Previous": opts.previous, "SinceSeconds": opts.since_seconds,
                "SinceTime": opts.since_time.as_deref().unwrap_or(none),
            },
        });
        let mut request = Request::json("GET", "/getLogs", &body);
        if self.hop == Hop::Kubelet {
            request.headers.push(("connection".to_owned(), "close".to_owned()));
        }
        request
    }
}

/// WIRE 1.3: init containers first, one entry per container.
fn retrieved(pod: &Value) -> Value {
    let names = ["initContainers", "containers"].into_iter().flat_map(|list| pods::names(pod, list));
    let one = |name| {
        let (maps, secrets, projected) = ("configMaps", "secrets", "projectedvolumemaps");
        json!({ "name": name, maps: null, projected: null, secrets: null, "emptyDirs": null })
    };
    names.map(one).collect()
}

fn job_config() -> Value {
    json!({
        "SingularityHubProxy": { "server": "", "master_token": "", "cache_validity_seconds": 0 },
        "ApptainerOptions": {
            "executable": "", "fakeroot": false, "containall": false, "fuseMode": "", "noInit": false,
            "noHome": false, "noPrivs": false, "nvidiaSupport": false, "cleanenv": false, "unsquash": false,
        },
        "Volumes": {
            "scratch_area": "", "apptainer_cachedir": "", "image_dir": "",
            "additional_directories_in_path": null, "fuse_sleep_seconds": 0,
        },
    })
}
