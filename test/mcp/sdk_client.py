#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sdk_client - what the official Python client (mcp 1.x) sees of the servers behind the router; its job, its features and
what it tells are those of sdk_client.mjs.

    sdk_client.py < job.json > seen.json
"""
import asyncio
import contextlib
import json
import sys

from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

DEADLINE = 30
heard = []


async def elicit(context, params):
    return types.ElicitResult(action="accept", content={"name": "Ann"})


async def sample(context, params):
    text = params.messages[0].content.text
    return types.CreateMessageResult(role="assistant", model="mine", content=types.TextContent(
        type="text", text='"%s", said my model' % text))


async def list_roots(context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///mine")])


async def on_log(params):
    heard.append(("notifications/message", params))


async def on_message(message):
    if isinstance(message, types.ServerNotification):
        heard.append((message.root.method, message.root.params))


async def until(what, condition):
    end = asyncio.get_running_loop().time() + DEADLINE
    while not (value := await condition()):
        if asyncio.get_running_loop().time() > end:
            raise TimeoutError("not heard: " + what)
        await asyncio.sleep(0.01)
    return value


async def hears(method, fits=lambda params: True):
    async def was():
        return any(m == method and fits(p) for m, p in heard)
    await until(method, was)


def text_of(result):
    return "".join(c.text if c.type == "text" else "<%s %s>" % (c.type, c.mimeType) for c in result.content)


class Features:
    """One method for each, in the order in which they are tried."""

    def __init__(self, session, server):
        self.session, self.server = session, server

    async def call(self, name, arguments=None, **more):
        return await self.session.call_tool("%s__%s" % (self.server, name), arguments or {}, **more)

    async def run(self, name, arguments=None, **more):
        return text_of(await self.call(name, arguments, **more))

    async def names(self):
        return [t.name for t in (await self.session.list_tools()).tools]

    async def tools(self):
        return sum(n in (self.server + "__add", self.server + "__slow") for n in await self.names())

    async def structured(self):
        return (await self.call("add", {"a": 2, "b": 3})).structuredContent

    async def image(self):
        return await self.run("picture")

    async def tool_error(self):
        result = await self.call("fail")
        return [result.isError, "It failed." in text_of(result)]

    async def bad_argument(self):
        return (await self.call("add", {"a": "two", "b": 3})).isError

    async def unknown_tool(self):
        try:
            await self.run("nothing")
            return "taken"
        except McpError:
            return "refused"

    async def progress(self):
        steps = []

        async def on_progress(done, total, message):
            steps.append(done)
        text = await self.run("slow", progress_callback=on_progress)
        return [text, *steps]

    async def cancel(self):
        before = int(await self.run("cancels"))
        number = self.session._request_id      # the library tells nobody the id of a request; this is its next one
        hangs = asyncio.Event()

        async def on_progress(done, total, message):
            hangs.set()
        call = asyncio.create_task(self.run("hang", progress_callback=on_progress))
        await hangs.wait()
        await self.session.send_notification(types.ClientNotification(types.CancelledNotification(
            params=types.CancelledNotificationParams(requestId=number, reason="changed my mind"))))
        call.cancel()       # no answer comes to what was cancelled

        async def told():
            return int(await self.run("cancels")) > before
        await until("the server was told", told)
        return "cancelled"

    async def logging(self):
        await self.run("log")
        await hears("notifications/message", lambda p: p.data == "from the server")
        return "heard"

    async def elicitation(self):
        return await self.run("ask")

    async def sampling(self):
        return await self.run("sample", {"prompt": "Ping"})

    async def roots(self):
        return await self.run("roots")

    async def resource(self):
        return (await self.session.read_resource(self.server + "://text")).contents[0].text

    async def resources_listed(self):
        return sum(str(r.uri) == self.server + "://text" for r in (await self.session.list_resources()).resources)

    async def template(self):
        listed = (await self.session.list_resource_templates()).resourceTemplates
        return [any(t.uriTemplate == self.server + "://item/{id}" for t in listed),
                (await self.session.read_resource(self.server + "://item/7")).contents[0].text]

    async def prompt(self):
        name = self.server + "__greet"
        listed = any(p.name == name for p in (await self.session.list_prompts()).prompts)
        return [listed, (await self.session.get_prompt(name, {"who": "ann"})).messages[0].content.text]

    async def completion_of_a_prompt(self):
        return (await self.session.complete(types.PromptReference(type="ref/prompt", name=self.server + "__greet"),
                                            {"name": "who", "value": "an"})).completion.values

    async def completion_of_a_template(self):
        return (await self.session.complete(types.ResourceTemplateReference(
            type="ref/resource", uri=self.server + "://item/{id}"), {"name": "id", "value": "1"})).completion.values

    async def list_changed(self):
        heard.clear()
        name = "%s__%s" % (self.server, await self.run("grow"))
        await hears("notifications/tools/list_changed")

        async def listed():
            return name in await self.names()
        await until(name + " is listed", listed)
        return "heard"

    async def resource_updated(self):
        heard.clear()
        uri = self.server + "://text"
        await self.session.subscribe_resource(uri)
        await self.run("touch")
        await hears("notifications/resources/updated", lambda p: str(p.uri) == uri)
        await self.session.unsubscribe_resource(uri)
        return "heard"

    async def task(self):
        return await self.run("later")


TRIED = [name for name, value in vars(Features).items() if name not in ("__init__", "call", "run", "names") and
         not name.startswith("__")]


@contextlib.asynccontextmanager
async def streams(job):
    if "url" in job:
        async with streamablehttp_client(job["url"]) as (read, write, _):
            yield read, write
    else:
        async with stdio_client(StdioServerParameters(command=job["command"][0], args=job["command"][1:],
                                                      env=job["env"])) as (read, write):
            yield read, write


async def main(job):
    seen = {}
    async with streams(job) as (read, write), ClientSession(
            read, write, sampling_callback=sample, elicitation_callback=elicit, list_roots_callback=list_roots,
            logging_callback=on_log, message_handler=on_message) as session:
        await session.initialize()
        for server in job["servers"]:
            seen[server] = {}
            features = Features(session, server)
            for name in TRIED:
                feature = name.replace("_", " ")
                if feature in job["skip"].get(server, []):
                    continue
                try:
                    seen[server][feature] = await getattr(features, name)()
                except (McpError, RuntimeError, ValueError, TimeoutError) as e:
                    seen[server][feature] = "failed: %s" % e
    json.dump(seen, sys.stdout)


asyncio.run(main(json.load(sys.stdin)))
