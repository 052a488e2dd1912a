"""Rules, dashboard and thresholds, all made from `objectives.json`."""
