#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_manual - is there a page for every command, and does nobody who formats it complain?

usage: check_manual.py PROGRAM DIRECTORY
"""
import os
import re
import shutil
import subprocess
import sys

# name, command; each must end well and say nothing on standard error
FORMATTERS = [
    ("groff", ["groff", "-man", "-Tutf8", "-ww", "-z"]),
    ("mandoc", ["mandoc", "-T", "lint", "-W", "warning"]),
]
NO_PAGE = {"help", "manpage"}


def commands(program):
    text = subprocess.run([program, "help"], check=True, capture_output=True, text=True).stdout
    return re.findall(r"^  ([a-z]+) +\S", text.partition("commands:\n")[2], re.MULTILINE)


def complaints(formatter, page):
    done = subprocess.run([*formatter, page], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"})
    return "" if done.returncode == 0 and not done.stderr else done.stdout + done.stderr or "failed"


def main(program, directory):
    names = commands(program)
    pages = ["llm-router.1", "llm-router.yaml.5"]
    pages += ["llm-router-%s.1" % name for name in names if name not in NO_PAGE]
    print("1..%d" % (len(pages) * (1 + len(FORMATTERS)) + 1))
    number, failed = 0, 0

    def result(name, trouble, skip=""):
        nonlocal number, failed
        number += 1
        print("%s %d - %s%s" % ("not ok" if trouble else "ok", number, name, " # SKIP " + skip if skip else ""))
        for line in trouble.splitlines():
            print("# " + line)
        failed += bool(trouble)

    result("help lists the commands", "" if {"serve", "ask"} <= set(names) else repr(names))
    for page in pages:
        path = os.path.join(directory, page)
        there = os.path.isfile(path) and os.path.getsize(path) > 0
        result("there is a page " + page, "" if there else path + " is missing or empty")
        for name, formatter in FORMATTERS:
            if shutil.which(name):
                result("%s takes %s as it is" % (name, page), complaints(formatter, path))
            else:
                result("%s takes %s as it is" % (name, page), "", "no " + name)
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:3]))
