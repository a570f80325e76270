"""Moving in: from a source into a store, so that nothing is missing and nothing doubles, however often it is begun."""
