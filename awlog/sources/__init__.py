"""Where events come from when somebody moves in: each file reads one kind of source, and never writes to it."""
