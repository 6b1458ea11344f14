# SPDX-License-Identifier: Apache-2.0
"""Faults that MCP hosts, gateways and servers are known for: where each one is tried, and those that want the whole program.

test/mcp/faults.tsv is the list: the fault, the file, the name of its test. The first test here looks whether each name is there.
"""
import glob
import os
import sys

from harness import TOP, alive, ask, understand, wait_for

SERVER = os.path.join(TOP, "test", "mcp", "server.py")
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def test_every_fault_has_its_test():
    rows, missing = 0, []
    with open(os.path.join(TOP, "test", "mcp", "faults.tsv"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("#"):
                continue
            fault, path, name = line.rstrip("\n").split("\t")
            with open(os.path.join(TOP, path), encoding="utf-8") as source:
                if name not in source.read():
                    missing.append((fault, path, name))
            rows += 1
    assert not missing and rows >= 60, (rows, missing)


def server(*options, **more):
    return {"command": [sys.executable, SERVER, *options], "rules": ["*=read,none,auto"], **more}


def rpc(r, method, params=None):
    return ask(r.port, "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}, HEADERS)


def tools(r):
    names, cursor = [], None
    while True:
        page = rpc(r, "tools/list", {"cursor": cursor} if cursor is not None else {}).json["result"]
        names += [t["name"] for t in page["tools"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            return names


def text(r, tool, **arguments):
    return rpc(r, "tools/call", {"name": tool, "arguments": arguments}).json["result"]["content"][0]["text"]


def has(r, *names):
    wait_for(lambda: set(names) <= set(tools(r)), "these are there: " + " ".join(names))


def resident(r):
    with open("/proc/%d/statm" % r.process.pid) as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_lists_that_change_during_a_turn(router, standin):
    """The turn ends with the tools with which it began; the next one has the new one."""
    model = standin()
    r = router({"providers": {"o": {"kind": "openai", "url": model.url + "/v1", "models": ["demo", "demo+call=1"]}},
                "aliases": {"agent": ["o/demo+call=1"]}, "mcp_servers": {"s": server(deny=["die", "ask", "sample", "wait", "go"])}})
    has(r, "s__add_tool")

    def turn():
        before = len(model.requests())
        reply = r.chat("openai", "agent", False, prompt="Please add a tool")
        assert reply.status == 200 and understand("openai", False, reply).ended, reply
        return [sorted(t["function"]["name"] for t in q["json"].get("tools", [])) for q in model.requests()[before:]]
    first = turn()
    has(r, "s__added_0")        # its call of add_tool has changed the list
    assert len(first) == 2 and first[0] == first[1] and "s__add_tool" in first[0] and "s__added_0" not in first[0]
    assert "s__added_0" in turn()[0]


def test_a_server_that_floods_us_costs_only_itself(router):
    r = router({"providers": {}, "mcp_servers": {"loud": server("--flood"), "quiet": server()}}, ready=None)
    has(r, "quiet__echo", "loud__echo")     # between its noise it is understood, too
    assert text(r, "quiet__echo", text="before") == "before"
    level = resident(r)
    for i in range(30):
        assert text(r, "quiet__echo", text=str(i)) == str(i)
        assert text(r, "loud__echo", text=str(i)) == str(i)
    assert resident(r) < level + (32 << 20)


def test_names_stay_when_a_server_is_added(router):
    """Two servers have the same tools; a third one, before them by its name, moves nobody."""
    def named(name):
        return server(env=["WHO=" + name])
    r = router({"providers": {}, "mcp_servers": {"b": named("b"), "c": named("c")}}, ready=None)
    has(r, "b__env", "c__env")
    before = [n for n in tools(r) if "__" in n]
    r.reconfigure(mcp_servers={"a": named("a"), "b": named("b"), "c": named("c")})
    r.signal(1)
    has(r, "a__env")
    assert [n for n in tools(r) if n.startswith(("b__", "c__"))] == before
    assert [text(r, who + "__env", name="WHO") for who in "abc"] == ["a", "b", "c"]


def processes(mark):
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                if mark.encode() in f.read():
                    found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return [pid for pid in found if alive(pid)]


def test_nothing_is_left_of_a_server_behind_a_wrapper(router):
    """As npx, uvx and shells do: the child that we know starts another, which outlives its input and SIGTERM."""
    mark = "--mark-%d" % os.getpid()
    wrapped = ["/bin/sh", "-c", 'exec 3<&0; "$0" "$@" <&3 & wait', sys.executable, SERVER, "--stubborn", mark]
    r = router({"providers": {}, "mcp_servers": {"w": {"command": wrapped, "rules": ["*=read,none,auto"]}}}, ready=None)
    has(r, "w__echo")
    assert len(processes(mark)) >= 2
    r.stop()
    wait_for(lambda: not processes(mark), "all of it is gone")


def test_a_wrapper_that_is_taken_from_the_configuration_leaves_nothing_either(router):
    mark = "--mark-b-%d" % os.getpid()
    wrapped = ["/bin/sh", "-c", 'exec 3<&0; "$0" "$@" <&3 & wait', sys.executable, SERVER, "--stubborn", mark]
    r = router({"providers": {}, "mcp_servers": {"w": {"command": wrapped}, "s": server()}}, ready=None)
    has(r, "s__echo")
    wait_for(lambda: len(processes(mark)) >= 2, "it runs")
    r.reconfigure(mcp_servers={"s": server()})
    r.signal(1)
    wait_for(lambda: not processes(mark), "all of it is gone")
    assert text(r, "s__echo", text="on") == "on"
