//! `htc-sender probe`: a test job of `doctor`. It says whether this worker reaches the receiver of
//! reports, in one sentence and its exit code.

use std::path::Path;
use std::process::ExitCode;

use crate::http::Receiver;
use crate::job;

/// Asks the receiver that `job.json` in this folder names.
pub fn probe() -> ExitCode {
    match ask(Path::new(".")) {
        Ok(sentence) => {
            println!("{sentence}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn ask(folder: &Path) -> Result<String, String> {
    let bytes = job::take(folder).map_err(|error| error.to_string())?;
    let job = job::parse(&bytes).map_err(|error| error.to_string())?;
    let Some((events, route)) = job.events.as_ref().and_then(|events| Some((events, events.route.as_ref()?)))
    else {
        return Ok("has no receiver of reports".to_owned());
    };
    let receiver = Receiver::new(route, events).map_err(|error| error.to_string())?;
    match receiver.probe(&job.key) {
        Ok(204) => Ok(format!("reached {}", receiver.url())),
        Ok(401) => Err(format!("{} is an operator with another master key", receiver.url())),
        Ok(code) => Err(format!("{} is no operator: it answered {code}", receiver.url())),
        Err(error) => Err(format!("cannot reach {}: {error}", receiver.url())),
    }
}
