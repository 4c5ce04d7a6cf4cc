//! The InterLink endpoint: where it listens, and who may call it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where the InterLink endpoint listens, and who may call it.
#[derive(Args, Clone, Debug)]
pub struct CallerSettings {
    /// Where InterLink is served: `address:port` or `unix:/path`, separated by commas. By default nowhere,
    /// and with `interlink` the socket `interlink.sock` in the data folder, for our own user alone.
    #[arg(long, env = "HTC_INTERLINK_LISTEN", value_delimiter = ',')]
    pub interlink_listen: Vec<String>,

    /// A file with the bearer token of those who may call, or several, a line each. A line `@name token` gives its
    /// bearer a name, and pods of its own; `@name[ns1,ns2] token` lets it bring pods of these namespaces only. It is read again when it changes. Who calls over a unix socket needs none.
    #[arg(long, env = "HTC_INTERLINK_TOKEN_FILE")]
    pub interlink_token_file: Option<PathBuf>,

    /// The PEM file of the endpoint's certificate; read again when it changes.
    #[arg(long, env = "HTC_INTERLINK_TLS_CERT")]
    pub interlink_tls_cert: Option<PathBuf>,

    /// The PEM file of that certificate's key.
    #[arg(long, env = "HTC_INTERLINK_TLS_KEY")]
    pub interlink_tls_key: Option<PathBuf>,

    /// The PEM file of the authority whose client certificates let a caller in; read again when it changes.
    #[arg(long, env = "HTC_INTERLINK_CLIENT_CA")]
    pub interlink_client_ca: Option<PathBuf>,

    /// Whose certificates of that authority let a caller in, separated by commas: the common name or an alternative
    /// name (host, mail address, URI), where `*` stands for any text. By default everybody's.
    #[arg(
        long,
        env = "HTC_INTERLINK_CLIENT_SUBJECTS",
        value_delimiter = ',',
        requires = "interlink_client_ca"
    )]
    pub interlink_client_subjects: Vec<String>,

    /// Whether a caller needs a client certificate, or may show a token instead.
    #[arg(long, env = "HTC_INTERLINK_CLIENT_CERT", value_enum, default_value = "required")]
    pub interlink_client_cert: ClientCertificate,

    /// The issuer (OpenID Connect) whose tokens let a caller in, such as https://sso.example.org/realms/site.
    #[arg(long, env = "HTC_INTERLINK_OIDC_ISSUER", requires = "interlink_oidc_audience")]
    pub interlink_oidc_issuer: Option<String>,

    /// The audience that such a token must be for.
    #[arg(long, env = "HTC_INTERLINK_OIDC_AUDIENCE", requires = "interlink_oidc_issuer")]
    pub interlink_oidc_audience: Option<String>,

    /// The subjects (`sub`) that may call with such a token, separated by commas; by default all.
    #[arg(long, env = "HTC_INTERLINK_OIDC_SUBJECTS", value_delimiter = ',')]
    pub interlink_oidc_subjects: Vec<String>,

    /// The PEM file of the authority that signed the issuer's certificate, if it is not a public one.
    #[arg(long, env = "HTC_INTERLINK_OIDC_CA")]
    pub interlink_oidc_ca: Option<PathBuf>,

    /// Users whose tokens the API server vouches for (TokenReview), such as
    /// `system:serviceaccount:interlink:virtual-kubelet`, separated by commas. Only with `serve`.
    #[arg(long, env = "HTC_INTERLINK_TOKEN_REVIEW_USERS", value_delimiter = ',')]
    pub interlink_token_review_users: Vec<String>,

    /// The audience that such a token must be for; by default the API server's own.
    #[arg(long, env = "HTC_INTERLINK_TOKEN_REVIEW_AUDIENCE")]
    pub interlink_token_review_audience: Option<String>,

    /// Serve InterLink on an address that others reach although nobody is asked who he is: whoever
    /// reaches the port runs jobs in your name.
    #[arg(long, env = "HTC_INSECURE_PUBLIC")]
    pub insecure_public: bool,

    /// Names under which callers call an endpoint that asks nobody who he is, separated by commas, besides addresses,
    /// `localhost` and this machine's own name. Under another name a web page may be calling.
    #[arg(long, env = "HTC_INTERLINK_HOST_NAMES", value_delimiter = ',')]
    pub interlink_host_names: Vec<String>,

    /// Let every caller who is let in see and delete the pods of all others. By default a pod belongs to whoever
    /// brought it, as the certificate's, the token's or the account's name says.
    #[arg(long, env = "HTC_INTERLINK_SHARED_PODS")]
    pub interlink_shared_pods: bool,

    /// Hours after which a pod that no caller asks for any more is taken away, while others are asked for;
    /// 0 for never. One that was deleted by force while its virtual kubelet was away is announced by nobody.
    #[arg(long, env = "HTC_INTERLINK_ORPHAN_HOURS", default_value_t = 24.0)]
    pub interlink_orphan_hours: f64,

    /// Seconds that a pod which nobody has brought is told as waiting, from the first question after it: its
    /// `/create` may be on its way for minutes. Then it is told as lost.
    #[arg(long, env = "HTC_INTERLINK_UNKNOWN_WAITS_SECONDS", default_value_t = 300.0)]
    pub interlink_unknown_waits_seconds: f64,

    /// Tell containers of pods that have not begun without any state: virtual kubelets before 0.6.1 show a
    /// pod as running whose containers wait. Why they wait is then not shown there.
    #[arg(long, env = "HTC_INTERLINK_QUEUED_WITHOUT_STATE")]
    pub interlink_queued_without_state: bool,

    /// Run a script that comes with a pod (`jobScript`, of a job-script builder) on the worker, in the place
    /// of the pod's containers.
    #[arg(long, env = "HTC_INTERLINK_JOB_SCRIPTS")]
    pub interlink_job_scripts: bool,

    /// Answer the InterLink ping with 503 while the proxy or token that `--proxy`, X509_USER_PROXY or
    /// BEARER_TOKEN_FILE names is missing or has expired. After five minutes of that a cluster deletes the
    /// pods of the node.
    #[arg(long, env = "HTC_INTERLINK_PING_CHECKS_CREDENTIAL")]
    pub interlink_ping_checks_credential: bool,
}

/// Whether callers over TLS need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClientCertificate {
    /// Without one nobody gets as far as asking.
    #[default]
    Required,
    /// One lets a caller in, and so does a token.
    Optional,
}
