//! Serving, and not serving any more.

use super::*;
use answerback_protocol::frames::{About, ErrorNotice, Serving, Unserved};

impl Script {
    fn confirms(&mut self, action: &'static str) {
        self.says(Serving { action: action.into() }, "");
    }

    fn confirms_end(&mut self, action: &'static str) {
        self.says(Unserved { action: action.into() }, "");
    }

    fn refuses(&mut self, action: &'static str) {
        let about = Some(About::Action(action.into()));
        self.says(ErrorNotice { code: Code::Denied, message: "m".into(), about, fatal: false }, "");
    }
}

#[test]
fn an_action_is_served_when_the_server_says_so() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    assert_eq!(script.said(), ["serve a 4"]);
    assert!(script.events().is_empty());
    script.confirms("a");
    assert_eq!(script.events(), ["serving a"]);
    assert_eq!(script.session.served(), [("a".into(), 4)]);
}

#[test]
fn a_credit_can_be_changed() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    script.said();
    script.session.serve("a", 8);
    assert_eq!(script.said(), ["serve a 8"]);
    script.confirms("a");
    assert!(script.events().is_empty());
    script.confirms("a");
    assert_eq!(script.events(), ["serving a"]);
}

#[test]
fn a_credit_is_what_can_be_written() {
    let mut script = Script::welcome();
    script.session.serve("a", 0);
    script.session.serve("b", u32::MAX);
    assert_eq!(script.said(), ["serve a 1", "serve b 65535"]);
}

#[test]
fn what_is_served_is_said_on_every_connection() {
    let mut script = Script::away();
    script.session.serve("b", 1);
    script.session.serve("a", 4);
    script.connect(false);
    assert_eq!(script.said(), ["serve a 4", "serve b 1"]);
    script.confirms("a");
    for resumed in [true, false] {
        script.come_back(resumed);
        assert_eq!(script.said(), ["resume []", "serve a 4", "serve b 1"]);
    }
}

#[test]
fn an_action_that_is_refused_is_not_served_again() {
    let mut script = Script::welcome();
    script.session.serve("$a", 4);
    script.said();
    script.refuses("$a");
    assert_eq!(script.events(), ["refused $a denied"]);
    script.come_back(true);
    assert_eq!(script.said(), ["resume []"]);
    assert!(script.session.served().is_empty());
}

#[test]
fn unserve_is_said_and_confirmed() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    script.said();
    script.confirms("a");
    script.session.unserve("a");
    assert_eq!(script.said(), ["unserve a"]);
    assert!(script.session.served().is_empty());
    script.confirms_end("a");
    assert_eq!(script.events(), ["serving a", "unserved a"]);
    script.come_back(true);
    assert_eq!(script.said(), ["resume []"]);
}

#[test]
fn unserve_is_said_again_until_it_is_confirmed() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    script.said();
    script.session.unserve("a");
    script.said();
    script.come_back(true);
    assert_eq!(script.said(), ["resume []", "unserve a"]);
    script.confirms_end("a");
    assert_eq!(script.events(), ["unserved a"]);
}

#[test]
fn a_new_session_serves_nothing_that_would_have_to_be_taken_back() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    script.said();
    script.session.unserve("a");
    script.session.disconnected(script.now);
    script.greet();
    script.says(script.welcome_frame(false), "");
    assert_eq!(script.events(), ["unserved a", "welcome here false"]);
    assert_eq!(script.said(), ["resume []"]);
}

#[test]
fn unserve_of_what_was_never_said_needs_no_server() {
    let mut script = Script::away();
    script.session.serve("a", 4);
    script.session.unserve("a");
    script.session.unserve("b");
    assert_eq!(script.events(), ["unserved a", "unserved b"]);
    script.connect(false);
    assert!(script.said().is_empty());
}

#[test]
fn unserve_of_what_a_new_session_was_not_told_needs_no_server() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    script.said();
    script.come_back(false);
    script.session.unserve("a");
    assert_eq!(script.events(), ["unserved a"]);
    assert_eq!(script.said(), ["resume []"]);
}

#[test]
fn only_the_last_word_counts() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    script.said();
    script.session.unserve("a");
    script.said();
    script.session.serve("a", 2);
    script.confirms("a");
    script.confirms_end("a");
    assert!(script.events().is_empty());
    assert_eq!(script.said(), ["serve a 2"]);
    script.confirms("a");
    assert_eq!(script.events(), ["serving a"]);
}

#[test]
fn words_about_actions_that_nobody_asked_for_are_ignored() {
    let mut script = Script::welcome();
    script.confirms("a");
    script.confirms_end("a");
    script.refuses("a");
    script.session.serve("a", 4);
    script.confirms("a");
    assert!(script.events().is_empty());
    assert_eq!(script.said(), ["serve a 4"]);
}
