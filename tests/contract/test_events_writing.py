"""Section 6: writing and deleting events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.wire import WATCHER, Api, at, event


def without_id(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.items() if key != "id"} for one in events]


def test_a_list_is_answered_with_the_stored_events_in_the_order_given(api: Api, bucket: str) -> None:
    """The example of section 6: each with its id, whatever the order in time."""
    body = [
        {"timestamp": "2024-05-01T12:00:00+02:00", "duration": 60, "data": {"label": "tea"}},
        {"timestamp": "2024-05-01T10:05:00.000001Z", "data": {"label": "phone"}},
        {"timestamp": "2024-05-01T09:00:00Z", "data": {"label": "bed"}},
    ]
    stored = api.post(f"/buckets/{bucket}/events", body)
    assert without_id(stored) == [
        event("10:00:00", 60, {"label": "tea"}),
        event("10:05:00.000001", 0, {"label": "phone"}),
        event("09:00:00", 0, {"label": "bed"}),
    ]
    assert all(type(one["id"]) is int for one in stored)
    assert api.events(bucket) == [stored[1], stored[0], stored[2]]


def test_one_object_is_answered_with_an_object(api: Api, bucket: str) -> None:
    stored = api.post(f"/buckets/{bucket}/events", event("10:00:00", 60))
    assert isinstance(stored, dict)
    assert without_id([stored]) == [event("10:00:00", 60)]
    assert api.events(bucket) == [stored]


def test_an_empty_list_is_answered_with_an_empty_list(api: Api, bucket: str) -> None:
    assert api.post(f"/buckets/{bucket}/events", []) == []
    assert api.events(bucket) == []


def test_equal_and_overlapping_events_are_all_kept(api: Api, bucket: str) -> None:
    """In the past and in the future as well: no duplicates are removed here."""
    body = [
        event("10:00:00", 60),
        event("10:00:00", 60),
        event("10:00:30", 5),
        {"timestamp": "1815-12-10"},
        {"timestamp": "2999-01-01"},
    ]
    for _ in range(2):
        api.insert(bucket, *body)
    assert api.count(bucket) == 10
    assert len({one["id"] for one in api.events(bucket)}) == 10


@pytest.mark.parametrize("as_list", [False, True])
def test_the_id_of_an_event_of_this_bucket_replaces_it(api: Api, bucket: str, as_list: bool) -> None:
    """Timestamp, duration and data; what is left out is not kept from before. The id stays."""
    first, second = api.insert(bucket, event("10:00:00", 60, {"a": 1}), event("11:00:00", 60, {"b": 1}))
    body = {"id": first["id"], "timestamp": at("12:00:00")}
    answer = api.post(f"/buckets/{bucket}/events", [body] if as_list else body)
    replaced = {"id": first["id"], "timestamp": at("12:00:00"), "duration": 0.0, "data": {}}
    assert answer == ([replaced] if as_list else replaced)
    assert api.events(bucket) == [replaced, second]
    assert api.get(f"/buckets/{bucket}/events/{first['id']}") == replaced


def test_of_two_events_with_one_id_the_later_counts(api: Api, bucket: str) -> None:
    (stored,) = api.insert(bucket, event("10:00:00", 60))
    one, two = ({**event(clock, 5), "id": stored["id"]} for clock in ("11:00:00", "12:00:00"))
    assert [answer["id"] for answer in api.insert(bucket, one, two)] == [stored["id"]] * 2
    assert api.events(bucket) == [two]


@pytest.mark.parametrize("unknown", [0, -1, 1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, -(2**63) - 1, 10**30])
def test_an_id_that_names_nothing_here_makes_a_new_event_with_a_new_id(
    api: Api, bucket: str, other: str, unknown: int
) -> None:
    """Unknown or out of range: the event is never dropped, and never stored under an id that it brought along."""
    api.insert(other, event("10:00:00"))
    before = api.events(other)
    (stored,) = api.insert(bucket, {**event("11:00:00", 5), "id": unknown})
    assert without_id([stored]) == [event("11:00:00", 5)]
    assert stored["id"] != unknown
    assert 1 <= stored["id"] < 2**53
    assert api.events(bucket) == [stored]
    assert api.events(other) == before


def test_an_id_of_another_bucket_leaves_that_bucket_alone(api: Api, bucket: str, other: str) -> None:
    (there,) = api.insert(other, event("10:00:00", 60, {"there": 1}))
    (here,) = api.insert(bucket, {**event("11:00:00"), "id": there["id"]})
    assert here["id"] != there["id"]
    assert api.events(other) == [there]
    assert api.events(bucket) == [here]


@pytest.mark.parametrize("bad", ["", "5", "abc", 5.0, 1.5, True, False, [], [1], {}])
def test_an_id_that_is_no_integer_is_refused(api: Api, bucket: str, bad: Any) -> None:
    for body in ({**event("10:00:00"), "id": bad}, [{**event("10:00:00"), "id": bad}]):
        api.refused("POST", f"/buckets/{bucket}/events", body, word="BadRequest")
    assert api.events(bucket) == []


def test_a_bucket_can_be_copied_ids_included(api: Api, bucket: str, other: str) -> None:
    """As a script of the Python client does: all events of one bucket are posted to another as they were read."""
    api.insert(bucket, *(event(f"10:00:{second:02}", 1, {"n": second}) for second in range(20)))
    source = api.events(bucket)
    answer = api.insert(other, *source)
    assert without_id(answer) == without_id(source)
    assert without_id(api.events(other)) == without_id(source)
    assert not {one["id"] for one in answer} & {one["id"] for one in source}
    assert api.events(bucket) == source
    api.ok("DELETE", f"/buckets/{bucket}")
    assert api.count(other) == 20


def test_an_event_can_be_deleted_and_posted_again_redacted(api: Api, bucket: str) -> None:
    """As a script of the Python client does, with the old id on: nothing is lost, the new copy has an id of its own."""
    secret, public = api.insert(bucket, event("10:00:00", 5, {"t": "secret"}), event("10:01:00", 5, {"t": "public"}))
    assert api.delete_event(bucket, secret["id"])
    (copy,) = api.insert(bucket, {**secret, "data": {"t": "REDACTED"}})
    assert copy["id"] != secret["id"]
    assert without_id([copy]) == [event("10:00:00", 5, {"t": "REDACTED"})]
    assert api.events(bucket) == [public, copy]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"timestamp": "never"},
        {"timestamp": at("10:00:00"), "duration": "5"},
        {"timestamp": at("10:00:00"), "data": []},
        {"timestamp": at("10:00:00"), "id": "5"},
        None,
        5,
        "x",
        [],
        [event("10:00:00")],
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_bad_event_refuses_its_whole_list(api: Api, bucket: str, bad: Any, position: int) -> None:
    """Nothing of it is stored, and nothing that it would have replaced is touched."""
    (stored,) = api.insert(bucket, event("09:00:00"))
    good: list[Any] = [{**event("10:00:00", 60), "id": stored["id"]}, event("11:00:00")]
    good.insert(position, bad)
    before = api.bucket(bucket)
    api.refused("POST", f"/buckets/{bucket}/events", good, word="BadRequest")
    assert api.events(bucket) == [stored]
    assert api.bucket(bucket) == before


def test_a_list_is_stored_whole(api: Api, bucket: str) -> None:
    """Replacements and new events of one list together."""
    (stored,) = api.insert(bucket, event("09:00:00"))
    answer = api.insert(bucket, event("10:00:00"), {**event("11:00:00", 5), "id": stored["id"]}, event("12:00:00"))
    assert answer[1] == {**event("11:00:00", 5), "id": stored["id"]}
    assert api.events(bucket) == answer[::-1]


# --- DELETE


def test_an_event_is_deleted_once(api: Api, bucket: str) -> None:
    first, second = api.insert(bucket, event("10:00:00"), event("11:00:00"))
    assert api.delete_event(bucket, first["id"]) is True
    assert api.events(bucket) == [second]
    assert api.count(bucket) == 1
    api.refused("GET", f"/buckets/{bucket}/events/{first['id']}", status=404, word="NoSuchEvent")
    assert api.delete_event(bucket, first["id"]) is False


@pytest.mark.parametrize("event_id", ["1", "0", "-1", str(2**53), str(2**64), str(10**30)])
def test_there_is_nothing_to_delete_under_an_unknown_id(api: Api, bucket: str, event_id: str) -> None:
    api.insert(bucket, event("10:00:00"))
    assert api.delete_event(bucket, event_id) is False
    assert api.count(bucket) == 1


def test_an_event_is_not_deleted_through_another_bucket(api: Api, bucket: str, other: str) -> None:
    (stored,) = api.insert(other, event("10:00:00"))
    assert api.delete_event(bucket, stored["id"]) is False
    assert api.events(other) == [stored]


@pytest.mark.parametrize(
    "form", ["{0}.0", "{0}x", "x", "0x{0:x}", "{0:_}", "{0},{0}", "%20", "true", "{0}e0", "%D9%A1"]
)
def test_what_is_no_integer_names_no_event(api: Api, bucket: str, form: str) -> None:
    """Not even if some languages would read it as one: a 404, and nothing is deleted."""
    (stored,) = api.insert(bucket, event("10:00:00"))
    path = f"/buckets/{bucket}/events/{form.format(stored['id'])}"
    api.refused("DELETE", path, status=404)
    api.refused("GET", path, status=404, word="NoSuchEvent")
    assert api.events(bucket) == [stored]


def test_events_are_written_into_the_bucket_of_the_path_only(api: Api, bucket: str, other: str) -> None:
    api.insert(bucket, {**event("10:00:00"), "bucket": other, "bucket_id": other})
    assert (api.count(bucket), api.count(other)) == (1, 0)


def test_buckets_are_never_made_by_writing_events(api: Api, name: str) -> None:
    api.refused("POST", f"/buckets/{name}/events", {**event("10:00:00"), **WATCHER}, status=404, word="NoSuchBucket")
    api.refused("POST", f"/buckets/{name}/heartbeat?pulsetime=5", event("10:00:00"), status=404, word="NoSuchBucket")
    assert name not in api.get("/buckets/")
