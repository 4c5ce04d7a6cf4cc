//! The process in which the engine is crashed: engine and store only, told by its environment
//! where to abort.

/// Runs the engine until it is done or aborts; gives the exit code.
pub fn run() -> u8 {
    eprintln!("not wired yet");
    2
}
