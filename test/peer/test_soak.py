# SPDX-License-Identifier: Apache-2.0
"""Many streams at the same time whose callers leave at random. Afterwards memory and descriptors are back at their
level, nothing is open anywhere, and who stayed got all of it.

    --soak-seconds 600 --soak-streams 1000      the long one; PEER_SOAK_SECONDS, PEER_SOAK_STREAMS do the same

More than a few hundred streams are too many for a caller in Python: then test/bench/load makes them.
"""
import asyncio
import json
import os
import random
import re
import subprocess

import pytest

from harness import (SANITIZERS, SENTENCE, TOP, Reply, body_of, first_of, path_of, request_bytes, standin_binary,
                     understand, wait_for)

CALLERS = ["openai", "anthropic", "ollama", "generate", "native"]
KINDS = ["openai", "anthropic", "ollama"]
PYTHON_STREAMS_MAX = 300


class BigLoad:
    """One process of test/bench/load for each dialect, each towards another kind of provider."""

    def __init__(self, router, seconds, streams):
        self.router, self.seconds, self.streams = router, seconds, streams
        self.stayed = self.left = 0
        self.wrong = []

    @staticmethod
    def program():
        beside = os.path.join(os.path.dirname(standin_binary()), "../bench/load")
        return first_of(os.environ.get("LOAD"), beside, os.path.join(TOP, "build/release/test/bench/load"))

    def run(self):
        paths = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "ollama": "/api/chat"}
        argv = [[self.program(), "leavers", self.router.url + paths[door], "--dialect", door, "--connections",
                 str(self.streams // 3), "--seconds", str(self.seconds), "--stay", "0.8", "--gap-ms", "60", "--model",
                 KINDS[(i + 1) % 3] + "/demo+gap_ms=60"] for i, door in enumerate(paths)]
        running = [subprocess.Popen(a, stdout=subprocess.PIPE, text=True) for a in argv]
        for process in running:
            out, _ = process.communicate(timeout=self.seconds + 180)
            result = json.loads(out)
            self.stayed += result["ends"]["fine"]
            self.left += result["left"]
            if result["failed"] or process.returncode != 0:
                self.wrong.append({k: result[k] for k in ("opened", "failed", "ends")})


class Load:
    def __init__(self, router, seconds, streams):
        self.router, self.seconds, self.streams = router, seconds, streams
        self.random = random.Random(4711)
        self.stayed = self.left = self.refused = 0
        self.wrong = []

    async def one(self, until):
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            door, kind = self.random.choice(CALLERS), self.random.choice(KINDS)
            model = "%s/demo+gap_ms=%d" % (kind, self.random.choice((1, 20, 60)))
            stays = self.random.random() < 0.5
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.router.port)
                writer.write(request_bytes("POST", path_of(door, True), body_of(door, model, True),
                                           {"Connection": "close"}))
                if stays:
                    await self.stay(door, reader)
                else:       # at any moment: before the head, in mid-stream, at the end
                    try:
                        await asyncio.wait_for(reader.read(self.random.randrange(1, 4000)),
                                               self.random.random() * 0.3)
                    except (asyncio.TimeoutError, TimeoutError):
                        pass
                    self.left += 1
                if self.random.random() < 0.5:
                    writer.transport.abort()        # RST as well as FIN
                else:
                    writer.close()
            except OSError as e:
                self.wrong.append(repr(e))

    async def stay(self, door, reader):
        data = await reader.read(-1)
        head, _, rest = data.partition(b"\r\n\r\n")
        reply = Reply()
        reply.status = int(head.split()[1]) if head else 0
        while rest:         # dechunk
            size, _, rest = rest.partition(b"\r\n")
            n = int(size, 16)
            reply.body += rest[:n]
            reply.complete = n == 0
            rest = rest[n + 2:]
        self.stayed += 1
        answer = understand(door, True, reply)
        if reply.status != 200 or not reply.complete or answer.text != SENTENCE or answer.error:
            self.wrong.append((door, head[:300], reply.body[-300:]))

    async def main(self):
        until = asyncio.get_running_loop().time() + self.seconds
        await asyncio.gather(*(self.one(until) for _ in range(self.streams)))

    def run(self):
        asyncio.run(self.main())


def failures(router):
    """What the router has to say of exchanges that were not answered, as its log has them."""
    found = [x for x in router.log_lines() if x.get("event") == "exchange" and x["outcome"] not in ("ok", "caller_gone")]
    return len(found), found[:5], found[-5:]


def level(router):
    pid = router.process.pid
    with open("/proc/%d/statm" % pid) as f:
        rss = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return rss, len(os.listdir("/proc/%d/fd" % pid))


@pytest.mark.tsan
def test_callers_who_leave_at_random_leave_nothing_behind(router, standin, request):
    seconds, streams = request.config.getoption("--soak-seconds"), request.config.getoption("--soak-streams")
    s = standin("--record", "0")
    models = ["demo+gap_ms=%d" % ms for ms in (1, 20, 60)]
    # The address sanitizer keeps 256 MB of freed memory back; here memory is what we look at.
    env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", SANITIZERS["ASAN_OPTIONS"]) + ":quarantine_size_mb=1"}
    r = router({"providers": {k: {"kind": k, "url": s.url, "models": models, "concurrency": 0, "pool_idle": "500ms",
                                  "breaker_failures": 1000, **({"zone": "local"} if k == "anthropic" else {})}
                              for k in KINDS},
                "probe_interval": "60s", "server": {"keepalive_timeout": "30s"}}, env=env).wait_up()
    # The first half warms up: allocators and pools take what they need and keep it.
    big = streams > PYTHON_STREAMS_MAX
    if big and BigLoad.program() is None:
        pytest.skip("test/bench/load is not built: ./dev build release")
    kind_of_load = BigLoad if big else Load
    warm = kind_of_load(r, 15 if big else seconds / 2, streams)
    warm.run()
    wait_for(lambda: quiet(r, s), "nothing is in progress")
    before = level(r)
    load = kind_of_load(r, seconds if big else seconds / 2, streams)
    load.run()
    wait_for(lambda: quiet(r, s), "nothing is in progress")
    wait_for(lambda: level(r)[1] <= before[1] + 2, "descriptors are back at their level: %s" % (before,))
    after = level(r)
    for one in (warm, load):
        assert not one.wrong, (one.wrong[:5], failures(r))
        assert one.stayed > 20 and one.left > 20
    # What allocators keep varies by some megabytes; a leak of one stream's memory in each would be far more.
    assert after[0] <= before[0] * 1.1 + (8 << 20), (before, after)
    stats = r.get("/router/stats")
    assert stats["total_requests"] == stats["success_count"] + stats["error_count"]
    print(json.dumps({"stayed": warm.stayed + load.stayed, "left": warm.left + load.left, "rss": [before[0], after[0]],
                      "descriptors": [before[1], after[1]]}))


def quiet(router, standin):
    text = router.ask("GET", "/metrics").text
    value = {k: float(v) for k, v in re.findall(r"^(llm_router_[a-z_]+) (\S+)$", text, re.M)}
    return value["llm_router_active_exchanges"] == value["llm_router_active_streams"] == 0 and \
        value["llm_router_upstream_connections_busy"] == 0 and value["llm_router_upstream_connections_idle"] == 0 and \
        value["llm_router_connections"] == 1 and standin.stats()["requests_active"] == 0
