//! The rounds of `torture` at the figures of every test run. `FORETIDE_R1_CYCLES` and `FORETIDE_R1_SEED` change the first.

use std::path::Path;

use torture::{Outcome, Plan};

use crate::program;

const SEED: u64 = 42;

/// Runs a round; what cannot run here is said loudly.
fn round(name: &str, count: u64, run: fn(&Plan) -> Outcome) {
    let seed = number("FORETIDE_R1_SEED", SEED);
    let plan = Plan::new(Path::new(env!("CARGO_BIN_EXE_foretide")), seed, count).patient();
    match run(&plan) {
        Outcome::Passed(figures) => eprintln!("{name}: {figures}"),
        Outcome::Skipped(why) => program::skip(name, &why),
    }
}

#[test]
fn r1_kill_9_loses_doubles_and_alters_no_acknowledged_sample() {
    round("R1", number("FORETIDE_R1_CYCLES", 25), torture::kill::run);
}

#[test]
fn r1b_a_death_at_a_named_point_loses_no_acknowledged_sample() {
    round("R1b", 1, torture::points::run);
}

#[test]
fn r2_a_power_cut_loses_no_acknowledged_sample() {
    round("R2", 5, torture::power::ext4);
}

#[test]
fn r2x_a_power_cut_on_xfs_loses_no_acknowledged_sample() {
    round("R2x", 5, torture::power::xfs);
}

#[test]
fn r3_a_damaged_log_names_what_it_lost() {
    round("R3", 2000, torture::log::run);
}

#[test]
fn r4_a_damaged_table_answers_truly_or_not_at_all() {
    round("R4", 500, torture::files::run);
}

#[test]
fn r5_a_full_disk_refuses_writes_and_heals() {
    round("R5", 3, torture::disk::run);
}

#[test]
fn r6_failing_system_calls_lose_no_acknowledged_sample() {
    round("R6", 50, torture::faults::run);
}

#[test]
fn r7_little_memory_refuses_what_does_not_fit_and_lives() {
    round("R7", 300, torture::memory::run);
}

#[test]
fn r8_steps_of_the_clock_change_no_data_and_stop_no_timer() {
    round("R8", 1, torture::clock::run);
}

#[test]
fn r9_hostile_clients_cost_the_good_ones_little() {
    round("R9", 200, torture::hostile::run);
}

#[test]
fn r16_a_backup_under_load_is_restored_whole() {
    round("R16", 1, torture::saved::run);
}

#[test]
fn r17_a_short_soak_holds_its_load() {
    round("R17", 0, torture::soak::run);
}

#[test]
fn r18_any_order_and_any_batches_give_the_same_answers() {
    round("R18", 500, torture::order::run);
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}
