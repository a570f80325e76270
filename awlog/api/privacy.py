"""`/privacy/preview` and `/privacy/apply`: privacy filters and what is stored already."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct, field

from awlog.api import wire
from awlog.api.call import Call
from awlog.api.describe import Body, Operation, described
from awlog.api.jobs import JobBody, job_body
from awlog.engine.privacy import FILTERS_SETTING, filter_rules
from awlog.model.access import Scope
from awlog.model.edits import Obey
from awlog.model.errors import BadRequest
from awlog.model.rules import FilterRule

# Data of stored events, shown for each rule.
_SAMPLES_MAX: Final = 5


class PreviewBody(Struct):
    """`rules` in the place of those that are stored."""

    rules: Annotated[Raw, Meta(extra_json_schema={"type": ["array", "null"]})] = field(default_factory=Raw)


class RuleHits(Struct):
    """How many stored events a rule applies to. `samples`: the data of some of them, for admins."""

    rule: FilterRule
    events: int
    samples: list[wire.ShownObject] | None


class BucketHits(Struct):
    """What the rules would do in a bucket. `rules`: events by the place of the rule."""

    dropped: int
    redacted: int
    rules: dict[int, int]


class PreviewedBody(Struct):
    dropped: int
    redacted: int
    rules: list[RuleHits]
    buckets: dict[str, BucketHits]


class ApplyBody(Struct):
    pass


_PREVIEW: Final = msgspec.json.Decoder(PreviewBody)
_APPLY: Final = msgspec.json.Decoder(ApplyBody)


@described(
    Operation(
        PreviewedBody,
        bodies=(
            Body(
                PreviewBody,
                {"rules": [{"enabled": True, "field": "title", "pattern": "(?i)bank", "action": "drop"}]},
            ),
        ),
    )
)
async def preview_filters(call: Call) -> web.StreamResponse:
    """What privacy filters, the stored ones or those given, would do to the events that are stored; changes nothing."""
    body = wire.decode(_PREVIEW, await call.json_body())
    given = text = wire.value_or_none(body.rules)
    if text is None:
        call.access.require(Scope.READ)  # the answer shows them, and settings belong to the server as a whole
        text = call.engine.reads.setting(FILTERS_SETTING) or b"[]"
    rules = filter_rules(text, are_new=given is not None)
    views = [view.meta for view in call.engine.reads.buckets() if call.access.may(Scope.READ, view.meta.id)]
    is_admin = call.access.may(Scope.ADMIN)
    previews = await call.engine.editor.preview(
        Obey(text), [meta.number for meta in views], samples_max=_SAMPLES_MAX if is_admin else 0
    )
    told = PreviewedBody(0, 0, [RuleHits(rule, 0, [] if is_admin else None) for rule in rules], {})
    for each in previews:
        if each.hits:
            told.buckets[each.bucket_id] = BucketHits(each.deleted, each.changed, each.hits)
        told.dropped += each.deleted
        told.redacted += each.changed
        for place, events in each.hits.items():
            hits = told.rules[place]
            hits.events += events
            if hits.samples is not None:
                new = [sample for sample in each.samples[place] if sample not in map(bytes, hits.samples)]
                hits.samples += [Raw(sample) for sample in new][: _SAMPLES_MAX - len(hits.samples)]
    return call.json(wire.encode(told))


@described(Operation(JobBody, bodies=(Body(ApplyBody, {}),), status=202))
async def apply_filters(call: Call) -> web.StreamResponse:
    """Starts the job that does to stored events what the stored privacy filters would have done when they came in."""
    wire.decode(_APPLY, await call.json_body())
    text = call.engine.reads.setting(FILTERS_SETTING)
    if text is None or not any(rule.enabled for rule in filter_rules(text)):
        raise BadRequest(f"There is no rule to apply: the setting `{FILTERS_SETTING}` has none that is enabled")
    engine = call.engine
    job = engine.jobs.start("privacy", partial(engine.editor.in_steps, Obey(text), None))
    return call.json(wire.encode(job_body(job)), status=202)
