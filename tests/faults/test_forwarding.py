"""A device that forwards to a hub, as its owner sees it: what is sent, what is not, for how long, and why."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from awlog.model.event import Change
from awlog.storage import layout
from tests.contract.test_tls import Encrypted
from tests.faults.test_followers import FIELDS, Writer
from tests.faults.test_push import content
from tests.server import Server, free_port
from tests.storage.raw import tables

PATIENCE_S: Final = 30.0
DAY: Final = {"timestamp": "2024-05-01T10:00:00Z", "duration": 1}


def device(directory: Path, url: str, *args: str, env: dict[str, str] | None = None) -> Server:
    """Forwards all the time; what waits for a tenth of a second is a warning."""
    often = ("--forward-url", url, "--forward-interval-s", "0.1", "--forward-warn-s", "0.1")
    return Server(directory, *often, *args, env=env)


def forwarding(server: Server, *, until: Callable[[dict[str, Any]], bool]) -> dict[str, dict[str, Any]]:
    """What is told of each bucket, when the whole says this."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        told = server.request("GET", "/api/1/forward").json()["forward"]
        if until(told):
            return {each["bucket"]: each for each in told["buckets"]}
        assert time.monotonic() < until_s, told
        time.sleep(0.05)


def is_complete(told: dict[str, Any]) -> bool:
    return bool(told["buckets"]) and told["error"] is None


def awlog(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "awlog", *words], capture_output=True, text=True, timeout=60, check=False, env=env
    )


def metric(server: Server, name: str) -> float:
    lines = server.request("GET", "/metrics").body.decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def test_what_is_unsent_is_told_with_its_age_and_the_reason_across_restarts(tmp_path: Path) -> None:
    """By `/api/1/forward`, `awlog push --status`, a warning of `/readyz` and a figure; none of it when all is sent."""
    hub = Server(tmp_path / "hub")
    hub.port = free_port()
    with device(tmp_path / "device", hub.url) as laptop:
        for name in ("secret-name", "notes"):
            assert laptop.request("POST", f"/api/0/buckets/{name}", FIELDS).status == 200
        first = forwarding(laptop, until=lambda told: len(told["buckets"]) == 2)
        assert {each["change"] for each in first.values()} == {0}
        laptop.kill()
        laptop.start()
        told = forwarding(laptop, until=lambda told: len(told["buckets"]) == 2)
        for name, each in told.items():
            assert each["unsent_since"] == first[name]["unsent_since"]
            assert each["unsent_s"] > 0.1
            assert each["error"].startswith("The hub cannot be reached")
        said = awlog("push", "--status", "--data-dir", str(laptop.data_dir)).stdout
        assert "unsent for" in said.splitlines()[1]
        assert "The hub cannot be reached" in said.splitlines()[1]
        ready = laptop.request("GET", "/readyz")
        assert (ready.status, ready.json()["ready"], ready.json()["warnings"]) == (200, True, ["forward"])
        assert "2 buckets" in ready.json()["checks"]["forward"]
        assert "secret-name" not in ready.body.decode()
        assert metric(laptop, "awlog_push_behind") == 2
        assert metric(laptop, "awlog_push_unsent_seconds") > 0.1
        with hub:
            assert forwarding(laptop, until=is_complete)["notes"]["unsent_since"] is None
            assert laptop.request("GET", "/readyz").json()["warnings"] == []
            assert metric(laptop, "awlog_push_behind") == 0
            position = forwarding(laptop, until=is_complete)["notes"]["change"]
        # The hub is away again: what it has is still known.
        laptop.request("POST", "/api/0/buckets/notes/events", {**DAY, "data": {}})
        told = forwarding(laptop, until=lambda told: any(each["waiting"] for each in told["buckets"]))
        assert (told["notes"]["change"], told["notes"]["behind_since"]) == (position, "2024-05-01T10:00:00+00:00")
        assert told["secret-name"]["waiting"] is False


def test_a_device_goes_on_with_the_token_that_is_put_into_its_file(tmp_path: Path) -> None:
    """The old one is revoked on the hub, the new one stands in the file: nothing else is to be done, and nothing is lost."""
    with Server(tmp_path / "hub") as hub:

        def made(*, owner: str | None = None, **fields: Any) -> tuple[str, str]:
            headers = {} if owner is None else {"Authorization": f"Bearer {owner}"}
            answer = hub.request("POST", "/api/0/tokens", fields, headers=headers).json()
            return answer["secret"], answer["token"]["id"]

        owner, _ = made(scopes=["admin"])
        old, old_id = made(owner=owner, scopes=["write"])
        file = tmp_path / "token"
        file.write_text(old)
        with device(tmp_path / "device", hub.url, "--forward-token-file", str(file)) as laptop:
            assert laptop.request("POST", "/api/0/buckets/notes", FIELDS).status == 200
            forwarding(laptop, until=is_complete)
            headers = {"Authorization": f"Bearer {owner}"}
            assert hub.request("DELETE", f"/api/0/tokens/{old_id}", headers=headers).status == 200
            laptop.request("POST", "/api/0/buckets/notes/events", {**DAY, "data": {}})
            forwarding(laptop, until=lambda told: "revoked" in (told["error"] or ""))
            file.write_text(made(owner=owner, scopes=["write"])[0])
            forwarding(laptop, until=is_complete)
        count = hub.request("GET", "/api/0/buckets/notes/events/count", headers=headers)
        assert count.json() == 1


def test_a_push_over_tls_sends_what_the_token_may_write_and_says_what_it_may_not(tmp_path: Path) -> None:
    """The other buckets wait, and hold up nothing: nothing of them is sent, and the next round is not put off."""
    hub = Encrypted(tmp_path / "hub")
    with hub:
        made = hub.ask("POST", "/api/0/tokens", {"name": "laptop", "scopes": ["write:shared-*"]})
        (tmp_path / "token").write_text(made.json()["secret"])
        hub.authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        url, trust = f"https://localhost:{hub.port}", {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        with device(tmp_path / "device", url, "--forward-token-file", str(tmp_path / "token"), env=trust) as laptop:
            for name in ("private", "shared-a"):
                assert laptop.request("POST", f"/api/0/buckets/{name}", FIELDS).status == 200
                laptop.request("POST", f"/api/0/buckets/{name}/events", {**DAY, "data": {"in": name}})
            told = forwarding(laptop, until=lambda told: told["buckets"] and not told["buckets"][-1]["waiting"])
            assert told["shared-a"]["error"] is None
            assert (told["private"]["waiting"], told["private"]["sent"]) == (True, 0)
            assert told["private"]["error"] == "The hub's token may not write this bucket"
            assert hub.ask("GET", "/api/0/buckets/").json().keys() == {"shared-a"}
            for number in range(8):  # 0.1 s each; were each of these rounds a failure, the ninth would be minutes away
                laptop.request("POST", "/api/0/buckets/shared-a/events", {**DAY, "data": {"n": number}})
                count = number + 2
                until_s = time.monotonic() + 10
                while hub.ask("GET", "/api/0/buckets/shared-a/events/count").json() != count:
                    assert time.monotonic() < until_s
                    time.sleep(0.05)
            words = ("push", "--to", url, "--data-dir", str(laptop.data_dir), "--token-file", str(tmp_path / "token"))
            done = awlog(*words, env={**laptop.env, **trust})
            assert done.returncode == 3
            assert "The hub's token may not write this bucket" in done.stderr
            untrusted = awlog(*words, env={**laptop.env, "SSL_CERT_FILE": str(tmp_path / "nothing")})
            assert untrusted.returncode != 0
            assert "certificate verify failed" in untrusted.stderr
            assert "Traceback" not in untrusted.stderr


def test_what_is_compacted_under_a_running_forwarder_arrives(tmp_path: Path) -> None:
    """The store is another file after it; the process that pushes goes on with that."""
    with Server(tmp_path / "hub") as hub, device(tmp_path / "device", hub.url) as laptop:
        long = [{"timestamp": f"2020-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z"} for n in range(9000)]
        laptop.request("POST", "/api/0/buckets/notes", FIELDS)
        laptop.request("POST", "/api/0/buckets/notes/events", long)
        writer = Writer(laptop, seed=4)
        writer.start()
        for _ in range(3):
            done = awlog("compact", "--data-dir", str(laptop.data_dir))
            assert done.returncode == 0, done.stderr
        writer.stopping.set()
        writer.join(PATIENCE_S)
        laptop.request("POST", "/api/0/buckets/last", FIELDS)
        # Told of it: the round that pushed it is over, and so all that was written before it is there.
        forwarding(
            laptop, until=lambda told: is_complete(told) and "last" in {each["bucket"] for each in told["buckets"]}
        )
        assert content(hub) == content(laptop)


def test_the_privacy_filters_of_a_hub_are_applied_to_what_devices_push(tmp_path: Path) -> None:
    """What the hub drops is never stored there, what it redacts is stored so; the device keeps its own."""
    with Server(tmp_path / "hub") as hub:
        rules = [
            {"enabled": True, "pattern": "bank", "action": "drop", "field": "title"},
            {"enabled": True, "pattern": "diary", "action": "redact", "field": "title", "replacement": "hidden"},
        ]
        assert hub.request("POST", "/api/0/settings/privacy_filters", rules).status in (200, 201)
        with device(tmp_path / "device", hub.url) as laptop:
            laptop.request("POST", "/api/0/buckets/windows", FIELDS)
            events = [{**DAY, "data": {"title": title}} for title in ("my bank", "my diary", "else")]
            laptop.request("POST", "/api/0/buckets/windows/events", events)
            forwarding(laptop, until=is_complete)
            stored = hub.request("GET", "/api/0/buckets/windows/events").json()
            assert sorted(each["data"]["title"] for each in stored) == ["else", "hidden"]
            assert len(laptop.request("GET", "/api/0/buckets/windows/events").json()) == 3


def test_a_restored_device_pushes_anew_however_much_it_recorded_since(tmp_path: Path) -> None:
    """Change numbers that were lost are given out again: the hub's position is in a history that is no more."""
    with Server(tmp_path / "hub") as hub:
        lost = Server(tmp_path / "lost")
        with lost:
            lost.request("POST", "/api/0/buckets/notes", FIELDS)
            lost.request("POST", "/api/0/buckets/notes/events", {**DAY, "data": {"n": 0}})
            assert awlog("backup", str(tmp_path / "one.mdb"), "--data-dir", str(lost.data_dir)).returncode == 0
            lost.request("POST", "/api/0/buckets/notes/events", [{**DAY, "data": {"n": n}} for n in range(5)])
            assert awlog("push", "--to", hub.url, "--data-dir", str(lost.data_dir)).returncode == 0
        laptop = Server(tmp_path / "device")
        assert awlog("restore", str(tmp_path / "one.mdb"), "--data-dir", str(laptop.data_dir)).returncode == 0
        with laptop:
            laptop.request("POST", "/api/0/buckets/notes/events", [{**DAY, "data": {"n": n}} for n in range(10, 20)])
            words = ("push", "--to", hub.url, "--data-dir", str(laptop.data_dir))
            assert awlog(*words).returncode == 0
            own = content(laptop)["notes"][1]
            assert len(own) == 11
            assert own.items() <= content(hub)["notes"][1].items()
            again = awlog(*words).stdout.splitlines()[1].split()
            assert (again[2], again[3]) == ("0", "complete")


def test_a_restored_store_gives_no_change_number_again(tmp_path: Path) -> None:
    """A follower that knows what is lost is told to begin anew, and a hub is given all of what came in its place, however
    much was recorded since; after a second restore of the same backup too.
    """
    with Server(tmp_path / "hub") as hub:
        with Server(tmp_path / "lost") as lost:
            lost.request("POST", "/api/0/buckets/notes", FIELDS)
            assert awlog("backup", str(tmp_path / "one.mdb"), "--data-dir", str(lost.data_dir)).returncode == 0
            known = _recorded_and_pushed(lost, hub, range(5))
        for turn in (1, 2):
            laptop = Server(tmp_path / f"device{turn}")
            assert awlog("restore", str(tmp_path / "one.mdb"), "--data-dir", str(laptop.data_dir)).returncode == 0
            assert awlog("verify", "--data-dir", str(laptop.data_dir)).returncode == 0
            with laptop:
                before, known = known, _recorded_and_pushed(laptop, hub, range(10 * turn, 10 * turn + 10))
                assert known > before
                for accepted in ("application/x-ndjson", "text/event-stream"):
                    reply = laptop.request("GET", f"/api/0/changes?since={before}", headers={"Accept": accepted})
                    assert (reply.status, reply.json()["type"]) == (410, "ChangesGone")
                assert len(laptop.request("GET", "/api/0/changes?since=0").body.splitlines()) == 1 + 10 + 1
                assert laptop.request("GET", f"/api/0/changes?since={known}").status == 200
                own = content(laptop)["notes"][1]
                assert len(own) == 10
                assert own.items() <= content(hub)["notes"][1].items()


def test_an_older_file_put_back_by_hand_is_taken_for_a_restored_store(tmp_path: Path) -> None:
    """As above, by a copy of `data.mdb` over the newer one. A store that is as it was left, after a crash too, goes on."""
    with Server(tmp_path / "hub") as hub:
        laptop = Server(tmp_path / "device")
        with laptop:
            laptop.request("POST", "/api/0/buckets/notes", FIELDS)
            assert laptop.stop() == 0
        older = (laptop.data_dir / "data.mdb").read_bytes()
        with laptop.start():
            known = _recorded_and_pushed(laptop, hub, range(5))
            laptop.kill()
            laptop.start()
            assert "older than what was here" not in laptop.log_text()
            assert laptop.request("GET", f"/api/0/changes?since={known}").status == 200
            assert laptop.stop() == 0
        (laptop.data_dir / "data.mdb").write_bytes(older)
        with laptop.start():
            assert "older than what was here" in laptop.log_text()
            assert _recorded_and_pushed(laptop, hub, range(10, 20)) > known + 15
            assert laptop.request("GET", f"/api/0/changes?since={known}").json()["type"] == "ChangesGone"
            own = content(laptop)["notes"][1]
            assert len(own) == 10
            assert own.items() <= content(hub)["notes"][1].items()
            assert laptop.stop() == 0
        with laptop.start():
            assert laptop.log_text().count("older than what was here") == 1
        assert awlog("verify", "--data-dir", str(laptop.data_dir)).returncode == 0


def _recorded_and_pushed(device: Server, hub: Server, numbers: range) -> int:
    """Records an event for each, one by one, and pushes them; gives where the feed is then."""
    for n in numbers:
        device.request("POST", "/api/0/buckets/notes/events", {**DAY, "data": {"n": n}})
    assert awlog("push", "--to", hub.url, "--data-dir", str(device.data_dir)).returncode == 0
    position: int = json.loads(device.request("GET", "/api/0/changes?since=0").body.splitlines()[-1])["change"]
    return position


def test_a_device_that_forgot_what_was_deleted_pushes_anew(tmp_path: Path) -> None:
    """As after `awlog repair`: the hub's position is older than what is remembered. It must not be behind for ever."""
    with Server(tmp_path / "hub") as hub:
        laptop = device(tmp_path / "device", hub.url)
        with laptop:
            laptop.request("POST", "/api/0/buckets/notes", FIELDS)
            laptop.request("POST", "/api/0/buckets/notes/events", {**DAY, "data": {"n": 1}})
            forwarding(laptop, until=is_complete)
        with tables(laptop.data_dir) as rows:
            rows.put(layout.META, layout.OLDEST_CHANGE_KEY, layout.encode_oldest_change(Change(1000)))
        with laptop.start():
            laptop.request("POST", "/api/0/buckets/notes/events", {**DAY, "data": {"n": 2}})
            forwarding(laptop, until=is_complete)
            assert content(hub)["notes"][1] == content(laptop)["notes"][1]
            assert len(content(hub)["notes"][1]) == 2
