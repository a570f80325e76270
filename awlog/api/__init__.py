"""The HTTP edge: the only home of aiohttp. Requests become commands and reads, errors become answers in one place."""
