#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run_suites - run the suites of the table below and count.

A suite is a command. What it prints says what passed, in one of three ways:

    lines   "ok NAME", "not ok NAME", "skip NAME reason"; TAP's own forms are understood too
    meson   the programs that meson built for the suite; each prints lines, its log is read from there
    junit   pytest; its XML report is read
    exit    nothing to count: the command is one check, and its exit status the verdict

A suite that fails without a "not ok" (it crashed, hung, or was not there) counts as one failure, and
so does one that ran and counted nothing: silence is never success.

Suites run one after another. Those of BESIDE, which compute and wait for nobody, run beside them with what is left of the
processor. A line tells how long each took, and how much of a processor's time.

Everything a suite prints goes to build/test/<suite>.log. The last line is "N passed, N failed", with
", N skipped" when something was, and the status is 1 when something failed.

usage: test/run_suites.py [--list] [SUITE...]
"""
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(TOP, "build", "test")

# name, how it counts, seconds it may take, command, what it is
SUITES = [
    ("builds", "lines", 60, "cat build/test/builds", "as we ship and with sanitizers, warnings are errors (made by ./dev test)"),
    ("clang", "exit", 1800, "./dev build clang", "the other compiler, warnings are errors"),
    ("layers", "exit", 60, "tools/check-layers", "which way includes point"),
    ("egress", "exit", 60, "tools/check-egress", "there is one way out of the program"),
    ("format", "exit", 300, "tools/format --check", "clang-format has nothing to change"),
    ("lint", "exit", 1800, "tools/lint", "clang-tidy has nothing to say"),
    ("web", "lines", 600, "build/web/node web/check.mjs", "the web pages: types, lint, unit tests, size, same bytes again"),
    ("docs", "lines", 300, "tools/check-docs", "the documents say what the source says"),
    ("shell", "lines", 120, "tools/lint-shell", "shellcheck and hadolint have nothing to say"),
    ("kubernetes", "lines", 300, "build/venv/bin/python tools/kubernetes check",
     "the chart and the manifests: schemas, rights, networks, the configuration in them"),
    ("unit", "meson", 300, "build/asan unit", "unit tests, with address and UB sanitizers"),
    ("unit-release", "meson", 300, "build/release unit", "unit tests, as we ship"),
    ("scenario", "meson", 600, "build/asan scenario", "the whole program on a fake network and clock"),
    ("fault", "meson", 1800, "build/asan fault", "the scenarios with the n-th allocation failing"),
    ("fuzz", "meson", 600, "build/asan fuzz", "the fuzzers' corpora, replayed"),
    ("privacy", "lines", 300,
     "test/privacy/evaluate.py build/asan/test/privacy/privacy_measure build/asan/src/llm-router.data",
     "the detector on the development set, with the committed data"),
    ("peer", "junit", 1200, "build/asan -m 'not browser'", "real clients and a real engine"),
    ("browser", "junit", 600, "build/release -m browser", "the web pages in Chromium: a person's ways, accessibility, hostile texts"),
    ("deploy", "lines", 480, "test/deploy/workshop check", "the image, Compose, the package (made by ./dev test)"),
    ("tsan", "junit", 600, "build/tsan -m tsan", "peers that make threads meet, with the thread sanitizer"),
    ("valgrind", "meson", 1200, "build/release unit valgrind", "unit tests under valgrind"),
]

# Whatever meets real time is not among them: nothing but what they leave it may hold it up.
BESIDE = {"format", "docs", "shell", "kubernetes", "lint", "fault", "clang", "web", "fuzz", "privacy"}

# A sanitizer's report must end in a failure, whoever started the process.
ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:second_deadlock_stack=1:suppressions="
                    + os.path.join(TOP, "test", "tsan.supp"),
    "LC_ALL": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}

LINE = re.compile(r"^(ok|not ok|skip)\b[ \t]*(?:\d+\b)?(?:[ \t]*-[ \t])?[ \t]*(.*)$")


class Count:
    def __init__(self, beside=False):
        self.beside = beside
        self.passed, self.failed, self.skipped = 0, [], []
        self.used = 0.0         # seconds of a processor

    def lines(self, text, where=""):
        for line in text.splitlines():
            match = LINE.match(line)
            if not match:
                continue
            verdict, name = match.groups()
            if verdict == "skip" or "# SKIP" in name:      # cmocka 1.1 says "not ok 3 # SKIP name"
                self.skipped.append(where + " ".join(name.replace("# SKIP", "").split()))
            elif verdict == "ok":
                self.passed += 1
            else:
                self.failed.append(where + name)

    def ended(self, status, why):
        """A bad end that no "not ok" explains is a failure of its own, and so is silence."""
        if status != 0 and not self.failed:
            self.failed.append(why)
        elif self.passed == 0 and not self.failed and not self.skipped:
            self.failed.append("nothing was counted")


def execute(argv, log, limit, count, env=None):
    """Exit status, with all output in the log; 124 after the time limit. Takes its children along."""
    with open(log, "ab") as out:
        out.write(("$ %s\n" % " ".join(argv)).encode())
        out.flush()
        try:
            child = subprocess.Popen(argv, cwd=TOP, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     env={**os.environ, **ENVIRONMENT, **(env or {})},
                                     start_new_session=True)
        except OSError as e:
            out.write(("cannot start: %s\n" % e).encode())
            return 127
        if count.beside:
            stand_back(child.pid)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid != 0:
                child.returncode = os.waitstatus_to_exitcode(status)
                count.used += usage.ru_utime + usage.ru_stime
                break
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        if child.returncode is None:
            child.wait()
            out.write(("killed after %d s\n" % limit).encode())
            return 124
        return child.returncode


def stand_back(pid):
    """The others come first. Some kernels weigh sessions and not processes."""
    os.setpriority(os.PRIO_PROCESS, pid, 10)
    with contextlib.suppress(OSError), open("/proc/%d/autogroup" % pid, "w") as f:
        f.write("10")


def run_exit(name, command, limit, log, count):
    status = execute(command.split(), log, limit, count)
    if status == 0:
        count.passed += 1
    elif status == 77:      # the usual number for "cannot be checked here"; its last line says why
        count.skipped.append("%s: %s" % (name, last_line(log)))
    else:
        count.ended(status, "%s (status %d)" % (name, status))


def run_lines(name, command, limit, log, count):
    status = execute(command.split(), log, limit, count)
    with open(log, errors="replace") as f:
        count.lines(f.read())
    count.ended(status, "%s (status %d)" % (name, status))


def run_meson(name, command, limit, log, count):
    build, suite, *wrapper = command.split()
    argv = ["meson", "test", "-C", build, "--no-rebuild", "--suite", suite, "--logbase", "suite-" + name,
            "--timeout-multiplier", "10" if wrapper else "4"]
    if wrapper:
        if not shutil.which("valgrind"):
            count.skipped.append("%s: valgrind is not installed" % name)
            return
        argv += ["--wrapper",
                 "valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite"]
    report = os.path.join(TOP, build, "meson-logs", "suite-%s%s.json" % (name, "-valgrind" if wrapper else ""))
    if os.path.exists(report):
        os.remove(report)
    status = execute(argv, log, limit, count, {"UNDER_VALGRIND": "1"} if wrapper else None)
    if os.path.exists(report):
        with open(report) as f, open(log, "a") as out:
            for program in map(json.loads, f):
                said = program.get("stdout", "") + "\n" + program.get("stderr", "")
                one = Count()
                one.lines(said, program["name"] + ": ")
                if program["result"] == "OK" and one.passed == 0 and not one.skipped:
                    one.passed = 1      # a program that speaks otherwise (unittest): it counts as one test
                if program["result"] == "SKIP":
                    one.skipped.append(program["name"] + ": " + said.strip().splitlines()[-1:][0])
                else:
                    bad = program["result"] not in ("OK", "EXPECTEDFAIL")
                    one.ended(1 if bad else 0, "%s (%s)" % (program["name"], program["result"]))
                count.passed += one.passed
                count.failed += one.failed
                count.skipped += one.skipped
                if one.failed:
                    out.write("\n---- %s\n%s\n" % (program["name"], said))
    count.ended(status, "%s (status %d)" % (name, status))


def run_junit(name, command, limit, log, count):
    build, *options = shlex.split(command)
    report = os.path.join(LOGS, name + ".xml")
    if os.path.exists(report):
        os.remove(report)
    argv = [os.path.join("build", "venv", "bin", "python"), "-m", "pytest", "test/peer", "-p", "no:cacheprovider",
            "-ra", "--durations=10", "--junitxml", report, *options]
    env = {"LLM_ROUTER": os.path.join(TOP, build, "src", "llm-router"),
           "STANDIN": os.path.join(TOP, "build", "release", "test", "standin", "standin"),
           "NODE": os.path.join(TOP, "build", "node", "node")}
    if "tsan" not in build:
        # Most of the time is waiting. A file's tests stay together: they share what it has started.
        argv += ["-n", "2", "--dist", "loadfile"]
    else:
        # Its shadow memory has fixed addresses, which the kernel's address randomisation may take.
        argv = ["setarch", "-R", *argv]
    status = execute(argv, log, limit, count, env)
    if os.path.exists(report):
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            title = "%s::%s" % (case.get("classname", ""), case.get("name", ""))
            if case.find("failure") is not None or case.find("error") is not None:
                count.failed.append(title)
            elif case.find("skipped") is not None:
                count.skipped.append("%s: %s" % (title, case.find("skipped").get("message", "")))
            else:
                count.passed += 1
    count.ended(status, "%s (status %d)" % (name, status))


def last_line(path):
    with open(path, errors="replace") as f:
        return (f.read().strip().splitlines() or [""])[-1]


RUN = {"exit": run_exit, "lines": run_lines, "meson": run_meson, "junit": run_junit}


def main(names):
    known = [row[0] for row in SUITES]
    if names == ["--list"]:
        for row in SUITES:
            print("%-13s %s" % (row[0], row[4]))
        return 0
    for name in names:
        if name not in known:
            sys.exit("there is no suite %s; there are: %s" % (name, " ".join(known)))
    os.makedirs(LOGS, exist_ok=True)
    wanted = [row for row in SUITES if not names or row[0] in names]
    counts = []
    aside = threading.Thread(target=run, args=([row for row in wanted if row[0] in BESIDE], counts), daemon=True)
    aside.start()
    run([row for row in wanted if row[0] not in BESIDE], counts)
    aside.join()
    passed, failed, skipped = (sum(column) for column in zip(*counts))
    print("%d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 1 if failed else 0


def run(rows, counts):
    """One after the other; each is told as it ends."""
    for name, kind, limit, command, _ in rows:
        log = os.path.join(LOGS, name + ".log")
        open(log, "w").close()
        count, start = Count(name in BESIDE), time.monotonic()
        try:
            RUN[kind](name, command, limit, log, count)
        except Exception as e:      # a thread that ends early must not look like one that is done
            count.failed.append("%s: %r" % (name, e))
        told = ["%-13s %5d passed %4d failed %6.1f s, %6.1f s of a processor" % (
            name, count.passed, len(count.failed), time.monotonic() - start, count.used)]
        told += ["    FAILED  " + what for what in count.failed]
        told += ["    skipped " + what for what in count.skipped]
        if count.failed:
            told.append("    see build/test/%s.log" % name)
        print("\n".join(told), flush=True)
        counts.append((count.passed, len(count.failed), len(count.skipped)))


sys.exit(main(sys.argv[1:]))
