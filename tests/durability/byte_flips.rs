//! A real data directory whose files are damaged, one at a time, in many ways: the server starts, says what happened, keeps
//! what can be kept and never panics; with `--strict-store` it exits and changes nothing.

use crate::client::Client;
use crate::damage::{Damage, files, lay_out};
use crate::dice::Dice;
use crate::place::{Place, wait_for};
use crate::process::{Process, command};
use crate::site::{Site, kill, leave, metric, snapshots};
use crate::{rounds, seed};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Requests of each sort in the directory.
const REQUESTS: u64 = 200;

/// What the loss of a flipped bit, or of a piece that is zeroed or doubled, may be: the records that it touches.
const RECORDS_OF_A_PIECE: u64 = 10;

/// Calls whose answers are stored under a key.
const KEYS: u64 = 20;

type Files = BTreeMap<PathBuf, Vec<u8>>;

#[test]
fn a_damaged_store_is_told_and_what_can_be_kept_is_kept() {
    let (rounds, seed) = (rounds(30), seed(1));
    let mut dice = Dice::new(seed);
    let templates = [template(true), template(false)];
    let (mut losses, mut failures) = (0, Vec::new());
    for round in 0..rounds {
        let template = dice.pick(&templates);
        let hurt: Vec<&PathBuf> = template.keys().filter(|name| name.starts_with("store")).collect();
        let file = (*dice.pick(&hurt)).clone();
        let damage = Damage::random(&mut dice, template[&file].len());
        let story = format!(
            "round {round}: {damage:?} of {} ({} bytes); `SEED={seed} ROUNDS={rounds} cargo test -p answerback-tests --test durability flips`",
            file.display(),
            template[&file].len(),
        );
        // One damage says little about the others: all of them are looked at.
        match catch_unwind(AssertUnwindSafe(|| one(template, &file, damage, &story))) {
            Ok(lost) => losses += u64::from(lost),
            Err(_) => failures.push(story),
        }
    }
    assert!(failures.is_empty(), "{} of {rounds}, see above:\n{}", failures.len(), failures.join("\n"));
    assert!(losses > 0, "only {losses} of {rounds} damages lost something: they are too mild");
}

/// A directory with durable requests, others, and stored answers; of a server that was killed, or that left in order.
fn template(killed: bool) -> Files {
    let mut site = Site::new(&["--snapshot-interval", "50ms"]);
    let server = site.start();
    let mut client = Client::welcomed(server.address, "caller");
    for (kind, durable) in [("durable", true), ("plain", false)] {
        for number in 0..REQUESTS {
            let id = if durable { number } else { REQUESTS + number };
            let head = json!({ "type": "request", "id": id, "action": kind, "reply": false, "durable": durable });
            client.say(head.to_string(), json!(["x".repeat(180), number]).to_string());
        }
    }
    for _ in 0..2 * REQUESTS {
        assert_eq!(client.hear().head["type"], "accepted");
    }
    let mut handler = Client::serving(server.address, "handler", "keyed", 10);
    for key in 0..KEYS {
        let head = json!({ "type": "request", "id": 1_000 + key, "action": "keyed", "key": format!("k{key}"), "durable": key % 2 == 0 });
        client.say(head.to_string(), json!(key).to_string());
        let delivery = handler.hear();
        handler.answer(&delivery, json!(key).to_string());
        assert_eq!(client.hear().head["type"], "reply");
    }
    // Each snapshot is of a change, so they are made to come.
    let before = snapshots(&server);
    wait_for("two more snapshots", || {
        client.say(r#"{"type":"request","id":9000,"action":"$echo"}"#, "1");
        client.hear();
        let head = json!({ "type": "request", "id": 10_000 + snapshots(&server), "action": "other", "reply": false });
        client.say(head.to_string(), "1");
        client.hear();
        (snapshots(&server) >= before + 2).then_some(())
    });
    if killed {
        kill(server);
    } else {
        drop((client, handler));
        assert_eq!(leave(server).code(), Some(0));
    }
    files(&site.place.0)
}

/// Damages a copy, and says whether anything was lost.
fn one(template: &Files, file: &Path, damage: Damage, story: &str) -> bool {
    let site = copy(template, file, damage);
    let found = match start(&site) {
        Ok(found) => found,
        // What says which form the rest has may say that it is of a newer server; nobody touches it then.
        Err(said) => {
            assert!(file.ends_with("format") && !said.contains("panicked"), "does not start: {said}\n{story}");
            return true;
        }
    };
    let text = found.story(story);
    assert!(!found.said.contains("panicked"), "panicked: {text}");
    let in_journal = file.starts_with("store/journal");
    let whole = if in_journal { found.plain } else { found.durable };
    // Which generation counts, whether the last end was in order, how much there must be: none of it is worth a single request.
    let notes = ["store/current", "store/clean", "store/journal/newest"];
    let costs_nothing = notes.map(Path::new).contains(&file) || file.extension().is_some_and(|form| form == "sum");
    assert!(whole == REQUESTS || file.ends_with("format"), "lost what was in other files: {text}");
    assert!(!costs_nothing || found.is_whole(), "lost for nothing: {text}");
    if in_journal {
        let least = least_of_journal(damage, template[file].len());
        assert!(found.durable >= least, "{least} could be read: {text}");
    }
    if found.is_whole() || is_like_a_kill(file, damage) {
        return !found.is_whole();
    }
    assert!(found.said.contains("WARN"), "nothing was said: {text}");
    refuses_when_strict(template, file, damage, story);
    true
}

/// A journal that just ends earlier looks like one whose server was killed while it wrote: nobody can tell that more was there.
fn is_like_a_kill(file: &Path, damage: Damage) -> bool {
    file.starts_with("store/journal") && matches!(damage, Damage::Cut(_))
}

/// What must be readable at least of a journal with this damage.
fn least_of_journal(damage: Damage, length: usize) -> u64 {
    match damage {
        Damage::Flip(_) | Damage::Zero(_) | Damage::Double(_) | Damage::Append => REQUESTS - RECORDS_OF_A_PIECE,
        // Nearly all of it is requests, one behind the other; what ended them stands behind.
        Damage::Cut(place) => (REQUESTS * place as u64 / length as u64).saturating_sub(RECORDS_OF_A_PIECE),
        Damage::Empty | Damage::Remove => 0,
    }
}

fn copy(template: &Files, file: &Path, damage: Damage) -> Site {
    let site = Site::new(&["--snapshot-interval", "50ms"]);
    lay_out(template, &site.place.0);
    damage.hit(&site.place.0.join(file));
    site
}

/// What a server with a damaged store has.
struct Found {
    durable: u64,
    plain: u64,
    said: String,
}

impl Found {
    fn is_whole(&self) -> bool {
        self.durable == REQUESTS && self.plain == REQUESTS
    }

    fn story(&self, story: &str) -> String {
        format!("{} durable and {} others of {REQUESTS} each; {story}\n{}", self.durable, self.plain, self.said)
    }
}

/// Starts it, looks, and lets it go. Or what it said when it did not start.
fn start(site: &Site) -> Result<Found, String> {
    let mut server = start_or_end(site)?;
    let mut client = Client::welcomed(server.address, "looker");
    // Stored sends come while it serves already.
    wait_for("all that there is", || (metric(&server, "answerback_restoring") == 0.0).then_some(()));
    client.call(1, "$actions", "");
    let actions = client.hear().json();
    let queued = |name: &str| {
        let all = actions["actions"].as_array().unwrap();
        all.iter()
            .find(|action| action["action"] == name)
            .map_or(0, |action: &Value| action["queued"].as_u64().unwrap())
    };
    let (durable, plain) = (queued("durable"), queued("plain"));
    drop(client);
    server.signal(Signal::TERM);
    let status = server.end();
    let said = server.said_to_the_end();
    assert_eq!(status.code(), Some(0), "it leaves in order: {said}");
    Ok(Found { durable, plain, said })
}

fn start_or_end(site: &Site) -> Result<Process, String> {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", site.place.0.to_str().unwrap()]);
    command.args(&site.flags);
    Process::try_spawn(command)
}

/// With `--strict-store` a loss is a reason not to start, and nothing is changed.
fn refuses_when_strict(template: &Files, file: &Path, damage: Damage, story: &str) {
    let site = copy(template, file, damage);
    let before = store_files(&site.place);
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", site.place.0.to_str().unwrap()]);
    let mut child = command.arg("--strict-store").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let end = catch_unwind(AssertUnwindSafe(|| wait_for("a refusal", || child.try_wait().unwrap())));
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(end.ok().and_then(|status| status.code()), Some(1), "strict, and not refused: {story}\n{said}");
    assert!(!said.contains("panicked"), "panicked: {story}\n{said}");
    assert!(before == store_files(&site.place), "strict, and yet something was changed: {story}\n{said}");
}

fn store_files(place: &Place) -> Files {
    files(&place.0.join("store"))
}
