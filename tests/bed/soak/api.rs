//! An API server that fails: nothing is lost, nothing is done twice, and it is not drowned in requests.

use std::time::{Duration, Instant};

use htc_operator::htcjob::types::Phase;

use crate::client::dialect::Dialect;
use crate::client::transport::Transport;
use crate::harness::{Bed, Fault, Proxy, host, on_bed, until};
use crate::interlink::living::free_port;

/// How long a fault lasts, and how many requests it may cost: back-offs begin with a second.
const FAULT: Duration = Duration::from_secs(15);
const REQUESTS: u64 = 150;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_api_server_that_is_out_of_order_costs_nothing_but_time() {
    on_bed(async |bed: &mut Bed| {
        let (proxy, interlink) = started(bed).await;
        for fault in [
            Fault::Refuses(429),
            Fault::Refuses(500),
            Fault::Refuses(503),
            Fault::Page(200),
            Fault::Page(404),
            Fault::Forgets,
            Fault::EndsWatches,
        ] {
            eprintln!("{fault:?}");
            let name = format!("{fault:?}").to_lowercase().replace(['(', ')'], "");
            let runs = bed.apply(host(&format!("runs-{name}"), &(bed.gate(&name) + "echo done"))).await;
            let leaves = bed.apply(host(&format!("leaves-{name}"), "sleep 1000")).await;
            bed.until_phase(&runs, Phase::Running).await;
            bed.until_phase(&leaves, Phase::Running).await;

            proxy.set(fault);
            let (began, before) = (Instant::now(), proxy.requests());
            let comes = bed.apply(host(&format!("comes-{name}"), "echo came")).await;
            bed.delete(&leaves).await;
            bed.open(&name);
            until("the report of the end", async || match bed.kept_report(&runs) {
                Some(report) if report.is_final() => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
            until("the fault to last", async || {
                let ready = bed.get("/readyz").await.unwrap();
                assert_eq!(ready.code, 200, "{fault:?}: {ready:?}");
                interlink.send(&Dialect::NEWEST.ping()).await?.success()?;
                let passed = began.elapsed();
                if passed > FAULT { Ok(()) } else { Err(format!("{passed:?}")) }
            })
            .await;
            let asked = proxy.requests() - before;
            assert!(asked <= REQUESTS, "{fault:?}: {asked} requests in {:?}", began.elapsed());

            proxy.set(Fault::None);
            bed.until_phase(&runs, Phase::Succeeded).await;
            bed.until_phase(&comes, Phase::Succeeded).await;
            bed.until_gone(&leaves).await;
            bed.until_queue_empty().await;
            bed.assert_all_committed_once(&[(&runs, 1), (&comes, 1), (&leaves, 1)]).await;
            assert_eq!(bed.log_of(&comes).await, "came\n");
        }
    })
    .await;
}

/// The watch, and whatever else was under way, is never answered: a connection whose other end has vanished.
#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_api_server_that_vanishes_without_a_word_is_asked_again() {
    on_bed(async |bed: &mut Bed| {
        let (proxy, interlink) = started(bed).await;
        let runs = bed.apply(host("runs", &(bed.gate("go") + "echo done"))).await;
        bed.until_phase(&runs, Phase::Running).await;

        proxy.set(Fault::Silent);
        // The watches of both namespaces, and the status of the end.
        bed.open("go");
        proxy.until_caught(3).await;
        interlink.send(&Dialect::NEWEST.ping()).await.unwrap().success().unwrap();
        let comes = bed.apply(host("comes", "echo came")).await;
        proxy.set(Fault::None);

        bed.until_phase(&comes, Phase::Succeeded).await;
        bed.until_phase(&runs, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_all_committed_once(&[(&runs, 1), (&comes, 1)]).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_operator_that_starts_while_the_api_server_is_silent_is_ready_later() {
    on_bed(async |bed: &mut Bed| {
        let proxy = bed.behind_proxy().await;
        proxy.set(Fault::Silent);
        bed.spawn();
        proxy.until_caught(1).await;
        bed.until_alive().await;
        assert_eq!(bed.get("/readyz").await.unwrap().code, 503);
        proxy.set(Fault::None);
        bed.until_ready().await;
        let job = bed.apply(host("job", "true")).await;
        bed.until_phase(&job, Phase::Succeeded).await;
    })
    .await;
}

/// An operator with InterLink that sees the API server through a proxy.
async fn started(bed: &mut Bed) -> (Proxy, Transport) {
    let proxy = bed.behind_proxy().await;
    let address = format!("127.0.0.1:{}", free_port());
    let token = bed.folder.join("token");
    std::fs::write(&token, "a token for this test, and long enough").unwrap();
    bed.set("HTC_INTERLINK_LISTEN", Some(&address));
    bed.set("HTC_INTERLINK_TOKEN_FILE", token.to_str());
    bed.start().await;
    (proxy, Transport::tcp(&address).with_token("a token for this test, and long enough"))
}
