//! The command line itself: help, mistakes, completions, man pages.

use crate::bed::{Bed, finish, tool};

const COMMANDS: [&str; 18] = [
    "publish",
    "subscribe",
    "call",
    "send",
    "serve",
    "ls",
    "top",
    "explain",
    "bench",
    "check",
    "drain",
    "keygen",
    "keys",
    "reload",
    "store",
    "completions",
    "man",
    "peers",
];

/// Commands below others.
const BELOW: [(&str, &str); 4] = [("keys", "check"), ("store", "inspect"), ("store", "export"), ("store", "import")];

#[test]
fn mistakes_are_told_in_lines_with_what_to_do() {
    for (arguments, words, next) in [
        (&["nonsense"][..], "unrecognized subcommand 'nonsense'", "next: answerback --help"),
        (&["call"], "<ACTION>", "next: answerback call --help"),
        (&["call", "a", "--ttl", "5"], "a duration has a unit", "next: answerback call --help"),
        (&["call", "a", "--timeout", "0"], "nothing is answered in no time", "next: answerback call --help"),
        (&["store", "inspect"], "<DIR>", "next: answerback store inspect --help"),
        (&["drain", "--deadline", "10"], "a duration has a unit", "next: answerback drain --help"),
        (&["keygen", "a/b/c"], "the id of a key is 1 to 64 letters", "next: answerback keygen --help"),
        (&["keygen", "--salt", "aaaqeayeaudaocajbifqydiob4"], "--passphrase", "next: answerback keygen --help"),
        (&["keygen", "billing", "--rotate", "x"], "cannot be used with", "next: answerback keygen --help"),
        (&["keys", "check"], "<FILE>", "next: answerback keys check --help"),
        (&["reload", "--admin", "nowhere"], "an address is HOST:PORT", "next: answerback reload --help"),
        (&["ls", "--server", "nowhere"], "an address is HOST:PORT", "next: answerback ls --help"),
        (&["call", "a", "--broadcast", "--key", "k"], "cannot be used with", "next: answerback call --help"),
    ] {
        let told = finish(tool(arguments), "");
        told.failed(2, words);
        assert_eq!(told.err.lines().last(), Some(next));
    }
    assert_eq!(finish(tool(&["help", "call"]), "").code, 0);
    let nothing = finish(tool(&[]), "");
    assert!(nothing.code == 2 && nothing.err.contains("Commands:"), "{nothing:?}");
}

#[test]
fn help_is_no_error_and_shows_the_exit_codes() {
    let help = finish(tool(&["--help"]), "");
    assert_eq!(help.code, 0);
    for words in ["Exit codes:", "4 no handler", "ANSWERBACK_SERVER", "[default: 127.0.0.1:7040]"] {
        assert!(help.out.contains(words), "{words}: {}", help.out);
    }
    for command in COMMANDS {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}");
        assert_eq!(finish(tool(&[command, "--help"]), "").code, 0);
    }
    for (above, command) in BELOW {
        assert_eq!(finish(tool(&[above, command, "--help"]), "").code, 0);
    }
    assert!(finish(tool(&["--version"]), "").out.starts_with("answerback "));
}

#[test]
fn several_servers_are_tried_in_turn() {
    let bed = Bed::start();
    let address = bed.address.to_string();
    let mut command = tool(&["call", "$echo", "1"]);
    command.env("ANSWERBACK_SERVER", format!("127.0.0.1:1,{address}"));
    finish(command, "").printed("1\n");
    finish(tool(&["--server", "127.0.0.1:1", "--server", &address, "call", "$echo", "1"]), "").printed("1\n");
    let none = finish(tool(&["--server", "127.0.0.1:1", "--server", "127.0.0.1:2", "ls"]), "");
    none.failed(6, "cannot connect to any of 127.0.0.1:1, 127.0.0.1:2");
}

#[test]
fn completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = finish(tool(&["completions", shell]), "");
        assert_eq!(script.code, 0);
        for command in COMMANDS {
            assert!(script.out.contains(command), "{shell}: {command}");
        }
    }
    finish(tool(&["completions", "tcl"]), "").failed(2, "tcl");
}

#[test]
fn a_man_page_and_one_for_each_command() {
    let page = finish(tool(&["man"]), "");
    assert!(page.code == 0 && page.out.contains(".TH answerback 1"), "{page:?}");
    assert!(page.out.contains("SUBCOMMANDS") && page.out.contains(".SH NOTES\n.nf\n"), "{page:?}");
    let bed = Bed::start();
    let dir = bed.place.join("man1");
    let written = finish(tool(&["man", "--dir", dir.to_str().unwrap()]), "");
    assert_eq!((written.code, written.out.lines().count()), (0, COMMANDS.len() + BELOW.len() + 1));
    for command in COMMANDS {
        let page = std::fs::read_to_string(dir.join(format!("answerback-{command}.1"))).unwrap();
        assert!(page.contains(&format!("answerback\\-{command}")), "{command}");
    }
    for (above, command) in BELOW {
        let page = std::fs::read_to_string(dir.join(format!("answerback-{above}-{command}.1"))).unwrap();
        assert!(page.contains(&format!("answerback\\-{above}\\-{command}")), "{command}");
    }
    finish(tool(&["man", "--dir", "/proc/nowhere"]), "").failed(1, "cannot write the man pages");
}
