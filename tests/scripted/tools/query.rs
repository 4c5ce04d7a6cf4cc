//! `condor_q`, `condor_history`, `condor_status` and `condor_ping`: what they say of jobs and of us, byte for
//! byte where it matters.

use std::time::Duration;

use serde_json::{Value, json};

use super::constraint::Expression;
use super::faults::Fault;
use super::options::Options;
use super::state::{Ad, State};
use super::{Call, Failure, Outcome, say, say_bytes, unscripted, wait_until};

pub(super) fn queue(call: Call, options: &Options) -> Outcome {
    if !options.json || !options.all_users {
        return Err(unscripted("condor_q without -json and -allusers"));
    }
    let Call { schedd, fault, before, .. } = call;
    let state = match (&fault, before.auto_run) {
        (Some(Fault::Lag), _) => {
            let submitted = |state: &State| state.commits > before.commits && !state.submits();
            wait_until(schedd, submitted)?;
            // Time for the caller of that tool to know its end.
            std::thread::sleep(Duration::from_millis(100));
            before
        }
        // Time passes with each look at our jobs, and not with a question about those of others.
        (_, Some(code)) if options.limit.is_none() => {
            schedd.change(|state| state.advance(code).map(|()| state.clone()))??
        }
        _ => before,
    };
    let places = match &options.constraint {
        Some(constraint) => state.matching(constraint)?,
        None => (0..state.queue.len()).collect(),
    };
    let is_others = |place: &usize| state.queue[*place].get("Owner").is_none_or(|owner| owner != "alice");
    while fault == Some(Fault::Flood) && places.iter().any(is_others) {
        say(&"x".repeat(64 << 10));
    }
    let ads = places.iter().take(options.limit.unwrap_or(usize::MAX)).map(|place| &state.queue[*place]);
    let text = list(ads.map(|ad| project(ad, options, Some(&state))))?;
    let text = match &fault {
        Some(Fault::Garble { from, to }) => text.replace(from.as_str(), to),
        _ => text,
    };
    match fault {
        Some(Fault::NothingDone) => Ok(()),
        Some(Fault::Garble { .. }) => {
            // Bytes that are no text cannot be kept in the plan.
            say_bytes(&text.bytes().map(|byte| if byte == 0x1a { 0xff } else { byte }).collect::<Vec<_>>());
            Ok(())
        }
        Some(Fault::HalfOutput { code }) => {
            let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            say(&text[..middle]);
            match code {
                0 => Ok(()),
                code => Err(Failure { text: "-- Failed to fetch ads".to_owned(), code }),
            }
        }
        Some(fault @ (Fault::CommitThenFail(_) | Fault::CommitThenHang { .. })) => {
            Err(unscripted(&format!("condor_q with {fault:?}")))
        }
        _ => {
            say(&text);
            Ok(())
        }
    }
}

pub(super) fn history(call: Call, options: &Options) -> Outcome {
    if !options.json {
        return Err(unscripted("condor_history without -json"));
    }
    let state = call.before;
    let constraint = options.constraint.as_deref().unwrap_or("true");
    let constraint = Expression::parse(constraint)
        .map_err(|_| Failure::from(format!("Error: could not parse constraint {constraint}")))?;
    let ads = state.history.iter().rev().filter(|ad| constraint.holds(ad, state.now()));
    let ads = ads.take(options.limit.unwrap_or(usize::MAX)).map(|ad| project(ad, options, None));
    let text = list(ads)?;
    say(if text.is_empty() { "[\n]\n" } else { &text });
    Ok(())
}

pub(super) fn ping(call: Call, options: &Options) -> Outcome {
    let ["WRITE"] = options.plain.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return Err(unscripted("condor_ping of anything but WRITE"));
    };
    let mapping = call.before.mapping.unwrap_or_else(|| "alice@pool".to_owned());
    say(&format!(
        "Destination:                 schedd test@pool\n\
         Remote Version:              $CondorVersion: 23.9.6 $\n\
         Local  Version:              $CondorVersion: 23.9.6 $\n\
         Session ID:                  ap:1:2:3\n\
         Instruction:                 WRITE\n\
         Command:                     60021\n\
         Encryption:                  none\n\
         Integrity:                   AES\n\
         Authenticated using:         FS\n\
         All authentication methods:  FS,IDTOKENS\n\
         Remote Mapping:              {mapping}\n\
         Authorized:                  TRUE\n\n"
    ));
    Ok(())
}

pub(super) fn status(call: Call, options: &Options) -> Outcome {
    if !options.json {
        return Err(unscripted("condor_status without -json"));
    }
    if !options.schedd {
        return slots(&call.before, options);
    }
    let schedd = json!({
        "MyType": "Scheduler",
        "Name": call.before.schedd.as_deref().unwrap_or("test@pool"),
        "MyAddress": "<127.0.0.1:9618>",
        "JobQueueBirthdate": call.before.birthdate,
    });
    say(&list(schedd.as_object().map(|ad| project(ad, options, None)).into_iter())?);
    Ok(())
}

fn slots(state: &State, options: &Options) -> Outcome {
    let constraint = options.constraint.as_deref().unwrap_or("true");
    let constraint = Expression::parse(constraint)
        .map_err(|_| Failure::from(format!("Error: could not parse constraint {constraint}")))?;
    let slots = state.slots.iter().filter(|slot| constraint.holds(slot, state.now()));
    say(&list(slots.map(|slot| project(slot, options, None)))?);
    Ok(())
}

/// What was asked for of an ad. The schedd's time comes with whole ads, and when it is asked for.
fn project(ad: &Ad, options: &Options, state: Option<&State>) -> Ad {
    let mut ad = ad.clone();
    if let Some(state) = state {
        ad.insert("ServerTime".to_owned(), Value::from(state.now()));
    }
    if let Some(attributes) = &options.attributes {
        ad.retain(|name, _| attributes.iter().any(|asked| asked.eq_ignore_ascii_case(name)));
    }
    ad
}

/// Ads as the tools write them: nothing at all for none.
fn list(ads: impl Iterator<Item = Ad>) -> Result<String, Failure> {
    let ads: Vec<String> = ads
        .map(|ad| serde_json::to_string_pretty(&ad))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::from(error.to_string()))?;
    Ok(if ads.is_empty() { String::new() } else { format!("[\n{}\n]\n", ads.join("\n,\n")) })
}
