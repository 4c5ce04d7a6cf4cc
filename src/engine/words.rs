//! How ends are told: exit codes and signals as people know them, in sentences that are not too long.

/// The signals of Linux that end programs, as `kill -l` has them.
const SIGNALS: &[(i32, &str)] = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (31, "SIGSYS"),
];

/// `exit code 1`. Apptainer and shells tell of a signal only by 128 more; a program may also exit
/// with such a code by itself, so both are said.
pub fn exit_code(code: i32) -> String {
    match name(code - 128) {
        Some(name) => format!("exit code {code}: 128 + {} ({name})", code - 128),
        None => format!("exit code {code}"),
    }
}

/// `signal 9 (SIGKILL)`.
pub fn signal(number: i32) -> String {
    match name(number) {
        Some(name) => format!("signal {number} ({name})"),
        None => format!("signal {number}"),
    }
}

fn name(number: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Conditions and events take a sentence, not a log.
pub fn shortened(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_that_tells_of_a_signal_names_it() {
        assert_eq!(exit_code(139), "exit code 139: 128 + 11 (SIGSEGV)");
        assert_eq!((exit_code(3).as_str(), exit_code(128).as_str()), ("exit code 3", "exit code 128"));
        assert_eq!((exit_code(255).as_str(), exit_code(-1).as_str()), ("exit code 255", "exit code -1"));
        assert_eq!((signal(9).as_str(), signal(40).as_str()), ("signal 9 (SIGKILL)", "signal 40"));
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(shortened("äöü".into(), 3), "ä…");
        assert_eq!(shortened("äöü".into(), 6), "äöü");
    }
}
