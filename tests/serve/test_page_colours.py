"""Whether what the page shows can be seen: contrasts of WCAG 2, from its CSS."""

import colorsys
import re
from pathlib import Path

import pytest
from contrast import contrast

PAGE = Path("pretrained_interfaces/serve/page.html").read_text("utf-8")
#: What graphics and borders of fields need at least (WCAG 2.1, 1.4.11).
LEAST = 3.0


def variables():
    """The page's variables, in light mode and in dark."""
    light, dark = re.findall(r":root \{(.*?)\}", PAGE)
    found = [
        dict(re.findall(r"--([\w-]+): ([^;]+);", p)) for p in (light, dark)
    ]
    return [found[0], {**found[0], **found[1]}]


def rgb(colour):
    """A colour like #1b1d22 or #fff."""
    digits = (
        colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    )
    return [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]


@pytest.mark.parametrize("mode", [0, 1])
def test_underlines_can_be_seen_whatever_the_confidence(mode):
    found = variables()[mode]
    assert "underline 3px hsl(var(--hue) 75% var(--light))" in PAGE
    assert "1.2 * sure" in PAGE  # hues from 0 to 120
    light = float(found["light"].rstrip("%")) / 100
    for hue in range(121):
        line = colorsys.hls_to_rgb(hue / 360, light, 0.75)
        assert contrast(line, rgb(found["card"])) >= LEAST, hue


@pytest.mark.parametrize("mode", [0, 1])
def test_the_field_of_the_token_can_be_seen(mode):
    found = variables()[mode]
    (rule,) = re.findall(r"input\[type=password\] \{(.*?)\}", PAGE)
    (name,) = re.findall(r"border: 1px solid var\(--(\w+)\)", rule)
    for around in ("card", "back"):
        assert contrast(rgb(found[name]), rgb(found[around])) >= LEAST
