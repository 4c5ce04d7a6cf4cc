//! What a script finds: its text, its argument, its variables, its folders.

use htc_operator::htcjob::types::Phase;
use htc_operator::limits::SOURCE_MAX;
use kube::ResourceExt;

use crate::harness::{Job, host, image, kubectl, with_operator};

const LOOK: &str = r#"
echo "argument $1 of $#"
echo "JOB_NAME $JOB_NAME"
echo "TEMP_DIR $TEMP_DIR"
echo "folder $PWD"
echo "script $0"
if (echo x >> "$0") 2>/dev/null; then echo writable; else echo read-only; fi
echo "out" > result.txt
"#;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn in_an_image_a_script_finds_its_folders_and_variables() {
    with_operator(async |bed| {
        let mut job = image("centos", "look", LOOK);
        job.spec.name = "its name, \"quoted\" $HOME".into();
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        let folder = bed.data().join("jobs").join(&job.uid).join("0.0.0");
        let expected = format!(
            "argument 0 of 1\nJOB_NAME its name, \"quoted\" $HOME\nTEMP_DIR {}\n\
             folder /htc_run\nscript /htc_script\nread-only\n",
            folder.display()
        );
        assert_eq!(bed.log_of(&job).await, expected);
        assert_eq!(std::fs::read_to_string(folder.join("work/result.txt")).unwrap(), "out\n");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn without_a_container_a_script_has_the_same_argument_variables_and_results() {
    with_operator(async |bed| {
        let job = bed.apply(host("plain", LOOK)).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        let folder = bed.data().join("jobs").join(&job.uid).join("0.0.0");
        let log = bed.log_of(&job).await;
        let start = format!("argument 0 of 1\nJOB_NAME plain\nTEMP_DIR {}\n", folder.display());
        assert!(log.starts_with(&start), "{log}");
        assert_eq!(std::fs::read_to_string(folder.join("work/result.txt")).unwrap(), "out\n");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_arrives_byte_for_byte_whatever_characters_it_has() {
    with_operator(async |bed| {
        let odd: String = (1..=0xff).map(|n| char::from_u32(n).unwrap()).chain(['\u{1f600}']).collect();
        let source = format!("cat \"$0\"; exit 0\n{odd}$(x)`y`$(ENV) \\");
        let scripts = [("with-newline", format!("{source}\n")), ("without-newline", source)];
        let mut jobs = Vec::new();
        for (name, source) in scripts {
            jobs.push((bed.apply(image("centos", name, &source)).await, source));
        }
        for (job, source) in jobs {
            bed.until_phase(&job, Phase::Succeeded).await;
            let log = bed.logs(&job, None).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&log), source);
            assert_eq!(log, source.as_bytes());
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_of_nearly_256_kib_arrives_unless_kubectl_keeps_a_second_copy_of_it() {
    with_operator(async |bed| {
        let source = "cat \"$0\"; exit 0\n".to_owned() + &"# one of many lines\n".repeat(13_000);
        assert!(source.len() > 250 * 1024 && source.len() <= SOURCE_MAX);
        let manifest = |name| serde_json::to_string(&image("centos", name, &source)).unwrap();
        let with = async |arguments: &[&str], name| {
            let arguments = [arguments, &["-n", &bed.namespace, "-f", "-"]].concat();
            kubectl(&arguments, &manifest(name)).await
        };
        let why = with(&["apply"], "applied").await.unwrap_err();
        assert!(why.contains("metadata.annotations: Too long: may not be more than 262144 bytes"), "{why}");
        with(&["create"], "created").await.unwrap();
        with(&["apply", "--server-side"], "server-side").await.unwrap();
        for name in ["created", "server-side"] {
            let uid = bed.htcjobs().get(name).await.unwrap().uid().unwrap();
            let job = Job { namespace: bed.namespace.clone(), name: name.to_owned(), uid };
            bed.until_phase(&job, Phase::Succeeded).await;
            let log = bed.logs(&job, None).await.unwrap();
            assert!(log == source.as_bytes(), "{name}: {} bytes of {}", log.len(), source.len());
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_command_is_split_into_words_and_no_shell_sees_it() {
    with_operator(async |bed| {
        let mut job = image("python", "words", "import sys\nprint(sys.flags.optimize, sys.argv[1:])\n");
        job.spec.script.command = "python3 -O -W 'ignore:a b$HOME;:UserWarning'".into();
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&job).await, "1 ['0']\n");
    })
    .await;
}
