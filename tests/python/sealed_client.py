"""An Answerback client with the sealed channel, written from docs/PROTOCOL.md. Needs Python 3.9 and the package `cryptography`, and nothing else.

It shares nothing with the other clients: what it and the server agree on is what that page says.

sealed_client.py --server HOST:PORT --key-file FILE call ACTION        calls with each line of standard input as data, and prints the answers
sealed_client.py --server HOST:PORT --key-file FILE serve ACTION       answers every call with who called and the data it came with
"""
import argparse
import base64
import json
import os
import secrets
import socket
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

OPENING = b"\xab\x53\x01"
PROTOCOL_NAME = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
MESSAGE_BYTES = 48
PLAIN_BYTES_MAX = 65_519
TAG_BYTES = 16
REKEY_AFTER = 1_048_576


def read_key(path):
    """The id and the secret of the key in a file: abk1:ID:BASE32, where the last four bytes are a checksum."""
    with open(path, encoding="ascii") as file:
        lines = [line.strip() for line in file]
    text = next(line for line in lines if line and not line.startswith("#"))
    prefix, key_id, coded = text.split(":")
    coded += "=" * (-len(coded) % 8)
    decoded = base64.b32decode(coded.upper())
    secret, checksum = decoded[:32], decoded[32:]
    if prefix != "abk1" or sha256(b"answerback key v1" + key_id.encode() + secret)[:4] != checksum:
        sys.exit("this is not a key")
    return key_id, secret


def sha256(data):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def hmac_sha256(key, data):
    code = hmac.HMAC(key, hashes.SHA256())
    code.update(data)
    return code.finalize()


def nonce(counter):
    return bytes(4) + counter.to_bytes(8, "little")


class Handshake:
    """The symmetric state of Noise, section 5.2, and what NNpsk0 does with it."""

    def __init__(self, preamble, psk):
        assert len(PROTOCOL_NAME) > 32
        self.h = self.ck = sha256(PROTOCOL_NAME)
        self.k = None
        self.mix_hash(preamble)
        self.mix_key_and_hash(psk)
        self.ephemeral = X25519PrivateKey.generate()

    def hkdf(self, material, count):
        temporary, output, outputs = hmac_sha256(self.ck, material), b"", []
        for number in range(1, count + 1):
            output = hmac_sha256(temporary, output + bytes([number]))
            outputs.append(output)
        return outputs

    def mix_hash(self, data):
        self.h = sha256(self.h + data)

    def mix_key(self, material):
        self.ck, self.k = self.hkdf(material, 2)

    def mix_key_and_hash(self, material):
        self.ck, mixed, self.k = self.hkdf(material, 3)
        self.mix_hash(mixed)

    def message_1(self):
        """psk, e: with an empty payload, so that what is encrypted is its tag alone."""
        public = self.ephemeral.public_key().public_bytes_raw()
        self.mix_hash(public)
        self.mix_key(public)
        tag = ChaCha20Poly1305(self.k).encrypt(nonce(0), b"", self.h)
        self.mix_hash(tag)
        return public + tag

    def read_message_2(self, message):
        """e, ee. Returns the keys to seal and to open with."""
        theirs, tag = message[:32], message[32:]
        self.mix_hash(theirs)
        self.mix_key(theirs)
        self.mix_key(self.ephemeral.exchange(X25519PublicKey.from_public_bytes(theirs)))
        ChaCha20Poly1305(self.k).decrypt(nonce(0), tag, self.h)
        return self.hkdf(b"", 2)


class Direction:
    """One direction of a channel: its key and its count."""

    def __init__(self, key):
        self.key, self.counter = key, 0

    def cipher_and_nonce(self):
        if self.counter and self.counter % REKEY_AFTER == 0:
            self.key = ChaCha20Poly1305(self.key).encrypt(nonce(2**64 - 1), bytes(32), b"")[:32]
        self.counter += 1
        return ChaCha20Poly1305(self.key), nonce(self.counter - 1)

    def seal(self, plain):
        cipher, number = self.cipher_and_nonce()
        sealed = cipher.encrypt(number, plain, b"")
        return struct.pack(">H", len(sealed)) + sealed

    def open(self, sealed):
        cipher, number = self.cipher_and_nonce()
        return cipher.decrypt(number, sealed, b"")


class Connection:
    def __init__(self, server, key_id, secret, name):
        host, _, port = server.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
        self.plain = b""
        self.greet(key_id, secret)
        self.send({"type": "hello", "protocol": [1, 1], "name": name, "session": secrets.token_hex(16)})
        welcome, _ = self.receive()
        assert welcome["type"] == "welcome"
        self.socket.settimeout(2 * welcome["heartbeat"] / 1000)

    def greet(self, key_id, secret):
        preamble = OPENING + bytes([len(key_id)]) + key_id.encode()
        handshake = Handshake(preamble, secret)
        self.socket.sendall(preamble + handshake.message_1())
        opening = self.take(1)
        if opening != OPENING[:1]:
            self.refused(opening)
        opening += self.take(len(OPENING) - 1)
        if opening != OPENING:
            sys.exit("the server speaks another version of the sealed channel")
        try:
            to_server, to_client = handshake.read_message_2(self.take(MESSAGE_BYTES))
        except InvalidTag:
            sys.exit("whoever answers does not have our key")
        self.sealer, self.opener = Direction(to_server), Direction(to_client)

    def refused(self, first):
        """A frame in the clear. Anybody on the way could have said it."""
        length, head_length = struct.unpack(">IH", first + self.take(5))
        head = json.loads(self.take(min(head_length, length - 2, 4096)))
        sys.exit(f"refused: {head['code']}: {head['message']!a}")

    def take(self, count):
        taken = b""
        while len(taken) < count:
            piece = self.socket.recv(count - len(taken))
            if not piece:
                sys.exit("the server closed the connection")
            taken += piece
        return taken

    def take_plain(self, count):
        while len(self.plain) < count:
            (length,) = struct.unpack(">H", self.take(2))
            if length <= TAG_BYTES:
                sys.exit("a record that is too short")
            try:
                self.plain += self.opener.open(self.take(length))
            except InvalidTag:
                sys.exit("a record does not open")
        taken, self.plain = self.plain[:count], self.plain[count:]
        return taken

    def send(self, head, data=b""):
        head = json.dumps(head).encode()
        frame = struct.pack(">IH", 2 + len(head) + len(data), len(head)) + head + data
        pieces = (frame[at : at + PLAIN_BYTES_MAX] for at in range(0, len(frame), PLAIN_BYTES_MAX))
        self.socket.sendall(b"".join(self.sealer.seal(piece) for piece in pieces))

    def receive(self):
        """The next frame that is not about the connection itself."""
        while True:
            length, head_length = struct.unpack(">IH", self.take_plain(6))
            head = json.loads(self.take_plain(head_length))
            data = self.take_plain(length - 2 - head_length)
            if head["type"] == "ping":
                self.send({"type": "pong"})
            elif head["type"] == "error":
                sys.exit(f"{head['code']}: {head.get('message', '')}")
            elif head["type"] in ("welcome", "serving", "deliver", "reply"):
                return head, data


def call(connection, action):
    for number, line in enumerate(sys.stdin):
        connection.send({"type": "request", "id": number, "action": action}, line.strip().encode())
        head, data = connection.receive()
        assert head["type"] == "reply" and head["id"] == number
        if "error" in head:
            error = head["error"]
            sys.exit(f"{error['code']}: {error.get('message', '')} (ran: {error['ran']})")
        print(data.decode(), flush=True)
    connection.send({"type": "bye"})


def serve(connection, action):
    connection.send({"type": "serve", "action": action, "credit": 16})
    while True:
        head, data = connection.receive()
        if head["type"] == "serving":
            print("serving", head["action"], flush=True)
        elif head["type"] == "deliver":
            answer = json.dumps([head["from"], json.loads(data)]).encode()
            connection.send({"type": "reply", "id": head["id"]}, answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--key-file", required=True)
    parser.add_argument("mode", choices=["call", "serve"])
    parser.add_argument("action")
    arguments = parser.parse_args()
    key_id, secret = read_key(arguments.key_file)
    try:
        connection = Connection(arguments.server, key_id, secret, f"python-{os.getpid()}")
        {"call": call, "serve": serve}[arguments.mode](connection, arguments.action)
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")


main()
