//! The keys file: what it gives, and every mistake in the words that people read.

use crate::{Place, assert_hides, text_of};
use answerback_keys::holders::{HOLDERS_MAX, KEYS_MAX, MISTAKES_TOLD_MAX, PATTERNS_MAX, parse_keys_file};
use answerback_keys::{KeyRing, read_keys_file};
use answerback_protocol::Pattern;

/// Reads a keys file in which `@id` stands for the text of a key with this id, and `@id=7` for one whose secret is made of sevens.
fn parse(text: &str) -> Result<KeyRing, String> {
    let mut written = String::new();
    for (at, piece) in text.split('@').enumerate() {
        if at == 0 {
            written.push_str(piece);
            continue;
        }
        let (said, rest) = piece.split_once('"').unwrap();
        let (id, byte) = said.split_once('=').unwrap_or((said, "1"));
        written.push_str(&text_of(id, byte.parse().unwrap()));
        written.push('"');
        written.push_str(rest);
    }
    parse_keys_file(&written).map_err(|error| {
        for line in written.lines().filter(|line| line.contains("abk1")) {
            let digits = line.split("abk1:").last().unwrap().split(':').next_back().unwrap();
            assert_hides(&format!("{error} {error:?}"), digits.trim_end_matches(|c: char| !c.is_alphanumeric()));
        }
        error.to_string()
    })
}

/// Each text, and all that is told about it.
#[track_caller]
fn assert_told(cases: &[(&str, &[&str])]) {
    for (text, told) in cases {
        assert_eq!(parse(text).unwrap_err(), told.join("\n"), "{text}");
    }
}

#[test]
fn holders_have_keys_and_rights() {
    let ring = parse(
        r#"
        # who may do what
        [billing]
        keys = ["@billing", "@billing/2=2"] # two while one replaces the other
        call = ["user.get", "mail.*"]
        serve = ["billing.>"]
        publish = ["billing.>"]
        subscribe = ["orders.>", "$events.>"]
        certificate = "CN=billing"

        [ops]
        keys = ["@ops=3"]
        admin = true

        [north]
        keys = ["@north=4"]
        peer = true

        ["mail.eu"]
        certificate = "mail.example.org"
        "#,
    )
    .unwrap();
    let ids: Vec<_> = ring.holders().iter().map(|holder| &*holder.id).collect();
    assert_eq!((ids, ring.key_count()), (vec!["billing", "mail.eu", "north", "ops"], 4));
    let (billing, key) = ring.find("billing/2").unwrap();
    assert_eq!((&*billing.id, key.secret.expose(), billing.admin), ("billing", &[2; 32], false));
    let grants = billing.grants().map(|(name, patterns)| {
        let patterns: Vec<_> = patterns.iter().map(Pattern::as_str).collect();
        format!("{name} {}", patterns.join(" "))
    });
    assert_eq!(
        grants,
        ["call user.get mail.*", "serve billing.>", "publish billing.>", "subscribe orders.> $events.>"]
    );
    // No grant, no right.
    let ops = ring.holder("ops").unwrap();
    let north = ring.holder("north").unwrap();
    assert!(
        north.peer
            && !north.admin
            && !ops.peer
            && ops.admin
            && ops.grants().iter().all(|(_, patterns)| patterns.is_empty())
    );
    assert_eq!(&*ring.by_certificate("mail.example.org").unwrap().id, "mail.eu");
}

#[test]
fn words_that_are_unknown_are_guessed() {
    assert_told(&[
        (
            "[billing]\nkeys = [\"@billing\"]\ncal = []\nservice = []\nAdmin = true\ncert = \"x\"\nrights = 1\n",
            &[
                "line 3: [billing] nothing is called `cal`: did you mean `call`?",
                "line 4: [billing] nothing is called `service`: a holder has keys, call, serve, publish, subscribe, admin, peer, certificate",
                "line 5: [billing] nothing is called `Admin`: did you mean `admin`?",
                "line 6: [billing] nothing is called `cert`: did you mean `certificate`?",
                "line 7: [billing] nothing is called `rights`: a holder has keys, call, serve, publish, subscribe, admin, peer, certificate",
            ],
        ),
        (
            "call = [\"a\"]\n[mail.eu]\nkeys = [\"@mail\"]\n",
            &[
                "line 1: `call` stands outside of every holder: put it below a line with the holder's name, such as [billing]",
                "line 2: [mail] `eu` is a table in a table; a name with a dot stands in quotes: [\"mail.eu\"]",
            ],
        ),
        (
            "[\"a/b\"]\nkeys = []\n[\"\"]\n[\"x\\ny\"]\n",
            &[
                "line 1: [a/b] a holder's name is 1 to 64 letters, digits, `-`, `_` or `.`",
                "line 3: [\"\"] a holder's name is 1 to 64 letters, digits, `-`, `_` or `.`",
                "line 4: [\"x\\ny\"] a holder's name is 1 to 64 letters, digits, `-`, `_` or `.`",
            ],
        ),
        ("", &["line 1: nobody is in this file: a holder is a table such as [billing], with its keys below"]),
    ]);
}

#[test]
fn values_of_another_kind_are_told() {
    assert_told(&[(
        "[a]\nkeys = \"x\"\ncall = \"user.get\"\nserve = [1, \"ok\", [\"x\"]]\nadmin = \"yes\"\npeer = 1\ncertificate = \"\"\n[b]\nkeys = [\n  7\n]\n[c]\nkeys = []\n",
        &[
            "line 2: [a] `keys` is a list: keys = [\"abk1:a:…\"]",
            "line 3: [a] `call` is a list of patterns: call = [\"user.get\", \"mail.*\", \"log.>\"]",
            "line 4: [a] pattern 1 of `serve` is a text: put it into quotes",
            "line 4: [a] pattern 3 of `serve` is a text: put it into quotes",
            "line 5: [a] `admin` is true or false, without quotes",
            "line 6: [a] `peer` is true or false, without quotes",
            "line 7: [a] `certificate` is the subject of a certificate or a DNS name, 1 to 1024 bytes: \"CN=billing\"",
            "line 10: [b] key 1 is not one: it does not begin with `abk1:`, as the text of a key does; copy the whole line again",
            "line 13: [c] `keys` is empty; `answerback keygen c` makes one",
        ],
    )]);
}

#[test]
fn patterns_must_be_sound() {
    assert_told(&[(
        "[a]\nkeys = [\"@a\"]\ncall = [\"a..b\", \"\", \">.a\", \"a.>.b\", \"a*\", \">\", \"*\",\n \"a.\"]\nsubscribe = [\"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17\"]\n",
        &[
            "line 3: [a] pattern 1 of `call`, a..b, is not one: something is missing between its dots",
            "line 3: [a] pattern 2 of `call`, \"\", is not one: something is missing between its dots",
            "line 3: [a] pattern 3 of `call`, >.a, is not one: `>` can only be its last part",
            "line 3: [a] pattern 4 of `call`, a.>.b, is not one: `>` can only be its last part",
            "line 4: [a] pattern 8 of `call`, a., is not one: something is missing between its dots",
            "line 5: [a] pattern 1 of `subscribe`, 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17, is not one: it has at most 16 parts between dots, 255 bytes, and no control characters",
        ],
    )]);
}

#[test]
fn keys_belong_to_one_holder_and_are_there_once() {
    let one = parse_keys_file(&text_of("a", 1)).unwrap_err().to_string();
    let what =
        "this is one key and not a keys file: --key-file takes it; here it stands below its holder, as keys = [\"…\"]";
    assert_eq!(one, format!("line 1: {what}"));
    assert_told(&[
        (
            "[a]\nkeys = [\"@b=1\"]\n[c]\nkeys = [\"@c=2\", \"@c=3\", \"@c/2=2\"]\n[d]\nkeys = [\"@d=2\"]\n",
            &[
                "line 2: [a] key 1 belongs to the holder b: put it there; `answerback keygen a` makes one",
                "line 4: [c] key 2, c, has the same id as the one on line 4: take one away, or give it a number as in `billing/2`",
                "line 4: [c] key 3, c/2, has the same secret as c on line 4: whoever has one has both; make a new one",
                "line 6: [d] key 1, d, has the same secret as c on line 4: whoever has one has both; make a new one",
            ],
        ),
        (
            "[a]\ncertificate = \"CN=x\"\n[b]\ncertificate = \"CN=x\"\n",
            &["line 4: [b] the holder on line 2 has the same certificate: one certificate is one holder"],
        ),
        (
            "[a]\ncall = [\"@a\"]\ncertificate = \"@b\"\n",
            &[
                "line 2: [a] there is a key in `call`: it belongs into `keys`, and if others have read this file, make a new one",
                "line 3: [a] there is a key in `certificate`: it belongs into `keys`, and if others have read this file, make a new one",
            ],
        ),
    ]);
    let text = text_of("a", 1);
    for (wrong, why) in [
        (text.replace("abk1", "abk2"), "it is a key of another form than `abk1:`, which a later version may know"),
        (text.replace(":a:", ":b:"), "its checksum is wrong: at least one character is not as it was printed"),
        (text[..40].to_owned(), "it has 33 characters behind its second `:` instead of 58: something is missing"),
    ] {
        let told = parse_keys_file(&format!("[a]\nkeys = [\"{wrong}\"]\n")).unwrap_err().to_string();
        assert_eq!(told, format!("line 2: [a] key 1 is not one: {why}; copy the whole line again"));
    }
}

/// People paste keys into the wrong place, and an error must not print them for that.
#[test]
fn nothing_that_may_be_a_key_is_repeated() {
    let text = text_of("a", 0x5c);
    let digits = text.rsplit(':').next().unwrap();
    for content in [
        format!("[\"{text}\"]\n"),
        format!("[{digits}]\n"),
        format!("{digits} = 1\n"),
        format!("[a]\n{digits} = 1\n"),
        format!("[a]\nkeys = [{text}]\n"),
        format!("[a]\nkeys = [\"{text}]\n"),
        format!("[a]\nkeys = \"{text}\"\ncall = [\"{text}\", \">.{digits}\"]\n"),
        format!("[a]\nkeys = [\"x{text}\"]\nadmin = \"{text}\"\n"),
        format!("[a.{digits}]\n"),
        format!("[a]\n[a]\n{digits}\n"),
        format!("[a]\nkeys = [\"{text}\"]\ncertificate = [\"{text}\"]\n[b]\nkeys = [\"{text}\"]\n"),
    ] {
        let error = parse_keys_file(&content).unwrap_err();
        assert_hides(&format!("{error} {error:?}"), &text);
    }
}

#[test]
fn what_is_not_toml_is_told_with_its_line() {
    for (text, told) in [
        ("[a]\nkeys = [\n[a]\n", "line 3: this is not TOML: unclosed array, expected `]`"),
        ("[a\n", "line 1: this is not TOML: unclosed table, expected `]`"),
        ("[a]\nkeys = [@a]\n", "line 2: this is not TOML: string values must be quoted, expected literal string"),
        ("[a]\nkeys = [\"x]\n", "line 2: this is not TOML: unclosed array, expected `]`"),
        ("[a]\nadmin = yes\n", "line 2: this is not TOML: string values must be quoted, expected literal string"),
        ("[a]\nadmin\n", "line 2: this is not TOML: key with no value, expected `=`"),
        ("[a]\ncall = [\"a\" \"b\"]\n", "line 2: this is not TOML: missing comma between array elements, expected `,`"),
        (
            "[a]\nadmin = true\nadmin = true\n[a]\n",
            "line 3: this name is there already: a holder, and each of its members, stands in one place\nline 4: this name is there already: a holder, and each of its members, stands in one place",
        ),
        ("[a]\nadmin = true call = []\n", "line 2: this is not TOML: unexpected key or value, expected newline, `#`"),
        ("[a]\nadmin: true\n", "line 2: this is not TOML: key with no value, expected `=`"),
    ] {
        assert_eq!(parse_keys_file(text).unwrap_err().to_string(), told, "{text}");
    }
}

#[test]
fn every_number_has_a_limit() {
    let holders =
        |count: usize| (0..count).fold(String::new(), |text, at| format!("{text}[h{at}]\ncertificate = \"{at}\"\n"));
    assert_eq!(parse_keys_file(&holders(HOLDERS_MAX)).unwrap().holders().len(), HOLDERS_MAX);
    let told = parse_keys_file(&holders(HOLDERS_MAX + 1)).unwrap_err().to_string();
    assert_eq!(told, "line 1: there are 10001 holders, and at most 10000 are possible");

    let patterns = |count: usize| format!("[a]\ncertificate = \"a\"\ncall = [{}]\n", "\"x\",".repeat(count));
    assert_eq!(parse_keys_file(&patterns(PATTERNS_MAX)).unwrap().holders()[0].call.len(), PATTERNS_MAX);
    let told = parse_keys_file(&patterns(PATTERNS_MAX + 1)).unwrap_err().to_string();
    assert_eq!(told, "line 3: [a] `call` has 1001 patterns, and at most 1000 are possible");

    let keys = |count: usize| {
        let keys: Vec<_> = (0..count).map(|at| format!("\"{}\"", text_of(&format!("a/{at}"), at as u8))).collect();
        format!("[a]\nkeys = [{}]\n", keys.join(","))
    };
    assert_eq!(parse_keys_file(&keys(KEYS_MAX)).unwrap().key_count(), KEYS_MAX);
    let told = parse_keys_file(&keys(KEYS_MAX + 1)).unwrap_err().to_string();
    assert_eq!(told, "line 2: [a] `keys` has 101 keys, and at most 100 are possible");
}

/// A flood of mistakes is cut, and the number stays true.
#[test]
fn many_mistakes_are_counted() {
    let text = (0..5_000).fold("[a]\ncertificate = \"a\"\n".to_owned(), |text, at| format!("{text}x{at} = 1\n"));
    let error = parse_keys_file(&text).unwrap_err();
    assert_eq!((error.mistakes.len(), error.count()), (MISTAKES_TOLD_MAX, 5_000));
    assert!(error.to_string().ends_with("\nand 4900 more"), "{error}");
}

#[test]
fn the_file_must_be_private_too() {
    let place = Place::new();
    let path = place.file("holders", 0o640, "[a]\n");
    let told = place.without(&read_keys_file(&path).unwrap_err());
    assert_eq!(told, "others can read DIR/holders, its mode is 0640: chmod 600 DIR/holders");
    let path = place.file("holders", 0o600, "[a]\ncertificate = \"a\"\n");
    assert_eq!(read_keys_file(&path).unwrap().holders().len(), 1);
}
