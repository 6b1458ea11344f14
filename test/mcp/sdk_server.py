#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sdk_server - the server of sdk_server.mjs once more, written with the official Python library (mcp 1.x, 2025-11-25).

It has what that library's FastMCP can say: no subscriptions to resources, no tasks.

    sdk_server.py stdio NAME     its resources are NAME://...
    sdk_server.py http NAME      prints its port first
"""
import asyncio
import base64
import functools
import socket
import sys

from mcp import types
from mcp.server.fastmcp import Context, FastMCP, Image
from mcp.server.lowlevel import NotificationOptions
from pydantic import BaseModel

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
NAMES = ["ann", "anna", "bob"]
peer = FastMCP("peer-py", log_level="ERROR")
count = {"cancels": 0, "grown": 0}


class Sum(BaseModel):
    sum: float


class Name(BaseModel):
    name: str


@peer.tool(annotations=types.ToolAnnotations(readOnlyHint=True))
def add(a: float, b: float) -> Sum:
    return Sum(sum=a + b)


@peer.tool()
def picture() -> Image:
    return Image(data=PIXEL, format="png")


@peer.tool()
def fail() -> str:
    raise ValueError("It failed.")


@peer.tool()
async def slow(ctx: Context) -> str:
    for i in range(1, 4):
        await ctx.report_progress(i, 3, "step %d" % i)
        await asyncio.sleep(0.04)      # the router hands on so many in a second, not more
    return "done"


@peer.tool()
async def hang(ctx: Context) -> str:
    await ctx.report_progress(1, message="it hangs now")
    try:
        await asyncio.Event().wait()
    finally:
        count["cancels"] += 1


@peer.tool()
def cancels() -> str:
    return str(count["cancels"])


@peer.tool()
async def log(ctx: Context) -> str:
    await ctx.log("warning", "from the server", logger_name="peer")
    return "logged"


@peer.tool()
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("Your name?", Name)
    return "Hello " + answer.data.name if answer.action == "accept" else "No name: " + answer.action


@peer.tool()
async def sample(prompt: str, ctx: Context) -> str:
    answer = await ctx.session.create_message(
        [types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))], max_tokens=50,
        related_request_id=ctx.request_id)
    return "It said: " + answer.content.text


@peer.tool()
async def roots(ctx: Context) -> str:
    return " ".join(str(r.uri) for r in (await ctx.session.list_roots()).roots)


@peer.tool()
async def grow(ctx: Context) -> str:
    count["grown"] += 1
    name = "grown_%d" % count["grown"]
    peer.add_tool(lambda: "grown", name=name, description="Came later.")
    await ctx.session.send_tool_list_changed()
    return name


@peer.resource(sys.argv[2] + "://text", mime_type="text/plain")
def text() -> str:
    return "A text."


@peer.resource(sys.argv[2] + "://item/{id}", mime_type="text/plain")
def item(id: str) -> str:
    return "Item %s." % id


@peer.prompt()
def greet(who: str) -> str:
    return "Greet %s." % who


@peer.completion()
async def complete(ref, argument, context):
    known = NAMES if isinstance(ref, types.PromptReference) else ["1", "12", "2"]
    return types.Completion(values=[n for n in known if n.startswith(argument.value)])


def main():
    low = peer._mcp_server
    low.create_initialization_options = functools.partial(low.create_initialization_options, NotificationOptions(
        tools_changed=True))
    if sys.argv[1] == "stdio":
        peer.run()
        return
    import uvicorn
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(peer.streamable_http_app(), log_level="error"))
    asyncio.run(server.serve([listener]))


main()
