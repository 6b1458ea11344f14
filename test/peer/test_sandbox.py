# SPDX-License-Identifier: Apache-2.0
"""What the router takes from itself (src/app/sandbox.h), seen from outside: who it is, what the kernel says of it, and
what a reload can still reach. A build with a sanitizer has the part for files only."""
import os
import pwd
import signal
import tempfile

import pytest

from harness import SENTENCE, understand, wait_for


def state(router):
    return next(line["state"] for line in router.log_lines() if line["event"] == "sandbox")


def needs_landlock(router):
    if "files" not in state(router).partition(";")[0]:
        pytest.skip("no Landlock here: " + state(router))


def of_process(router, word):
    """A line of /proc/PID/task/*/status, for each thread."""
    found = []
    for task in os.listdir("/proc/%d/task" % router.process.pid):
        with open("/proc/%d/task/%s/status" % (router.process.pid, task)) as f:
            found.append(next((line.split()[1:] for line in f if line.startswith(word + ":")), None))
    return found


def provider(standin, **more):
    return {"kind": "openai", "url": standin.url, "concurrency": 0, **more}


def reload(router, **changes):
    """The event that the reload ended with."""
    ends = ("reloaded", "reload_refused")
    before = [line for line in router.log_lines() if line["event"] in ends]
    router.reconfigure(**changes)
    router.signal(signal.SIGHUP)
    wait_for(lambda: sum(line["event"] in ends for line in router.log_lines()) > len(before), "the reload ended")
    return [line for line in router.log_lines() if line["event"] in ends][-1]


@pytest.fixture
def outside(tmp_path):
    """A file in a folder that no configuration has named yet."""
    (tmp_path / "key").write_text("0123456789abcdef\n")
    os.chmod(tmp_path / "key", 0o600)
    return str(tmp_path / "key")


def served(router):
    reply = router.chat("openai", "one/demo", False)
    assert understand("openai", False, reply).text == SENTENCE, reply


def test_a_running_router_is_in_it_and_serves(router, standin):
    s = standin()
    r = router({"providers": {"one": provider(s)}}).wait_up()
    needs_landlock(r)
    assert state(r).startswith("all threads: files")
    assert set(map(tuple, of_process(r, "NoNewPrivs"))) == {("1",)}
    if "system calls" in state(r).partition(";")[0]:
        assert set(map(tuple, of_process(r, "Seccomp"))) == {("2",)}
    served(r)


def test_what_lies_outside_cannot_be_read(router, standin, outside):
    """One reload names a file where no file was named before: that needs a restart, and nothing has changed."""
    s = standin()
    r = router({"providers": {"one": provider(s)}}).wait_up()
    needs_landlock(r)
    end = reload(r, providers={"one": provider(s, key_file=outside)})
    assert end["event"] == "reload_refused" and "Permission denied" in end["reason"], end
    served(r)
    # in a folder that was known: a file that was not there at the start
    beside = os.path.join(r.dir, "new.key")
    with open(beside, "w") as f:
        f.write("0123456789abcdef\n")
    os.chmod(beside, 0o600)
    assert reload(r, providers={"one": provider(s, key_file=beside)})["event"] == "reloaded"
    served(r)


def test_the_workers_alone_leave_a_reload_its_ways(router, standin, outside):
    s = standin()
    r = router({"providers": {"one": provider(s)}, "sandbox": "workers"}).wait_up()
    needs_landlock(r)
    assert state(r).startswith("the workers: files")
    assert sorted(of_process(r, "NoNewPrivs")).count(["1"]) == 2      # two workers
    assert reload(r, providers={"one": provider(s, key_file=outside)})["event"] == "reloaded"
    served(r)


def test_the_first_program_needs_a_restart(router, standin):
    s = standin()
    r = router({"providers": {"one": provider(s)}}).wait_up()
    end = reload(r, mcp_servers={"tools": {"command": ["/bin/cat"]}})
    assert end["event"] == "reload_refused" and "sandbox" in end["reason"], end
    served(r)


def test_off_is_off(router, standin):
    s = standin()
    r = router({"providers": {"one": provider(s)}, "sandbox": "off"}).wait_up()
    assert state(r) == "off, as configured"
    assert set(map(tuple, of_process(r, "Seccomp"))) <= {("0",), ("2",)}    # 2: of what the tests run in
    served(r)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
def test_root_becomes_the_user_that_is_named(router, standin):
    s = standin()
    who = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as top:      # pytest's own cannot be entered by another user
        os.chmod(top, 0o755)
        home = os.path.join(top, "state")
        os.mkdir(home, 0o700)
        os.chown(home, who.pw_uid, who.pw_gid)
        r = router({"providers": {"one": provider(s)}, "user": "nobody", "state_dir": home}).wait_up()
        assert set(map(tuple, of_process(r, "Uid"))) == {(str(who.pw_uid),) * 4}
        assert set(map(tuple, of_process(r, "Gid"))) == {(str(who.pw_gid),) * 4}
        assert os.stat(os.path.join(home, "ledger.db")).st_uid == who.pw_uid
        served(r)
        r.stop()


def test_a_user_who_is_not_there_is_no_start(router, standin):
    if os.geteuid() != 0:
        pytest.skip("who is not root stays who he is")
    r = router({"providers": {"one": provider(standin())}, "user": "nobody-of-that-name"}, start=False)
    done = r.command("serve")
    assert done.returncode == 1 and "there is no user" in done.stderr, done
    r.ended = True
