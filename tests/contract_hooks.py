"""What schemathesis cannot know from the document: a key belongs to one message."""

import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a short idempotency key unique, so that using it for another text is no mistake of the test's."""
    key = (case.headers or {}).get("Idempotency-Key")
    if key and len(key) < 200:
        case.headers["Idempotency-Key"] = f"{key}{uuid.uuid4()}"
