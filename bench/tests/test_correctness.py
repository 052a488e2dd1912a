"""Faults that the check must find."""

import unittest

from chat_bench.correctness import page_faults, table_faults
from chat_bench.idle import is_complete
from chat_bench.trouble import Trouble

SENT = {1: ("user0", "a"), 2: ("user1", "b"), 3: ("user2", "c")}


def page(*numbers: int) -> list[dict[str, object]]:
    return [{"id": number, "user": SENT[number][0], "text": SENT[number][1]} for number in numbers]


class Table(unittest.TestCase):
    def test_what_was_sent_is_what_is_stored(self) -> None:
        self.assertEqual(table_faults(dict(SENT), SENT), [])

    def test_a_lost_message_is_found(self) -> None:
        stored = {number: SENT[number] for number in (1, 3)}
        self.assertRegex(table_faults(stored, SENT)[0], "not in the table, such as 2")

    def test_a_doubled_message_is_found(self) -> None:
        self.assertRegex(table_faults({**SENT, 4: SENT[3]}, SENT)[0], "not acknowledged, such as 4")

    def test_a_changed_message_is_found(self) -> None:
        self.assertRegex(table_faults({**SENT, 2: ("user1", "?")}, SENT)[0], "message 2 is")


class Page(unittest.TestCase):
    def test_the_newest_come_first(self) -> None:
        self.assertEqual(page_faults(page(3, 2, 1), SENT), [])
        self.assertTrue(page_faults(page(1, 2, 3), SENT))

    def test_a_stale_page_is_found(self) -> None:
        self.assertTrue(page_faults(page(2, 1), SENT))

    def test_another_text_is_found(self) -> None:
        changed = page(3, 2, 1)
        changed[1]["text"] = "?"
        self.assertRegex(page_faults(changed, SENT)[0], "another message 2")


class Answers(unittest.TestCase):
    def test_an_answer_ends_by_length_or_chunk(self) -> None:
        head = b"HTTP/1.1 200 OK\r\n"
        self.assertTrue(is_complete(head + b"Content-Length: 2\r\n\r\n{}"))
        self.assertFalse(is_complete(head + b"Content-Length: 3\r\n\r\n{}"))
        self.assertFalse(is_complete(head))
        self.assertTrue(
            is_complete(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        )

    def test_a_refusal_is_trouble(self) -> None:
        with self.assertRaisesRegex(Trouble, "503"):
            is_complete(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
