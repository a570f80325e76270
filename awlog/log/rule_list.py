"""A setting that is a list of rules: its JSON text -> the rules, each read by itself, so that a refusal names it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from awlog.model.errors import BadRequest
from awlog.model.rules import check_rule_count

_LIST: Final = msgspec.json.Decoder(list[Raw])
_R = TypeVar("_R")


def decode_rules(
    text: bytes, setting: str, decoder: msgspec.json.Decoder[_R], check: Callable[[_R], object], *, are_new: bool
) -> list[_R]:
    """`check` raises BadRequest for what the types do not say. Only rules that `are_new` must be few enough: what is stored
    is obeyed whatever the limit is now. Raises BadRequest, which names the rule and says why.
    """
    try:
        given = _LIST.decode(text)
    except msgspec.MsgspecError:
        raise BadRequest(f"`{setting}` must be a list of rules, each an object") from None
    if are_new:
        check_rule_count(setting, len(given))
    rules = []
    for at, raw in enumerate(given):
        try:
            rule = decoder.decode(raw)
            check(rule)
        except (msgspec.MsgspecError, BadRequest) as error:
            raise BadRequest(f"{setting}[{at}]: {error}") from None
        rules.append(rule)
    return rules
