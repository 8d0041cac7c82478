"""A minimal Answerback client: no reconnecting, no sealed channel. Needs Python 3.8 and nothing else.

minimal_client.py [--server HOST:PORT] call ACTION JSON     calls and prints the answer
minimal_client.py [--server HOST:PORT] serve ACTION         answers every call with its own data
"""
import argparse, json, secrets, socket, struct, sys


class Connection:
    def __init__(self, server, name):
        host, _, port = server.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
        self.send({"type": "hello", "protocol": [1, 1], "name": name, "session": secrets.token_hex(16)})
        welcome, _ = self.receive()
        self.socket.settimeout(2 * welcome["heartbeat"] / 1000)  # the server pings when we are silent

    def send(self, head, data=b""):
        head = json.dumps(head).encode()
        self.socket.sendall(struct.pack(">IH", 2 + len(head) + len(data), len(head)) + head + data)

    def take(self, count):
        taken = b""
        while len(taken) < count:
            piece = self.socket.recv(count - len(taken))
            if not piece:
                sys.exit("the server closed the connection")
            taken += piece
        return taken

    def receive(self):
        """The next frame that is not about the connection itself."""
        while True:
            length, head_length = struct.unpack(">IH", self.take(6))
            head, data = json.loads(self.take(head_length)), self.take(length - 2 - head_length)
            if head["type"] == "ping":
                self.send({"type": "pong"})
            elif head["type"] == "error":
                sys.exit(f"{head['code']}: {head.get('message', '')}")
            elif head["type"] in ("welcome", "serving", "deliver", "reply"):
                return head, data


def call(connection, action, data):
    connection.send({"type": "request", "id": 1, "action": action}, data.encode())
    head, data = connection.receive()
    while head.get("part"):  # one of several
        print(data.decode())
        head, data = connection.receive()
    connection.send({"type": "bye"})
    if "error" in head:
        error = head["error"]
        sys.exit(f"{error['code']}: {error.get('message', '')} (ran: {error['ran']})")
    print(data.decode() or "null")


def serve(connection, action):
    connection.send({"type": "serve", "action": action, "credit": 16})
    while True:
        head, data = connection.receive()
        if head["type"] == "serving":
            print("serving", head["action"], flush=True)
        elif head["type"] == "deliver":
            connection.send({"type": "reply", "id": head["id"]}, data)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--server", default="127.0.0.1:7040")
parser.add_argument("mode", choices=["call", "serve"])
parser.add_argument("action")
parser.add_argument("json", nargs="?", default="null")
arguments = parser.parse_args()
try:
    connection = Connection(arguments.server, f"minimal-{arguments.mode}")
    if arguments.mode == "call":
        call(connection, arguments.action, json.dumps(json.loads(arguments.json)))
    else:
        serve(connection, arguments.action)
except (OSError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
