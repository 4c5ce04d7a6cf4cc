//! In a cluster, accounts of the cluster may call: the API server vouches for their tokens.

use super::living::free_port;
use crate::client::dialect::Dialect;
use crate::client::transport::Transport;
use crate::harness::{Bed, kubeconfig, kubectl, on_bed};

async fn token(bed: &Bed, account: &str) -> String {
    kubectl(&["create", "serviceaccount", account, "-n", &bed.namespace], "").await.unwrap();
    kubectl(&["create", "token", account, "-n", &bed.namespace], "").await.unwrap().trim().to_owned()
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_account_of_the_cluster_may_call_and_another_may_not() {
    on_bed(async |bed: &mut Bed| {
        let (file, name) = (kubeconfig("operator"), "jsonpath={.status.userInfo.username}");
        let whoami = ["--kubeconfig", file.to_str().unwrap(), "auth", "whoami", "-o", name];
        let operator = kubectl(&whoami, "").await.unwrap();
        let binding = format!("{}-reviews", bed.namespace);
        let user = format!("--user={operator}");
        let role = ["create", "clusterrolebinding", &binding, "--clusterrole=system:auth-delegator", &user];
        kubectl(&role, "").await.unwrap();
        let (good, other) = (token(bed, "kubelet").await, token(bed, "eve").await);
        let address = format!("127.0.0.1:{}", free_port());
        bed.set("HTC_INTERLINK_LISTEN", Some(&address));
        let users = format!("system:serviceaccount:{}:kubelet", bed.namespace);
        bed.set("HTC_INTERLINK_TOKEN_REVIEW_USERS", Some(&users));
        bed.start().await;
        let ping = async |token: Option<&str>| {
            let transport = Transport::tcp(&address);
            let transport = match token {
                Some(token) => transport.with_token(token),
                None => transport,
            };
            transport.send(&Dialect::NEWEST.ping()).await.unwrap().code
        };
        let mut codes = Vec::new();
        for token in [Some(good.as_str()), Some(&other), Some("nonsense"), None, Some(&good)] {
            codes.push(ping(token).await);
        }
        kubectl(&["delete", "clusterrolebinding", &binding], "").await.unwrap();
        assert_eq!(codes, [200, 401, 401, 401, 200], "{}", bed.log());
        assert!(!bed.log().contains(&good));
    })
    .await;
}
