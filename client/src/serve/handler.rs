//! What can serve an action: async functions of their input.

use crate::fault::Fault;
use crate::raw::{decode, encode_answer};
use crate::serve::Context;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::pin::Pin;

/// An answer that is being worked on.
pub(crate) type Handling = Pin<Box<dyn Future<Output = Result<Bytes, Fault>> + Send>>;

/// An async function that serves an action: of its input, or of a [`Context`] and its input. `A` only tells the two apart.
///
/// Its input is read by serde, its output written by serde, and its error becomes a [`Fault`]. In a closure whose error type nothing
/// else decides, [`answerback::Ok`](crate::Ok) does.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// use answerback::{Context, Fault};
///
/// async fn half(number: u32) -> Result<u32, Fault> {
///     if number % 2 == 1 { Err(Fault::new("odd", "only even numbers have halves")) } else { Ok(number / 2) }
/// }
///
/// client.serve("math.half", half).await?;
/// client.serve("who", |ctx: Context, (): ()| async move { answerback::Ok(ctx.caller().to_owned()) }).await?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "this cannot serve an action",
    label = "not an async function of one input",
    note = "a handler is an async function of its input, or of an `answerback::Context` and its input; several arguments are one tuple: `|(a, b): (i64, i64)| async move {{ … }}`, none is `()`: `|(): ()| async move {{ … }}`",
    note = "it returns `Result<O, E>`, where `O` is `Serialize` and `E` becomes an `answerback::Fault`; where nothing decides `E`, end with `answerback::Ok(value)`",
    note = "the function and its future are `Send + Sync + 'static` and `Send + 'static`"
)]
pub trait Handler<A>: Send + Sync + 'static {
    /// Starts the work for one call.
    #[doc(hidden)]
    fn handle(&self, context: Context, data: Bytes) -> Handling;
}

impl<F, I, O, E, W> Handler<(I,)> for F
where
    F: Fn(I) -> W + Send + Sync + 'static,
    W: Future<Output = Result<O, E>> + Send + 'static,
    I: DeserializeOwned + 'static,
    O: Serialize + 'static,
    E: Into<Fault>,
{
    fn handle(&self, context: Context, data: Bytes) -> Handling {
        answering(context, data, self)
    }
}

impl<F, I, O, E, W> Handler<(Context, I)> for F
where
    F: Fn(Context, I) -> W + Send + Sync + 'static,
    W: Future<Output = Result<O, E>> + Send + 'static,
    I: DeserializeOwned + 'static,
    O: Serialize + 'static,
    E: Into<Fault>,
{
    fn handle(&self, context: Context, data: Bytes) -> Handling {
        answering(context.clone(), data, |input| self(context, input))
    }
}

/// Reads the input, starts the function, waits for it and writes what it says.
fn answering<I, O, E, W>(context: Context, data: Bytes, start: impl FnOnce(I) -> W) -> Handling
where
    I: DeserializeOwned + 'static,
    O: Serialize + 'static,
    E: Into<Fault>,
    W: Future<Output = Result<O, E>> + Send + 'static,
{
    let work = match decode(data) {
        Ok(input) => start(input),
        Err(error) => return Box::pin(std::future::ready(Err(bad_data(&context, &error)))),
    };
    Box::pin(async move {
        let output = work.await.map_err(Into::into)?;
        encode_answer(output).map_err(|error| {
            Fault::new("bad_answer", format!("the answer of {} cannot be JSON: {error}", context.action()))
        })
    })
}

/// The caller sent something that the handler does not take.
fn bad_data(context: &Context, error: &serde_json::Error) -> Fault {
    Fault::new("bad_data", format!("this is not the data that {} takes: {error}", context.action()))
}

/// A handler whose kind nobody needs to know any more.
pub(crate) trait Erased: Send + Sync {
    fn handle(&self, context: Context, data: Bytes) -> Handling;
}

/// Holds a handler and forgets its `A`.
pub(crate) struct Erase<H, A>(H, std::marker::PhantomData<fn() -> A>);

impl<H: Handler<A>, A> Erase<H, A> {
    pub(crate) fn new(handler: H) -> Self {
        Self(handler, std::marker::PhantomData)
    }
}

impl<H: Handler<A>, A> Erased for Erase<H, A> {
    fn handle(&self, context: Context, data: Bytes) -> Handling {
        self.0.handle(context, data)
    }
}
