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
    for (text, message) in [
        ("store:\n  series_max: many\n", "foretide.yaml:2:15: store.series_max: it is not a whole number from 0 on"),
        ("host: { enabled: often }\n", "foretide.yaml:1:18: host.enabled: it is not true or false"),
        ("rightsizing:\n  cpu_quantile: high\n", "foretide.yaml:2:17: rightsizing.cpu_quantile: it is not a number"),
    ] {
        assert_eq!(fault(text), message);
    }
    let message = fault("host:\n  every: 5 minutes\n");
    assert!(message.contains("is not a duration"), "{message}");
    assert!(fault("scaling:\n  mode: obsrve\n").contains("did you mean `observe`?"));
}

#[test]
fn variables_override_the_file() {
    let set = |name: &str, value: &str| vec![(name.into(), value.into())];
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

fn refused(text: &str) -> String {
    let settings = Settings::parse(text, "f").unwrap_or_else(|err| panic!("{text}: {err}"));
    settings.check("f").expect_err(text).to_string()
}

#[test]
fn what_could_not_start_is_refused_with_its_key() {
    let policy = "demand: up, target: deployment/shop/checkout";
    for (text, words) in [
        ("forecast: {jobs: [{name: a, promql: up, schedule: evry 5m}]}", ["forecast.jobs.a.schedule", "`every 5m`"]),
        ("forecast: {jobs: [{name: a, promql: 'rate(up'}]}", ["forecast.jobs.a.promql", "1:"]),
        ("forecast: {jobs: [{name: a, promql: up, model: crystal-ball}]}", ["forecast.jobs.a.model", "crystal-ball"]),
        (
            "forecast: {jobs: [{name: a, promql: up, step: 2h, horizon: 1h}]}",
            ["jobs.a.horizon", "shorter than one step"],
        ),
        ("forecast: {jobs: [{name: a, promql: up, lower: 2, upper: 1}]}", ["jobs.a.upper", "not above"]),
        ("forecast: {jobs: [{name: ' ', promql: up}]}", ["jobs. .name", "is empty"]),
        ("forecast: {jobs: [{name: a/b, promql: up}]}", ["jobs.a/b.name", "'/'"]),
        (
            &format!("scaling: {{policies: [{{name: p, {}}}]}}", policy.replace("up,", "'up{',")),
            ["policies.p.demand", ""],
        ),
        ("rightsizing: {cpu_quantile: 95}", ["rightsizing", "cpu_quantile"]),
        ("capacity: {resources: [{name: d, used: 'a(', limit: b}]}", ["capacity.resources.0.used", ""]),
        ("capacity: {resources: [{name: d, used: a, limit: b, threshold: 90}]}", ["resources.0.threshold", "90"]),
        ("cost: {cpu_hour: -1}", ["cost.cpu_hour", "-1"]),
        ("egress: {allow: ['10.0.0.0/99']}", ["egress.allow", "10.0.0.0/99"]),
        ("notify: [{type: webhook, url: hooks}]", ["notify.0.url", "https"]),
        ("notify: [{type: webhook, url: 'https://a.test', secret: hunter2}]", ["notify.0.secret", "${env:NAME}"]),
        ("notify: [{type: file, path: a}, {type: file, path: a}]", ["notify.1", "twice"]),
        ("streams: {files: [/nowhere/streams.yaml]}", ["streams.files", "/nowhere/streams.yaml"]),
    ] {
        let message = refused(text);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(message.starts_with("f: "), "{message}");
    }
}

#[test]
fn a_policy_and_a_job_of_one_name_need_one_forecast() {
    let with = |promql: &str| {
        let text = format!(
            "forecast: {{jobs: [{{name: a, promql: {promql}}}]}}\n\
             scaling: {{policies: [{{name: a, demand: up, target: deployment/shop/checkout}}]}}\n"
        );
        Settings::parse(&text, "f").expect("parses").check("f")
    };
    with("up").expect("the job forecasts the demand");
    assert!(with("down").expect_err("two forecasts, one name").to_string().contains("rename one of them"));
}

#[cfg(unix)]
#[test]
fn variables_that_are_no_text_are_named_or_passed_over() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = || OsString::from_vec(vec![0xff, 0xfe]);
    Settings::load(None, vec![(bytes(), "a".into()), ("OTHER".into(), bytes())]).expect("not ours");
    let err = Settings::load(None, vec![("FORETIDE__LISTEN".into(), bytes())]).expect_err("ours");
    assert_eq!(err.to_string(), "environment FORETIDE__LISTEN: its value is not UTF-8");
}
