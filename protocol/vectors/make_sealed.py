"""Writes sealed.jsonl. Run it in this folder after a change: python3 make_sealed.py (needs the package `cryptography`)

It knows nothing of the Rust code: the sealed channel is written down here from docs/PROTOCOL.md, and a test holds the code against it.
It is also what a client in another language has to do, in 60 lines.
"""
import hashlib
import hmac
import json
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

REKEY_AFTER = 2**20


def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()


def hkdf(chaining_key, material, count):
    """Noise's HKDF: `count` outputs of 32 bytes."""
    temporary = hmac.digest(chaining_key, material, "sha256")
    outputs = [b""]
    for number in range(1, count + 1):
        outputs.append(hmac.digest(temporary, outputs[-1] + bytes([number]), "sha256"))
    return outputs[1:]


def seal(key, counter, plain, associated=b""):
    return ChaCha20Poly1305(key).encrypt(bytes(4) + struct.pack("<Q", counter), plain, associated)


def rekeyed(key):
    return seal(key, 2**64 - 1, bytes(32))[:32]


def public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def shared(secret, other):
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(other))


class Noise:
    """Noise_NNpsk0_25519_ChaChaPoly_SHA256, as far as two messages without payload need it."""

    def __init__(self, prologue, psk):
        name = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
        self.hash = self.chaining_key = sha256(name)  # the name is longer than 32 bytes
        self.hash = sha256(self.hash, prologue)
        self.chaining_key, mixed, self.key = hkdf(self.chaining_key, psk, 3)
        self.hash = sha256(self.hash, mixed)

    def ephemeral(self, key):
        self.hash = sha256(self.hash, key)
        self.chaining_key, self.key = hkdf(self.chaining_key, key, 2)

    def agree(self, secret, other):
        self.chaining_key, self.key = hkdf(self.chaining_key, shared(secret, other), 2)

    def tag(self):
        tag = seal(self.key, 0, b"", self.hash)
        self.hash = sha256(self.hash, tag)
        return tag

    def split(self):
        return hkdf(self.chaining_key, b"", 2)


def handshake(name, key_id, secret, client, server):
    preamble = b"\xabS\x01" + bytes([len(key_id)]) + key_id.encode()
    noise = Noise(preamble, secret)
    noise.ephemeral(public(client))
    message_1 = public(client) + noise.tag()
    noise.ephemeral(public(server))
    noise.agree(server, public(client))
    answer = b"\xabS\x01" + public(server) + noise.tag()
    to_server, to_client = noise.split()
    return {
        "name": name, "key_id": key_id, "secret": secret.hex(), "client_ephemeral_secret": client.hex(),
        "server_ephemeral_secret": server.hex(), "preamble": preamble.hex(), "message_1": message_1.hex(),
        "answer": answer.hex(), "to_server": to_server.hex(), "to_client": to_client.hex(),
    }  # fmt: skip


def record(name, first_key, counter, plain):
    key = first_key
    for _ in range(counter // REKEY_AFTER):
        key = rekeyed(key)
    body = seal(key, counter, plain)
    return {
        "name": name, "first_key": first_key.hex(), "counter": counter, "key": key.hex(), "plain": plain.hex(),
        "record": (struct.pack(">H", len(body)) + body).hex(),
    }  # fmt: skip


def frame(head):
    head = json.dumps(head, separators=(",", ":")).encode()
    return struct.pack(">IH", 2 + len(head), len(head)) + head


HELLO = frame({"type": "hello", "protocol": [1, 1], "name": "web-1", "session": "8f14e45fceea167a5a36dedd4bea2543"})
PING, PONG = frame({"type": "ping"}), frame({"type": "pong"})
SECRET = bytes(range(32))
handshakes = [
    handshake("an id alone", "billing", SECRET, bytes(range(32, 64)), bytes(range(64, 96))),
    handshake("an id with a number", "billing/2", bytes(range(96, 128)), b"\x11" * 32, b"\x22" * 32),
    handshake("the shortest id", "a", b"\xff" * 32, b"\x33" * 32, b"\x44" * 32),
    handshake("the longest id", "x" * 64, bytes(32), b"\x55" * 32, b"\x66" * 32),
]
TO_SERVER, TO_CLIENT = (bytes.fromhex(handshakes[0][side]) for side in ("to_server", "to_client"))
records = [
    record("the client's first: hello", TO_SERVER, 0, HELLO),
    record("its second: two frames in one record", TO_SERVER, 1, PING + PONG),
    record("its third: the first bytes of a frame", TO_SERVER, 2, PING[:5]),
    record("its fourth: the others", TO_SERVER, 3, PING[5:]),
    record("the server's first: the other direction counts for itself", TO_CLIENT, 0, PING),
    record("one byte", TO_CLIENT, 1, b"{"),
    record("counter of two bytes", TO_CLIENT, 258, PING),
    record("the last before the key changes", TO_SERVER, REKEY_AFTER - 1, PING),
    record("the first with the next key", TO_SERVER, REKEY_AFTER, PING),
    record("the second with the next key", TO_SERVER, REKEY_AFTER + 1, PONG),
    record("the first with the third key", TO_SERVER, 2 * REKEY_AFTER, PING),
    record("the first with the next key, to the client", TO_CLIENT, REKEY_AFTER, PING),
]
vectors = [{"kind": "handshake"} | line for line in handshakes] + [{"kind": "record"} | line for line in records]
assert len({line["name"] for line in vectors}) == len(vectors)
with open("sealed.jsonl", "w", encoding="utf-8") as file:
    file.writelines(json.dumps(line) + "\n" for line in vectors)
print("sealed.jsonl", len(vectors))
