//! What `ttl` and `timeout` mean on this side.

use super::*;

fn asked(ttl: Option<u64>, timeout: Option<u64>) -> impl FnOnce(&mut Ask) {
    move |ask| (ask.ttl, ask.timeout, ask.reply) = (ttl.map(ms), timeout.map(ms), timeout.is_some())
}

fn times(script: &mut Script) -> Vec<String> {
    let heads = script.said_in_full().into_iter().map(|(head, _)| head).filter(|head| head.contains("request"));
    heads.map(|head| head[head.find("\"a\"").unwrap() + 3..].trim_end_matches('}').to_owned()).collect()
}

#[test]
fn an_unsaid_call_ends_at_its_timeout_and_did_not_run() {
    let mut script = Script::away();
    script.asks(1, asked(None, Some(100)));
    script.wait(99).unwrap();
    assert_eq!(script.outcome(1), "");
    script.wait(1).unwrap();
    assert_eq!(script.outcome(1), "timeout no");
    assert_eq!(script.session.poll_timeout(), None);
}

#[test]
fn an_unsaid_call_ends_at_its_ttl_if_that_is_shorter() {
    let mut script = Script::away();
    script.asks(1, asked(Some(50), Some(100)));
    script.asks(2, asked(Some(100), Some(60)));
    script.wait(50).unwrap();
    assert_eq!((script.outcome(1), script.outcome(2)), ("expired no".into(), String::new()));
    script.wait(10).unwrap();
    assert_eq!(script.outcome(2), "timeout no");
}

#[test]
fn a_ttl_of_nothing_does_not_wait_for_a_connection() {
    let mut script = Script::away();
    script.asks(1, asked(Some(0), Some(100)));
    assert_eq!(script.outcome(1), "expired no");
    script.connect(false);
    script.asks(2, asked(Some(0), Some(100)));
    assert_eq!(times(&mut script), [r#","ttl":0,"timeout":100"#]);
    script.asks(3, asked(Some(0), Some(100)));
    script.session.disconnected(script.now);
    assert_eq!((script.outcome(2), script.outcome(3)), (String::new(), "expired no".into()));
}

#[test]
fn a_send_without_timeout_waits_for_a_connection_for_ever() {
    let mut script = Script::away();
    script.asks(1, asked(None, None));
    assert_eq!(script.session.poll_timeout(), None);
    script.wait(100_000_000).unwrap();
    script.connect(false);
    assert_eq!(times(&mut script), [r#","reply":false"#]);
    script.accepts(1);
    assert_eq!(script.outcome(1), "ok ");
}

#[test]
fn what_is_written_is_what_is_left_rounded_up() {
    let mut script = Script::away();
    script.asks(1, asked(Some(1_000), Some(2_000)));
    script.now += Duration::from_micros(300_500);
    script.connect(false);
    assert_eq!(times(&mut script), [r#","ttl":700,"timeout":1700"#]);
}

#[test]
fn a_ttl_of_less_than_a_millisecond_is_not_none() {
    let mut script = Script::away();
    script.asks(1, |ask| ask.ttl = Some(Duration::from_micros(900)));
    script.now += Duration::from_micros(800);
    script.connect(false);
    assert_eq!(times(&mut script), [r#","ttl":1,"timeout":30000"#]);
}

#[test]
fn a_call_that_is_late_when_it_could_be_written_is_not_written() {
    let mut script = Script::welcome();
    script.asks(1, asked(Some(10), Some(100)));
    script.asks(2, asked(None, Some(10)));
    script.now += ms(10);
    assert!(script.said().is_empty());
    assert_eq!((script.outcome(1), script.outcome(2)), ("expired no".into(), "timeout no".into()));
}

#[test]
fn a_call_whose_time_is_up_when_it_is_made_is_refused() {
    let mut script = Script::welcome();
    script.asks(1, asked(None, Some(0)));
    assert_eq!(script.outcome(1), "timeout no");
}

#[test]
fn a_call_that_was_said_waits_a_little_longer_for_the_servers_word() {
    let mut script = Script::welcome();
    script.asks(1, asked(Some(10), Some(100)));
    script.said();
    script.wait(100 + PATIENCE_MS - 1).unwrap();
    assert_eq!(script.outcome(1), "");
    script.wait(1).unwrap();
    assert_eq!((script.outcome(1), script.session.calls()), ("timeout maybe".into(), 0));
    script.answers(1, "1");
    assert_eq!(script.outcome(1), "timeout maybe");
}

#[test]
fn an_announcement_says_what_is_left_and_never_a_timeout_of_nothing() {
    let mut script = Script::welcome();
    script.asks(1, asked(Some(50), Some(100)));
    script.said();
    script.wait(20).unwrap();
    script.come_back(true);
    assert_eq!(times(&mut script), [r#","ttl":30,"timeout":80,"again":true"#]);
    script.wait(200).unwrap();
    script.come_back(true);
    assert_eq!(times(&mut script), [r#","ttl":0,"timeout":1,"again":true"#]);
}

#[test]
fn durations_without_end_are_a_year() {
    let mut script = Script::welcome();
    script.asks(1, |ask| (ask.ttl, ask.timeout) = (Some(Duration::MAX), Some(Duration::MAX)));
    assert_eq!(times(&mut script), [r#","ttl":31536000000,"timeout":31536000000"#]);
    assert!(script.session.poll_timeout().is_some());
    script.session.handle_timeout(script.now).unwrap();
}

#[test]
fn deadlines_are_looked_at_once_a_millisecond_at_most() {
    let mut script = Script::away();
    for id in 1..=200 {
        script.asks(id, |ask| ask.timeout = Some(Duration::from_micros(1_000 + 100 * id)));
    }
    let (start, mut looks) = (script.now, 0);
    while let Some(due) = script.session.poll_timeout() {
        script.now = due;
        script.session.handle_timeout(due).unwrap();
        looks += 1;
    }
    assert_eq!(script.session.calls(), 0);
    assert!(looks <= 22, "{looks} looks in {:?}", script.now - start);
}

#[test]
fn each_call_ends_at_its_own_time() {
    let mut script = Script::away();
    for (id, timeout) in [(1, 300), (2, 100), (3, 200)] {
        script.asks(id, asked(None, Some(timeout)));
    }
    for (id, before) in [(2, 2), (3, 1), (1, 0)] {
        script.wait(100).unwrap();
        assert_eq!((script.outcome(id), script.session.calls()), ("timeout no".into(), before));
    }
}
