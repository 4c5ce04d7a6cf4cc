//! `condor_rm` and `condor_qedit`, by constraint.

use super::constraint::Expression;
use super::faults::Fault;
use super::job;
use super::options::Options;
use super::state::{Schedd, State};
use super::{Call, Failure, Outcome, hang, say, unscripted};

pub(super) fn remove(call: Call, options: &Options) -> Outcome {
    let constraint = options.constraint()?;
    if call.fault == Some(Fault::NothingDone) {
        say(&format!("All jobs matching constraint ({constraint}) have been marked for removal\n"));
        return Ok(());
    }
    let matched = call.schedd.change(|state| {
        let mut places = state.matching(constraint)?;
        // What is removed already is not removed again.
        places.retain(|place| job::int(&state.queue[*place], "JobStatus") != Some(3));
        let jobs: Vec<String> = places.iter().map(|place| job::id(&state.queue[*place])).collect();
        for place in places {
            state.remove(place, "via condor_rm (by user alice)");
        }
        state.let_leave(|ad| jobs.contains(&job::id(ad)));
        Ok::<usize, Failure>(jobs.len())
    })??;
    after(call.schedd, call.fault)?;
    if matched == 0 {
        let text = format!("\nCouldn't find/remove all jobs matching constraint ({constraint})");
        return Err(Failure::from(text));
    }
    say(&format!("All jobs matching constraint ({constraint}) have been marked for removal\n"));
    Ok(())
}

pub(super) fn edit(call: Call, options: &Options) -> Outcome {
    let constraint = options.constraint()?;
    let [attribute, value] = options.plain.as_slice() else {
        return Err(unscripted("condor_qedit of anything but one attribute"));
    };
    let value = Expression::to_json(value).map_err(|_| {
        Failure::from(format!(
            "Update aborted, illegal attribute-value specified for attribute \"{attribute}\"."
        ))
    })?;
    let edit = |state: &mut State| {
        let places = state.matching(constraint)?;
        for place in &places {
            state.queue[*place].insert(attribute.clone(), value.clone());
        }
        // The real schedd takes up to a minute for this. A completed job waits for condor_rm.
        state.let_leave(|ad| job::int(ad, "JobStatus") == Some(3));
        Ok::<usize, Failure>(places.len())
    };
    let matched = match call.fault {
        Some(Fault::NothingDone) => call.before.matching(constraint)?.len(),
        _ => call.schedd.change(edit)??,
    };
    after(call.schedd, call.fault)?;
    if matched == 0 {
        return Err(Failure::from(format!(
            "Failed to set attribute \"{attribute}\" by constraint: ( ({constraint}) )\n\
             Queue transaction failed.  No attributes were set."
        )));
    }
    say(&format!("Set attribute \"{attribute}\" for {matched} matching jobs.\n"));
    Ok(())
}

/// What goes wrong after the deed.
pub(super) fn after(schedd: &Schedd, fault: Option<Fault>) -> Outcome {
    match fault {
        Some(Fault::CommitThenFail(text)) => Err(Failure::from(text)),
        Some(Fault::CommitThenHang { .. }) => hang(schedd).map(drop),
        _ => Ok(()),
    }
}
