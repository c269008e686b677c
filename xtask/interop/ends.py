"""Python's http.client and http.server, httpx, the package h2, curl and nghttp as ends of `cargo xtask interop matrix`;
docs/interop.md says what is exchanged.

ends.py server                                  prints the ports of HTTP/1 and of HTTP/2 (prior knowledge)
ends.py client KIND URL                         KIND is one of those in CLIENTS
"""

import http.client
import re
import socket
import subprocess
import sys
import tempfile
import threading
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

LARGE = b"x" * 100_000
SHOWN = ["x-method", "x-path", "x-length", "x-sum", "x-test", "x-trailer", "content-length", "etag"]


def checksum(data):
    return f"{zlib.crc32(data):08x}"


# The servers.


@dataclass
class Asked:
    method: str
    path: str
    headers: list
    body: bytes = b""
    trailers: list = field(default_factory=list)

    def header(self, name, among=None):
        among = self.headers if among is None else among
        return "; ".join(value for each, value in among if each.lower() == name) or "-"


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: list = field(default_factory=list)
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)
    is_chunked: bool = False


def answer(asked):
    many = [(f"x-many-{at}", f"value-{at}") for at in range(40)]
    match asked.path.split("?")[0]:
        case "/echo":
            seen = [
                ("x-method", asked.method),
                ("x-path", asked.path),
                ("x-length", str(len(asked.body))),
                ("x-sum", checksum(asked.body)),
                ("x-test", asked.header("x-test")),
                ("x-trailer", asked.header("x-trailer", asked.trailers)),
            ]
            return Answer(200, asked.body, seen)
        case "/early":
            return Answer(413, b"early")
        case "/large":
            return Answer(200, LARGE)
        case "/chunked":
            return Answer(200, LARGE, is_chunked=True)
        case "/trailers":
            return Answer(200, b"hello", trailers=[("x-sum", checksum(b"hello"))], is_chunked=True)
        case "/status/204":
            return Answer(204)
        case "/status/304":
            return Answer(304, headers=[("etag", '"1"')])
        case "/hints":
            return Answer(200, b"hinted", interim=[(103, [("link", "</style.css>; rel=preload")])])
        case "/headers":
            count = sum(1 for name, _ in asked.headers if name.lower().startswith("x-many-"))
            body = f"many={count} big={len(asked.header('x-big'))}".encode()
            return Answer(200, body, [*many, ("x-big", "h" * 6000)])
        case "/cookies":
            body = asked.header("cookie").encode()
            return Answer(200, body, [("set-cookie", "a=1"), ("set-cookie", "b=2; Path=/")])
    return Answer(404, b"no such path")


class Http1(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = Asked(self.command, self.path, list(self.headers.items()))
        if self.path == "/early":
            self.send(answer(asked))
            self.read(asked)
            return
        self.read(asked)
        self.send(answer(asked))

    do_POST = do_HEAD = do_GET

    def handle_expect_100(self):
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def read(self, asked):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                asked.body += self.rfile.read(size)
                self.rfile.readline()
            while line := self.rfile.readline().strip():
                name, value = line.decode().split(":", 1)
                asked.trailers.append((name, value.strip()))
        else:
            asked.body = self.rfile.read(int(self.headers.get("content-length", 0)))

    def send(self, reply):
        for status, headers in reply.interim:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
        # Nobody before HTTP/1.1 reads chunks.
        is_chunked = reply.is_chunked and self.request_version != "HTTP/1.0"
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if is_chunked:
            self.send_header("transfer-encoding", "chunked")
        elif reply.is_chunked:
            self.send_header("connection", "close")
        elif reply.status not in (204, 304):
            self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            pieces = [reply.body[at : at + 10_000] for at in range(0, len(reply.body), 10_000)]
            for piece in pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_chunked:
                trailers = "".join(f"{name}: {value}\r\n" for name, value in reply.trailers)
                self.wfile.write(f"0\r\n{trailers}\r\n".encode())
        self.wfile.flush()


class Http2:
    """One connection of the package h2: one read, then everything that can be written."""

    def __init__(self, sock):
        import h2.config
        import h2.connection

        self.sock = sock
        self.asked, self.to_send = {}, {}
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.machine = h2.connection.H2Connection(config=config)

    def run(self):
        import h2.events

        self.machine.initiate_connection()
        self.sock.sendall(self.machine.data_to_send())
        while data := self.sock.recv(65536):
            for event in self.machine.receive_data(data):
                match event:
                    case h2.events.RequestReceived():
                        self.begin(event)
                    case h2.events.DataReceived():
                        self.machine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        self.asked[event.stream_id].body += event.data
                    case h2.events.TrailersReceived():
                        self.asked[event.stream_id].trailers = list(event.headers)
                    case h2.events.StreamReset():
                        self.asked.pop(event.stream_id, None)
                        self.to_send.pop(event.stream_id, None)
                    case h2.events.StreamEnded():
                        asked = self.asked.pop(event.stream_id)
                        if asked.path != "/early":
                            self.reply(event.stream_id, answer(asked), asked.method)
            for stream in list(self.to_send):
                self.send(stream)
            self.sock.sendall(self.machine.data_to_send())

    def begin(self, event):
        pseudo = dict(event.headers)
        fields = [pair for pair in event.headers if not pair[0].startswith(":")]
        asked = Asked(pseudo[":method"], pseudo[":path"], fields)
        self.asked[event.stream_id] = asked
        if asked.path == "/early":
            self.reply(event.stream_id, answer(asked), asked.method)
        elif "expect" in pseudo:
            self.machine.send_headers(event.stream_id, [(":status", "100")])

    def reply(self, stream, reply, method):
        for status, headers in reply.interim:
            self.machine.send_headers(stream, [(":status", str(status)), *headers])
        headers = [(":status", str(reply.status)), *reply.headers]
        if not reply.is_chunked and reply.status not in (204, 304):
            headers.append(("content-length", str(len(reply.body))))
        body = b"" if method == "HEAD" else reply.body
        is_end = not body and not reply.trailers
        self.machine.send_headers(stream, headers, end_stream=is_end)
        if not is_end:
            self.to_send[stream] = (body, reply.trailers)

    def send(self, stream):
        body, trailers = self.to_send[stream]
        while body:
            size = min(self.machine.local_flow_control_window(stream), self.machine.max_outbound_frame_size)
            if size <= 0:
                self.to_send[stream] = (body, trailers)
                return
            piece, body = body[:size], body[size:]
            self.machine.send_data(stream, piece, end_stream=not body and not trailers)
        if trailers:
            self.machine.send_headers(stream, trailers, end_stream=True)
        del self.to_send[stream]


class Server(ThreadingHTTPServer):
    # Five connections at once is its default.
    request_queue_size = 256


def serve():
    server = Server(("127.0.0.1", 0), Http1)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    listener = socket.create_server(("127.0.0.1", 0))
    print(server.server_address[1], listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Http2(sock).run, daemon=True).start()


# The clients.


class CannotError(Exception):
    pass


@dataclass
class Plan:
    path: str
    method: str = "GET"
    headers: dict = field(default_factory=dict)
    body: bytes | None = None
    is_chunked: bool = False
    trailers: dict = field(default_factory=dict)

    def pieces(self):
        return (self.body[at : at + 10_000] for at in range(0, len(self.body), 10_000))


@dataclass
class Seen:
    status: int
    headers: list
    body: bytes
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)

    def show(self):
        words = [f"status={self.status} length={len(self.body)} sum={checksum(self.body)}"]
        headers = [(name.lower(), value) for name, value in self.headers]
        of = dict(headers)
        words += [f"{name}={of[name]}" for name in SHOWN if name in of]
        text = self.body.decode(errors="replace")
        if many := sum(1 for name, _ in headers if name.startswith("x-many-")):
            words.append(f"many={many} big={len(of['x-big'])} text={text}")
        if cookies := [value for name, value in headers if name == "set-cookie"]:
            words.append(f"set-cookie={'|'.join(cookies)} text={text}")
        words += [f"trailer={value}" for name, value in self.trailers if name.lower() == "x-sum"]
        if self.interim:
            words.append(f"interim={','.join(map(str, self.interim))}")
        return " ".join(words)


class HttpClient:
    """The standard library's."""

    def __init__(self, _, url):
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)

    def ask(self, plan):
        if plan.trailers:
            raise CannotError("http.client sends none")
        if plan.path == "/hints":
            raise CannotError("http.client takes 103 for the answer")
        if "expect" in plan.headers:
            raise CannotError("http.client does not wait")
        body = plan.pieces() if plan.is_chunked else plan.body
        # A request that broke off leaves its connection useless.
        try:
            self.connection.request(
                plan.method, plan.path, body, plan.headers, encode_chunked=plan.is_chunked
            )
            response = self.connection.getresponse()
            return Seen(response.status, response.getheaders(), response.read())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise


class Httpx:
    def __init__(self, version, url):
        import httpx

        is_http2 = version == "http2"
        self.url, self.is_http2 = url, is_http2
        self.client = httpx.Client(http1=not is_http2, http2=is_http2, timeout=10, trust_env=False)

    def ask(self, plan):
        if plan.trailers:
            raise CannotError("httpx sends none")
        if "expect" in plan.headers:
            raise CannotError("httpx does not wait")
        body = plan.pieces() if plan.is_chunked else plan.body
        response = self.client.request(plan.method, self.url + plan.path, headers=plan.headers, content=body)
        return Seen(response.status_code, response.headers.multi_items(), response.content)


def run(command, given=b""):
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=10)


def heads(text):
    """Heads as curl writes them: interim ones, the final one, trailers."""
    blocks = [block.splitlines() for block in re.split(r"\r?\n\r?\n", text) if block.strip()]
    fields = lambda lines: [tuple(part.strip() for part in line.split(":", 1)) for line in lines if ":" in line]
    found = [(int(block[0].split()[1]), fields(block[1:])) for block in blocks if block[0].startswith("HTTP/")]
    trailers = [pair for block in blocks if not block[0].startswith("HTTP/") for pair in fields(block)]
    return found, trailers


class Curl:
    FLAGS = {
        "http1.0": ["--http1.0"],
        "http1": ["--http1.1"],
        "upgrade": ["--http2"],
        "http2": ["--http2-prior-knowledge"],
    }

    def __init__(self, version, url):
        self.version, self.url = version, url
        self.folder = tempfile.TemporaryDirectory()

    def command(self, plan):
        command = ["curl", "-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "10", "--path-as-is"]
        command += self.FLAGS[self.version]
        if plan.trailers:
            raise CannotError("curl sends none")
        if self.version == "http1.0" and (plan.path == "/hints" or "expect" in plan.headers):
            raise CannotError("RFC 9110 has no interim responses to HTTP/1.0")
        is_long = plan.path in ("/large", "/chunked") and plan.method != "HEAD"
        if self.version == "upgrade" and is_long:
            raise CannotError("curl 7.88 fails when more than 32 KB come in one piece with the 101")
        if plan.method == "HEAD":
            command.append("--head")
        for name, value in plan.headers.items():
            command += ["-H", f"{name}: {value}"]
        if plan.body is not None:
            if "expect" not in plan.headers:
                command += ["-H", "Expect:"]
            command += ["-H", "Content-Type:"]
            if plan.is_chunked:
                if self.version == "http1.0":
                    raise CannotError("HTTP/1.0 has no chunks")
                command += ["-X", "POST", "-T", "-"]
                command += ["-H", "Transfer-Encoding: chunked"] if self.version != "http2" else []
            else:
                command += ["--data-binary", "@-"]
        return command

    def ask(self, plan):
        head, body = (Path(self.folder.name) / name for name in ["head", "body"])
        body.write_bytes(b"")
        command = [*self.command(plan), "-D", str(head), "-o", str(body), self.url + plan.path]
        done = run(command, plan.body)
        if done.returncode != 0:
            raise OSError(done.stderr.decode().strip())
        found, trailers = heads(head.read_text())
        status, headers = found[-1]
        interim = [status for status, _ in found[:-1] if status != 101]
        received = b"" if plan.method == "HEAD" else body.read_bytes()
        return Seen(status, headers, received, trailers, interim)

    def keep_alive(self):
        """All hundred from one curl, so over one connection where the version has that."""
        if self.version == "http2":
            raise CannotError("curl 7.88 breaks its second request by prior knowledge")
        urls = [f"{self.url}/echo?n={at}" for at in range(100)]
        command = [*self.command(Plan("/")), "-w", "%{http_code} %header{x-path}\n", *urls]
        printed = run(command).stdout.decode()
        return sum(f"200 /echo?n={at}" in printed.splitlines() for at in range(100))


class Nghttp:
    FLAGS = {"http2": [], "upgrade": ["--upgrade"]}

    def __init__(self, version, url):
        self.flags, self.url = self.FLAGS[version], url
        self.folder = tempfile.TemporaryDirectory()

    def ask(self, plan):
        command = ["nghttp", "--verbose", "--no-dep", "--timeout=10", *self.flags]
        command += ["-H", f":method: {plan.method}"]
        for name, value in plan.headers.items():
            command += ["-H", f"{name}: {value}"]
        if plan.trailers:
            command += [f"--trailer={name}: {value}" for name, value in plan.trailers.items()]
        if "expect" in plan.headers:
            command.append("--expect-continue")
        if plan.body is not None:
            data = Path(self.folder.name) / "data"
            data.write_bytes(plan.body)
            command += ["-d", str(data)] + (["--no-content-length"] if plan.is_chunked else [])
        # What it prints of the frames has everything but the body.
        done = run([*command, "--null-out", self.url + plan.path])
        body = run([part for part in command if part != "--verbose"] + [self.url + plan.path]).stdout
        printed = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode(errors="replace"))
        found = re.findall(r"recv \(stream_id=(\d+)(?:, sensitive)?\) ([^\n]+)", printed)
        # With a body, what asks for the upgrade is an OPTIONS of its own, whose answer says nothing here.
        last = max((int(stream) for stream, _ in found), default=0)
        lines = [line for stream, line in found if int(stream) == last]
        pairs = [line.rsplit(": ", 1) if line.startswith(":") else line.split(": ", 1) for line in lines]
        statuses = [at for at, pair in enumerate(pairs) if pair[0] == ":status"]
        if not statuses:
            raise OSError(done.stderr.decode().strip() or "no answer")
        final = pairs[statuses[-1] + 1 :]
        interim = [int(pairs[at][1]) for at in statuses[:-1]]
        rest = [tuple(pair) for pair in final if len(pair) == 2]
        trailers = [pair for pair in rest if pair[0] == "x-sum"] if plan.path == "/trailers" else []
        rest = [pair for pair in rest if pair not in trailers]
        return Seen(int(pairs[statuses[-1]][1]), rest, body, trailers, interim)

    def keep_alive(self):
        urls = [f"{self.url}/echo?n={at}" for at in range(100)]
        done = run(["nghttp", "--verbose", "--null-out", *self.flags, *urls])
        printed = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode(errors="replace"))
        return sum(f"x-path: /echo?n={at}\n" in printed for at in range(100))


class H2load:
    """It counts what was answered, and says nothing else of it."""

    def __init__(self, version, url):
        self.flags, self.url = ["--h1"] if version == "http1" else [], url

    def ask(self, _):
        raise CannotError("h2load shows no answer")

    def keep_alive(self):
        command = ["h2load", "-n", "100", "-c", "1", "-m", "1" if self.flags else "10", *self.flags]
        printed = run([*command, f"{self.url}/echo?n=1"]).stdout.decode()
        return int(re.search(r"(\d+) 2xx", printed)[1])


CLIENTS = {
    "http.client": (HttpClient, "http1"),
    "httpx-http1": (Httpx, "http1"),
    "httpx-http2": (Httpx, "http2"),
    "curl-http1.0": (Curl, "http1.0"),
    "curl-http1": (Curl, "http1"),
    "curl-upgrade": (Curl, "upgrade"),
    "curl-http2": (Curl, "http2"),
    "nghttp": (Nghttp, "http2"),
    "nghttp-upgrade": (Nghttp, "upgrade"),
    "h2load-http1": (H2load, "http1"),
    "h2load-http2": (H2load, "http2"),
}


def plans():
    many = {"x-big": "h" * 6000} | {f"x-many-{at}": f"value-{at}" for at in range(40)}
    post = lambda body, **more: Plan("/echo", "POST", body=body, **more)
    return {
        "204": Plan("/status/204"),
        "304": Plan("/status/304"),
        "get": Plan("/echo?x=%20y&z=", headers={"x-test": "a, b"}),
        "post-0": post(b""),
        "post-1": post(b"1"),
        "post-100k": post(LARGE),
        "post-chunked": post(LARGE, is_chunked=True),
        "head": Plan("/large", "HEAD"),
        "large": Plan("/large"),
        "chunked": Plan("/chunked"),
        "trailers": Plan("/trailers"),
        "request-trailers": post(b"abc", is_chunked=True, trailers={"x-trailer": "end"}),
        "hints": Plan("/hints"),
        "expect": post(b"e" * 1000, headers={"expect": "100-continue"}),
        "early": Plan("/early", "POST", body=LARGE),
        "headers": Plan("/headers", headers=many),
        "cookies": Plan("/cookies", headers={"cookie": "c=3; d=4"}),
    }


def keep_alive(client):
    if hasattr(client, "keep_alive"):
        return client.keep_alive()
    seen = [(f"/echo?n={at}", client.ask(Plan(f"/echo?n={at}"))) for at in range(100)]
    return sum(each.status == 200 and ("x-path", path) in [(n.lower(), v) for n, v in each.headers] for path, each in seen)


def exchange(kind, url):
    make, version = CLIENTS[kind]
    client = make(version, url)
    for name, plan in plans().items():
        try:
            seen = client.ask(plan).show()
        except CannotError as reason:
            seen = f"cannot: {reason}"
        except Exception as error:  # noqa: BLE001: whatever a library raises is what came of it
            seen = f"error: {type(error).__name__}: {error}"
        print(f"{name}\t{seen}", flush=True)
    try:
        print(f"keep-alive\t{keep_alive(client)}")
    except CannotError as reason:
        print(f"keep-alive\tcannot: {reason}")


mode, *rest = sys.argv[1:]
{"server": serve, "client": exchange}[mode](*rest)
