//! Configurations that users write, good and bad.

use super::*;

fn fault(text: &str) -> String {
    Settings::parse(text, "foretide.yaml").expect_err("refused").to_string()
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in ["", "# only a comment\n", "\n\n"] {
        assert_eq!(Settings::parse(text, "x").expect("valid"), Settings::default());
    }
}

#[test]
fn the_defaults_survive_being_written_and_read() {
    let yaml = Settings::default().to_yaml().expect("written");
    assert_eq!(Settings::parse(&yaml, "x").expect("read back"), Settings::default());
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_key() {
    let message = fault("listen: 127.0.0.1:1\nscalling:\n  mode: observe\n");
    assert!(message.starts_with("foretide.yaml:2:1:"), "{message}");
    assert!(message.ends_with("did you mean `scaling`?"), "{message}");
    let message = fault("store:\n  series_mx: 5\n");
    assert!(message.contains(":2:") && message.contains("`series_max`"), "{message}");
}

#[test]
fn a_wrong_type_or_duration_names_its_line() {
    assert!(fault("store:\n  series_max: many\n").starts_with("foretide.yaml:2:"));
    let message = fault("host:\n  every: 5 minutes\n");
    assert!(message.contains("is not a duration"), "{message}");
    assert!(fault("scaling:\n  mode: obsrve\n").contains("did you mean `observe`?"));
}

#[test]
fn variables_override_the_file() {
    let set = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let settings = Settings::load(None, set("FORETIDE__STORE__SERIES_MAX", "7")).expect("valid");
    assert_eq!(settings.store.series_max, 7);
    let settings = Settings::load(None, set("FORETIDE__LISTEN", "127.0.0.1:9")).expect("valid");
    assert_eq!(settings.listen, "127.0.0.1:9");
    let err = Settings::load(None, set("FORETIDE__STORE__SERIES_MX", "7")).expect_err("unknown");
    assert!(err.to_string().contains("SERIES_MAX"), "{err}");
}

#[test]
fn jobs_need_one_query_and_unique_names() {
    let job = |text: &str| {
        let settings = Settings::parse(&format!("forecast:\n  jobs:\n{text}"), "x").expect("parses");
        settings.check("x").expect_err("refused").to_string()
    };
    assert!(job("    - {name: a}\n").contains("exactly one of promql and sql"));
    assert!(job("    - {name: a, promql: up}\n    - {name: a, promql: up}\n").contains("used twice"));
    assert!(job("    - {name: a, promql: up, quantiles: [1.5]}\n").contains("1.5 is not between 0 and 1"));
}
