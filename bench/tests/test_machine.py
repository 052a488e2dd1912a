"""Versions out of the files that pin them."""

import unittest

from chat_bench import machine


class Versions(unittest.TestCase):
    def test_only_the_crates_that_matter_are_named(self) -> None:
        package = '[[package]]\nname = "{}"\nversion = "{}"\n'
        lock = package.format("axum", "0.8.6") + package.format("syn", "2.0.1")
        self.assertEqual(machine.cargo(lock), {"axum": "0.8.6"})

    def test_indirect_modules_are_left_out(self) -> None:
        text = (
            "module peer\n\ngo 1.25\n\nrequire github.com/go-sql-driver/mysql v1.9.3\n\n"
            "require (\n\tfilippo.io/edwards25519 v1.1.0 // indirect\n)\n"
        )
        self.assertEqual(machine.go_mod(text), {"mysql": "1.9.3"})

    def test_pinned_requirements_are_read(self) -> None:
        self.assertEqual(machine.pip("# server\nFlask==3.1.2\nclick==8.3.0\ngunicorn==23.0.0\n"),
                         {"Flask": "3.1.2", "gunicorn": "23.0.0"})  # fmt: skip
