"""grpcio as client and server of gRPC's interoperability cases. Messages are written by their field numbers, so nothing is
generated.

grpc_ends.py server                  prints its port
grpc_ends.py client HOST:PORT        does every case; prints `CASE<TAB>ok` or what went wrong
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVICE = "/grpc.testing.TestService/"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
REQUESTS, RESPONSES = [27182, 8, 1828, 45904], [31415, 9, 2653, 58979]
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.so_reuseport", 0)]


# Protocol buffers, as far as these messages need them.


def number(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def integer(field, value):
    return number(field << 3) + number(value)


def part(field, data):
    return number(field << 3 | 2) + number(len(data)) + data


def read(message):
    """Field numbers, and values in order."""
    fields, at = {}, 0

    def take():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = take()
        if key & 7 == 0:
            fields.setdefault(key >> 3, []).append(take())
        else:
            length = take()
            fields.setdefault(key >> 3, []).append(message[at : at + length])
            at += length
    return fields


def first(fields, field, default):
    return fields.get(field, [default])[0]


def payload(size):
    return part(2, bytes(size))


def size_of(message, field):
    return len(first(read(first(read(message), field, b"")), 2, b""))


# The server.


def echo_metadata(context):
    given = dict(context.invocation_metadata())
    if INITIAL in given:
        context.send_initial_metadata([(INITIAL, given[INITIAL])])
    if TRAILING in given:
        context.set_trailing_metadata([(TRAILING, given[TRAILING])])


def obey_status(fields, context):
    if status := first(fields, 7, b""):
        status = read(status)
        code = next(each for each in grpc.StatusCode if each.value[0] == first(status, 1, 0))
        context.abort(code, first(status, 2, b"").decode())


def unary(request, context):
    echo_metadata(context)
    fields = read(request)
    obey_status(fields, context)
    answer = part(1, payload(first(fields, 2, 0)))
    return answer + part(4, b"the only one") if first(fields, 9, 0) else answer


def stream_out(fields):
    for parameters in fields.get(2, []):
        parameters = read(parameters)
        time.sleep(first(parameters, 2, 0) / 1e6)
        yield part(1, payload(first(parameters, 1, 0)))


def full_duplex(requests, context):
    echo_metadata(context)
    for request in requests:
        fields = read(request)
        obey_status(fields, context)
        yield from stream_out(fields)


def half_duplex(requests, _):
    for fields in [read(request) for request in requests]:
        yield from stream_out(fields)


def serve():
    methods = {
        "EmptyCall": grpc.unary_unary_rpc_method_handler(lambda request, context: b""),
        "UnaryCall": grpc.unary_unary_rpc_method_handler(unary),
        "StreamingOutputCall": grpc.unary_stream_rpc_method_handler(lambda request, _: stream_out(read(request))),
        "StreamingInputCall": grpc.stream_unary_rpc_method_handler(
            lambda requests, _: integer(1, sum(size_of(request, 1) for request in requests))
        ),
        "FullDuplexCall": grpc.stream_stream_rpc_method_handler(full_duplex),
        "HalfDuplexCall": grpc.stream_stream_rpc_method_handler(half_duplex),
    }
    server = grpc.server(ThreadPoolExecutor(16), options=OPTIONS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.testing.TestService", methods)])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


# The client.


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} instead of {wanted!r}"[:300])


def fails(call, code, message=None):
    try:
        result = call()
    except grpc.RpcError as error:
        expect(error.code(), code)
        if message is not None:
            expect(error.details(), message)
    else:
        raise AssertionError(f"{result!r} instead of {code}"[:300])


def outputs(sizes, status=b""):
    return b"".join(part(2, integer(1, size)) for size in sizes) + status


class Cases:
    def __init__(self, target):
        channel = grpc.insecure_channel(target, options=OPTIONS)
        self.channel = channel
        self.unary = channel.unary_unary(SERVICE + "UnaryCall")
        self.duplex = channel.stream_stream(SERVICE + "FullDuplexCall")
        self.input = channel.stream_unary(SERVICE + "StreamingInputCall")
        self.large = integer(2, 314159) + part(3, payload(271828))

    def empty_unary(self):
        expect(self.channel.unary_unary(SERVICE + "EmptyCall")(b"", timeout=10), b"")

    def large_unary(self):
        expect(size_of(self.unary(self.large, timeout=10), 1), 314159)

    def client_streaming(self):
        requests = iter([part(1, payload(size)) for size in REQUESTS])
        expect(first(read(self.input(requests, timeout=10)), 1, 0), 74922)

    def server_streaming(self):
        call = self.channel.unary_stream(SERVICE + "StreamingOutputCall")
        expect([size_of(each, 1) for each in call(outputs(RESPONSES), timeout=10)], RESPONSES)

    def ping_pong(self):
        sizes = []

        def requests():
            for at, (request, response) in enumerate(zip(REQUESTS, RESPONSES)):
                # The next ping waits for the pong.
                while len(sizes) < at:
                    time.sleep(0.001)
                yield outputs([response]) + part(3, payload(request))

        for answer in self.duplex(requests(), timeout=10):
            sizes.append(size_of(answer, 1))
        expect(sizes, RESPONSES)

    def empty_stream(self):
        expect(list(self.duplex(iter([]), timeout=10)), [])

    def timeout_on_sleeping_server(self):
        def requests():
            yield outputs([31415]) + part(3, payload(27182))
            time.sleep(1)

        fails(lambda: list(self.duplex(requests(), timeout=0.001)), grpc.StatusCode.DEADLINE_EXCEEDED)

    def cancel_after_begin(self):
        def requests():
            time.sleep(1)
            yield b""

        call = self.input.future(requests(), timeout=10)
        call.cancel()
        expect(call.code(), grpc.StatusCode.CANCELLED)

    def cancel_after_first_response(self):
        def requests():
            yield outputs([31415]) + part(3, payload(27182))
            time.sleep(1)

        call = self.duplex(requests(), timeout=10)
        expect(size_of(next(call), 1), 31415)
        call.cancel()
        fails(lambda: list(call), grpc.StatusCode.CANCELLED)

    def status(self, message):
        status = part(7, integer(1, 2) + part(2, message.encode()))
        fails(lambda: self.unary(status, timeout=10), grpc.StatusCode.UNKNOWN, message)
        return status

    def status_code_and_message(self):
        message = "test status message"
        status = self.status(message)
        call = self.duplex(iter([outputs([], status)]), timeout=10)
        fails(lambda: list(call), grpc.StatusCode.UNKNOWN, message)

    def special_status_message(self):
        self.status(SPECIAL)

    def custom_metadata(self):
        metadata = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab")]
        response, call = self.unary.with_call(self.large, metadata=metadata, timeout=10)
        expect(size_of(response, 1), 314159)
        stream = self.duplex(iter([outputs([314159])]), metadata=metadata, timeout=10)
        expect([size_of(each, 1) for each in stream], [314159])
        for each in [call, stream]:
            expect(dict(each.initial_metadata()).get(INITIAL), "test_initial_metadata_value")
            expect(dict(each.trailing_metadata()).get(TRAILING), b"\xab\xab\xab")

    def unimplemented_method(self):
        call = self.channel.unary_unary(SERVICE + "UnimplementedCall")
        fails(lambda: call(b"", timeout=10), grpc.StatusCode.UNIMPLEMENTED)

    def unimplemented_service(self):
        call = self.channel.unary_unary("/grpc.testing.UnimplementedService/UnimplementedCall")
        fails(lambda: call(b"", timeout=10), grpc.StatusCode.UNIMPLEMENTED)

    def pick_first_unary(self):
        """For servers that say who they are; grpc-go's does not."""
        ids = {first(read(self.unary(integer(9, 1), timeout=10)), 4, b"") for _ in range(100)}
        expect(ids, {b"the only one"})


def exchange(target):
    cases = Cases(target)
    for name, case in vars(Cases).items():
        if name.startswith("_") or name == "status":
            continue
        try:
            case(cases)
            print(f"{name}\tok", flush=True)
        except Exception as error:  # noqa: BLE001: whatever it raises is what came of the case
            what = str(error).replace("\n", " ") if isinstance(error, AssertionError) else repr(error).replace("\n", " ")
            print(f"{name}\t{what[:300]}", flush=True)
    cases.channel.close()


mode, *rest = sys.argv[1:]
{"server": serve, "client": exchange}[mode](*rest)
