"""The words: values that every other package speaks in. No IO, no rules beyond what makes a value valid."""
