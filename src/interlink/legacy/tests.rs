//! One command line and one file per age, with the whole table of what is made of them.

use super::*;
use crate::interlink::legacy::file::parse;

fn with_file(text: &str) -> Given {
    Given { files: vec![("Config.yaml".to_owned(), parse(text).unwrap())], ..Given::default() }
}

fn places(settled: &Settled) -> Vec<String> {
    settled.listeners.iter().map(|l| format!("{}{}", l.place, if l.tls { " tls" } else { "" })).collect()
}

fn variables(settled: &Settled) -> Vec<String> {
    settled.tools.variables.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn row<'a>(settled: &'a Settled, key: &str) -> &'a Row {
    settled.rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no row for {key}"))
}

fn verdict(settled: &Settled, key: &str) -> Verdict {
    row(settled, key).verdict
}

/// Compares with a file in `ages`.
fn is_golden(settled: &Settled, golden: &str) {
    let mut text = table(&settled.rows);
    text.push_str(&format!("listens {}\n", places(settled).join(", ")));
    text.push_str(&format!("tools {}\n", variables(settled).join(" ")));
    assert_eq!(text.trim_end(), golden.trim_end(), "\n{text}");
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn the_first_sidecar() {
    // --condor-config … --schedd-host … --collector-host … --auth-method GSI --debug … --proxy … -- --port 8000
    let mut given = with_file(include_str!("ages/sidecar.yaml"));
    given.flags = Flags {
        condor_config: Some("/etc/condor/condor_config".into()),
        schedd_host: text("schedd.example.com"),
        collector_host: text("collector.example.com"),
        auth_method: text("GSI"),
        debug: text("D_FULLDEBUG"),
        proxy: text("/tmp/x509up_u1000"),
        rest: vec!["--port".to_owned(), "8000".to_owned()],
        ..Flags::default()
    };
    given.variables = [("SIDECARPORT", "8001"), ("SIDECARSERVICE", "htcondor"), ("VKTOKENFILE", "/t")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let settled = settle(&given);
    is_golden(&settled, include_str!("ages/sidecar.txt"));
    assert_eq!(settled.tools.schedd.as_deref(), Some("schedd.example.com"));
    assert_eq!(settled.tools.credential, Some("/tmp/x509up_u1000".into()));
}

#[test]
fn the_plugin_of_0_5() {
    let mut given = with_file(include_str!("ages/plugin-0.5.yaml"));
    given.flags = Flags {
        port: Some(8000),
        schedd_name: text("schedd@example.com"),
        schedd_host: text("schedd.example.com"),
        auth_method: text("SCITOKENS"),
        proxy: text("/run/scitoken.jwt"),
        ..Flags::default()
    };
    is_golden(&settle(&given), include_str!("ages/plugin-0.5.txt"));
}

#[test]
fn the_plugin_of_0_6() {
    let mut given = with_file(include_str!("ages/plugin-0.6.yaml"));
    given.flags = Flags {
        port: Some(4000),
        auth_method: text("SSL"),
        certfile: text("/c.crt"),
        keyfile: text("/c.key"),
        cadir: text("/etc/grid-security/certificates"),
        dummy_job: true,
        ..Flags::default()
    };
    let settled = settle(&given);
    is_golden(&settled, include_str!("ages/plugin-0.6.txt"));
    assert!(settled.dummy_job);
    assert_eq!(settled.data_root, Some(".interlink/".into()));
}

#[test]
fn the_api_server_of_0_6_with_tls() {
    let settled = settle(&with_file(include_str!("ages/api-0.6.yaml")));
    is_golden(&settled, include_str!("ages/api-0.6.txt"));
    assert_eq!(settled.tls.unwrap().client_ca, Some("/etc/interlink/ca.crt".into()));
    assert_eq!(settled.log, Some("debug"));
}

#[test]
fn the_plugin_for_slurm() {
    is_golden(&settle(&with_file(include_str!("ages/slurm.yaml"))), include_str!("ages/slurm.txt"));
}

#[test]
fn a_flag_counts_more_than_a_variable_and_that_more_than_a_file() {
    let mut given = with_file("SidecarPort: 4001\nDataRootFolder: /file\n");
    assert_eq!(places(&settle(&given)), ["127.0.0.1:4001"]);
    given.variables = vec![("SIDECARPORT".to_owned(), "4002".to_owned())];
    assert_eq!(places(&settle(&given)), ["127.0.0.1:4002"]);
    given.flags.port = Some(4003);
    given.flags.data_root_folder = text("/flag");
    let settled = settle(&given);
    assert_eq!(places(&settled), ["127.0.0.1:4003"]);
    assert_eq!(settled.data_root, Some("/flag".into()));
    for overridden in ["SidecarPort", "$SIDECARPORT", "DataRootFolder"] {
        assert_eq!(verdict(&settled, overridden), Verdict::Ignored, "{overridden}");
        assert!(row(&settled, overridden).why.contains("counts more"));
    }
    // The first file that has a key counts.
    given.files.insert(0, ("First.yaml".to_owned(), parse("InterlinkPort: 3001").unwrap()));
    given.files.push(("Last.yaml".to_owned(), parse("InterlinkPort: 3002").unwrap()));
    assert_eq!(places(&settle(&given)), ["127.0.0.1:3001", "127.0.0.1:4003"]);
}

#[test]
fn both_ports_are_listened_on_where_they_differ() {
    assert_eq!(
        places(&settle(&with_file("InterlinkPort: 3000\nSidecarPort: 4000"))),
        ["127.0.0.1:3000", "127.0.0.1:4000"]
    );
    assert_eq!(places(&settle(&with_file("InterlinkPort: '3000'\nSidecarPort: 3000"))), ["127.0.0.1:3000"]);
    let sockets = "InterlinkAddress: unix:///run/i.sock\nSidecarURL: unix:///run/p.sock\nSidecarPort: 0";
    assert_eq!(places(&settle(&with_file(sockets))), ["unix:/run/i.sock", "unix:/run/p.sock"]);
    assert!(settle(&with_file("ExportPodData: true")).listeners.is_empty());
}

#[test]
fn where_nobody_is_asked_who_he_is_only_this_machine_is_served() {
    let mut given = with_file("InterlinkAddress: http://0.0.0.0\nInterlinkPort: 3000\n");
    let settled = settle(&given);
    assert_eq!(places(&settled), ["127.0.0.1:3000"]);
    assert_eq!(verdict(&settled, "InterlinkAddress"), Verdict::Refused);
    given.asks = true;
    assert_eq!(places(&settle(&given)), ["0.0.0.0:3000"]);
    given.asks = false;
    given.insecure_public = true;
    assert_eq!(places(&settle(&given)), ["0.0.0.0:3000"]);
    // A certificate of the server alone asks nobody.
    let mut given = with_file(
        "InterlinkAddress: https://0.0.0.0\nInterlinkPort: 3000\n\
         TLS: {Enabled: true, CertFile: /c, KeyFile: /k}",
    );
    assert_eq!(places(&settle(&given)), ["127.0.0.1:3000 tls"]);
    given.files[0].1.retain(|(key, _)| key != "TLS");
    given.files[0]
        .1
        .extend(parse("TLS: {Enabled: true, CertFile: /c, KeyFile: /k, CACertFile: /a}").unwrap());
    assert_eq!(places(&settle(&given)), ["0.0.0.0:3000 tls"]);
}

#[test]
fn a_port_alone_is_for_this_machine_unless_asked_otherwise() {
    let mut given = Given { flags: Flags { port: Some(4000), ..Flags::default() }, ..Given::default() };
    assert_eq!(places(&settle(&given)), ["127.0.0.1:4000"]);
    given.asks = true;
    assert_eq!(places(&settle(&given)), ["127.0.0.1:4000"]);
    given.insecure_public = true;
    assert_eq!(places(&settle(&given)), ["0.0.0.0:4000"]);
}

#[test]
fn a_flag_of_ours_for_the_place_counts_more_than_old_files() {
    let mut given = with_file("InterlinkPort: 3000\nSidecarPort: 4000");
    given.listens = true;
    let settled = settle(&given);
    assert!(settled.listeners.is_empty());
    assert_eq!(verdict(&settled, "InterlinkPort"), Verdict::Ignored);
    given.flags.port = Some(5000);
    assert_eq!(places(&settle(&given)), ["127.0.0.1:5000"]);
}

#[test]
fn gsi_is_left_to_the_pool_and_other_methods_stay() {
    for (method, left, verdict_of_it) in [
        ("GSI", None, Verdict::Refused),
        ("gsi", None, Verdict::Refused),
        ("GSI,SSL", Some("SSL"), Verdict::Refused),
        ("SSL IDTOKENS", Some("SSL,IDTOKENS"), Verdict::Honoured),
    ] {
        let given =
            Given { flags: Flags { auth_method: text(method), ..Flags::default() }, ..Given::default() };
        let settled = settle(&given);
        let expected: Vec<String> = left
            .map(|left| format!("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS={left}"))
            .into_iter()
            .collect();
        assert_eq!(variables(&settled), expected, "{method}");
        assert_eq!(verdict(&settled, "--auth-method"), verdict_of_it, "{method}");
    }
}

#[test]
fn the_proxy_is_named_by_the_variable_that_its_method_looks_at() {
    for (method, variable) in [
        ("", "X509_USER_PROXY=/run/c"),
        ("GSI", "X509_USER_PROXY=/run/c"),
        ("SSL", "X509_USER_PROXY=/run/c"),
        ("SCITOKENS", "BEARER_TOKEN_FILE=/run/c"),
        ("scitokens", "BEARER_TOKEN_FILE=/run/c"),
        ("IDTOKENS", "_CONDOR_SEC_TOKEN_DIRECTORY=/run"),
    ] {
        let flags = Flags { auth_method: text(method), proxy: text("/run/c"), ..Flags::default() };
        let settled = settle(&Given { flags, ..Given::default() });
        assert!(variables(&settled).contains(&variable.to_owned()), "{method}: {:?}", variables(&settled));
        assert_eq!(settled.tools.credential, Some("/run/c".into()));
    }
}

#[test]
fn every_key_of_every_age_has_a_row_and_no_secret_is_shown() {
    for key in keys::KEYS {
        let settled = settle(&with_file(&format!("{}: 4000", key.name)));
        assert!(!row(&settled, key.name).why.is_empty(), "{}", key.name);
        if let Some(variable) = key.variable {
            let given = Given { variables: vec![(variable.to_owned(), "1".to_owned())], ..Given::default() };
            assert!(!row(&settle(&given), &format!("${variable}")).why.is_empty(), "{variable}");
        }
    }
    let secrets = "master_token: hunter2\nJobScriptBuildConfig: {singularity_hub: {master_token: hunter2}}";
    let shown = table(&settle(&with_file(secrets)).rows);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn odd_files_are_read_or_refused_with_a_reason() {
    assert_eq!(parse("").unwrap(), []);
    assert_eq!(parse("# only words\n\n").unwrap(), []);
    for bad in ["- a\n- b\n", "just words", "a: [", "\t: x"] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    // Any type for any key: nothing panics, and nothing is lost from the table.
    for value in ["null", "''", "[]", "[1]", "{a: b}", "-1", "70000", "1.5", "true", "\"x\\ny\""] {
        for key in keys::KEYS {
            let settled = settle(&with_file(&format!("{}: {value}", key.name)));
            assert_eq!(settled.rows.len(), 1, "{}: {value}", key.name);
            assert_eq!(table(&settled.rows).lines().count(), 2, "{}: {value}", key.name);
        }
    }
}
