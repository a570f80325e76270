"""Columns -> documents that other programs read, piece by piece: JSON, lines of JSON, CSV, Arrow, Parquet."""
