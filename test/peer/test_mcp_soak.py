# SPDX-License-Identifier: Apache-2.0
"""Many tool loops at the same time against a tool server that takes its time, whose callers leave at random, and a
server that is killed under them. Afterwards memory and descriptors are back at their level and nothing is open anywhere.

    --soak-seconds 300 --soak-streams 1000      the long one
"""
import asyncio
import json
import os
import random
import signal
import subprocess
import sys

from harness import TOP, Reply, ask, body_of, path_of, request_bytes, understand, wait_for

CALLERS = ["openai", "anthropic", "ollama", "native"]


class SlowServer:
    def __init__(self, ms=300, port=0):
        env = {**os.environ, "MS": str(ms), "PORT": str(port)}
        self.process = subprocess.Popen([sys.executable, os.path.join(TOP, "test/mcp/slow_server.py")], env=env,
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline())

    def stats(self):
        return ask(self.port, "GET", "/test/stats").json

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    close = kill = stop


def wait_tools(router):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    heads = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    wait_for(lambda: "slow__wait" in router.ask("POST", "/mcp", body, heads).text, "the server's tools are there")
    return router


def level(router):
    pid = router.process.pid
    with open("/proc/%d/statm" % pid) as f:
        rss = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return rss, len(os.listdir("/proc/%d/fd" % pid))


def config(standin, server):
    return {"providers": {"o": {"kind": "openai", "url": standin.url + "/v1", "models": ["demo", "demo+call=1"]}},
            "aliases": {"agent": ["o/demo+call=1"]},
            "mcp_servers": {"slow": {"url": "http://127.0.0.1:%d/mcp" % server.port,
                                     "rules": ["wait=read,none,auto", "*=read,none,off"]}}}


class Loops:
    """So many callers, each again and again until the time is over."""

    def __init__(self, router, seconds, n):
        self.router, self.seconds, self.n = router, seconds, n
        self.random = random.Random(4711)
        self.stayed = self.left = 0
        self.wrong, self.memory = [], []

    async def one(self, until):
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            door, stream = self.random.choice(CALLERS), self.random.random() < 0.5
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.router.port)
                writer.write(request_bytes("POST", path_of(door, stream), body_of(door, "agent", stream, prompt="Please wait for some milliseconds"),
                                           {"Connection": "close"}))
                if self.random.random() < 0.7:
                    await self.stay(door, stream, reader)
                else:
                    try:
                        await asyncio.wait_for(reader.read(100000), self.random.random() * 0.6)
                    except (asyncio.TimeoutError, TimeoutError):
                        pass
                    self.left += 1
                writer.transport.abort()
            except OSError as e:
                self.wrong.append(repr(e))

    async def stay(self, door, stream, reader):
        data = await asyncio.wait_for(reader.read(-1), 120)
        head, _, rest = data.partition(b"\r\n\r\n")
        reply = Reply()
        reply.status = int(head.split()[1]) if head else 0
        if b"chunked" in head.lower():
            while rest:
                size, _, rest = rest.partition(b"\r\n")
                n = int(size, 16)
                reply.body += rest[:n]
                reply.complete = n == 0
                rest = rest[n + 2:]
        else:
            reply.body, reply.complete = rest, True
        self.stayed += 1
        answer = understand(door, stream, reply)
        if reply.status != 200 or not reply.complete or answer.error or not answer.ended or "done" not in answer.text:
            self.wrong.append((door, stream, head[:300], reply.body[-300:]))

    async def watch(self, until):
        """How much memory the router has, twelve times."""
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self.seconds / 12)
            self.memory.append(level(self.router)[0])

    async def main(self):
        until = asyncio.get_running_loop().time() + self.seconds
        await asyncio.gather(self.watch(until), *(self.one(until) for _ in range(self.n)))

    def run(self):
        asyncio.run(self.main())


def test_many_loops(router, standin, pytestconfig):
    seconds = pytestconfig.getoption("--soak-seconds")
    n = pytestconfig.getoption("--soak-streams")
    server = SlowServer()
    upstream = standin()
    try:
        r = wait_tools(router({**config(upstream, server), "max_exchanges": 4 * n}))
        warm = Loops(r, 2, min(n, 50))
        warm.run()
        assert not warm.wrong, warm.wrong[:3]
        before = level(r)
        loops = Loops(r, seconds, n)
        loops.run()
        assert not loops.wrong, (len(loops.wrong), loops.stayed, loops.wrong[:3])
        assert loops.stayed > 0 and loops.left > 0
        if seconds >= 60:   # what it needed in the first third is enough for the rest, a leak would not stop
            assert max(loops.memory[8:]) <= 1.1 * max(loops.memory[:4]), loops.memory
        wait_for(lambda: server.stats()["open"] == 0, "no call is left at the tool server")
        wait_for(lambda: level(r)[1] <= before[1] + 4, "descriptors are back: %s" % (before,))
        print("loops: %d heard to the end, %d left; resident %d MB, %s MB, at the end %d MB; %s" % (
            loops.stayed, loops.left, before[0] >> 20, [m >> 20 for m in loops.memory], level(r)[0] >> 20,
            json.dumps(server.stats())))
    finally:
        server.stop()


def test_the_tool_server_is_killed_under_them(router, standin):
    """kill -9 again and again, in every state of a loop: every caller gets an answer that ends well."""
    server = SlowServer(ms=100)
    port = server.port
    upstream = standin()
    dice = random.Random(7)
    servers = [server]

    class Killed(Loops):
        async def main(self):
            async def killer(until):
                while asyncio.get_running_loop().time() < until:
                    await asyncio.sleep(dice.random() * 0.5)
                    servers[-1].process.send_signal(signal.SIGKILL)
                    servers[-1].process.wait()
                    await asyncio.sleep(dice.random() * 0.2)
                    servers.append(await asyncio.to_thread(SlowServer, 100, port))
            until = asyncio.get_running_loop().time() + self.seconds
            await asyncio.gather(killer(until), *(self.one(until) for _ in range(self.n)))

        async def stay(self, door, stream, reader):
            data = await asyncio.wait_for(reader.read(-1), 120)
            self.stayed += 1
            if not data.startswith(b"HTTP/1.1 200") or b"error" in data.lower().split(b"\r\n\r\n", 1)[0]:
                self.wrong.append((door, stream, data[:400]))

    try:
        r = wait_tools(router(config(upstream, server)))
        loops = Killed(r, 6, 40)
        loops.run()
        assert not loops.wrong, (len(loops.wrong), loops.stayed, loops.wrong[:3])
        assert loops.stayed > 20
        wait_for(lambda: servers[-1].stats()["open"] == 0, "no call is left at the tool server")
    finally:
        for one in servers:
            one.stop()
