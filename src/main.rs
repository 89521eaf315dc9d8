//! The `foretide` binary.

use std::process::ExitCode;

/// Batches of samples are made by one thread and let go by another, thousands a second: that is what it is good at.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    foretide::cli::main()
}
