//! What the node of a virtual kubelet has: all of the pool.

use serde_json::Value;

use super::with_endpoint;
use crate::client::wire::ping_response;
use crate::harness::{Bed, tool, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_ping_tells_what_all_machines_have_whoever_uses_them() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let resources = until("the capacity", async || {
            let answer = kubelet.transport.send(&kubelet.dialect.ping()).await?;
            ping_response(answer.success()?)?
                .resources
                .filter(|r| !r.cpu.is_empty())
                .ok_or("not yet".to_owned())
        })
        .await;
        // By the machines themselves, not by their slots.
        let arguments = ["-json", "-constraint", "SlotID == 1 && DynamicSlot =!= true"];
        let machines = tool("condor_status", &arguments).await.unwrap();
        let machines: Vec<Value> = serde_json::from_str(&machines).unwrap();
        let all = |name: &str| machines.iter().map(|m| m[name].as_f64().unwrap()).sum::<f64>() as u64;
        assert_eq!(resources.cpu, all("TotalCpus").to_string());
        assert_eq!(resources.memory, (all("TotalMemory") << 20).to_string());
        assert!(
            !resources.pods.is_empty() && resources.accelerators.is_none_or(|all| all.is_empty()),
            "as many as may be queued, and no GPUs"
        );
    })
    .await;
}
