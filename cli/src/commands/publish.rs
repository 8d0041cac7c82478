//! `publish`: an event to whoever subscribes now.

use crate::args::{Common, Publish as Args};
use crate::connection::with_client;
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::print::line;
use answerback::Client;
use bytes::Bytes;
use serde_json::json;

pub(crate) async fn run(common: &Common, args: &Args) -> Outcome {
    let data = json::data(args.data.as_deref())?;
    with_client(common, async |client, _| publish(common, args, client, data).await).await
}

async fn publish(common: &Common, args: &Args, client: &Client, data: Bytes) -> Outcome {
    let publish = match args.to {
        Some(number) => client.to(number).publish_raw(&args.topic, data),
        None => client.publish_raw(&args.topic, data),
    };
    publish.confirmed().await.map_err(|error| Failure::of_topic(error, &args.topic))?;
    line(&if common.json { json::told(&json!({ "published": true })) } else { "published".to_owned() })?;
    Ok(Exit::Ok)
}
