#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fence - runs a command where there is no network but loopback, and says what tried to get out.

A network namespace of its own with only `lo` up: no packet can leave it. Whoever tries, with or without success, is
counted by the kernel as "no route" (OutNoRoutes of /proc/net/snmp and snmp6). Ends with the command's status, or with
90 and a line on standard error if something tried, or with 77 where no namespace can be made.

usage: fence.py COMMAND ...
"""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
NOT_PERMITTED, TRIED = 77, 90


def enter():
    libc = ctypes.CDLL(None, use_errno=True)
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        return os.strerror(ctypes.get_errno())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        asked = fcntl.ioctl(s, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        up = struct.unpack("16sH14x", asked)[1] | IFF_UP
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", up))
    return None


def attempts():
    """Packets for which there was no way, of IPv4 and IPv6."""
    with open("/proc/net/snmp") as f:
        names, values = [line.split() for line in f if line.startswith("Ip:")]
    n = int(dict(zip(names, values))["OutNoRoutes"])
    with open("/proc/net/snmp6") as f:
        return n + sum(int(line.split()[1]) for line in f if line.startswith("Ip6OutNoRoutes"))


def main():
    try:
        problem = enter()
    except OSError as e:
        problem = str(e)
    if problem:
        print("no network namespace: " + problem, file=sys.stderr)
        return NOT_PERMITTED
    before = attempts()
    status = subprocess.run(sys.argv[1:]).returncode
    n = attempts() - before
    if n > 0:
        print("%d packets were meant for elsewhere" % n, file=sys.stderr)
    return TRIED if n > 0 and status == 0 else status


if __name__ == "__main__":
    sys.exit(main())
