//! cargo run --example typed_errors
//!
//! A handler has an error type of its own. Its caller sees the code, the details, and whether to try again.

use answerback::{Code, Fault};
use answerback_examples::server;
use serde::{Deserialize, Serialize};

/// Everything that can go wrong with an order.
enum OrderError {
    OutOfStock { item: String, back_in_days: u32 },
    NoSuchItem,
}

#[derive(Serialize, Deserialize)]
struct OutOfStock {
    back_in_days: u32,
}

/// The one place that says how it looks from outside.
impl From<OrderError> for Fault {
    fn from(error: OrderError) -> Fault {
        match error {
            OrderError::OutOfStock { item, back_in_days } => Fault::new("out_of_stock", format!("no {item} left"))
                .retryable()
                .with_data(&OutOfStock { back_in_days }),
            OrderError::NoSuchItem => Fault::new("no_such_item", "this shop does not sell that"),
        }
    }
}

async fn order(item: String) -> Result<u32, OrderError> {
    match &*item {
        "bolt" => Ok(1815),
        "nut" => Err(OrderError::OutOfStock { item, back_in_days: 3 }),
        _ => Err(OrderError::NoSuchItem),
    }
}

#[tokio::main]
async fn main() -> Result<(), answerback::Error> {
    let client = answerback::connect(server()).await?;
    client.serve("order", order).await?;
    for item in ["bolt", "nut", "cloud"] {
        match client.call::<u32>("order", item).await {
            Ok(number) => println!("{item}: order {number}"),
            Err(error) if error.code() == Code::Fault => {
                let retry = if error.is_safe_to_retry() { "try again later" } else { "do not try again" };
                let details = error.fault().and_then(|fault| fault.data::<OutOfStock>().ok());
                let days = details.map(|stock| format!(", back in {} days", stock.back_in_days)).unwrap_or_default();
                println!("{item}: {error}{days}: {retry}");
            }
            Err(error) => return Err(error),
        }
    }
    client.close().await;
    Ok(())
}
