# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the peer tests: see harness.py. What is not there (an engine, Node.js) skips with the reason;
what is there must be well."""
import os

import pytest

from harness import Router, Standin, engine_binary, model_file, node_binary, router_binary, standin_binary


def pytest_configure(config):
    config.addinivalue_line("markers", "tsan: makes threads meet; also run with the thread sanitizer")
    config.addinivalue_line("markers", "browser: drives a browser; a suite of its own")


def pytest_addoption(parser):
    parser.addoption("--soak-seconds", type=int, default=int(os.environ.get("PEER_SOAK_SECONDS", "12")),
                     help="how long test_soak.py loads the router (10 minutes: 600)")
    parser.addoption("--soak-streams", type=int, default=int(os.environ.get("PEER_SOAK_STREAMS", "200")),
                     help="streams at the same time (1000)")


MATRIX = {}     # title -> {(row, column): word}; filled by tests, printed at the end


@pytest.fixture(scope="session")
def matrix():
    return MATRIX


def pytest_terminal_summary(terminalreporter):
    for title, cells in MATRIX.items():
        rows = list(dict.fromkeys(row for row, _ in cells))
        columns = list(dict.fromkeys(column for _, column in cells))
        terminalreporter.section(title)
        wide = max(len(r) for r in rows)
        for c in range(0, len(columns), 8):
            part = columns[c:c + 8]
            terminalreporter.write_line(" " * wide + "  " + "  ".join("%-15s" % x for x in part))
            for row in rows:
                terminalreporter.write_line("%-*s  " % (wide, row) + "  ".join(
                    "%-15s" % cells.get((row, x), "") for x in part))


@pytest.fixture(scope="session", autouse=True)
def binaries():
    if router_binary() is None:
        pytest.exit("no router: set LLM_ROUTER, or ./dev build", 3)
    if standin_binary() is None:
        pytest.exit("no stand-in: set STANDIN, or ./dev build release", 3)


@pytest.fixture(scope="session")
def engine():
    """The engine's command."""
    command = engine_binary()
    if command is None:
        pytest.skip("no llama-server on the PATH or in build/engine")
    if not os.path.exists(model_file("text")):
        pytest.skip("no test models in build/models")
    return command


@pytest.fixture(scope="session")
def node():
    command = node_binary()
    if command is None:
        pytest.skip("no Node.js: ./dev test installs it into build/node")
    return command


def closing(make):
    """A factory whose products are closed in reverse order, each one's verdict heard."""
    made = []
    yield lambda *args, **more: made.append(make(*args, **more)) or made[-1]
    failures = []
    for one in reversed(made):
        try:
            one.stop() if hasattr(one, "stop") else one.close()
        except Exception as e:      # the others must be closed as well
            failures.append(e)
            one.kill()
    if failures:
        raise failures[0]


@pytest.fixture
def router():
    yield from closing(Router)


@pytest.fixture(scope="module")
def module_router():
    yield from closing(Router)


@pytest.fixture
def standin():
    yield from closing(Standin)


@pytest.fixture(scope="module")
def module_standin():
    yield from closing(Standin)


def engine_provider(command, model, **more):
    spawn = {"command": command, "model": model_file(model), "slots": 2, "context": 1024, "threads": 1}
    spawn.update(more.pop("spawn", {}))
    return {"kind": "llama-server", "spawn": spawn, **more}
