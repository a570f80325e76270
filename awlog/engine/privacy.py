"""Privacy filters, for those who show them: the setting, and its rules."""

from __future__ import annotations

from typing import Final

from awlog.log.filters import SETTING, Filters
from awlog.model.rules import FilterRule

FILTERS_SETTING: Final = SETTING


def filter_rules(text: bytes, *, are_new: bool = False) -> list[FilterRule]:
    """The rules of the setting's JSON text. Raises BadRequest, which names the rule and says why, as `Filters` does."""
    return Filters(text, are_new=are_new).rules
