"""The benchmark: servers that do the same, measured in turn on one machine."""
