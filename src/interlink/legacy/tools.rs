//! The flags about the pool and its credentials: variables of HTCondor's tools, never arguments.

use std::path::{Path, PathBuf};

use super::{Flags, Row, Tools, Verdict};

/// Where flags come from: clap takes either.
pub(super) const FLAG: &str = "flag or HTC_…";

/// A row of a flag.
pub(super) fn row(key: &str, value: impl Into<String>, verdict: Verdict, why: impl Into<String>) -> Row {
    let (key, source) = (key.to_owned(), FLAG.to_owned());
    Row { key, source, value: value.into(), verdict, why: why.into() }
}

/// What the tools are told, and a row for each flag that was given.
pub(super) fn tools(flags: &Flags) -> (Tools, Vec<Row>) {
    let given = |flag: &Option<String>| flag.clone().filter(|value| !value.trim().is_empty());
    let (mut tools, mut rows) = (Tools::default(), Vec::new());
    let name = given(&flags.schedd_name);
    if let Some(name) = &name {
        rows.push(row("--schedd-name", name, Verdict::Honoured, "the schedd's name"));
    }
    if let Some(host) = given(&flags.schedd_host) {
        let why = match &name {
            None => "the schedd's name, which is its host's",
            Some(_) => "SCHEDD_HOST of HTCondor's tools",
        };
        rows.push(row("--schedd-host", &host, Verdict::Honoured, why));
        tools.variables.push(("_CONDOR_SCHEDD_HOST".to_owned(), host.clone()));
        tools.schedd = name.is_none().then_some(host);
    }
    if let Some(host) = given(&flags.collector_host) {
        rows.push(row("--collector-host", host, Verdict::Honoured, "the pool"));
    }
    if let Some(file) = &flags.condor_config {
        let why = "CONDOR_CONFIG of HTCondor's tools";
        rows.push(row("--condor-config", file.display().to_string(), Verdict::Honoured, why));
    }
    let method = given(&flags.auth_method);
    if let Some(method) = &method {
        rows.push(auth_method(method, &mut tools));
    }
    if let Some(file) = given(&flags.proxy) {
        let (variable, value) = credential_variable(method.as_deref().unwrap_or_default(), &file);
        rows.push(row("--proxy", &file, Verdict::Honoured, format!("{variable} of HTCondor's tools")));
        tools.credential = Some(PathBuf::from(file));
        tools.variables.push((variable.to_owned(), value));
    }
    let plain: [(&str, &Option<String>, &[&str]); 4] = [
        ("--cadir", &flags.cadir, &["_CONDOR_AUTH_SSL_CLIENT_CADIR", "X509_CERT_DIR"]),
        ("--certfile", &flags.certfile, &["_CONDOR_AUTH_SSL_CLIENT_CERTFILE"]),
        ("--keyfile", &flags.keyfile, &["_CONDOR_AUTH_SSL_CLIENT_KEYFILE"]),
        ("--debug", &flags.debug, &["_CONDOR_TOOL_DEBUG"]),
    ];
    for (flag, value, variables) in plain {
        let Some(value) = given(value) else { continue };
        let why = format!("{} of HTCondor's tools", variables.join(", "));
        rows.push(row(flag, &value, Verdict::Honoured, why));
        tools.variables.extend(variables.iter().map(|name| ((*name).to_owned(), value.clone())));
    }
    (tools, rows)
}

/// What tells HTCondor's tools of this file: tokens of HTCondor's own are found by their folder.
fn credential_variable(method: &str, file: &str) -> (&'static str, String) {
    let method = method.to_ascii_uppercase();
    let folder = Path::new(file).parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        _ if method.contains("SCITOKEN") => ("BEARER_TOKEN_FILE", file.to_owned()),
        Some(folder) if method.contains("TOKEN") => {
            ("_CONDOR_SEC_TOKEN_DIRECTORY", folder.display().to_string())
        }
        _ => ("X509_USER_PROXY", file.to_owned()),
    }
}

/// GSI is no more; the pool knows what there is instead.
fn auth_method(method: &str, tools: &mut Tools) -> Row {
    let all = method.split([',', ' ']).map(str::trim).filter(|one| !one.is_empty());
    let (gsi, left): (Vec<&str>, Vec<&str>) = all.partition(|one| one.eq_ignore_ascii_case("GSI"));
    if !left.is_empty() {
        tools.variables.push(("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS".to_owned(), left.join(",")));
    }
    match (gsi.is_empty(), left.is_empty()) {
        (true, _) => row(
            "--auth-method",
            method,
            Verdict::Honoured,
            "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS of HTCondor's tools",
        ),
        (false, all_gsi) => {
            let rest = if all_gsi { "the method is left to the pool" } else { "the others are used" };
            let why = format!("HTCondor has no GSI any more: {rest}; use SCITOKENS, IDTOKENS or SSL");
            row("--auth-method", method, Verdict::Refused, why)
        }
    }
}
