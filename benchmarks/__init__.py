"""What measures awlog: a seeded person, a load client, the servers, and one command (`python -m benchmarks --help`).

`generator` and `load` know no server; `servers` knows how each is started and read; `heartbeat`, `growth`, `footprint`,
`query` and `isolation` are the workloads; `document` is the result, `table` and `plot` show it. Only `plot` needs a package.
"""
