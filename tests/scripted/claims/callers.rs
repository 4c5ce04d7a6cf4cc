//! Who may call, with the real binary: a table of listeners and of what callers show.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use serde_json::{Value, json};

use crate::endpoint::{Caller, Endpoint};

super::claims![
    a_token_of_the_file_lets_in_and_a_new_file_counts_soon,
    a_client_certificate_is_required_or_one_of_two_ways,
    a_new_certificate_of_the_endpoint_is_shown_soon,
    an_issuers_token_lets_in_whom_it_is_for,
    what_a_proxy_says_of_a_caller_counts_for_nothing_without_the_token,
    a_certificate_lets_in_only_whose_name_is_set,
    a_pod_belongs_to_who_brought_it_and_a_token_may_change,
    callers_share_their_pods_where_that_is_set,
    a_token_for_some_namespaces_is_for_no_pod_of_others,
    a_call_deletes_only_so_many_pods,
    a_web_page_of_this_machine_is_refused,
    nobody_is_let_in_unasked_where_others_reach_the_port,
    a_refused_call_is_answered_though_its_body_is_large,
    settings_that_do_not_fit_are_refused_in_a_sentence,
];

const TOKEN: &str = "a-good-token-of-some-length";

async fn a_token_of_the_file_lets_in_and_a_new_file_counts_soon() {
    let mut endpoint = Endpoint::new();
    let file = endpoint.write("etc/token", &format!("{TOKEN}\n"));
    let socket = endpoint.path("i.sock");
    let places = format!("127.0.0.1:0,unix:{}", socket.display());
    endpoint.start(&["--interlink-listen", &places, "--interlink-token-file", &file], 2).await;
    let base = format!("http://{}", endpoint.places().into_iter().find(|p| p.starts_with("127")).unwrap());
    for (shown, status) in [
        (Some(TOKEN), 200),
        // Go sends what is in the file, as far as a header can carry it.
        (Some("a-good-token-of-some-length "), 200),
        (Some("a-good-token-of-some-lengt"), 401),
        (Some("a-good-token-of-some-length2"), 401),
        (Some(""), 401),
        (None, 401),
    ] {
        let caller = Caller { token: shown.map(str::to_owned), ..Caller::default() };
        for path in ["/status", "/create", "/nothing"] {
            let (got, text) = caller.call("POST", &format!("{base}{path}"), "[]").await.unwrap();
            let allowed = got != 401;
            assert_eq!(allowed, status == 200, "{shown:?} {path}: {got} {text}");
        }
    }
    // The socket's mode is enough: an API server passes no token on.
    let local = Caller { socket: Some(socket), ..Caller::default() };
    assert_eq!(local.ping("http://unix").await, Ok(200));

    endpoint.write("etc/token", "another-good-token\na-third-one");
    Caller::with_token("a-third-one").until_pinged(&base, 200).await;
    for (token, status) in [(TOKEN, 401), ("another-good-token", 200), ("a-third-one", 200)] {
        assert_eq!(Caller::with_token(token).ping(&base).await, Ok(status), "{token}");
    }
    // Half a renewal locks nobody out.
    endpoint.write("etc/token", "");
    endpoint.eventually("it was looked at", |it| it.log().contains("what it was still counts")).await;
    assert_eq!(Caller::with_token("a-third-one").ping(&base).await, Ok(200));
    endpoint.end().await;
    for secret in [TOKEN, "another-good-token", "a-third-one", "a-good-token"] {
        assert!(!endpoint.log().contains(secret), "{}", endpoint.log());
    }
    assert_eq!(endpoint.log().matches("an InterLink call was refused").count(), 1, "not one line for each");
}

/// An authority with certificates of its making.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// With a key of its own.
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for 127.0.0.1, and its key.
    fn certificate(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// An endpoint's files, and what a caller needs to believe it.
pub struct Tls {
    authority: Authority,
    /// Certificate and key.
    pub files: [String; 2],
}

impl Tls {
    /// Written beside the endpoint.
    pub fn new(endpoint: &Endpoint) -> Tls {
        let authority = Authority::new();
        let (certificate, key) = authority.certificate();
        let files = [endpoint.write("etc/tls.crt", &certificate), endpoint.write("etc/tls.key", &key)];
        Tls { authority, files }
    }

    fn flags(&self) -> Vec<&str> {
        let [certificate, key] = &self.files;
        vec![
            "--interlink-listen",
            "127.0.0.1:0",
            "--interlink-tls-cert",
            certificate,
            "--interlink-tls-key",
            key,
        ]
    }

    /// One who believes the endpoint.
    pub fn caller(&self) -> Caller {
        Caller { ca: Some(self.authority.pem()), ..Caller::default() }
    }
}

/// The caller with a certificate of this authority.
pub fn with_certificate(caller: &Caller, authority: &Authority) -> Caller {
    let (certificate, key) = authority.certificate();
    Caller { certificate: Some(format!("{certificate}{key}")), ..caller.clone() }
}

async fn a_client_certificate_is_required_or_one_of_two_ways() {
    for optional in [false, true] {
        let mut endpoint = Endpoint::new();
        let (tls, clients) = (Tls::new(&endpoint), Authority::new());
        let ca = endpoint.write("etc/clients.crt", &clients.pem());
        let token = endpoint.write("etc/token", TOKEN);
        let mut flags = tls.flags();
        flags.extend(["--interlink-client-ca", &ca, "--interlink-token-file", &token]);
        if optional {
            flags.extend(["--interlink-client-cert", "optional"]);
        }
        endpoint.start(&flags, 1).await;
        let base = format!("https://{}", endpoint.address());
        let nobody = tls.caller();
        let token = Caller { token: Some(TOKEN.to_owned()), ..nobody.clone() };
        assert_eq!(with_certificate(&nobody, &clients).ping(&base).await, Ok(200), "{}", endpoint.log());
        let stranger = with_certificate(&nobody, &Authority::new()).ping(&base).await;
        assert!(stranger.is_err(), "a certificate of another authority ends the handshake: {stranger:?}");
        match optional {
            true => {
                assert_eq!(token.ping(&base).await, Ok(200));
                assert_eq!(nobody.ping(&base).await, Ok(401));
            }
            false => {
                assert!(token.ping(&base).await.is_err() && nobody.ping(&base).await.is_err());
            }
        }
        let plain = Caller::default().ping(&base.replace("https", "http")).await;
        assert!(plain.is_err(), "who does not speak TLS is not spoken to: {plain:?}");
        endpoint.end().await;
    }
}

async fn a_new_certificate_of_the_endpoint_is_shown_soon() {
    let mut endpoint = Endpoint::new();
    let tls = Tls::new(&endpoint);
    let token = endpoint.write("etc/token", TOKEN);
    let mut flags = tls.flags();
    flags.extend(["--interlink-token-file", &token]);
    endpoint.start(&flags, 1).await;
    let base = format!("https://{}", endpoint.address());
    let caller = |tls: &Tls| Caller { token: Some(TOKEN.to_owned()), ..tls.caller() };
    assert_eq!(caller(&tls).ping(&base).await, Ok(200));
    // Half of a renewal: the pair does not fit, and what it was still counts.
    let (certificate, key) = tls.authority.certificate();
    endpoint.write("etc/tls.crt", &certificate);
    endpoint.eventually("it was looked at", |it| it.log().contains("what it was still counts")).await;
    assert_eq!(caller(&tls).ping(&base).await, Ok(200));
    endpoint.write("etc/tls.key", &key);
    endpoint.eventually("the pair fits", |it| it.log().contains("changed, and was read again")).await;
    assert_eq!(caller(&tls).ping(&base).await, Ok(200));
    // Another authority altogether.
    let other = Tls::new(&endpoint);
    caller(&other).until_pinged(&base, 200).await;
    assert!(caller(&tls).ping(&base).await.is_err(), "the old authority is no longer believed");
    endpoint.end().await;
}

/// An issuer on this machine, with one key.
struct Issuer {
    url: String,
    key: KeyPair,
}

impl Issuer {
    async fn new() -> Issuer {
        let key = KeyPair::generate().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let point = key.der_bytes().to_vec();
        let part = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        let (x, y) = (part(1), part(33));
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1", "x": x, "y": y,
        }] });
        let about = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let say = |what: Value| axum::routing::get(move || async move { axum::Json(what) });
        let router = axum::Router::new()
            .route("/.well-known/openid-configuration", say(about))
            .route("/keys", say(keys));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Issuer { url, key }
    }

    /// The settings of an endpoint where these may call.
    fn flags<'a>(&'a self, subjects: &'a str) -> [&'a str; 8] {
        [
            "--interlink-listen",
            "127.0.0.1:0",
            "--interlink-oidc-issuer",
            &self.url,
            "--interlink-oidc-audience",
            "htc",
            "--interlink-oidc-subjects",
            subjects,
        ]
    }

    fn token(&self, changes: Value) -> String {
        let mut claims = json!({
            "iss": self.url, "aud": "htc", "sub": "kubelet", "exp": 9_000_000_000_u64,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(&self.key.serialize_der());
        encode(&header, &claims, &key).unwrap()
    }
}

async fn an_issuers_token_lets_in_whom_it_is_for() {
    let (issuer, stranger) = (Issuer::new().await, Issuer::new().await);
    let mut endpoint = Endpoint::new();
    endpoint.start(&issuer.flags("kubelet,other"), 1).await;
    let base = format!("http://{}", endpoint.address());
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#), {
        issuer.token(json!({})).split('.').nth(1).unwrap().to_owned()
    });
    // Signed with what everybody knows: the public key.
    let shared = {
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) };
        let claims = json!({ "iss": issuer.url, "aud": "htc", "sub": "kubelet", "exp": 9_000_000_000_u64 });
        encode(&header, &claims, &EncodingKey::from_secret(issuer.key.public_key_pem().as_bytes())).unwrap()
    };
    for (what, token, status) in [
        ("good", issuer.token(json!({})), 200),
        ("one of several audiences", issuer.token(json!({ "aud": ["x", "htc"] })), 200),
        ("another subject who may", issuer.token(json!({ "sub": "other" })), 200),
        ("a subject who may not", issuer.token(json!({ "sub": "eve" })), 401),
        ("no subject", issuer.token(json!({ "sub": null })), 401),
        ("another audience", issuer.token(json!({ "aud": "x" })), 401),
        ("another issuer in it", issuer.token(json!({ "iss": "https://x" })), 401),
        ("expired", issuer.token(json!({ "exp": 1_000_000_000 })), 401),
        ("an end that is no number", issuer.token(json!({ "exp": "never" })), 401),
        ("not yet", issuer.token(json!({ "nbf": 8_000_000_000_u64 })), 401),
        ("a start that is no number", issuer.token(json!({ "nbf": "now" })), 401),
        ("another's key", stranger.token(json!({ "iss": issuer.url })), 401),
        ("unsigned", unsigned, 401),
        ("signed with what is public", shared, 401),
        ("none", "nonsense".to_owned(), 401),
    ] {
        assert_eq!(Caller::with_token(&token).ping(&base).await, Ok(status), "{what}\n{}", endpoint.log());
    }
    assert!(!endpoint.log().contains("eyJ"), "{}", endpoint.log());
    endpoint.end().await;
}

/// What an OAuth2 proxy adds to a request of this user.
fn forwarded(user: &str, access_token: &str) -> Vec<(&'static str, String)> {
    let mail = format!("{user}@example.org");
    [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "edge.example.org"),
        ("x-forwarded-uri", "/status"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-user", user),
        ("x-forwarded-email", &mail),
        ("x-forwarded-preferred-username", user),
        ("x-forwarded-groups", "interlink,admins"),
        ("x-forwarded-access-token", access_token),
        ("x-auth-request-user", user),
        ("x-auth-request-email", &mail),
        ("x-auth-request-groups", "interlink"),
        ("x-auth-request-access-token", access_token),
        ("gap-auth", &mail),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

async fn what_a_proxy_says_of_a_caller_counts_for_nothing_without_the_token() {
    let issuer = Issuer::new().await;
    let mut endpoint = Endpoint::new();
    endpoint.start(&issuer.flags("kubelet"), 1).await;
    let base = format!("http://{}", endpoint.address());
    let good = issuer.token(json!({}));
    let with = |shown: &[String]| {
        let mut headers = forwarded("kubelet", &good);
        headers.extend(shown.iter().map(|value| ("authorization", value.clone())));
        Caller { headers, ..Caller::default() }
    };
    let bearer = |changes: Value| format!("Bearer {}", issuer.token(changes));
    let mine = bearer(json!({}));
    for (what, shown, status) in [
        ("the token", vec![mine.clone()], 200),
        ("the caller's header beside the proxy's", vec![mine.clone(), mine.clone()], 200),
        ("both in one", vec![format!("{mine},{mine}")], 200),
        ("only the proxy's words", vec![], 401),
        ("a password for the proxy", vec![format!("Basic {}", STANDARD.encode("kubelet:x"))], 401),
        ("a token for another", vec![bearer(json!({ "aud": "oauth2-proxy" }))], 401),
        ("an old token", vec![bearer(json!({ "exp": 1_000_000_000 }))], 401),
        ("another user's token", vec![bearer(json!({ "sub": "eve" }))], 401),
        ("a good token behind another's", vec![bearer(json!({ "sub": "eve" })), mine.clone()], 401),
    ] {
        let caller = with(&shown);
        assert_eq!(caller.ping(&base).await, Ok(status), "{what}\n{}", endpoint.log());
        for path in ["/create", "/delete", "/getLogs", "/system-info", "/nothing"] {
            let (got, _) = caller.call("POST", &format!("{base}{path}"), "{}").await.unwrap();
            assert_eq!(got == 401, status == 401, "{what} {path}: {got}");
        }
    }
    assert!(!endpoint.log().contains("eyJ"), "{}", endpoint.log());
    endpoint.end().await;
}

async fn a_certificate_lets_in_only_whose_name_is_set() {
    for (subjects, status) in [("127.0.0.*,rcgen self*", 200), ("someone else", 401)] {
        let mut endpoint = Endpoint::new();
        let (tls, clients) = (Tls::new(&endpoint), Authority::new());
        let ca = endpoint.write("etc/clients.crt", &clients.pem());
        let mut flags = tls.flags();
        flags.extend(["--interlink-client-ca", &ca, "--interlink-client-subjects", subjects]);
        endpoint.start(&flags, 1).await;
        let base = format!("https://{}", endpoint.address());
        let caller = with_certificate(&tls.caller(), &clients);
        assert_eq!(caller.ping(&base).await, Ok(status), "{subjects}: {}", endpoint.log());
        endpoint.end().await;
    }
}

/// A pod that waits in the queue.
fn pod(uid: &str) -> String {
    let container = json!({ "name": "main", "image": "busybox", "command": ["sleep", "60"] });
    let pod = json!({
        "metadata": { "name": "p", "namespace": "n", "uid": uid },
        "spec": { "containers": [container], "restartPolicy": "Never" },
    });
    json!({ "pod": pod, "container": [] }).to_string()
}

/// What a caller is answered about a pod: its `/create`, its `/getLogs`, its `/status`, its `/delete`.
async fn answers(caller: &Caller, base: &str, uid: &str) -> [u16; 4] {
    let about =
        json!({ "metadata": { "name": "p", "namespace": "n", "uid": uid }, "spec": { "containers": [] } });
    let log = json!({ "Namespace": "n", "PodUID": uid, "PodName": "p", "ContainerName": "main", "Opts": {} });
    let mut codes = [0; 4];
    for (code, (path, body)) in codes.iter_mut().zip([
        ("create", pod(uid)),
        ("getLogs", log.to_string()),
        ("status", json!([about]).to_string()),
        ("delete", about.to_string()),
    ]) {
        *code = caller.call("POST", &format!("{base}/{path}"), &body).await.unwrap().0;
    }
    codes
}

/// What a caller is told of a pod.
async fn told(caller: &Caller, base: &str, uid: &str) -> String {
    let about = json!([{ "metadata": { "name": "p", "namespace": "n", "uid": uid }, "status": {
        "containerStatuses": [{ "name": "main" }] } }]);
    caller.call("POST", &format!("{base}/status"), &about.to_string()).await.unwrap().1
}

async fn a_pod_belongs_to_who_brought_it_and_a_token_may_change() {
    let mut endpoint = Endpoint::new();
    let file = endpoint.write("etc/token", "@a first-of-a\n@b only-of-b\nof-nobody\nof-nobody-too");
    let socket = endpoint.path("i.sock");
    let places = format!("127.0.0.1:0,unix:{}", socket.display());
    let flags = ["--interlink-listen", &places, "--interlink-token-file", &file];
    endpoint.start(&flags, 2).await;
    let base = |it: &Endpoint| {
        format!("http://{}", it.places().into_iter().rfind(|p| p.starts_with("127")).unwrap())
    };
    let (a, b) = (Caller::with_token("first-of-a"), Caller::with_token("only-of-b"));
    let create = |caller: Caller, uid: &'static str, base: String| async move {
        caller.call("POST", &format!("{base}/create"), &pod(uid)).await.unwrap().0
    };
    assert_eq!(create(a.clone(), "of-a", base(&endpoint)).await, 200, "{}", endpoint.log());
    assert_eq!(create(Caller::with_token("of-nobody"), "shared", base(&endpoint)).await, 200);
    // Also after a restart, and with another token.
    endpoint.end().await;
    endpoint.write("etc/token", "@a second-of-a\n@b only-of-b\nof-nobody-too");
    endpoint.start(&flags, 2).await;
    let base = base(&endpoint);
    assert_eq!(answers(&b, &base, "of-a").await, [403, 403, 200, 403], "{}", endpoint.log());
    let waits = told(&b, &base, "of-a").await;
    assert!(waits.contains("NotYours") && !waits.contains("terminated\":{"), "{waits}");
    assert_eq!(answers(&b, &base, "shared").await, [403, 403, 200, 403]);
    let a = Caller::with_token("second-of-a");
    assert!(!told(&a, &base, "of-a").await.contains("NotYours"));
    assert_eq!(answers(&a, &base, "of-a").await, [200; 4]);
    assert_eq!(answers(&Caller::with_token("of-nobody-too"), &base, "shared").await, [200; 4]);
    // Our own user has all of them.
    assert_eq!(create(b, "of-b", base.clone()).await, 200);
    let ours = Caller { socket: Some(socket), ..Caller::default() };
    assert_eq!(answers(&ours, "http://unix", "of-b").await, [200; 4]);
    endpoint.end().await;
    let log = endpoint.log();
    for words in ["took a pod in", "a pod is taken away"] {
        let line = |line: &&str| line.contains(words) && line.contains("of-a") && line.contains("token:a");
        assert!(log.lines().any(|it| line(&it)), "{words}: {log}");
    }
    for secret in ["first-of-a", "second-of-a", "only-of-b", "of-nobody"] {
        assert!(!log.contains(secret), "{log}");
    }
}

async fn a_token_for_some_namespaces_is_for_no_pod_of_others() {
    let mut endpoint = Endpoint::new();
    let file = endpoint.write("etc/token", "@a[n,m] token-of-a\n@b[m] token-of-b\n@c[*] token-of-c");
    let places = ["--interlink-listen", "127.0.0.1:0", "--interlink-token-file", &file];
    endpoint.start(&[places.as_slice(), &["--interlink-shared-pods"]].concat(), 1).await;
    let base = format!("http://{}", endpoint.places()[0]);
    let [a, b, c] = ["token-of-a", "token-of-b", "token-of-c"].map(Caller::with_token);
    let (code, why) = b.call("POST", &format!("{base}/create"), &pod("of-b")).await.unwrap();
    assert_eq!(code, 403, "{why}");
    assert!(why.contains("token:b") && why.contains("namespace \"n\""), "{why}");
    let create = |caller: Caller| {
        let url = format!("{base}/create");
        async move { caller.call("POST", &url, &pod("shared")).await.unwrap().0 }
    };
    assert_eq!(create(a.clone()).await, 200, "{}", endpoint.log());
    assert_eq!(
        answers(&b, &base, "shared").await,
        [403, 403, 200, 403],
        "also where callers share their pods"
    );
    assert!(told(&b, &base, "shared").await.contains("NotYours"));
    assert_eq!(answers(&c, &base, "shared").await, [200; 4]);
    endpoint.end().await;
}

async fn a_call_deletes_only_so_many_pods() {
    let mut endpoint = Endpoint::new();
    endpoint.start(&["--interlink-listen", "127.0.0.1:0"], 1).await;
    let base = format!("http://{}", endpoint.places()[0]);
    let caller = Caller::default();
    let pods = |count: usize| {
        let pods: Vec<_> = (0..count).map(|n| json!({ "metadata": { "uid": format!("u{n}") } })).collect();
        json!(pods).to_string()
    };
    let delete = |count| {
        let (caller, url, body) = (caller.clone(), format!("{base}/delete"), pods(count));
        async move { caller.call("POST", &url, &body).await.unwrap() }
    };
    let (code, why) = delete(101).await;
    assert_eq!((code, why.trim()), (400, "the request has 101 pods; delete at most 100 at once"));
    assert_eq!(delete(100).await.0, 200, "{}", endpoint.log());
    let created = caller.call("POST", &format!("{base}/create"), &pod("u99")).await.unwrap();
    assert_eq!(created.0, 409, "a pod that was deleted before it came is refused: {}", created.1);
    endpoint.end().await;
}

async fn callers_share_their_pods_where_that_is_set() {
    let mut endpoint = Endpoint::new();
    let file = endpoint.write("etc/token", "@a token-of-a\n@b token-of-b");
    let flags =
        ["--interlink-listen", "127.0.0.1:0", "--interlink-token-file", &file, "--interlink-shared-pods"];
    endpoint.start(&flags, 1).await;
    let base = format!("http://{}", endpoint.address());
    let created =
        Caller::with_token("token-of-a").call("POST", &format!("{base}/create"), &pod("x")).await.unwrap();
    assert_eq!(created.0, 200, "{created:?}");
    assert_eq!(answers(&Caller::with_token("token-of-b"), &base, "x").await, [200; 4]);
    endpoint.end().await;
}

async fn a_web_page_of_this_machine_is_refused() {
    let mut endpoint = Endpoint::new();
    let token = endpoint.write("etc/token", TOKEN);
    for asks in [false, true] {
        let mut flags =
            vec!["--interlink-listen", "127.0.0.1:0", "--interlink-host-names", "edge.example.org"];
        if asks {
            flags.extend(["--interlink-token-file", &token]);
        }
        endpoint.start(&flags, 1).await;
        let base = format!("http://{}", endpoint.address());
        for (name, value, status) in [
            ("x-nothing", "x", 200),
            ("sec-fetch-site", "none", 200),
            ("host", "localhost:4000", 200),
            ("host", "edge.example.org", 200),
            ("origin", "http://evil.example", 403),
            ("origin", "null", 403),
            ("sec-fetch-site", "cross-site", 403),
            // DNS rebinding; but no page has the token.
            ("host", "evil.example", if asks { 200 } else { 403 }),
        ] {
            let headers = vec![(name, value.to_owned())];
            let token = asks.then(|| TOKEN.to_owned());
            let caller = Caller { token, headers, ..Caller::default() };
            assert_eq!(caller.ping(&base).await, Ok(status), "{name}: {value}");
            let created = caller.call("POST", &format!("{base}/create"), &pod("by-page")).await.unwrap();
            assert_eq!(created.0, status, "{name}: {value} {}", created.1);
        }
        endpoint.end().await;
    }
}

async fn nobody_is_let_in_unasked_where_others_reach_the_port() {
    let mut endpoint = Endpoint::new();
    let public = ["--interlink-listen", "0.0.0.0:0"];
    let (status, _, why) = endpoint.run(&public);
    assert!(!status.success() && why.contains("--interlink-token-file"), "{why}");
    // A certificate of the endpoint asks nobody who he is.
    let tls = Tls::new(&endpoint);
    let [certificate, key] = &tls.files;
    let with_tls = [&public[..], &["--interlink-tls-cert", certificate, "--interlink-tls-key", key]].concat();
    assert!(!endpoint.run(&with_tls).0.success());

    let token = endpoint.write("etc/token", TOKEN);
    endpoint.start(&[&public[..], &["--interlink-token-file", &token]].concat(), 1).await;
    let port = endpoint.address().rsplit(':').next().unwrap().to_owned();
    let base = format!("http://127.0.0.1:{port}");
    assert_eq!(Caller::default().ping(&base).await, Ok(401));
    assert_eq!(Caller::with_token(TOKEN).ping(&base).await, Ok(200));
    endpoint.end().await;

    endpoint.start(&[&public[..], &["--insecure-public"]].concat(), 1).await;
    let port = endpoint.address().rsplit(':').next().unwrap().to_owned();
    assert_eq!(Caller::default().ping(&format!("http://127.0.0.1:{port}")).await, Ok(200));
    assert!(endpoint.log().contains("everybody who reaches this"), "{}", endpoint.log());
    endpoint.end().await;
}

async fn a_refused_call_is_answered_though_its_body_is_large() {
    let mut endpoint = Endpoint::new();
    let token = endpoint.write("etc/token", TOKEN);
    endpoint.start(&["--interlink-listen", "127.0.0.1:0", "--interlink-token-file", &token], 1).await;
    let url = format!("http://{}/create", endpoint.address());
    let body = "x".repeat(15 << 20);
    let (status, _) = Caller::with_token("wrong").call("POST", &url, &body).await.unwrap();
    assert_eq!(status, 401);
    endpoint.end().await;
}

async fn settings_that_do_not_fit_are_refused_in_a_sentence() {
    let endpoint = Endpoint::new();
    let empty = endpoint.write("etc/empty", "\n");
    let listen = ["--interlink-listen", "127.0.0.1:0"];
    for (flags, words) in [
        (vec!["--interlink-token-file", &empty], "there is no token"),
        (vec!["--interlink-token-file", "/nowhere"], "/nowhere"),
        (vec!["--interlink-tls-cert", &empty], "go together"),
        (vec!["--interlink-tls-cert", &empty, "--interlink-tls-key", &empty], "certificates"),
        (vec!["--interlink-client-ca", &empty], "need TLS"),
        (
            vec!["--interlink-oidc-issuer", "http://sso.example.org", "--interlink-oidc-audience", "x"],
            "https",
        ),
        (vec!["--interlink-oidc-issuer", "https://sso.example.org"], "--interlink-oidc-audience"),
        (vec!["--interlink-token-review-users", "x"], "without Kubernetes"),
        (vec!["--interlink-listen", "localhost:1"], "address:port"),
    ] {
        let flags =
            if flags.contains(&"--interlink-listen") { flags } else { [&listen[..], &flags].concat() };
        let (status, _, why) = endpoint.run(&flags);
        assert!(!status.success() && why.contains(words), "{flags:?}: {why}");
    }
}
