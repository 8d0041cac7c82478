//! `keys check`: every mistake in a keys file, or who may do what. Never a secret.

use crate::args::{Common, Keys as Args, KeysCheck, KeysCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::told;
use crate::print::line;
use crate::table::Column::Words;
use crate::table::Table;
use answerback_keys::holders::KeysFileProblem;
use answerback_keys::{HolderEntry, KeyRing, KeysFileError, Pattern, read_keys_file};
use serde_json::{Value, json};

pub(crate) fn run(common: &Common, args: &Args) -> Outcome {
    let KeysCommand::Check(KeysCheck { file }) = &args.command;
    let ring = read_keys_file(file).map_err(|error| wrong(&error))?;
    line(&if common.json { told(&json_of(&ring)) } else { table(&ring).to_string() })?;
    Ok(Exit::Ok)
}

fn wrong(error: &KeysFileError) -> Failure {
    match error.problem() {
        KeysFileProblem::Mistakes(mistakes) => {
            let lines = mistakes.to_string();
            let next = "mend them; the server goes on with the keys that it has until it is told to read them again";
            Failure::new(Exit::Usage, error.summary(), next).with(lines.lines().map(str::to_owned))
        }
        _ => Failure::new(Exit::Other, error.what(), error.advice()),
    }
}

fn table(ring: &KeyRing) -> Table {
    let heads = ["HOLDER", "KEYS", "CALL", "SERVE", "PUBLISH", "SUBSCRIBE", "ADMIN", "PEER", "CERTIFICATE"];
    let mut table = Table::new(&heads.map(Words));
    for holder in ring.holders() {
        let [call, serve, publish, subscribe] = holder.grants().map(|(_, patterns)| {
            let patterns: Vec<_> = patterns.iter().map(Pattern::as_str).collect();
            listed(&patterns)
        });
        let [admin, peer] = [holder.admin, holder.peer].map(|has| if has { "yes" } else { "-" }.to_owned());
        let certificate = holder.certificate.as_deref().unwrap_or("-").to_owned();
        let keys = listed(&keys(holder));
        table.row([holder.id.to_string(), keys, call, serve, publish, subscribe, admin, peer, certificate]);
    }
    table
}

fn listed(words: &[&str]) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

fn keys(holder: &HolderEntry) -> Vec<&str> {
    holder.keys.iter().map(|key| key.id.as_str()).collect()
}

fn json_of(ring: &KeyRing) -> Value {
    let holders = ring.holders().iter().map(|holder| {
        let mut told = json!({ "id": &*holder.id, "keys": keys(holder) });
        for (grant, patterns) in holder.grants() {
            told[grant] = patterns.iter().map(Pattern::as_str).collect();
        }
        told["admin"] = holder.admin.into();
        told["peer"] = holder.peer.into();
        told["certificate"] = holder.certificate.as_deref().into();
        told
    });
    json!({ "holders": holders.collect::<Vec<_>>() })
}
