//! Matching and covering, as tables and against what is obviously right.

use super::*;

fn patterns(texts: &[&str]) -> Patterns {
    texts.iter().map(|text| Pattern::new(*text).unwrap()).collect()
}

#[test]
fn a_name_needs_a_grant_that_matches_it() {
    for (granted, name, expected) in [
        (&["mail.send"][..], "mail.send", true),
        (&["mail.send"], "mail.send.now", false),
        (&["mail.send"], "mail", false),
        (&["mail.send", "mail.read"], "mail.read", true),
        (&["mail.*"], "mail.send", true),
        (&["mail.*"], "mail.send.now", false),
        (&["mail.*"], "mail", false),
        (&["mail.*"], "mailbox.send", false),
        (&["mail.>"], "mail.send.now", true),
        (&["mail.>"], "mail", false),
        (&["a.>", "mail.*.now", "mail.>", "z.>"], "mail.read", true),
        (&["*"], "mail", true),
        (&["*"], "mail.send", false),
        (&["*.send"], "mail.send", true),
        (&["*.send"], "send", false),
        (&[">"], "mail.send", true),
        (&[], "mail.send", false),
        // A name is never read as a pattern, whatever it looks like.
        (&["mail.send"], "*", false),
        (&["mail.send"], ">", false),
        (&["mail.send"], "mail.*", false),
        (&["mail.*"], "mail.>", true),
        // Actions need not be tokens.
        (&["mail.*"], "mail.", true),
        (&["a.*.b"], "a..b", true),
        (&["größe"], "größe", true),
        // The broker's own names.
        (&[">"], "$stats", false),
        (&["*"], "$stats", false),
        (&["*.x"], "$events.x", false),
        (&["$stats"], "$stats", true),
        (&["$events.>"], "$events.x", true),
        (&["$events.*"], "$sessions.x", false),
    ] {
        assert_eq!(patterns(granted).permit(name), expected, "{granted:?} {name}");
    }
}

#[test]
fn a_subscription_needs_one_grant_that_covers_it() {
    for (granted, wanted, expected) in [
        (">", ">", true),
        (">", "*", true),
        (">", "a.*.>", true),
        ("*", ">", false),
        ("*", "*", true),
        ("*", "a", true),
        ("*", "a.b", false),
        ("a.*", "a.b", true),
        ("a.*", "a.*", true),
        ("a.*", "a.>", false),
        ("a.>", "a.>", true),
        ("a.>", "a.*", true),
        ("a.>", "a", false),
        ("a.>", ">", false),
        ("a.b", "a.*", false),
        ("*.>", ">", false),
        (">", "*.>", true),
        (">", "$events.>", false),
        ("*.x", "$events.x", false),
        ("$events.>", "$events.*", true),
        ("$events.>", ">", false),
    ] {
        assert_eq!(covers_pattern(granted, wanted), expected, "{granted} {wanted}");
    }
    assert!(!patterns(&["a", "b"]).cover("*"), "no two grants cover what neither does");
    assert!(patterns(&["b", "*"]).cover("a"));
}

/// All sequences of up to `most` of these tokens.
fn sequences(tokens: &[&str], most: usize) -> Vec<String> {
    let mut all: Vec<String> = tokens.iter().map(|&token| token.to_owned()).collect();
    let mut last = all.clone();
    for _ in 1..most {
        last = last.iter().flat_map(|start| tokens.iter().map(move |token| format!("{start}.{token}"))).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Token by token, written as the rules are said.
fn is_meant(pattern: &[&str], name: &[&str], first: bool) -> bool {
    let wild = !(first && name.first().is_some_and(|token| token.starts_with('$')));
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(&">"), Some(_)) => wild,
        (Some(&"*"), Some(_)) => wild && is_meant(&pattern[1..], &name[1..], false),
        (Some(want), Some(token)) => want == token && is_meant(&pattern[1..], &name[1..], false),
        _ => false,
    }
}

fn means(pattern: &str, name: &str) -> bool {
    is_meant(&pattern.split('.').collect::<Vec<_>>(), &name.split('.').collect::<Vec<_>>(), true)
}

/// A third token that stands in no pattern is for all others; names longer than the patterns are for `>`.
#[test]
fn brute_force() {
    let names = sequences(&["a", "b", "c", "$"], 4);
    let wanted: Vec<_> = sequences(&["a", "b", "$", "*", ">"], 3)
        .into_iter()
        .filter(|text| Pattern::new(text.as_str()).is_ok())
        .collect();
    let matched: Vec<Vec<bool>> =
        wanted.iter().map(|pattern| names.iter().map(|name| means(pattern, name)).collect()).collect();
    for (granted, matches) in wanted.iter().zip(&matched) {
        let grant = patterns(&[granted]);
        for (name, expected) in names.iter().zip(matches) {
            assert_eq!(grant.permit(name), *expected, "{granted} {name}");
        }
        for (want, wants) in wanted.iter().zip(&matched) {
            let expected = wants.iter().zip(matches).all(|(want, has)| !want || *has);
            assert_eq!(covers_pattern(granted, want), expected, "{granted} {want}");
        }
    }
}

/// Grants are found the same way however many stand beside them.
#[test]
fn many_grants_are_the_sum_of_each() {
    let all = sequences(&["a", "b", "$", "*", ">"], 3);
    let all: Vec<_> = all.iter().map(String::as_str).filter(|text| Pattern::new(*text).is_ok()).collect();
    let names = sequences(&["a", "b", "c", "$"], 4);
    for (step, skip) in [(2, 0), (3, 1), (5, 2), (7, 6), (11, 3), (29, 4)] {
        let some: Vec<_> = all.iter().skip(skip).step_by(step).copied().collect();
        let together = patterns(&some);
        assert_eq!(together.iter().count(), some.len());
        for name in &names {
            assert_eq!(together.permit(name), some.iter().any(|pattern| means(pattern, name)), "{some:?} {name}");
        }
    }
}

#[test]
fn the_order_and_twins_do_not_matter() {
    assert_eq!(patterns(&["a.b", ">", "a.*", "a.b"]), patterns(&["a.*", "a.b", ">"]));
    assert_eq!(patterns(&[">"]), Patterns::everything());
    assert!(Patterns::default().is_empty() && !Patterns::everything().is_empty());
    assert_eq!(format!("{:?}", patterns(&["z", "a.*"])), r#"["z", "a.*"]"#);
}

#[test]
fn who_may_do_what() {
    let (nothing, everything) = (Rights::default(), Rights::all());
    let admin = Rights { admin: true, ..Rights::default() };
    let named = Rights { call: patterns(&["$stats"]), subscribe: patterns(&["$events.>"]), ..Rights::default() };
    for (right, name, expected) in [
        (Right::Call, "a", [false, true, false, false]),
        (Right::Serve, "a", [false, true, false, false]),
        (Right::Publish, "a", [false, true, false, false]),
        (Right::Subscribe, ">", [false, true, false, false]),
        (Right::Call, "$echo", [true; 4]),
        (Right::Call, "$stats", [false, true, true, true]),
        (Right::Call, "$sessions", [false, true, true, false]),
        (Right::Call, "$nothing", [false, true, true, false]),
        (Right::Subscribe, "$events.x", [false, true, true, true]),
        (Right::Subscribe, "$other.x", [false, true, true, false]),
        (Right::Publish, "$events.x", [false; 4]),
    ] {
        let found = [&nothing, &everything, &admin, &named].map(|rights| rights.allow(right, name));
        assert_eq!(found, expected, "{right:?} {name}");
    }
}
