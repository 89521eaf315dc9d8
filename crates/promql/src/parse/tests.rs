//! Tests of the parser: forms, faults with their places, and two properties.

use proptest::prelude::*;

use super::*;

fn fault(query: &str) -> String {
    parse(query).expect_err(query).to_string()
}

fn canonical(query: &str) -> String {
    parse(query).unwrap_or_else(|why| panic!("{query}: {why}")).to_string()
}

#[test]
fn canonical_text_of_every_form() {
    for (query, text) in [
        ("1+2*3", "1 + 2 * 3"),
        ("-2^2", "-2 ^ 2"),
        ("SUM(x)BY(job)", "sum by (job) (x)"),
        ("topk without(a,b) (5,x)", "topk without (a, b) (5, x)"),
        ("rate(x{a='b'}[5m])offset 1m", ""),
        ("x[90s]", "x[1m30s]"),
        ("x[1h:5m] @ end() offset -1w", "x[1h:5m] @ end() offset -7d"),
        ("x @ 1.5 offset 5m", "x @ 1.500 offset 5m"),
        ("{\"my.metric\", a=\"b\", \"c.d\"!~\"e\"}", "{__name__=\"my.metric\", a=\"b\", \"c.d\"!~\"e\"}"),
        ("{\"up\"}", "up"),
        ("a / on(x) group_left(y, \"z.z\") b", "a / on (x) group_left (y, \"z.z\") b"),
        ("a == bool ignoring(x) b", "a == bool ignoring (x) b"),
        ("a + fill(0) b", "a + fill_left (0) fill_right (0) b"),
        ("sum", "sum"),
        ("by + on", "by + on"),
        ("rate(x[step()+1m] smoothed)", "rate(x[step() + 1m] smoothed)"),
        ("# comment\nup # more", "up"),
        ("5m + 0x10", "5m + 16"),
        ("Inf - nan", "Inf - NaN"),
        ("holt_winters(x[5m],.1,.2)", "double_exponential_smoothing(x[5m], 0.1, 0.2)"),
        ("label_replace(x, \"a\", '$1', `b`, \"\\\\d\")", "label_replace(x, \"a\", \"$1\", \"b\", \"\\\\d\")"),
    ] {
        if text.is_empty() {
            assert!(parse(query).is_err(), "{query}");
        } else {
            assert_eq!(canonical(query), text, "{query}");
            assert_eq!(canonical(text), text);
        }
    }
}

#[test]
fn precedence_is_that_of_prometheus() {
    let tree = |query: &str| {
        fn show(expr: &Expr) -> String {
            match &expr.kind {
                ExprKind::Binary(b) => format!("[{} {} {}]", show(&b.left), b.op.symbol(), show(&b.right)),
                ExprKind::Unary(u) => format!("[- {}]", show(&u.expr)),
                _ => expr.to_string(),
            }
        }
        show(&parse(query).expect(query))
    };
    assert_eq!(tree("a or b and c == d + e * f ^ g"), "[a or [b and [c == [d + [e * [f ^ g]]]]]]");
    assert_eq!(tree("a - b - c"), "[[a - b] - c]");
    assert_eq!(tree("a ^ b ^ c"), "[a ^ [b ^ c]]");
    assert_eq!(tree("-a ^ b * c"), "[[- [a ^ b]] * c]");
    assert_eq!(tree("2 ^ -1 * 3"), "[[2 ^ [- 1]] * 3]");
    assert_eq!(tree("a offset 2 ^ 2"), "[a offset 2 ^ 2]");
}

#[test]
fn faults_point_at_the_character_and_suggest() {
    for (query, text) in [
        ("sum by (job)(rat(x[5m]))", "1:14: unknown function rat; did you mean rate?"),
        ("rate(x)", "1:6: argument 1 of rate must be a range vector, not an instant vector; add a range such as [5m]"),
        ("up == ", "1:7: unexpected end of the query where an expression is expected"),
        ("up\n  = 1", "2:3: unexpected =; compare with =="),
        (
            "{a=~\".*\"}",
            "1:1: a selector needs at least one matcher that does not match the empty text; name a metric or write for instance {job=~\".+\"}",
        ),
        ("1 == 2", "1:3: a comparison of two scalars must answer 0 or 1; write == bool"),
        ("x[0s]", "1:3: a duration must be greater than 0"),
        ("", "1:1: the query is empty; try up or rate(http_requests_total[5m])"),
        ("x offset 1m offset 2m", "1:13: offset may be given once only"),
        ("topk(x)", "1:1: topk takes 2 arguments, not 1"),
        ("a and on() group_left b", "1:12: and takes neither group_left nor group_right"),
        ("é", "1:1: unexpected character 'é'; write names with such characters in quotes: {\"name\"}"),
        ("a adn b", "1:3: unexpected adn after the expression; did you mean and?"),
        ("a && b", "1:3: unexpected character '&'; write and"),
        ("up ofset 5m", "1:4: unexpected ofset after the expression; did you mean offset?"),
        ("foo by (x)", "1:5: unexpected by after the expression; by belongs to an aggregation, as in sum by (job) (…)"),
        ("a on(x) b", "1:3: unexpected on after the expression; on stands behind an operator, as in a / on(…) b"),
        ("foo bar", "1:5: unexpected bar after the expression; an operator is missing"),
        ("sum(rate(x[5m])", "1:16: unexpected end of the query between arguments; ( at 1:4 is not closed"),
        ("x{a=\"b\"", "1:8: unexpected end of the query in a selector; { at 1:2 is not closed"),
        ("x[5m", "1:5: unexpected end of the query in a range; [ at 1:2 is not closed"),
        ("(x", "1:3: unexpected end of the query in a parenthesis; ( at 1:1 is not closed"),
        ("x)", "1:2: unexpected ) after the expression; nothing is open that it could close"),
        ("my.metric", "1:3: unexpected character '.'; names with dots go in quotes: {\"my.metric\"}"),
        (
            "x{my-label=\"1\"}",
            "1:5: unexpected - in a selector; label names with such characters go in quotes: {\"my-label\"=\"value\"}",
        ),
        ("x{a=b}", "1:5: unexpected b in a selector; write the value in quotes: \"b\""),
        ("sum(a, b,)", "1:9: a comma after the last argument; leave it out"),
        ("rate(x[5m]", "1:11: unexpected end of the query between arguments; ( at 1:5 is not closed"),
        ("max(a b)", "1:7: unexpected b between arguments; an operator is missing"),
        ("1 </ 2", "1:3: </ needs an instant vector on its left side; the left side must be native histograms"),
        (
            "!up",
            "1:1: unexpected ! where an expression is expected; there is no negation; compare with == 0, or leave series out with unless",
        ),
    ] {
        assert_eq!(fault(query), text, "{query}");
    }
}

#[test]
fn nesting_and_height_are_bounded() {
    let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&nested(NESTING_MAX - 1)).is_ok());
    assert!(fault(&nested(NESTING_MAX)).contains("nested more than 50 levels deep"));
    assert!(fault(&"-".repeat(5000)).contains("nested"));
    assert!(fault(&format!("x[{}1]", "(".repeat(5000))).contains("nested"));
    assert!(parse(&vec!["1"; HEIGHT_MAX - 1].join("+")).is_ok());
    assert!(fault(&vec!["1"; 5000].join("+")).contains("operations high"));
    assert!(
        fault(&format!("x{}", "[1m:]".repeat(5000))).contains("modifiers") || fault("x[1m:][1m:]").contains("subquery")
    );
}

/// Well-formed queries of every shape, built from small parts.
fn query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z_:]{1,8}",
        (-1e6..1e6_f64).prop_map(|v| v.to_string()),
        Just("up{job=\"api\", zone!~\"a|b\"} offset -5m".to_owned()),
        Just("{\"my.metric\"} @ start()".to_owned()),
        Just("rate(x[5m] offset 1h)".to_owned()),
        Just("max_over_time(y[1h:5m])".to_owned()),
        Just("time()".to_owned()),
        "\"[ -~]{0,6}\"",
        Just("1h30m".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let op = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "atan2",
            "==bool",
            ">",
            "and",
            "or",
            "unless",
            "* on(a) group_left(b)",
            "- ignoring(\"x.y\")",
        ]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("sum by (job) ({a})")),
            inner.clone().prop_map(|a| format!("topk(3, {a})")),
            inner.clone().prop_map(|a| format!("abs({a})")),
            inner.prop_map(|a| format!("quantile_over_time(0.9, ({a})[1h:])")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic(text in ".{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_mix_of_tokens_is_parsed_or_refused_without_a_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "(", ")", "[", "]", "{", "}", "sum", "by", "on", "rate", "x", "5m", "1", "\"t\"", ",", ":", "@", "offset", "-",
            "+", "^", "==", "=", "=~", "bool", "and", "group_left", "start", "step", "min", "smoothed", "é", "0x", "\\",
        ]), 0..30)
    ) {
        let _ = parse(&parts.join(" "));
        let _ = parse(&parts.concat());
    }

    #[test]
    fn canonical_text_parses_back_to_the_same_tree(text in query()) {
        if let Ok(tree) = parse(&text) {
            let canonical = tree.to_string();
            let back = parse(&canonical).map_err(|why| TestCaseError::fail(format!("{canonical}: {why}")))?;
            prop_assert_eq!(&back, &tree);
            prop_assert_eq!(back.to_string(), canonical);
        }
    }
}
