# SPDX-License-Identifier: Apache-2.0
"""The detector as a part of the program: its files, what becomes of it when they change or break, and who is told."""
import os
import shutil
import subprocess
import time

import pytest

from harness import Router, router_binary, wait_for

CLEAN = "Explain the 80-hour rule in two sentences."
MRN = "MRN 00481516 was admitted overnight"
NAMED = "Quillon Vandersmythe swaps with PGY2-03 on Monday"    # nobody's name, and no list's


def data_file():
    return os.path.join(os.path.dirname(router_binary()), "llm-router.data")


@pytest.fixture
def house(router, standin):
    """A local server, a cloud that comes first, and a router with these privacy options."""
    near, cloud = standin(), standin()

    def make(**privacy):
        r = router({"providers": {"cloud": {"kind": "openai", "url": cloud.url + "/v1", "zone": "cloud"},
                                  "near": {"kind": "openai", "url": near.url + "/v1"}},
                    "roles": {"general": ["cloud/demo", "near/demo"]}, "privacy": privacy}).wait_up()
        r.cloud, r.near = cloud, near
        return r
    return make


def goes_to(r, prompt, headers=()):
    reply = r.chat("openai", "general", False, headers, prompt=prompt)
    assert reply.status == 200, reply
    return reply.header("X-LLM-Provider"), reply.header("X-LLM-Private")


def test_what_is_plain_goes_to_the_cloud_and_what_is_private_does_not(house):
    r = house()
    assert goes_to(r, CLEAN) == ("cloud", "no")
    assert goes_to(r, MRN) == ("near", "yes")
    reply = r.chat("openai", "general", False, prompt=MRN)
    assert reply.header("X-Contains-PHI") == "true" and reply.header("Cache-Control") == "no-store"
    assert len(r.cloud.requests()) == 1
    assert "cloud_refused" not in r.get("/readyz")


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "text"])
def test_a_damaged_data_file_closes_the_cloud(house, tmp_path, damage):
    path = tmp_path / "llm-router.data"
    with open(data_file(), "rb") as f:
        good = f.read()
    middle = len(good) // 2
    bad = {"empty": b"", "cut": good[:-100], "text": b"not a data file\n" * 100,
           "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:]}
    if damage != "missing":
        path.write_bytes(bad[damage])
    r = house(data=str(path))
    assert goes_to(r, CLEAN) == ("near", "yes")
    assert "not ready" in r.get("/readyz")["cloud_refused"]
    told = {p["provider"]: p.get("refused") for p in r.get("/router/providers")}
    assert told["near"] is None and "not ready" in told["cloud"]
    assert any("not ready" in str(line.get("reason")) for line in r.log_lines())
    assert r.cloud.requests() == []
    # It is mended under the running program.
    (tmp_path / "new").write_bytes(good)
    os.rename(tmp_path / "new", path)
    wait_for(lambda: "cloud_refused" not in r.get("/readyz"), "the mended file is read")
    wait_for(lambda: goes_to(r, CLEAN) == ("cloud", "no"), "by every worker")


def test_the_roster_is_followed(house, tmp_path):
    roster = tmp_path / "roster.txt"
    roster.write_text("Ottoline Brackenbury\n")
    r = house(roster=str(roster), patterns=["site=\\bHX[0-9]{7}\\b"])
    assert goes_to(r, "Ottoline Brackenbury is on call") == ("near", "yes")
    assert goes_to(r, "What does HX0000017 mean?") == ("near", "yes")
    (tmp_path / "new").write_text("Ottoline Brackenbury\nQuillon Vandersmythe\n")
    os.rename(tmp_path / "new", roster)
    wait_for(lambda: goes_to(r, NAMED)[1] == "yes", "the roster is read again")
    assert r.cloud.requests() == [] or all("Ottoline" not in q["body"] for q in r.cloud.requests())
    doctor = r.command("doctor").stdout
    changed = time.strftime("%Y-%m-%d", time.gmtime(roster.stat().st_mtime))
    assert "2 people, changed on " + changed in doctor and "1 patterns" in doctor


def test_a_roster_that_cannot_be_read_closes_the_cloud_without_being_quoted(house, tmp_path):
    r = house(roster=str(tmp_path / "nothing.txt"))
    assert goes_to(r, CLEAN) == ("near", "yes")
    assert "roster" in r.get("/readyz")["cloud_refused"]
    doctor = r.command("doctor").stdout
    assert "no request goes to the cloud" in doctor


@pytest.mark.parametrize("required", [False, True])
def test_an_old_roster(house, tmp_path, required):
    roster = tmp_path / "roster.txt"
    roster.write_text("Ottoline Brackenbury\n")
    os.utime(roster, (time.time() - 7200, time.time() - 7200))
    r = house(roster=str(roster), roster_max_age="1h", roster_required=required)
    assert goes_to(r, CLEAN) == (("near", "yes") if required else ("cloud", "no"))
    assert ("too old" in r.get("/readyz").get("cloud_refused", "")) == required
    assert "not changed for longer than allowed" in r.command("doctor").stdout


def test_house_rules_are_switches(house):
    gray = "TDY orders for FAC-APD run 4 to 29 May"
    assert goes_to(house(), gray) == ("near", "yes")
    assert goes_to(house(house_movements=False), gray)[1] == "no"


def test_every_installed_place_of_the_data_file_is_found(tmp_path):
    """Beside the program, and in ../share/llm-router."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "share" / "llm-router").mkdir(parents=True)
    program = tmp_path / "bin" / "llm-router"
    shutil.copy(router_binary(), program)
    shutil.copy(data_file(), tmp_path / "share" / "llm-router" / "llm-router.data")
    r = Router({"providers": {"far": {"kind": "openai", "url": "http://192.0.2.1/v1", "zone": "cloud"}}}, start=False)
    try:
        out = subprocess.run([program, "doctor", "-c", r.path, "--offline"], env=r.env, capture_output=True, text=True)
        assert "no request goes to the cloud" not in out.stdout and "data " in out.stdout, out
    finally:
        r.stop()
