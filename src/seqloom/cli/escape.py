"""What a file or a user wrote must not steer the terminal that shows it."""

import re

# controls but the line feed, marks that turn the direction of what follows, halves of characters
STEERING = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str) -> str:
    """`text` with every character that could steer a terminal written as JSON writes it: `\\u001b`."""
    return STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
