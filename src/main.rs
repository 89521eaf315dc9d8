//! The `foretide` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    foretide::cli::main()
}
