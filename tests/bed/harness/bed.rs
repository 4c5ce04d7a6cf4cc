//! One test's own corner of the bed, and its end: whatever a test did, nothing of it stays.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use kube::Client;
use tokio::process::Child;

use super::{bed_folder, cluster, sweep};

/// The id of the key that signs reports.
pub const KEY_ID: &str = "k1";
/// The key that signs reports.
pub const MASTER_KEY: &[u8] = b"only for tests: 32 bytes or more";

/// An operator with its own instance id, namespace, folder, key and ports.
pub struct Bed {
    /// The instance id; also the name of the folder and of the namespace.
    pub id: String,
    /// Holds the data folder, the operator's log and what tests need.
    pub folder: PathBuf,
    /// The namespace that the operator watches first.
    pub namespace: String,
    /// A second namespace that it watches too.
    pub other_namespace: String,
    /// What is started as the operator.
    pub program: PathBuf,
    /// The operator's environment.
    pub settings: BTreeMap<String, String>,
    /// Kubernetes with an admin's rights.
    pub client: Client,
    /// For the operator's ports.
    pub http: reqwest::Client,
    /// Where reports are taken.
    pub events_port: u16,
    /// Where health is told.
    pub health_port: u16,
    /// The operator, while it runs.
    pub process: Option<Child>,
    /// Says that this bed is in use, until we are gone.
    _lock: File,
}

/// Runs a test with an operator that is ready.
pub async fn with_operator(claim: impl AsyncFnOnce(&mut Bed)) {
    on_bed(async |bed: &mut Bed| {
        bed.start().await;
        claim(bed).await;
    })
    .await;
}

/// Runs a test that starts the operator itself.
pub async fn on_bed(claim: impl AsyncFnOnce(&mut Bed)) {
    // Once in the process; the tests after the first find it done.
    let _ = rustls::crypto::ring::default_provider().install_default();
    sweep::assert_alone();
    let mut bed = Bed::make().await;
    let result = AssertUnwindSafe(claim(&mut bed)).catch_unwind().await;
    bed.process = None;
    if let Err(panic) = result {
        eprintln!("--- the operator's log, kept in {} ---\n{}", bed.folder.display(), bed.log());
        fs::write(bed.folder.join("kept"), "").unwrap();
        let _ = bed.clear().await;
        resume_unwind(panic);
    }
    bed.clear().await.unwrap();
    fs::remove_dir_all(&bed.folder).unwrap();
}

impl Bed {
    async fn make() -> Bed {
        let client = cluster::client("admin").await;
        sweep::leftovers(&client).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (events_port, health_port) = (free_port(), free_port());
        let id = format!("bed-{}-{events_port}", now.as_millis());
        let folder = sweep::folder().join(&id);
        for name in ["", "gates"] {
            fs::create_dir_all(folder.join(name)).unwrap();
            // Jobs without a container look into it, as whatever user the worker runs them.
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        let lock = sweep::lock(&folder).expect("it is new");
        let key_file = folder.join("master.key");
        fs::write(&key_file, format!("{KEY_ID}:{}\n", STANDARD.encode(MASTER_KEY))).unwrap();
        fs::set_permissions(&key_file, Permissions::from_mode(0o600)).unwrap();
        let other_namespace = format!("{id}{}", sweep::OTHER);
        cluster::make_namespace(&client, &id).await;
        cluster::make_namespace(&client, &other_namespace).await;
        let sender =
            std::env::var("HTC_SENDER").map_or_else(|_| bed_folder().join("bin/htc-sender"), PathBuf::from);
        let settings = [
            ("HTC_INSTANCE", id.clone()),
            ("HTC_DATA_DIR", folder.join("data").display().to_string()),
            ("HTC_MASTER_KEY_FILE", key_file.display().to_string()),
            ("HTC_SENDER", sender.display().to_string()),
            ("HTC_EVENTS_LISTEN", format!("127.0.0.1:{events_port}")),
            ("HTC_EVENTS_URL", format!("http://127.0.0.1:{events_port}")),
            ("HTC_HEALTH_LISTEN", format!("127.0.0.1:{health_port}")),
            ("HTC_WATCH_NAMESPACE", format!("{id},{other_namespace}")),
            // The quickest job there is; who may use it is tested apart.
            ("HTC_HOST_IMAGE_NAMESPACES", "*".to_owned()),
            ("HTC_IMAGE_PATHS", "/".to_owned()),
            ("HTC_IMAGE_CACHE", bed_folder().join("worker-images").display().to_string()),
            ("HTC_LOG", "info,htc_operator=debug".to_owned()),
        ];
        Bed {
            namespace: id.clone(),
            other_namespace,
            id,
            folder,
            program: Bed::PROGRAM.into(),
            settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
            client,
            http: reqwest::Client::new(),
            events_port,
            health_port,
            process: None,
            _lock: lock,
        }
    }

    /// Takes everything away that is outside of the folder.
    async fn clear(&mut self) -> Result<(), String> {
        sweep::clear(&self.client, &self.id).await?;
        self.until_queue_empty().await;
        Ok(())
    }
}

/// A port that is free now, below those that the system gives to connections: it stays ours while
/// the operator is down.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).unwrap();
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of thousands is free")
}
