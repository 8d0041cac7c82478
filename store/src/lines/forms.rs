//! What stands in the line of an item, member by member.

use super::{CALENDAR, Line, WrongLine, base64, is_control, moment, text_of};
use crate::codec::heads;
use answerback_broker::{Caller, Item, ItemId, Progress, SavedKept, SavedRequest, SavedStored, Time, is_sound_key};
use answerback_protocol::limits::{
    ATTEMPTS_MAX, CLIENT_NAME_BYTES_MAX, FRAME_BYTES_MOST, KEY_BYTES_MAX, NAME_BYTES_MAX, TRACE_BYTES_MAX,
};
use answerback_protocol::names::is_sound;
use answerback_protocol::{Payload, RequestId, SessionId};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemForm<'a> {
    item: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    request: Option<RequestForm<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    kept: Option<KeptForm<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    stored: Option<StoredForm<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestForm<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    durable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<CallerForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    received: String,
    expires: String,
    deadline: String,
    attempts: u16,
    #[serde(default, skip_serializing_if = "is_false")]
    info: bool,
    origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressForm>,
    #[serde(borrow, default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptForm<'a> {
    caller: CallerForm,
    #[serde(borrow)]
    name: Cow<'a, str>,
    durable: bool,
    #[serde(borrow)]
    reply: Cow<'a, RawValue>,
    #[serde(borrow, default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredForm<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    durable: bool,
    until: String,
    fingerprint: String,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    fault: Option<Cow<'a, RawValue>>,
    #[serde(borrow, default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallerForm {
    session: String,
    id: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgressForm {
    attempt: u16,
    deliveries: u16,
    parts: u32,
    delivered: bool,
    may_have_run: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handler: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// `null` is data too, and not the same as none.
fn some<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

pub(super) fn write(id: ItemId, item: &Item) -> String {
    let empty = ItemForm { item: id.0, request: None, kept: None, stored: None };
    text_of(&match item {
        Item::Request(request) => ItemForm { request: Some(request_form(request)), ..empty },
        Item::Kept(kept) => ItemForm { kept: Some(kept_form(kept)), ..empty },
        Item::Stored(stored) => ItemForm { stored: Some(stored_form(stored)), ..empty },
    })
}

pub(super) fn read(text: &str) -> Result<Line, WrongLine> {
    let form: ItemForm<'_> = serde_json::from_str(text)?;
    let item = match (form.request, form.kept, form.stored) {
        (Some(request), None, None) => Item::Request(Box::new(read_request(request)?)),
        (None, Some(kept), None) => Item::Kept(Box::new(read_kept(kept)?)),
        (None, None, Some(stored)) => Item::Stored(Box::new(read_stored(stored)?)),
        _ => return Err(WrongLine::new("an item is one of \"request\", \"kept\" and \"stored\"")),
    };
    match form.item {
        0 | u64::MAX => Err(WrongLine::new("the number of an item is from 1 to 18446744073709551614")),
        id => Ok(Line::Item(ItemId(id), item)),
    }
}

fn request_form(request: &SavedRequest) -> RequestForm<'_> {
    let (data, data_base64) = data_form(&request.data);
    RequestForm {
        action: (&*request.action).into(),
        from: (&*request.from).into(),
        durable: request.durable,
        caller: request.caller.as_ref().map(caller_form),
        key: request.key.as_deref().map(str::to_owned),
        trace: request.trace.as_deref().map(str::to_owned),
        received: time_form(request.received),
        expires: time_form(request.expires),
        deadline: time_form(request.deadline),
        attempts: request.attempts,
        info: request.info,
        origin: format!("{:016x}", request.origin),
        progress: (request.progress != Progress::default()).then(|| progress_form(&request.progress)),
        data,
        data_base64,
    }
}

fn read_request(form: RequestForm<'_>) -> Result<SavedRequest, WrongLine> {
    if !(1..=ATTEMPTS_MAX).contains(&form.attempts.into()) {
        return Err(WrongLine::new(format!("\"attempts\" is from 1 to {ATTEMPTS_MAX}")));
    }
    form.key.as_deref().map_or(Ok(()), check_key)?;
    form.trace.as_deref().map_or(Ok(()), |text| check_name("trace", text, TRACE_BYTES_MAX))?;
    check_name("from", &form.from, CLIENT_NAME_BYTES_MAX)?;
    Ok(SavedRequest {
        caller: form.caller.map(|caller| read_caller(&caller)).transpose()?,
        origin: read_hex(&form.origin, 16, "origin")? as u64,
        action: read_action(&form.action)?.into(),
        from: form.from.into(),
        key: form.key.map(String::into_boxed_str),
        trace: form.trace.map(String::into_boxed_str),
        data: read_data(form.data, form.data_base64.as_deref())?,
        received: read_time(&form.received)?,
        expires: read_time(&form.expires)?,
        deadline: read_time(&form.deadline)?,
        attempts: form.attempts,
        info: form.info,
        durable: form.durable,
        progress: form.progress.map(|progress| read_progress(&progress)).transpose()?.unwrap_or_default(),
    })
}

fn kept_form(kept: &SavedKept) -> KeptForm<'_> {
    let (data, data_base64) = data_form(&kept.data);
    KeptForm {
        caller: caller_form(&kept.caller),
        name: (&*kept.name).into(),
        durable: kept.durable,
        reply: raw(heads::reply_text(&kept.reply)),
        data,
        data_base64,
    }
}

fn read_kept(form: KeptForm<'_>) -> Result<SavedKept, WrongLine> {
    check_name("name", &form.name, CLIENT_NAME_BYTES_MAX)?;
    Ok(SavedKept {
        caller: read_caller(&form.caller)?,
        name: form.name.into(),
        reply: read_head(&form.reply)?,
        data: read_data(form.data, form.data_base64.as_deref())?,
        durable: form.durable,
    })
}

fn stored_form(stored: &SavedStored) -> StoredForm<'_> {
    let (data, data_base64) = data_form(&stored.data);
    StoredForm {
        action: (&*stored.action).into(),
        key: (&*stored.key).into(),
        durable: stored.durable,
        until: time_form(stored.until),
        fingerprint: format!("{:032x}", stored.fingerprint),
        fault: stored.error.as_deref().map(|error| raw(heads::error_text(error))),
        data,
        data_base64,
    }
}

fn read_stored(form: StoredForm<'_>) -> Result<SavedStored, WrongLine> {
    check_key(&form.key)?;
    let error = form.fault.map(|head| match read_head(&head)?.error {
        Some(error) => Ok(error),
        None => Err(WrongLine::new("\"fault\" is a reply with an error")),
    });
    Ok(SavedStored {
        action: read_action(&form.action)?.into(),
        key: form.key.into(),
        fingerprint: read_hex(&form.fingerprint, 32, "fingerprint")?,
        until: read_time(&form.until)?,
        error: error.transpose()?,
        data: read_data(form.data, form.data_base64.as_deref())?,
        durable: form.durable,
    })
}

/// The name of an action that a client can have asked for.
fn read_action(action: &str) -> Result<&str, WrongLine> {
    check_name("action", action, NAME_BYTES_MAX)?;
    if action.starts_with('$') {
        Err(WrongLine::new("an action that starts with $ is the broker's own"))
    } else {
        Ok(action)
    }
}

fn check_name(what: &str, text: &str, most: usize) -> Result<(), WrongLine> {
    let wrong = || WrongLine::new(format!("\"{what}\" has 1 to {most} bytes and no control characters"));
    if is_sound(text, most) { Ok(()) } else { Err(wrong()) }
}

/// An idempotency key; on a server with keys it stands behind its holder.
fn check_key(text: &str) -> Result<(), WrongLine> {
    let wrong = || {
        WrongLine::new(format!(
            "\"key\" has 1 to {KEY_BYTES_MAX} bytes and no control characters; a holder and U+001F may stand before it"
        ))
    };
    if is_sound_key(text) { Ok(()) } else { Err(wrong()) }
}

fn caller_form(caller: &Caller) -> CallerForm {
    CallerForm { session: SessionId::new(caller.session).to_hex(), id: caller.id.get() }
}

fn read_caller(form: &CallerForm) -> Result<Caller, WrongLine> {
    let id = RequestId::new(form.id).ok_or_else(|| WrongLine::new("the \"id\" of a caller is below 2 to the 53"))?;
    Ok(Caller { session: read_session(&form.session, "session")?, id })
}

/// A session is not repeated in an error: it is a secret.
fn read_session(text: &str, what: &str) -> Result<u128, WrongLine> {
    SessionId::parse(text).map(SessionId::get).ok_or_else(|| WrongLine::new(format!("\"{what}\" is 32 hex digits")))
}

fn progress_form(progress: &Progress) -> ProgressForm {
    let &Progress { attempt, deliveries, parts, delivered, may_have_run, handler } = progress;
    let handler = handler.map(|session| SessionId::new(session).to_hex());
    ProgressForm { attempt, deliveries, parts, delivered, may_have_run, handler }
}

fn read_progress(form: &ProgressForm) -> Result<Progress, WrongLine> {
    let &ProgressForm { attempt, deliveries, parts, delivered, may_have_run, .. } = form;
    let handler = form.handler.as_deref().map(|text| read_session(text, "handler")).transpose()?;
    Ok(Progress { attempt, deliveries, parts, delivered, may_have_run, handler })
}

fn read_hex(text: &str, digits: usize, what: &str) -> Result<u128, WrongLine> {
    let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
    number.ok_or_else(|| WrongLine::new(format!("\"{what}\" is {digits} hex digits")))
}

fn time_form(time: Time) -> String {
    moment::print(CALENDAR.to_clock(time))
}

fn read_time(text: &str) -> Result<Time, WrongLine> {
    moment::parse(text).map(|micros| CALENDAR.from_clock(micros))
}

/// Data as JSON if a reader of it gets the same bytes again, else as base64.
fn data_form(data: &Payload) -> (Option<&RawValue>, Option<String>) {
    if data.is_empty() {
        return (None, None);
    }
    let text = std::str::from_utf8(data).ok().filter(|text| !text.chars().any(is_control));
    match text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok().filter(|raw| raw.get() == text)) {
        Some(raw) => (Some(raw), None),
        None => (None, Some(base64::encode(data))),
    }
}

fn read_data(data: Option<&RawValue>, data_base64: Option<&str>) -> Result<Payload, WrongLine> {
    let data = match (data, data_base64) {
        (Some(data), None) => Payload::copy_of(data.get().as_bytes()),
        (None, Some(text)) => {
            let wrong = || WrongLine::new("\"data_base64\" is not base64");
            Payload::from(base64::decode(text).ok_or_else(wrong)?)
        }
        (None, None) => Payload::NONE,
        (Some(_), Some(_)) => return Err(WrongLine::new("data is either \"data\" or \"data_base64\"")),
    };
    if data.len() > FRAME_BYTES_MOST as usize {
        return Err(WrongLine::new("data is more than a frame can hold"));
    }
    Ok(data)
}

fn raw(json: String) -> Cow<'static, RawValue> {
    // Heads are JSON by the way they are written.
    RawValue::from_string(json).map_or_else(|_| Cow::Borrowed(RawValue::NULL), Cow::Owned)
}

fn read_head(head: &RawValue) -> Result<answerback_protocol::frames::Reply<'static>, WrongLine> {
    heads::read_reply(head.get().as_bytes()).map_err(|_| WrongLine::new("the head of a reply is not one"))
}
