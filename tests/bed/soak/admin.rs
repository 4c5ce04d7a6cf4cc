//! What root can do to the schedd. It is as it was afterwards, whatever a test did.

use std::fs;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;

use crate::harness::{Bed, kubectl, on_bed, tool, until};

/// The process of a schedd.
const SCHEDD: &str = "condor_schedd";
/// Settings of a test; nothing else writes this file.
const SETTINGS: &str = "/etc/condor/config.d/90-soak";

/// Runs a test that may do anything to the schedd.
pub async fn with_schedd(claim: impl AsyncFnOnce(&mut Bed)) {
    on_bed(async |bed: &mut Bed| {
        assert_eq!(
            as_root("true", &[]).await,
            Ok(String::new()),
            "only in `make soak` may tests act as root"
        );
        as_it_was().await;
        let result = AssertUnwindSafe(claim(bed)).catch_unwind().await;
        as_it_was().await;
        // Else the namespace would wait for a kubelet to end them.
        let all = ["delete", "pods", "--all", "--force", "--grace-period=0", "-n", &bed.namespace];
        kubectl(&all, "").await.unwrap();
        kubectl(&["delete", "node", &bed.id, "--ignore-not-found"], "").await.unwrap();
        result.unwrap_or_else(|panic| resume_unwind(panic));
    })
    .await;
}

/// Also what a test has left that was killed.
async fn as_it_was() {
    goes_on().await;
    if fs::exists(SETTINGS).unwrap() {
        as_root("rm", &[SETTINGS]).await.unwrap();
        as_root("condor_reconfig", &["-all"]).await.unwrap();
        restart().await;
    }
    until_answers().await;
}

/// Runs a program as root.
pub async fn as_root(program: &str, arguments: &[&str]) -> Result<String, String> {
    let root = ["--reuid=root", "--regid=root", "--clear-groups", "--", program];
    tool("bed-su", &[&root, arguments].concat()).await
}

/// The schedd does nothing any more, and has not ended.
pub async fn stands_still() {
    as_root("pkill", &["-STOP", "-x", SCHEDD]).await.unwrap();
}

/// It goes on.
pub async fn goes_on() {
    // At this moment there may be none.
    let _none = as_root("pkill", &["-CONT", "-x", SCHEDD]).await;
}

/// `kill -9`; its master starts another one.
pub async fn killed() {
    replaced(async || as_root("pkill", &["-KILL", "-x", SCHEDD]).await).await;
}

/// As `systemctl restart condor` does it for the schedd.
pub async fn restart() {
    replaced(async || as_root("condor_restart", &["-daemon", "schedd"]).await).await;
}

async fn replaced(end: impl AsyncFn() -> Result<String, String>) {
    let before = process().await.expect("a schedd");
    end().await.unwrap();
    until("another schedd", async || match process().await? {
        same if same == before => Err(format!("still {same}")),
        _ => Ok(()),
    })
    .await;
    until_answers().await;
}

async fn process() -> Result<String, String> {
    tool("pgrep", &["-x", SCHEDD]).await
}

async fn until_answers() {
    until("the schedd to answer", async || tool("condor_q", &["-allusers", "-totals"]).await).await;
}

/// Gives the daemons these settings besides their own; nothing takes them away. They count from the next start of
/// a daemon, or after [`reconfigure`].
pub async fn configure(bed: &Bed, settings: &str) {
    let file = bed.folder.join("settings");
    fs::write(&file, settings).unwrap();
    let written = match settings {
        "" => as_root("rm", &["-f", SETTINGS]).await,
        _ => as_root("install", &["-m", "644", file.to_str().unwrap(), SETTINGS]).await,
    };
    written.unwrap();
}

/// The schedd reads its settings again.
pub async fn reconfigure() {
    as_root("condor_reconfig", &["-daemon", "schedd"]).await.unwrap();
}
