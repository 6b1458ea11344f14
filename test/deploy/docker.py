# SPDX-License-Identifier: Apache-2.0
"""docker - a Docker engine of our own for as long as the workshop runs, and words to it."""
import os
import shutil
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASE = "debian:trixie-slim"
IMAGE = "llm-router:0.1.0"


def run(*words, check=True, timeout=120, **more):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, **more)
    if check and done.returncode != 0:
        raise AssertionError("%s: status %d\n%s" % (" ".join(words), done.returncode, done.stdout[-3000:]))
    return done


def docker(*words, **more):
    return run("docker", *words, **more).stdout.strip()


class NoDocker(Exception):
    """It does not start here; says why."""


class Engine:
    """Started with the workshop's own network, or, with host=True, with the host's and without touching it."""

    def __init__(self, host=False):
        words = ["dockerd", "--data-root", "/var/lib/docker", "--exec-root", "/run/docker"]
        if host:
            words += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        self.log = open("/run/dockerd.log", "w+")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def __enter__(self):
        end = time.monotonic() + 60
        while run("docker", "info", check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise NoDocker("Docker does not start here: " + self.log.read().strip().splitlines()[-1][-300:])
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)


def base_image():
    """What the Dockerfile calls debian:trixie-slim."""
    if run("docker", "image", "inspect", BASE, check=False).returncode != 0:
        docker("import", os.path.join(TOP, "build/deploy/base.tar"), BASE, timeout=300)


def have(word):
    return shutil.which(word) is not None
