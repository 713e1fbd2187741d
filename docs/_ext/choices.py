"""Published and default choices of each system: the values in which the two presets differ, beside each other."""

from __future__ import annotations

from _ext.writing import code, table

PUBLISHED = {
    "ldns": "ldns-mc-maze",
    "eag": "eag-paper",
    "gnocchi": "gnocchi-paper",
    "lfads": "lfads-paper",
    "tndm": "tndm-paper",
    "pivae": "pivae-paper",
}
"""The preset of what was published, by that of our defaults."""


def pages_of_choices() -> dict[str, str]:
    """For each system a part of its page: both presets in words, and the fields in which they differ."""
    return {ours: _part(ours, published) for ours, published in PUBLISHED.items()}


def _part(ours: str, published: str) -> str:
    from spikeloom.models.presets import presets

    known = presets()
    default, paper = known[ours].values, known[published].values
    rows = [
        [code(name), code(repr(paper.get(name, ""))), code(repr(default.get(name, "")))]
        for name in dict.fromkeys([*default, *paper])
        if default.get(name) != paper.get(name)
    ]
    link = "../reference/generated/presets"
    return (
        f"**Published**, as far as it is known: [`{published}`]({link}/{published}.md). **Our default**: "
        f"[`{ours}`]({link}/{ours}.md), for a laptop's processor; each page says in words what differs and why. "
        "The values:\n\n" + table(["field", "published", "default"], rows)
    )
