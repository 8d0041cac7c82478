//! cargo run --example sealed
//!
//! Two services with keys of their own, and a server that knows what each may do. It brings its own broker, so that all keys are in one place.

use answerback::{Client, Context};
use answerback_server::Keys;
use answerback_server::key_ring::holders::parse_keys_file;
use answerback_testing::{Settings, TestBroker};
use std::error::Error;

/// Everybody can read these, so nobody uses them: `answerback keygen billing -o billing.key` makes one that nobody can guess, and a service says `.key_file("billing.key")`.
const BILLING: &str = "abk1:billing:aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaw75sd2y";
const MAIL: &str = "abk1:mail:aibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibnv6zuem";
const STRANGER: &str = "abk1:billing:ambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydambysdlreu";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The server's keys file: who has which key, and may do what. What is not there is refused.
    let holders = format!(
        r#"
        [billing]
        keys = ["{BILLING}"]
        call = ["mail.*"]

        [mail]
        keys = ["{MAIL}"]
        serve = ["mail.>"]
        "#
    );
    let keys = Some(Keys::of(parse_keys_file(&holders)?));
    let broker = TestBroker::with(Settings { keys, ..Settings::default() }).await;
    let builder = || Client::builder(broker.address());

    let mail = builder().key_text(MAIL).name("mail-1").connect().await?;
    let send =
        |context: Context, to: String| async move { answerback::Ok(format!("{} wrote to {to}", context.caller())) };
    mail.serve("mail.send", send).await?;

    // The server knows the caller by its key: nobody else can say that it is billing.
    let billing = builder().key_text(BILLING).name("billing-1").connect().await?;
    println!("{}", billing.call::<String>("mail.send", "Ada").await?);

    for refused in [billing.call::<String>("user.get", 7).await, mail.call("mail.send", "Ada").await] {
        println!("{}", refused.err().map_or(String::new(), |error| error.to_string()));
    }
    for stranger in [builder().connect().await, builder().key_text(STRANGER).connect().await] {
        println!("{:?}", stranger.err().and_then(|error| error.obstacle()));
    }
    billing.close().await;
    mail.close().await;
    Ok(())
}
