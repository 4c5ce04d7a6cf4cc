//! In the plugin's place: its command line, its file and its folders, in front of a real pool.

use std::fs;
use std::process::Command;

use super::living::free_port;
use super::until_answers;
use crate::client::dialect::{Dialect, Hop, Version};
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::{container, pod};
use crate::client::transport::Transport;
use crate::harness::{Bed, on_bed, until};

fn configured(name: &str) -> String {
    let output = Command::new("condor_config_val").arg(name).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_plugins_line_and_file_run_a_pod_and_leave_its_log_where_it_was() {
    on_bed(async |bed: &mut Bed| {
        let root = bed.folder.join(".interlink");
        let file = bed.folder.join("SidecarConfig.yaml");
        let text =
            format!("CommandPrefix: \"\"\nExportPodData: true\nDataRootFolder: \"{}/\"\n", root.display());
        fs::write(&file, text).unwrap();
        // Nothing that the plugin did not have, but for the instance, by which the bed finds its jobs.
        for name in ["HTC_DATA_DIR", "HTC_MASTER_KEY_FILE", "HTC_EVENTS_URL", "HTC_EVENTS_LISTEN"] {
            bed.set(name, None);
        }
        bed.set("INTERLINKCONFIGPATH", file.to_str());
        let (port, schedd, collector) =
            (free_port(), configured("SCHEDD_NAME"), configured("COLLECTOR_HOST"));
        bed.spawn_as(&[
            "interlink",
            "--schedd-host",
            &schedd,
            "--collector-host",
            &collector,
            "--auth-method",
            "GSI",
            "--port",
            &port,
        ]);
        let transport = Transport::tcp(&format!("127.0.0.1:{port}"));
        until_answers(bed, &transport).await;
        let mut kubelet =
            VirtualKubelet::new(transport, Dialect { version: Version::V061, hop: Hop::Server });
        let words = ["sh", "-c", "echo said in the image; echo and this"];
        let busybox = container("busybox", "docker.io/library/busybox:1", &words);
        let pod = pod("installed", &[], &[busybox]);
        let uid = kubelet.create(&pod).await.unwrap().pod_uid;
        kubelet.until_phase(&uid, "Succeeded").await;
        let namespace = pod["metadata"]["namespace"].as_str().unwrap();
        let log = root.join(format!("{namespace}-{uid}/run-busybox.out"));
        until("the log to be copied", async || fs::read_to_string(&log).map_err(|why| why.to_string())).await;
        assert_eq!(fs::read_to_string(&log).unwrap(), "said in the image\nand this\n");
        assert!(root.join("htc-operator/htcjobs.db").exists() && root.join("htc-operator.key").exists());
        assert_eq!(bed.log().matches("no GSI any more").count(), 1, "{}", bed.log());
        kubelet.delete(&uid).await;
        bed.until_queue_empty().await;
    })
    .await;
}
