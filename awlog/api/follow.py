"""What a follower may see: the same rule for every way in."""

from __future__ import annotations

from awlog.model.access import Access, Scope
from awlog.model.feed import FeedFilter


def filter_of(access: Access, bucket_prefix: str) -> FeedFilter:
    """What was asked for, of what may be read. Settings belong to the server as a whole."""
    return FeedFilter(
        bucket_prefix=bucket_prefix, readable=access.prefixes(Scope.READ), settings=access.may(Scope.READ)
    )
