//! The predecessor's recipe with `curl`, line by line, as its guide has it for release 0.6.

use serde_json::{Value, json};

use crate::client::transport::{Request, Transport};
use crate::client::wire;
use crate::door::{Door, free_port};
use crate::pool::Ending;

super::claims![the_recipe_of_the_predecessor_works_line_by_line];

const BETWEEN: std::time::Duration = std::time::Duration::from_millis(50);
const UID: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

/// `curl -s -X METHOD URL -H "Content-Type: application/json" -d BODY | python3 -m json.tool`.
async fn curl(transport: &Transport, method: &str, path: &str, body: Option<Value>) -> Value {
    let body = body.map_or_else(Vec::new, |body| serde_json::to_vec_pretty(&body).unwrap());
    let json = vec![("content-type".to_owned(), "application/json".to_owned())];
    let headers = if body.is_empty() { Vec::new() } else { json };
    let request = Request { method: method.to_owned(), path: path.to_owned(), headers, body };
    let answer = transport.send(&request).await.unwrap();
    wire::json(answer.success().unwrap()).unwrap()
}

async fn the_recipe_of_the_predecessor_works_line_by_line() {
    let port = free_port().to_string();
    let hosts = ["--schedd-host", "scheduler.example.com", "--collector-host", "collector.example.com"];
    let mut door = Door::closed(&[&hosts[..], &["--port", &port]].concat());
    door.scripted.change(|state| state.schedd = Some("scheduler.example.com".to_owned()));
    let there = Transport::tcp(&format!("localhost:{port}"));
    door.start_on(&there).await;

    // "Send an empty status array to confirm the server is alive"
    let alive = curl(&there, "GET", "/status", Some(json!([]))).await;
    assert_eq!(alive["status"], "healthy");
    assert!(alive["message"].is_string());

    // "a pod object and a container array"
    let metadata = json!({ "name": "test-pod", "namespace": "default", "uid": UID });
    let resources = json!({ "requests": { "cpu": "1", "memory": "100Mi" } });
    let container = json!({
        "name": "busybox", "image": "docker://busybox:latest", "command": ["sleep", "30"],
        "resources": resources,
    });
    let pod = json!({ "metadata": metadata, "spec": { "containers": [container] } });
    let made = curl(&there, "POST", "/create", Some(json!({ "pod": pod, "container": [] }))).await;
    assert_eq!(made["PodUID"], UID);
    assert!(made["PodJID"].as_str().is_some_and(|id| !id.is_empty()), "{made}");

    // "You can verify the job with condor_q 12345": the id is ours, so `htc-operator jobs` finds the job.
    let key = door.until_queued(UID).await;
    let ad = door.scripted.job(&key).unwrap();
    let id = format!("{}.{}", ad["ClusterId"], ad["ProcId"]);
    let found = door.until("jobs --uid", || jobs(&door).filter(|text| text.contains("test-pod"))).await;
    assert!(found.contains(&id), "{found}");
    assert!(ad["JobBatchName"].as_str().unwrap().contains("test-pod"), "{ad:?}");

    // "Use the same pod metadata to query the current state"
    let container = json!({ "name": "busybox", "image": "docker://busybox:latest" });
    let asked = json!([{ "metadata": metadata, "spec": { "containers": [container] } }]);
    door.run_jobs();
    let status = async || curl(&there, "GET", "/status", Some(asked.clone())).await[0].clone();
    let mut told = status().await;
    while told["containers"][0]["state"]["running"].is_null() {
        door.looks(1).await;
        told = status().await;
    }
    assert_eq!(
        (&told["name"], &told["UID"], &told["namespace"]),
        (&json!("test-pod"), &json!(UID), &json!("default"))
    );
    assert_eq!(told["JID"], id);
    let container = &told["containers"][0];
    assert_eq!((&container["name"], &container["ready"]), (&json!("busybox"), &json!(true)));
    assert_eq!(container["restartCount"], 0);
    assert!(container["state"]["running"]["startedAt"].is_string());
    assert!(container["image"].is_string() && container["imageID"].is_string());
    assert_eq!(told["initContainers"], json!([]));

    // "/getLogs: Retrieve job stdout / stderr"
    let line = "2026-11-21T10:00:00.000000000Z stdout F hello\n";
    door.scripted.write(&key, "log.busybox", line);
    door.scripted.finish_jobs(Ending::code(0));
    while told["containers"][0]["state"]["terminated"].is_null() {
        tokio::time::sleep(BETWEEN).await;
        told = status().await;
    }
    let wanted = json!({ "Namespace": "default", "PodUID": UID, "PodName": "test-pod", "ContainerName": "busybox",
        "Opts": { "Tail": 0, "Bytes": 0, "Timestamps": false, "Follow": false, "Previous": false } });
    let logs = Request::json("GET", "/getLogs", &wanted);
    assert_eq!(there.send(&logs).await.unwrap().text(), "hello\n");

    // "Returns the cluster connectivity status"
    let info = curl(&there, "GET", "/system-info", None).await;
    assert!(info["status"].is_string() && info["timestamp"].is_string(), "{info}");
    assert!(info["htcondor_connected"].is_boolean(), "{info}");

    // "Cancel and remove a running job"
    let gone = curl(&there, "POST", "/delete", Some(json!({ "metadata": metadata }))).await;
    assert_eq!((&gone["podUID"], &gone["podName"]), (&json!(UID), &json!("test-pod")));
    assert!(gone["message"].is_string());
}

/// What `htc-operator jobs --uid` says.
fn jobs(door: &Door) -> Option<String> {
    let program = env!("CARGO_BIN_EXE_htc-operator");
    let mut command = std::process::Command::new(program);
    let output = command.args(["jobs", "--uid", UID]).env_clear().envs(&door.settings).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
