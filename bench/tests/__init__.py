"""Tests of what needs no load: `python3 -m unittest discover -s bench/tests -t bench`."""
