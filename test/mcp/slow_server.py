#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An MCP server that takes its time: legacy era, stateless Streamable HTTP, answers as JSON, many calls at once.

Tools: `wait {"ms": n}` answers after n milliseconds (default and most: MS of the environment), `fail` with isError, `hang` never.
Prints its port as the first line. GET /test/stats: {"calls": made, "open": waiting now, "left": given up by their caller}.
"""
import asyncio
import json
import os

MS = int(os.environ.get("MS", "1000"))
stats = {"calls": 0, "open": 0, "left": 0}
TOOLS = [{"name": "wait", "description": "Wait for some milliseconds and say done.", "annotations": {"readOnlyHint": True},
          "inputSchema": {"type": "object", "properties": {"ms": {"type": "integer"}}}},
         {"name": "fail", "description": "Fail.", "inputSchema": {"type": "object"}},
         {"name": "hang", "description": "Never answer.", "inputSchema": {"type": "object"}}]


async def answer(message):
    method, params = message["method"], message.get("params") or {}
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "slow", "version": "1"}}
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method != "tools/call":
        return None
    stats["calls"] += 1
    stats["open"] += 1
    try:
        if params["name"] == "hang":
            await asyncio.Event().wait()
        if params["name"] == "fail":
            return {"content": [{"type": "text", "text": "it failed"}], "isError": True}
        await asyncio.sleep(min((params.get("arguments") or {}).get("ms", MS), MS) / 1000)
        return {"content": [{"type": "text", "text": "done"}]}
    except asyncio.CancelledError:
        stats["left"] += 1
        raise
    finally:
        stats["open"] -= 1


async def read_request(reader):
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode().split()
    length = 0
    while True:
        line = await reader.readline()
        if line in (b"\r\n", b""):
            break
        name, _, value = line.decode().partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return method, path, await reader.readexactly(length)


def send(writer, status, body):
    data = json.dumps(body).encode() if body is not None else b""
    writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(data)) + data)


async def serve(reader, writer):
    try:
        while (request := await read_request(reader)) is not None:
            method, path, body = request
            if path == "/test/stats":
                send(writer, 200, stats)
                continue
            if method != "POST":
                send(writer, 405, None)
                continue
            message = json.loads(body)
            if "id" not in message:
                send(writer, 202, None)
                continue
            work = asyncio.ensure_future(answer(message))
            gone = asyncio.ensure_future(reader.read(1))     # the caller sends nothing while it waits
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                return
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            result = work.result()
            send(writer, 200, {"jsonrpc": "2.0", "id": message["id"], **(
                {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}})})
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ.get("PORT", "0")), backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
