//! How a request travels: a unix socket, TCP, or TLS with a client's certificate.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::{Certificate, Identity, Method, redirect};

/// WIRE 1.1: the released callers wait so long for the head of an answer.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(120);

/// A way to the endpoint.
#[derive(Clone, Debug)]
pub struct Transport {
    http: reqwest::Client,
    base: String,
    /// Sent as it is in the file, as virtual kubelets do.
    pub token: Option<String>,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_str())
    }

    /// WIRE 1.1: "success is exactly 200"; anything else is a failure to the released callers.
    pub fn success(&self) -> Result<&[u8], String> {
        match self.code {
            200 => Ok(&self.body),
            code => Err(format!("{code}: {}", self.text())),
        }
    }
}

impl Transport {
    fn new(base: String, change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Self {
        // Once in the process; every later time it is done already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // WIRE 1.1: no redirects; nothing is decompressed, as nothing may be compressed.
        let builder = reqwest::Client::builder().redirect(redirect::Policy::none());
        let http = change(builder.user_agent("Go-http-client/1.1").tcp_nodelay(true)).build().unwrap();
        Transport { http, base, token: None }
    }

    /// To a unix socket. WIRE 1.1: the `Host` header is "unix" there.
    pub fn unix(socket: &Path) -> Transport {
        let socket = socket.to_owned();
        Transport::new("http://unix".to_owned(), |builder| builder.unix_socket(socket))
    }

    /// To a host and port, in the clear.
    pub fn tcp(authority: &str) -> Transport {
        Transport::new(format!("http://{authority}"), |builder| builder)
    }

    /// To a host and port over TLS. WIRE 1.1: in this mode each request has a connection of its own.
    pub fn tls(authority: &str, keys: &Keys, certified: bool) -> Transport {
        Transport::new(format!("https://{authority}"), |builder| {
            let builder = builder.tls_certs_only([keys.authority()]).pool_max_idle_per_host(0);
            if certified { builder.identity(keys.identity()) } else { builder }
        })
    }

    /// The same with a bearer token.
    pub fn with_token(self, token: &str) -> Transport {
        Transport { token: Some(token.to_owned()), ..self }
    }

    /// Sends a request; the answer's body is still to come.
    pub async fn open(&self, request: &Request) -> Result<reqwest::Response, String> {
        let method = Method::from_bytes(request.method.as_bytes()).unwrap();
        let mut builder = self.http.request(method, format!("{}{}", self.base, request.path));
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(token) = &self.token {
            builder = builder.header("authorization", format!("Bearer {token}"));
        }
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        let answer = tokio::time::timeout(HEAD_PATIENCE, builder.send()).await;
        answer.map_err(|_| format!("no answer in {HEAD_PATIENCE:?}"))?.map_err(|error| format!("{error:?}"))
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, String> {
        let answer = self.open(request).await?;
        let text =
            |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let code = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| format!("{error:?}"))?.to_vec();
        Ok(Answer { code, headers, body })
    }
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, ….
    pub method: String,
    /// The path.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl Request {
    /// A request with a JSON body, with the headers of the released callers. WIRE 1.1: no chunks, a
    /// `Content-Length` also on GET.
    pub fn json(method: &str, path: &str, body: &serde_json::Value) -> Request {
        Request::bytes(method, path, serde_json::to_vec(body).unwrap())
    }

    /// A request with a body that may be anything.
    pub fn bytes(method: &str, path: &str, body: Vec<u8>) -> Request {
        let headers =
            [("content-type", "application/json"), ("accept-encoding", "gzip"), (SESSION, "Test#1")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Request { method: method.to_owned(), path: path.to_owned(), headers, body }
    }
}

/// WIRE 1.1: the header that names a call.
const SESSION: &str = "interlink-http-session";

/// Certificates of a test's own authority, for the endpoint (127.0.0.1 and 127.0.0.2) and for its caller.
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Makes them in a folder.
    pub fn make(folder: &Path) -> Keys {
        let keys = Keys { folder: folder.to_owned() };
        let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca =
            ["-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority", "-days", "2"];
        keys.openssl(&[&new[..], &ca[..]].concat());
        for (name, use_) in [("server", "serverAuth"), ("client", "clientAuth")] {
            let (key, csr, crt) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
            let subject = format!("/CN=test {name}");
            keys.openssl(&[&new[..], &["-keyout", &key, "-out", &csr, "-subj", &subject]].concat());
            let names = "subjectAltName=IP:127.0.0.1,IP:127.0.0.2,DNS:localhost";
            std::fs::write(folder.join("ext"), format!("{names}\nextendedKeyUsage={use_}\n")).unwrap();
            let signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
            let ask = ["x509", "-req", "-in", &csr, "-out", &crt, "-extfile", "ext"];
            keys.openssl(&[&ask[..], &signer[..]].concat());
        }
        keys
    }

    /// A file of them: `ca`, `server` or `client`, `crt` or `key`.
    pub fn file(&self, name: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{name}.{kind}"))
    }

    fn authority(&self) -> Certificate {
        Certificate::from_pem(&std::fs::read(self.file("ca", "crt")).unwrap()).unwrap()
    }

    fn identity(&self) -> Identity {
        let both = ["crt", "key"].map(|kind| std::fs::read(self.file("client", kind)).unwrap());
        Identity::from_pem(&both.concat()).unwrap()
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new("openssl");
        let status = command.args(arguments).current_dir(&self.folder).stderr(Stdio::null()).status();
        assert!(status.unwrap().success(), "openssl {arguments:?}");
    }
}
