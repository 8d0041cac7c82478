//! `explain`: why requests wait, in words.

use super::ls::show;
use crate::args::{Common, Explain as Args};
use crate::connection::{ask, look, with_client};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::one_line;
use crate::print::{escaped, line};
use crate::table::Column::{Figures, Words};
use crate::table::Table;
use crate::units::show_ms;
use answerback::Client;
use serde::Deserialize;
use serde_json::{Value, json};

/// The answer of `$explain`.
#[derive(Debug, Deserialize)]
struct Explained {
    text: String,
    #[serde(default)]
    waiting: Vec<Waiting>,
    #[serde(default)]
    more: u64,
}

/// A request that waits. A send has no client.
#[derive(Debug, Deserialize)]
struct Waiting {
    client: Option<u64>,
    id: Option<u64>,
    name: String,
    waits_ms: u64,
    left_ms: u64,
}

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    with_client(common, async |client, _| explain(common, args, client).await).await
}

async fn explain(common: &Common, args: &Args, client: &Client) -> Outcome {
    let question = question(&args.what).to_string();
    if common.json {
        line(&one_line(ask(client, "$explain", question).await?.as_bytes()))?;
    } else {
        tell(&look(client, "$explain", question).await?)?;
    }
    Ok(Exit::Ok)
}

/// `12:7` is a request, anything else an action.
fn question(what: &str) -> Value {
    let request = what.split_once(':').map(|(client, id)| (client.parse::<u64>(), id.parse::<u64>()));
    match request {
        Some((Ok(client), Ok(id))) => json!({ "client": client, "id": id }),
        _ => json!({ "action": what }),
    }
}

fn tell(explained: &Explained) -> Result<(), Failure> {
    line(&escaped(&explained.text))?;
    if explained.waiting.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[Words("REQUEST"), Words("OF"), Figures("WAITS FOR"), Figures("MAY WAIT FOR")]);
    for waiting in &explained.waiting {
        let request = match (waiting.client, waiting.id) {
            (Some(client), Some(id)) => format!("{client}:{id}"),
            _ => "a send".to_owned(),
        };
        table.row([request, waiting.name.clone(), show_ms(waiting.waits_ms), show_ms(waiting.left_ms)]);
    }
    line("")?;
    show(&table, explained.more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_are_a_request_and_all_else_an_action() {
        assert_eq!(question("12:7"), json!({ "client": 12, "id": 7 }));
        for action in ["user.get", "a:7", "12:", "1:2:3", "12"] {
            assert_eq!(question(action), json!({ "action": action }));
        }
    }
}
