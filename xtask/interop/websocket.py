"""WebSocket ends on the package `websockets`, HTTP/1 only.

websocket.py server     echoes every message; prints its port
websocket.py echo URL   sends messages of all kinds and prints what came back
"""

import asyncio
import contextlib
import hashlib
import sys

import websockets

LARGEST = 128 * 1024 * 1024


async def echo(connection):
    # However the peer ends it, this end has nothing to add.
    with contextlib.suppress(websockets.ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=LARGEST) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def send(url):
    async with websockets.connect(url, max_size=LARGEST, proxy=None) as connection:
        for message in ["", "one", "grüß \U0001f980", "x" * 70000, b"\0\xff\1", b"\7" * 300000]:
            await connection.send(message)
            answer = await connection.recv()
            data = answer.encode() if isinstance(answer, str) else answer
            kind = "text" if isinstance(answer, str) else "binary"
            digest = hashlib.sha256(data).hexdigest()[:12]
            print(f"message {kind} {len(data)} {digest} {'same' if answer == message else 'OTHER'}")
        await connection.send(iter(["first ", "second"]))
        print(f"fragments {await connection.recv()}")
        await (await connection.ping("are you there"))
        print("pong are you there")
        await connection.close(4001, "enough")
        print(f"close {connection.close_code}")


mode, *rest = sys.argv[1:]
asyncio.run({"server": serve, "echo": send}[mode](*rest))
