//! Another user of the pool. The tests are processes of the one who submits, so they speak for him with his token.

use tokio::process::Command;

use super::bed::Bed;
use super::patience::until;
use super::pool::said;
use super::{bed_folder, pool};

/// The other user of the bed's pool.
pub const BOB: Stranger = Stranger { name: "bob" };

/// A user of the pool with whom the operator has nothing to do.
#[derive(Clone, Copy, Debug)]
pub struct Stranger {
    /// The account.
    pub name: &'static str,
}

impl Stranger {
    /// Runs a tool of HTCondor's as this user.
    pub async fn tool(self, name: &str, arguments: &[&str]) -> Result<String, String> {
        let tokens = bed_folder().join("state").join(self.name).join("tokens.d");
        let mut command = Command::new(name);
        command
            .args(arguments)
            .env("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS", "IDTOKENS")
            .env("_CONDOR_SEC_TOKEN_DIRECTORY", tokens);
        said(name, arguments, command).await
    }

    /// Submits what a description says; gives the cluster.
    pub async fn submit(self, bed: &Bed, description: &str) -> u64 {
        let file = bed.folder.join(format!("of-{}", self.name));
        std::fs::write(&file, description).unwrap();
        let said = self.tool("condor_submit", &["-terse", file.to_str().unwrap()]).await.unwrap();
        said.split('.').next().unwrap().trim().parse().unwrap()
    }

    /// What an expression over the first job of a cluster of his is.
    pub async fn asks(self, cluster: u64, expression: &str) -> String {
        let cluster = cluster.to_string();
        let answer =
            until("condor_q", async || self.tool("condor_q", &[&cluster, "-af", expression]).await).await;
        answer.lines().next().unwrap_or_default().to_owned()
    }

    /// Takes all out of the queue that he has there under an instance id.
    pub async fn leave(self, instance: &str) -> Result<(), String> {
        let his = format!("HTCOperatorInstance == \"{instance}\" && Owner == \"{}\"", self.name);
        let ask = ["-allusers", "-af", "ClusterId", "-limit", "1", "-constraint", &his];
        if pool::tool("condor_q", &ask).await?.trim().is_empty() {
            return Ok(());
        }
        self.tool("condor_qedit", &["-constraint", &his, "LeaveJobInQueue", "false"]).await?;
        self.tool("condor_rm", &["-constraint", &his]).await.map(drop)
    }
}
