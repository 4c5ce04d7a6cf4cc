//! A pool and a data folder as a released version of the operator has left them. The fixtures lie in `releases/`,
//! each made by the engine of its release; `releases/README.md` says how.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

use crate::pool::{Ad, Scripted};

/// The release that this one replaces.
const LAST: &str = "96b217a";
const HERE: &str = "@HERE@";

/// A file of the last release's fixtures.
pub fn file_of_the_last_release(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripted/releases").join(LAST);
    fs::read_to_string(folder.join(name)).unwrap()
}

fn read(scene: &str, name: &str, here: &Path) -> String {
    file_of_the_last_release(&format!("{scene}/{name}")).replace(HERE, &here.display().to_string())
}

/// The database of a test.
pub fn store(scripted: &Scripted) -> Connection {
    let store = Connection::open(scripted.path().join("data/htcjobs.db")).unwrap();
    store.busy_timeout(crate::life::PATIENCE).unwrap();
    store
}

/// What the last release has left, as if it had ended so many seconds ago.
pub fn left_by_the_last_release(scene: &str, seconds: i64) -> Scripted {
    let scripted = Scripted::new();
    let here = scripted.path().to_owned();
    let files: BTreeMap<PathBuf, String> = serde_json::from_str(&read(scene, "files.json", &here)).unwrap();
    for (name, text) in files {
        let path = here.join(&name);
        match name.as_os_str().to_string_lossy().ends_with('/') {
            true => fs::create_dir_all(path).unwrap(),
            false => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
    }
    let store = store(&scripted);
    store.execute_batch(&read(scene, "store.sql", &here)).unwrap();
    // Its moments are moved to ours: some things end by their age.
    let last = "SELECT max(since) FROM (SELECT since FROM wishes UNION SELECT created FROM intents)";
    let last: i64 = store.query_row(last, [], |row| row.get(0)).unwrap();
    let passed = Timestamp::now().as_second() - seconds - last;
    let moved = format!(
        "UPDATE wishes SET since = since + {passed}, not_before = not_before + {passed},
             collected = collected + {passed};
         UPDATE intents SET created = created + {passed};
         UPDATE facts SET value = value + {passed} WHERE name = 'born'"
    );
    store.execute_batch(&moved).unwrap();
    let pool: Value = serde_json::from_str(&read(scene, "pool.json", &here)).unwrap();
    let ads = |name: &str| -> Vec<Ad> {
        let ads = pool[name].as_array().unwrap().iter();
        ads.map(|ad| {
            ad.as_object().unwrap().iter().map(|(name, value)| (name.clone(), later(value, passed))).collect()
        })
        .collect()
    };
    scripted.change(|state| {
        state.cluster = u32::try_from(pool["cluster"].as_u64().unwrap()).unwrap();
        (state.queue, state.history) = (ads("queue"), ads("history"));
    });
    scripted
}

/// A moment of an ad, so much later; any other value as it is.
fn later(value: &Value, passed: i64) -> Value {
    match value.as_i64() {
        Some(moment) if moment > 1_000_000_000 => Value::from(moment + passed),
        _ => value.clone(),
    }
}
