# SPDX-License-Identifier: Apache-2.0
"""make - the image and the Debian package, in the workshop (test/deploy/workshop build)

    make.py [image] [twice] [package]      default: image package

twice builds the image once more without anything kept, and compares.
"""
import glob
import os
import shutil
import sys

from docker import IMAGE, TOP, Engine, NoDocker, base_image, docker, run


def build(*words):
    docker("build", "--network=host", "-t", IMAGE, *words, TOP, timeout=3000,
           env={**os.environ, "SOURCE_DATE_EPOCH": "1795000000"})
    return docker("image", "inspect", "-f", "{{.Id}}", IMAGE)


def image(twice):
    with Engine(host=True):
        base_image()
        first = build()
        print("image", first)
        if twice:
            again = build("--no-cache")
            print("again", again)
            assert first == again, "two builds of the same source differ"


def package():
    """Out of a copy: nothing is written into the repository."""
    shutil.rmtree("/tmp/deb", ignore_errors=True)
    os.makedirs("/tmp/deb/src")
    names = ["LICENSE", "README.md", "data", "debian", "deploy", "docs", "meson.build", "meson_options.txt", "src", "test/lib",
             "tools", "web/dist", "web/meson.build"]
    run("sh", "-c", "tar -cf - %s | tar -xf - -C /tmp/deb/src" % " ".join(names), cwd=TOP)
    done = run("dpkg-buildpackage", "-d", "-b", "-us", "-uc", cwd="/tmp/deb/src", timeout=3000,
               env={**os.environ, "DEB_BUILD_OPTIONS": "noautodbgsym"})
    out = os.path.join(TOP, "build/deploy/deb")
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    for path in glob.glob("/tmp/deb/*.*"):
        shutil.copy(path, out)
        print("package", os.path.basename(path), os.path.getsize(path))
    with open(os.path.join(out, "build.log"), "w") as f:
        f.write(done.stdout)


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["image", "package"]
    reason = None
    if "image" in wanted or "twice" in wanted:
        try:
            image("twice" in wanted)
        except NoDocker as e:
            reason = e
    if "package" in wanted:
        package()
    if reason:
        print("skip image: %s" % reason)
        sys.exit(77)
