"""The disk: one LMDB environment in a data directory. The only home of lmdb. `FORMAT.md` describes every key and byte."""
