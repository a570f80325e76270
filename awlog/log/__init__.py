"""The rules: what facts follow from a command, what they do to the state, and how history is laid out in columns.

No IO, no clock, no await: every rule here is tested with plain values.
"""
