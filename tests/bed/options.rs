//! Submit commands of the user, and HTCJobs that can never run.

use htc_operator::htcjob::types::{HTCJob, Phase};
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Resource};
use serde_json::json;

use crate::harness::{Bed, Job, host, on_bed, tool, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn commands_and_attributes_reach_the_ad() {
    with_operator(async |bed| {
        let mut job = host("terms", "true");
        job.spec.htcopts =
            Some("request_memory = 123\npriority = -7\n+JobFlavour = \"a, b # c\"\nrequirements = MY.Never =?= true\n".into());
        let job = bed.apply(job).await;
        bed.until_queued(&job, 1, 1).await;
        let ad = bed.queued(&job).await.remove(0);
        assert_eq!((&ad["RequestMemory"], &ad["JobPrio"]), (&json!(123), &json!(-7)));
        assert_eq!(ad["JobFlavour"], "a, b # c");
        assert_eq!(ad["JobBatchName"], json!(format!("{}/terms", bed.namespace)));
        let requirements = ad["Requirements"].as_str().unwrap();
        assert!(requirements.contains("MY.Never"), "{requirements}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_command_that_is_not_allowed_is_refused_with_its_line_and_nothing_is_submitted() {
    with_operator(async |bed| {
        let mut job = host("bad", "true");
        job.spec.htcopts = Some("request_cpus = 1\nexecutable = /bin/sh\n".into());
        let job = bed.apply(job).await;
        let message = refused(bed, &job).await;
        assert!(message.starts_with("spec.htcopts: line 2 "), "{message}");
        assert!(message.contains("executable"), "{message}");
        let mut ours = host("ours", "true");
        ours.spec.htcopts = Some("+HTCAck = true".into());
        let ours = bed.apply(ours).await;
        let message = refused(bed, &ours).await;
        assert!(message.starts_with("spec.htcopts: line 1 ") && message.contains("HTCAck"), "{message}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_htcjob_that_says_its_number_twice_or_out_of_range_is_refused_by_field() {
    with_operator(async |bed| {
        let mut both = host("both", "true");
        (both.spec.queue, both.spec.script.queue) = (Some(2), Some(2));
        let (mut none, mut image) = (host("none", "true"), host("image", "true"));
        (none.spec.queue, image.spec.script.image) = (Some(0), "-x".into());
        for (job, field) in [(both, "spec.script.queue"), (none, "spec.queue"), (image, "spec.script.image")]
        {
            let job = bed.apply(job).await;
            let message = refused(bed, &job).await;
            assert!(message.starts_with(&format!("{field}: ")), "{message}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn what_people_wrote_for_the_predecessor_runs_or_says_what_to_do() {
    with_operator(async |bed| {
        let mut runs = host("runs", "true");
        runs.spec.htcopts = Some(
            "universe = vanilla\ngetenv = False\nRequestCpus = 1\nrequest_memory = 0.5 GB\n+MaxRuntime = 1200\n\
             +JobFlavour = \"espresso\"\n+AccountingGroup = \"group_u_X.Y\"\n+WantXyz = true\n"
                .into(),
        );
        let runs = bed.apply(runs).await;
        let mut asks = host("asks", "true");
        asks.spec.htcopts =
            Some("max_retries = 3\nrequest_cpus = 1\n+JobFlavour = espresso\ninclude : ls |\n".into());
        let asks = bed.apply(asks).await;
        let message = refused(bed, &asks).await;
        for words in ["line 1 (", "line 3 (", "+JobFlavour = \"espresso\"", "line 4 (\"include : ls |\")"] {
            assert!(message.contains(words), "{words}: {message}");
        }
        let condition = bed.status(&asks).await.conditions.into_iter().find(|c| c.type_ == "Failed").unwrap();
        assert_eq!((condition.reason.as_str(), &condition.message), ("InvalidSpec", &message));
        bed.until_phase(&runs, Phase::Succeeded).await;
    })
    .await;
}

/// As people have them in submit files: KIT's, FNAL's and CMS' words among HTCondor's.
const OF_SITES: &str = "\
# from an old submit file
request_cpus = 1
RequestMemory = 500
request_disk = 200000
accounting_group = cms.higgs
Requirements = (TARGET.ProvidesIO =!= False) && (TARGET.CloudSite =!= \"nowhere\")
+RemoteJob = True
+JOB_EXPECTED_MAX_LIFETIME = 3600
+Jobsub_Group = \"lab\"
+Drain = False
+GeneratedBy = \"trial 1\"
+DESIRED_Sites = \"T2_XX_One,T2_XX_Two\"
";

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn attributes_of_sites_reach_the_ad_however_they_begin() {
    with_operator(async |bed| {
        let mut job = host("lines", "sleep 5");
        job.spec.htcopts = Some(OF_SITES.into());
        let job = bed.apply(job).await;
        bed.until_queued(&job, 1, 1).await;
        let constraint = format!("HTCOperatorUid == \"{}\"", job.uid);
        let said = tool("condor_q", &["-allusers", "-json", "-constraint", &constraint]).await.unwrap();
        let ad = serde_json::from_str::<Vec<serde_json::Value>>(&said).unwrap().remove(0);
        for (name, value) in [
            ("RemoteJob", json!(true)),
            ("JOB_EXPECTED_MAX_LIFETIME", json!(3600)),
            ("Jobsub_Group", json!("lab")),
            ("Drain", json!(false)),
            ("GeneratedBy", json!("trial 1")),
            ("DESIRED_Sites", json!("T2_XX_One,T2_XX_Two")),
            ("RequestMemory", json!(500)),
            ("AcctGroup", json!("cms.higgs")),
        ] {
            assert_eq!(ad.get(name), Some(&value), "{name}: {ad:?}");
        }
        bed.until_phase(&job, Phase::Succeeded).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_attribute_by_which_a_job_acts_on_others_is_refused_with_its_line() {
    with_operator(async |bed| {
        for (n, (line, words)) in [
            ("+NextJobStartDelay = 30", "when and where jobs start"),
            ("+CommonInputFiles = \"/etc/hostname\"", "which files travel"),
            ("+TransformOnEvict = \"x\"\n+TransformBody_x = \"SET A 1\"", "leaves"),
            ("+X = \"a\\036b\"", "before neither"),
        ]
        .into_iter()
        .enumerate()
        {
            let mut job = host(&format!("acts-{n}"), "true");
            job.spec.htcopts = Some(format!("request_cpus = 1\n{line}\n"));
            let job = bed.apply(job).await;
            let message = refused(bed, &job).await;
            assert!(message.starts_with("spec.htcopts: line 2 ") && message.contains(words), "{message}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_site_can_allow_attributes_that_htcondor_knows_and_never_the_operators() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_ALLOW_ATTRIBUTES", Some("KeepClaimIdle,JobPrio,HTC*"));
        bed.start().await;
        let mut job = host("allowed", "true");
        job.spec.htcopts = Some("+KeepClaimIdle = 1\npriority = 7\n".into());
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        let mut ours = host("ours", "true");
        ours.spec.htcopts = Some("+HTCAck = true\n".into());
        let ours = bed.apply(ours).await;
        assert!(refused(bed, &ours).await.contains("belongs to the operator"));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_site_can_deny_attributes() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_DENY_ATTRIBUTES", Some("JobFlavour,Want*,AccountingGroup"));
        bed.start().await;
        let mut job = host("denied", "true");
        job.spec.htcopts = Some("+MaxRuntime = 60\n+WantOS = \"el9\"\n".into());
        let job = bed.apply(job).await;
        let message = refused(bed, &job).await;
        assert!(
            message.contains("line 2 ") && message.contains("WantOS may not be set at this site"),
            "{message}"
        );
        let mut charges = host("charges", "true");
        charges.spec.htcopts = Some("accounting_group_user = bob\n".into());
        let charges = bed.apply(charges).await;
        let message = refused(bed, &charges).await;
        assert!(message.contains("accounting_group_user may not be set at this site"), "{message}");
    })
    .await;
}

/// A seed's object may lack what our types want; the schema of another version may have let it in.
#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_object_that_is_refused_or_deleted_does_not_hold_back_the_next() {
    with_operator(async |bed| {
        let api: Api<DynamicObject> = Api::namespaced_with(
            bed.client.clone(),
            &bed.namespace,
            &kube::api::ApiResource::erase::<HTCJob>(&()),
        );
        let object = json!({
            "apiVersion": HTCJob::api_version(&()), "kind": "HTCJob", "metadata": { "name": "odd" },
            "spec": { "name": "", "script": { "image": "", "command": "'", "source": "" } },
        });
        let created =
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let odd =
            Job { namespace: bed.namespace.clone(), name: "odd".into(), uid: created.metadata.uid.unwrap() };
        refused(bed, &odd).await;
        bed.delete(&odd).await;
        bed.until_gone(&odd).await;
        let good = bed.apply(host("good", "true")).await;
        bed.until_phase(&good, Phase::Succeeded).await;
    })
    .await;
}

/// The sentence of a refusal, of which nothing came into the queue.
async fn refused(bed: &Bed, job: &Job) -> String {
    let status = bed.until_phase(job, Phase::Failed).await;
    assert_eq!((status.reason.as_deref(), status.active), (Some("InvalidSpec"), Some(0)));
    assert!(status.failed.unwrap() > 0 && status.jobid.is_empty());
    assert!(bed.queued(job).await.is_empty());
    status.message.unwrap()
}
