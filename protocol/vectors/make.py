"""Writes valid.jsonl and invalid.jsonl. Run it in this folder after a change: python3 make.py

It knows nothing of the Rust code: each vector is written down from docs/PROTOCOL.md, and a test holds the code against it.
"""
import json
import struct

SESSION = "8f14e45fceea167a5a36dedd4bea2543"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TOP = 2**53 - 1
LIMIT = 8388608
valid_lines, invalid_lines = [], []


def frame(head, data=b""):
    return struct.pack(">IH", 2 + len(head) + len(data), len(head)) + head + data


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def valid(name, side, head, means=None, data="", exact=None):
    """`head` is a dict or the text of a head; `means` is what is understood, if that is not simply what stands there."""
    text = head if isinstance(head, str) else compact(head)
    means = json.loads(text) if means is None else means
    exact = text == compact(means) if exact is None else exact
    vector = {"name": name, "side": side, "hex": frame(text.encode(), data.encode()).hex(), "head": means, "data": data}
    valid_lines.append(vector | ({"exact": True} if exact else {}))


def invalid_bytes(name, side, raw, error):
    invalid_lines.append({"name": name, "side": side, "hex": raw.hex(), "error": error})


def invalid(name, side, head, error):
    head = compact(head) if isinstance(head, dict) else head
    invalid_bytes(name, side, frame(head if isinstance(head, bytes) else head.encode()), error)


def request(**members):
    return {"type": "request", "id": 1, "action": "a"} | members


# --- every kind, with every member, as this project writes it ---

CLIENT = {
    "hello": {"type": "hello", "protocol": [1, 1], "name": "web-1", "session": SESSION},
    "hello with agent": {"type": "hello", "protocol": [1, 3], "name": "web-1", "session": SESSION, "agent": "x/1"},
    "hello of a server": {"type": "hello", "protocol": [1, 1], "name": "server1", "session": SESSION, "node": TOP},
    "serve": {"type": "serve", "action": "user.get", "credit": 64},
    "unserve": {"type": "unserve", "action": "user.get"},
    "request": {"type": "request", "id": 1, "action": "user.get"},
    "request with all that a call may say": request(
        ttl=500, timeout=2000, attempts=2, durable=True, key="order 7", info=True, trace=TRACE
    ),
    "request, passed on": request(attempts=1, via={"from": "web-1", "path": [7], "attempt": 1}),
    "request, broadcast and passed on": request(
        broadcast=True, via={"from": "web-1", "path": [7], "attempt": 1, "cast": 11}
    ),
    "request, on its way to the home of its key": request(
        key="order 7", via={"from": "shop/web-1", "path": [7, 8], "attempt": 2, "holder": "shop", "home": 9}
    ),
    "offer": {"type": "offer", "action": "user.get", "credit": 64, "path": [7, 8]},
    "offer of the busy": {"type": "offer", "action": "user.get", "credit": 0, "path": [7]},
    "offer taken back": {"type": "offer", "action": "user.get", "credit": 0, "path": []},
    "request, broadcast": request(ttl=0, broadcast=True, attempts=1),
    "request, send": request(reply=False),
    "cancel": {"type": "cancel", "id": 1},
    "reply": {"type": "reply", "id": 9},
    "reply with error": {"type": "reply", "id": 9, "error": {"code": "no", "message": "no", "retryable": True}},
    "reply with part and error": {
        "type": "reply", "id": 9, "error": {"code": "no", "message": ""}, "part": True, "seq": 3
    },
    "release": {"type": "release", "id": 9},
    "resume": {"type": "resume", "holding": [9, 0, TOP]},
    "resume with nothing": {"type": "resume", "holding": []},
    "resume with more": {"type": "resume", "holding": [9], "more": True},
    "publish": {"type": "publish", "topic": "a.b"},
    "publish with id": {"type": "publish", "topic": "a", "id": 7},
    "publish to one client": {"type": "publish", "topic": "a", "id": 7, "to": 12},
    "publish to others": {"type": "publish", "topic": "a", "others": True},
    "subscribe": {"type": "subscribe", "topic": "a.*.>"},
    "subscribe with group": {"type": "subscribe", "topic": ">", "group": "g"},
    "unsubscribe": {"type": "unsubscribe", "topic": "*"},
    "unsubscribe with group": {"type": "unsubscribe", "topic": "*", "group": "g"},
    "ack": {"type": "ack", "replies": 128},
    "ping": {"type": "ping"},
    "pong": {"type": "pong"},
    "bye": {"type": "bye"},
}
WELCOME = {"type": "welcome", "protocol": 1, "server": "s", "session": SESSION, "resumed": False}
ERROR = {"code": "handler_lost", "message": "gone", "ran": "maybe", "attempts": 2}
FAULT = {"code": "no", "message": "no", "retryable": False}
SERVER = {
    "welcome": WELCOME | {"max_frame": LIMIT, "heartbeat": 15000},
    "welcome, resumed": WELCOME | {"resumed": True, "max_frame": 1024, "heartbeat": 1},
    "welcome, restarted": WELCOME | {"restarted": True, "max_frame": 1 << 30, "heartbeat": 0},
    "serving": {"type": "serving", "action": "user.get"},
    "unserved": {"type": "unserved", "action": "user.get"},
    "accepted": {"type": "accepted", "id": 1},
    "subscribed": {"type": "subscribed", "topic": "a.*"},
    "subscribed with group": {"type": "subscribed", "topic": "a.*", "group": "g"},
    "subscribed with events": {"type": "subscribed", "topic": "a.*", "events": 17},
    "unsubscribed": {"type": "unsubscribed", "topic": "a.*"},
    "unsubscribed with group": {"type": "unsubscribed", "topic": "a.*", "group": "g"},
    "deliver": {"type": "deliver", "id": 9, "action": "a", "from": "web-1", "left": 1999, "attempt": 1},
    "deliver with trace": {
        "type": "deliver", "id": 9, "action": "a", "from": "b", "left": 0, "attempt": 1000, "trace": TRACE
    },
    "reply": {"type": "reply", "id": 1},
    "reply with error": {"type": "reply", "id": 1, "error": ERROR},
    "reply with retry_after": {"type": "reply", "id": 1, "error": ERROR | {"retry_after": 250}},
    "reply with fault": {"type": "reply", "id": 1, "error": ERROR | {"code": "fault", "ran": "yes", "fault": FAULT}},
    "reply with part": {"type": "reply", "id": 1, "part": True, "seq": 1},
    "reply with part of a broadcast": {"type": "reply", "id": 1, "error": ERROR, "part": True, "seq": 2, "from": "h"},
    "reply with info": {"type": "reply", "id": 1, "info": {"queued": 5, "ran": 7, "by": "h"}},
    "reply with info of a call never delivered": {"type": "reply", "id": 1, "error": ERROR, "info": {"queued": 5}},
    "reply with gather": {
        "type": "reply", "id": 1, "gather": {"expected": 6, "answered": 3, "failed": 2, "lost": 1}
    },
    "cancel": {"type": "cancel", "id": 9},
    "event": {"type": "event", "topic": "a.b", "from": "web-1"},
    "event of a group": {"type": "event", "topic": "a.b", "from": "web-1", "group": "g"},
    "ack": {"type": "ack", "replies": 0},
    "error": {"type": "error", "code": "silent", "message": "nothing was heard", "fatal": True},
    "error about an id": {"type": "error", "code": "bad_request", "message": "m", "id": 1},
    "error about an action": {"type": "error", "code": "denied", "message": "m", "action": "$a"},
    "error about a topic": {"type": "error", "code": "denied", "message": "m", "topic": "$a.>"},
    "goaway": {"type": "goaway", "reason": "restart", "after": 350},
    "goaway with elsewhere": {"type": "goaway", "reason": "r", "after": 0, "elsewhere": ["10.0.0.2:7040", "[::1]:7"]},
    "ping": {"type": "ping"},
    "pong": {"type": "pong"},
}
for name, head in CLIENT.items():
    valid(name, "client", head)
for name, head in SERVER.items():
    valid(name, "server", head)
for code in (
    "no_handler expired timeout handler_lost fault cancelled overloaded conflict denied too_large bad_request draining "
    "unavailable disconnected version_mismatch replaced silent"
).split():
    valid(f"code {code}", "server", {"type": "error", "code": code, "message": ""})

# --- data ---

for name, data in {
    "an object": '{"id":1,"id":2,"type":"bye"}',
    "null": "null",
    "text": '"größe \\ud83d\\ude00 😀"',
    "deep": "[" * 50 + "]" * 50,
    "not JSON: the ends' own business": "{",
    "looks like a frame": "\0\0\0\x11\0\x0f" + '{"type":"ping"}',
}.items():
    valid(f"data: {name}", "client", CLIENT["request"], data=data)
valid("data: beside a reply", "server", SERVER["reply"], data='{"name":"Ada"}')

# --- order, white space, defaults, unknown members ---

ONE = {"type": "request", "id": 1, "action": "a"}
valid("type last", "client", '{"action":"a","id":1,"type":"request"}', ONE)
valid("type in the middle", "client", '{"id":1,"type":"request","action":"a"}', ONE)
valid("white space everywhere", "client", ' \t\r\n{ "type" :\n"request"\t, "id"\r: 1 , "action" : "a" } \n', ONE)
valid("white space in lists and objects", "client", '{"type":"resume","holding":[ 1 , 2\n],"x":{ } ,"y":[ ]}',
      {"type": "resume", "holding": [1, 2]})
valid("defaults said", "client",
      request(broadcast=False, durable=False, reply=True, info=False), ONE)
valid("defaults said by a handler", "client",
      '{"type":"reply","id":9,"error":{"code":"no","retryable":false},"part":false}',
      {"type": "reply", "id": 9, "error": {"code": "no", "message": ""}})
valid("defaults said by a server", "server",
      '{"type":"error","code":"denied","fatal":false}', {"type": "error", "code": "denied", "message": ""})
valid("absent in an error is maybe and 0", "server", '{"type":"reply","id":1,"error":{"code":"fault"}}',
      {"type": "reply", "id": 1, "error": {"code": "fault", "message": "", "ran": "maybe", "attempts": 0}})
valid("an unknown ran promises nothing", "server", '{"type":"reply","id":1,"error":{"code":"fault","ran":"never"}}',
      {"type": "reply", "id": 1, "error": {"code": "fault", "message": "", "ran": "maybe", "attempts": 0}})
valid("absent counts of a gather are 0", "server", '{"type":"reply","id":1,"gather":{}}',
      {"type": "reply", "id": 1, "gather": {"expected": 0, "answered": 0, "failed": 0, "lost": 0}})
valid("an unknown code", "server", {"type": "error", "code": "brand_new", "message": ""},
      {"type": "error", "code": "unknown", "message": ""}, exact=False)
for name, value in {
    "null": "null", "number": "-1.5e+300", "minus zero": "-0", "fraction": "0.5E-7", "large": "123456789012345678901234567890",
    "text": '"\\u0000\\ud83d\\ude00"', "list": '[1,"a",null,[],{}]', "object": '{"id":2,"type":"x"}', "true": "true",
    "a list of four levels": "[[[1]]]", "an object of four levels": '{"a":{"b":{}}}',
}.items():
    valid(f"unknown member: {name}", "client", '{"type":"request","new":%s,"id":1,"action":"a"}' % value, ONE)
valid("unknown member with an empty name", "client", '{"type":"ping","":1}', {"type": "ping"})
valid("unknown member in an error", "client", '{"type":"reply","id":9,"error":{"x":[{}],"code":"no","message":"m"}}',
      {"type": "reply", "id": 9, "error": {"code": "no", "message": "m"}})
valid("the same name at two depths is no twin", "client", '{"type":"ping","a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
      {"type": "ping"})
valid("names that differ in case are no twins", "client", '{"type":"ping","Type":1,"TYPE":2}', {"type": "ping"})

# --- escapes ---

valid("escapes in a name of a member", "client", '{"\\u0074ype":"request","\\u0069d":1,"\\u0061ction":"a"}', ONE)
valid("escapes in type", "client", '{"type":"\\u0070ing"}', {"type": "ping"})
valid("every escape", "client",
      '{"type":"reply","id":9,"error":{"code":"a\\"\\\\\\/z","message":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\uDE00"}}',
      {"type": "reply", "id": 9, "error": {"code": 'a"\\/z', "message": '"\\/\b\f\n\r\té€😀'}})
valid("escapes as they are written", "client",
      '{"type":"reply","id":9,"error":{"code":"\\"\\\\/","message":"\\"\\\\/\\u0008\\u000c\\n\\r\\t\\u0000\\u001f\x7f\x80é€😀"}}',
      exact=True)
valid("text without escapes", "client", request(action="größe.€.😀"))

# --- borders of the limits ---

BIG = "x" * 255
for name, head in {
    "action of 255 bytes": request(action=BIG),
    "action of 255 bytes in 2-byte characters": request(action="é" * 127 + "x"),
    "key of 255 bytes": request(key=BIG),
    "trace of 255 bytes": request(trace=BIG),
    "id 0": request(id=0),
    "id 2^53-1": request(id=TOP),
    "ttl and timeout 2^53-1": request(ttl=TOP, timeout=TOP),
    "timeout 0": request(timeout=0),
    "attempts 1": request(attempts=1),
    "attempts 1000": request(attempts=1000),
    "credit 1": {"type": "serve", "action": "a", "credit": 1},
    "credit 65535": {"type": "serve", "action": "a", "credit": 65535},
    "name of 255 bytes": {"type": "hello", "protocol": [0, 2**32 - 1], "name": BIG, "session": "0" * 32, "agent": BIG},
    "action of 1 byte": request(action=" "),
    "action that is reserved": request(action="$echo"),
    "code of 255 bytes": {"type": "reply", "id": 9, "error": {"code": BIG, "message": ""}},
    "message of 1024 bytes": {"type": "reply", "id": 9, "error": {"code": "c", "message": "x" * 1024}},
    "holding 200 ids": {"type": "resume", "holding": [TOP - n for n in range(200)]},
    "topic with a star inside a token": {"type": "subscribe", "topic": "a*b.>c"},
    "publish with a star inside a token": {"type": "publish", "topic": "a*b.>c"},
    "seq 1": {"type": "reply", "id": 9, "part": True, "seq": 1},
    "seq 2^53-1": {"type": "reply", "id": 9, "part": True, "seq": TOP},
    "ack 2^53-1": {"type": "ack", "replies": TOP},
}.items():
    valid(name, "client", head)
valid("session in capitals", "client", '{"type":"hello","protocol":[1,1],"name":"n","session":"%s"}' % SESSION.upper(),
      {"type": "hello", "protocol": [1, 1], "name": "n", "session": SESSION})
valid("depth 4", "client", '{"type":"ping","a":{"b":{"c":{}}}}', {"type": "ping"})
valid("32 members", "client", '{"type":"ping",' + ",".join(f'"m{n}":0' for n in range(31)) + "}", {"type": "ping"})
valid("32 members in a member", "client", '{"type":"ping","x":{' + ",".join(f'"m{n}":0' for n in range(32)) + "}}",
      {"type": "ping"})
FILL = '{"type":"ping","x":"%s"}'
valid("head of 4096 bytes", "client", FILL % ("y" * (4096 - len(FILL) + 2)), {"type": "ping"})
valid("elsewhere of 8", "server", {"type": "goaway", "reason": "r", "after": 1, "elsewhere": ["h:1"] * 8})
valid("attempts 0 and 1000 in an error", "server", {"type": "reply", "id": 1, "error": ERROR | {"attempts": 1000}})

# --- lengths that cannot be ---

for name, raw, error in [
    ("length 0", b"\0\0\0\0", "frame_too_short"),
    ("length 1", b"\0\0\0\1\0", "frame_too_short"),
    ("head beyond its frame", b"\0\0\0\x02\0\x01", "head_beyond_frame"),
    ("head beyond its frame by one", b"\0\0\0\x10\0\x0f" + b'{"type":"ping"}', "head_beyond_frame"),
    ("head of 4097", struct.pack(">IH", 5000, 4097), "head_too_large"),
    ("head of 65535", struct.pack(">IH", 70000, 65535), "head_too_large"),
    ("length 4 GiB", b"\xff\xff\xff\xff", "frame_too_large"),
    ("HTTP", b"GET / HTTP/1.1\r\n\r\n", "http"),
    ("HTTP POST", b"POST / HTTP/1.1\r\n", "http"),
    ("TLS", bytes([0x16, 3, 1, 2, 0, 1]), "tls"),
    ("a sealed opening", bytes([0xAB, 0x53, 1, 4]) + b"key1", "sealed"),
    ("AB alone is only too large", bytes([0xAB, 0x54, 1, 4]), "frame_too_large"),
]:
    invalid_bytes(name, "client", raw, error)
invalid_bytes("one over the limit", "client", struct.pack(">I", LIMIT + 1), "frame_too_large")
invalid_bytes("one over the limit, from the server", "server", struct.pack(">I", LIMIT + 4098 + 1), "frame_too_large")

# --- not JSON ---

for name, head in {
    "nothing": "", "white space": " \n", "a brace": "{", "no end": '{"type":"ping"', "no value": '{"type"}',
    "no value after a colon": '{"type":}', "a comma too many": '{"type":"ping",}', "a comma first": '{,"type":"ping"}',
    "two commas": '{"type":"ping",,"a":1}', "no comma": '{"type":"ping" "a":1}', "no colon": '{"type" "ping"}',
    "text behind it": '{"type":"ping"}x', "a second object": '{"type":"ping"}{}', "a NUL behind it": '{"type":"ping"}\0',
    "a comment": '{"type":"ping"/**/}', "single quotes": "{'type':'ping'}", "a bare name": '{type:"ping"}',
    "a byte order mark": '\ufeff{"type":"ping"}', "white space that JSON does not know": '{"type":"ping"\f}',
    "a no-break space": '{"type":\u00a0"ping"}', "a control character in text": '{"type":"pi\nng"}',
    "a NUL in text": '{"type":"ping","a":"\0"}', "a tab in a name": '{"type":"ping","a\tb":1}',
    "an unknown escape": '{"type":"ping","a":"\\x41"}', "an escape cut short": '{"type":"ping","a":"\\u00"}',
    "an escape that is not hex": '{"type":"ping","a":"\\u00g0"}', "an escape with a sign": '{"type":"ping","a":"\\u+041"}',
    "a capital U": '{"type":"ping","a":"\\U0041"}', "text without an end": '{"type":"ping","a":"b', "an escape at the end": '{"type":"ping","a":"\\',
    "capital True": '{"type":"ping","a":True}', "nul": '{"type":"ping","a":nul}', "nulll": '{"type":"ping","a":nulll}',
    "NaN": '{"type":"ping","a":NaN}', "Infinity": '{"type":"ping","a":-Infinity}', "undefined": '{"type":"ping","a":undefined}',
    "a list without an end": '{"type":"ping","a":[1}', "a list with a comma too many": '{"type":"ping","a":[1,]}',
    "a list without a comma": '{"type":"ping","a":[1 2]}', "a brace too few": '{"type":"ping","a":{}',
    "a member that is no text": '{"type":"ping",1:2}', "null as a name": '{null:1}', "only a closing brace": "}",
}.items():
    invalid(f"not JSON: {name}", "client", head, "not_json")
for number in "01 +1 1. .5 1e 1e+ - -a 00 0x10 1_000 1e5.0 --1 -01 1.e1".split():
    invalid(f"not JSON: number {number}", "client", '{"type":"request","id":%s,"action":"a"}' % number, "not_json")

# --- not UTF-8 ---

for name, piece in {
    "a lone continuation": b"\x80", "a lead without its continuation": b"\xc3", "overlong slash": b"\xc0\xaf",
    "overlong in three": b"\xe0\x80\xaf", "overlong in four": b"\xf0\x80\x80\xaf", "overlong NUL": b"\xc0\x80",
    "a surrogate": b"\xed\xa0\x80", "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80", "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "a truncated euro": b"\xe2\x82", "a truncated emoji": b"\xf0\x9f\x98", "FF": b"\xff", "FE": b"\xfe", "F5": b"\xf5\x80\x80\x80",
}.items():
    invalid(f"not UTF-8: {name}", "client", b'{"type":"request","id":1,"action":"' + piece + b'"}', "not_utf8")
invalid("not UTF-8: in an unknown member", "client", b'{"type":"ping","x":"\xff"}', "not_utf8")
invalid("not UTF-8: in the name of a member", "client", b'{"type":"ping","\xff":1}', "not_utf8")
for name, escape in {
    "high alone": "\\ud800", "low alone": "\\udc00", "high twice": "\\ud800\\ud800", "low before high": "\\ude00\\ud83d",
    "high before text": "\\ud83dx", "high before another escape": "\\ud83d\\n", "high before a letter": "\\ud83d\\u0041",
}.items():
    invalid(f"half a character: {name}", "client", '{"type":"request","id":1,"action":"%s"}' % escape, "not_utf8")
invalid("half a character: in an unknown member", "client", '{"type":"ping","x":["\\udfff"]}', "not_utf8")
invalid("half a character: in the name of a member", "client", '{"type":"ping","\\ud800":1}', "not_utf8")

# --- twins, depth, members ---

for name, head in {
    "type": '{"type":"ping","type":"pong"}', "type, the same": '{"type":"ping","type":"ping"}',
    "id": '{"type":"request","id":1,"id":2,"action":"a"}', "the last member": '{"type":"request","id":1,"action":"a","action":"b"}',
    "before type": '{"id":1,"id":1,"type":"cancel"}', "escaped": '{"type":"cancel","id":1,"\\u0069d":2}',
    "escaped first": '{"type":"cancel","\\u0069d":1,"id":2}', "both escaped": '{"type":"ping","\\u0061":1,"\\u0061":2}',
    "in unknown members": '{"type":"ping","x":1,"x":2}', "in an unknown member": '{"type":"ping","x":{"a":1,"a":2}}',
    "in a list": '{"type":"ping","x":[{"a":1,"a":2}]}', "escaped, in an unknown member": '{"type":"ping","x":{"a":1,"\\u0061":2}}',
    "in an error": '{"type":"reply","id":1,"error":{"code":"a","code":"b"}}', "behind all": '{"type":"ping","":0,"":0}',
    "unknown in an error": '{"type":"reply","id":1,"error":{"code":"a","x":1,"x":1}}',
    "long names": '{"type":"ping","%s":0,"%s":0}' % (BIG, BIG), "escaped emoji": '{"type":"ping","😀":0,"\\ud83d\\ude00":0}',
}.items():
    invalid(f"twins: {name}", "client", head, "twice")
invalid("depth 5 of objects", "client", '{"type":"ping","a":{"b":{"c":{"d":{}}}}}', "too_deep")
invalid("depth 5 of lists", "client", '{"type":"ping","a":[[[[]]]]}', "too_deep")
invalid("depth 5 mixed", "client", '{"type":"ping","a":[{"b":[{}]}]}', "too_deep")
invalid("depth 1000", "client", '{"type":"ping","a":' + "[" * 1000 + "]" * 1000 + "}", "too_deep")
invalid("33 members", "client", '{"type":"ping",' + ",".join(f'"m{n}":0' for n in range(32)) + "}", "too_many_members")
invalid("33 members in a member", "client", '{"type":"ping","x":{' + ",".join(f'"m{n}":0' for n in range(33)) + "}}",
        "too_many_members")
for name, head in {"null": "null", "list": "[]", "text": '"ping"', "number": "1", "true": "true", "list of one": '[{"type":"ping"}]'}.items():
    invalid(f"not an object: {name}", "client", head, "not_an_object")

# --- members that are not what they should be ---

invalid("no type", "client", "{}", "missing")
invalid("no type, but others", "client", '{"id":1}', "missing")
for kind, head in CLIENT.items():
    required = {"hello": ["protocol", "name", "session"], "request": ["id", "action"], "serve": ["action", "credit"],
                "unserve": ["action"], "cancel": ["id"], "reply": ["id"], "release": ["id"], "resume": ["holding"],
                "publish": ["topic"], "subscribe": ["topic"], "unsubscribe": ["topic"], "ack": ["replies"],
                "offer": ["action", "credit", "path"]}.get(kind, [])
    for member in required:
        invalid(f"missing: {kind} without {member}", "client", {k: v for k, v in head.items() if k != member}, "missing")
for kind, head in SERVER.items():
    required = {"welcome": ["protocol", "server", "session", "max_frame", "heartbeat"], "serving": ["action"],
                "unserved": ["action"], "accepted": ["id"], "subscribed": ["topic"], "unsubscribed": ["topic"],
                "deliver": ["id", "action", "from", "left", "attempt"], "reply": ["id"], "cancel": ["id"],
                "event": ["topic", "from"], "ack": ["replies"], "error": ["code"], "goaway": ["reason", "after"]}.get(kind, [])
    for member in required:
        invalid(f"missing: {kind} without {member}", "server", {k: v for k, v in head.items() if k != member}, "missing")
for member in ["from", "path", "attempt"]:
    via = {"from": "web-1", "path": [7], "attempt": 1}
    invalid(f"missing: via without {member}", "client", request(via={k: v for k, v in via.items() if k != member}), "missing")
invalid("missing: code of an error", "client", {"type": "reply", "id": 1, "error": {"message": "m"}}, "missing")
invalid("missing: queued of info", "server", {"type": "reply", "id": 1, "info": {}}, "missing")
invalid("missing: code of a fault", "server", {"type": "reply", "id": 1, "error": ERROR | {"fault": {}}}, "missing")
for side, kind in [("client", "welcome"), ("client", "deliver"), ("client", "error"), ("client", "Ping"), ("client", ""),
                   ("client", "ping "), ("server", "hello"), ("server", "request"), ("server", "bye"), ("server", "x" * 300)]:
    invalid(f"unknown type: {kind[:9]} to the {'server' if side == 'client' else 'client'}", side, {"type": kind}, "unknown_type")
invalid("type is a number", "client", '{"type":1}', "not_a_string")
invalid("type is null", "client", '{"type":null}', "not_a_string")
for number in ["1.0", "1e3", "1E0", "-1", "-0", "0.0", "9007199254740992", "18446744073709551616", "99999999999999999999999999",
               '"1"', "null", "true", "[1]", "{}"]:
    invalid(f"id is {number}", "client", '{"type":"request","id":%s,"action":"a"}' % number, "not_an_id")
    invalid(f"ttl is {number}", "client", '{"type":"request","id":1,"action":"a","ttl":%s}' % number, "not_in_range")
for name, members, error in [
    ("attempts 0", {"attempts": 0}, "not_in_range"), ("attempts 1001", {"attempts": 1001}, "not_in_range"),
    ("timeout is text", {"timeout": "2s"}, "not_in_range"), ("reply is 0", {"reply": 0}, "not_a_boolean"),
    ("durable is null", {"durable": None}, "not_a_boolean"), ("broadcast is text", {"broadcast": "true"}, "not_a_boolean"),
    ("info is a list", {"info": []}, "not_a_boolean"), ("action of 256 bytes", {"action": BIG + "x"}, "not_a_name"),
    ("action of 256 bytes in 128 characters", {"action": "é" * 128}, "not_a_name"), ("action is empty", {"action": ""}, "not_a_name"),
    ("action is a number", {"action": 1}, "not_a_string"), ("action is null", {"action": None}, "not_a_string"),
    ("action with a line feed", {"action": "a\nb"}, "not_a_name"), ("action with DEL", {"action": "\x7f"}, "not_a_name"),
    ("action with NUL", {"action": "\0"}, "not_a_name"), ("action with a C1 control", {"action": "\x9f"}, "not_a_name"),
    ("key of 256 bytes", {"key": BIG + "x"}, "not_a_name"), ("key is empty", {"key": ""}, "not_a_name"),
    ("key is a number", {"key": 7}, "not_a_string"), ("trace of 256 bytes", {"trace": BIG + "x"}, "not_a_name"),
    ("broadcast with key", {"broadcast": True, "key": "k"}, "contradiction"),
    ("broadcast with durable", {"broadcast": True, "durable": True}, "contradiction"),
    ("broadcast with attempts 2", {"broadcast": True, "attempts": 2}, "contradiction"),
]:
    invalid(name, "client", request(**members), error)
for name, head, error in [
    ("credit 0", {"type": "serve", "action": "a", "credit": 0}, "not_in_range"),
    ("credit 65536", {"type": "serve", "action": "a", "credit": 65536}, "not_in_range"),
    ("seq 0", {"type": "reply", "id": 1, "part": True, "seq": 0}, "not_in_range"),
    ("ack is -1", {"type": "ack", "replies": -1}, "not_in_range"),
    ("path of 9 servers", {"type": "offer", "action": "a", "credit": 1, "path": [1] * 9}, "not_a_list"),
    ("path holds text", request(via={"from": "f", "path": ["1"], "attempt": 1}), "not_a_list"),
    ("holding is a number", {"type": "resume", "holding": 1}, "not_a_list"),
    ("holding holds text", {"type": "resume", "holding": ["1"]}, "not_a_list"),
    ("holding holds 2^53", {"type": "resume", "holding": [TOP + 1]}, "not_a_list"),
    ("holding holds a list", {"type": "resume", "holding": [[1]]}, "not_a_list"),
    ("holding 201 ids", {"type": "resume", "holding": list(range(201))}, "not_a_list"),
    ("more is a number", {"type": "resume", "holding": [], "more": 1}, "not_a_boolean"),
    ("error is text", {"type": "reply", "id": 1, "error": "no"}, "not_an_object"),
    ("error is null", {"type": "reply", "id": 1, "error": None}, "not_an_object"),
    ("error is a list", {"type": "reply", "id": 1, "error": []}, "not_an_object"),
    ("code of 256 bytes", {"type": "reply", "id": 1, "error": {"code": BIG + "x"}}, "not_a_name"),
    ("message is a number", {"type": "reply", "id": 1, "error": {"code": "c", "message": 1}}, "not_a_string"),
    ("retryable is text", {"type": "reply", "id": 1, "error": {"code": "c", "retryable": "yes"}}, "not_a_boolean"),
    ("publish with a star", {"type": "publish", "topic": "a.*"}, "not_a_pattern"),
    ("publish with the rest", {"type": "publish", "topic": ">"}, "not_a_pattern"),
    ("topic with an empty token", {"type": "subscribe", "topic": "a..b"}, "not_a_pattern"),
    ("topic that ends with a dot", {"type": "subscribe", "topic": "a."}, "not_a_pattern"),
    ("topic that starts with a dot", {"type": "subscribe", "topic": ".a"}, "not_a_pattern"),
    ("topic with the rest before the end", {"type": "subscribe", "topic": "a.>.b"}, "not_a_pattern"),
    ("topic is empty", {"type": "subscribe", "topic": ""}, "not_a_name"),
    ("topic of 256 bytes", {"type": "publish", "topic": BIG + "x"}, "not_a_name"),
    ("group is empty", {"type": "subscribe", "topic": "a", "group": ""}, "not_a_name"),
]:
    invalid(name, "client", head, error)
for name, members, error in [
    ("session of 31 digits", {"session": SESSION[1:]}, "not_a_session"), ("session of 33 digits", {"session": SESSION + "0"}, "not_a_session"),
    ("session that is not hex", {"session": "g" + SESSION[1:]}, "not_a_session"), ("session with a sign", {"session": "+" + SESSION[1:]}, "not_a_session"),
    ("session is a number", {"session": 1}, "not_a_string"), ("name of 256 bytes", {"name": BIG + "x"}, "not_a_name"),
    ("name is empty", {"name": ""}, "not_a_name"), ("agent of 256 bytes", {"agent": BIG + "x"}, "not_a_name"),
    ("protocol is a number", {"protocol": 1}, "not_a_version_range"), ("protocol of one", {"protocol": [1]}, "not_a_version_range"),
    ("protocol of three", {"protocol": [1, 2, 3]}, "not_a_version_range"), ("protocol upside down", {"protocol": [2, 1]}, "not_a_version_range"),
    ("protocol over 2^32", {"protocol": [1, 2**32]}, "not_a_version_range"), ("protocol of text", {"protocol": ["1", "1"]}, "not_a_version_range"),
]:
    invalid(name, "client", CLIENT["hello"] | members, error)
for name, head, error in [
    ("attempt 0", SERVER["deliver"] | {"attempt": 0}, "not_in_range"),
    ("attempt 1001", SERVER["deliver"] | {"attempt": 1001}, "not_in_range"),
    ("left is negative", SERVER["deliver"] | {"left": -1}, "not_in_range"),
    ("attempts 1001 in an error", {"type": "reply", "id": 1, "error": ERROR | {"attempts": 1001}}, "not_in_range"),
    ("protocol 0", SERVER["welcome"] | {"protocol": 0}, "not_in_range"),
    ("max_frame 2^32", SERVER["welcome"] | {"max_frame": 2**32}, "not_in_range"),
    ("fault is text", {"type": "reply", "id": 1, "error": ERROR | {"fault": "no"}}, "not_an_object"),
    ("elsewhere of 9", {"type": "goaway", "reason": "r", "after": 1, "elsewhere": ["h:1"] * 9}, "not_a_list"),
    ("elsewhere holds a number", {"type": "goaway", "reason": "r", "after": 1, "elsewhere": [7040]}, "not_a_list"),
    ("elsewhere holds a line feed", {"type": "goaway", "reason": "r", "after": 1, "elsewhere": ["h\n:1"]}, "not_a_list"),
    ("event with a wildcard", {"type": "event", "topic": "a.*", "from": "f"}, "not_a_pattern"),
]:
    invalid(name, "server", head, error)

for path, lines in {"valid.jsonl": valid_lines, "invalid.jsonl": invalid_lines}.items():
    names = [(line["side"], line["name"]) for line in lines]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    print(path, len(lines))
