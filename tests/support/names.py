"""Names that are awkward somewhere: in URLs, in XML, in headers, on somebody's disk."""

NAMES = (
    *("\u00e9 composed", "e\u0301 decomposed", "\u1100\u1161 jamo", "\uac00 syllable"),
    *(
        "100%",
        "%41",
        "%2F",
        "a#b",
        "a?b",
        "a;b",
        "a+b",
        "a&b",
        "a=b",
        "a:b",
        "a@b",
        "a,b",
        "a|b",
        "a\\b",
        "a~b",
        "a^b`c",
    ),
    *("'single'", '"double"', "<tag>", "&amp;", "(round) [square] {curly}", "$x!*"),
    *(".hidden", "..two", "...", " leading", "trailing ", " ", "  two  spaces  ", "trailing."),
    *("\U0001f600", "\u65e5\u672c\u8a9e", "\u05e9\u05dc\u05d5\u05dd", "\u202ereversed", "zero\u200bwidth", "a\u00a0b"),
    *("x" * 255, "\u00e9" * 127 + "x", "CON", "a\tb", "a\nb", "\x01control"),
)
"""Segments of keys; each stands for itself, so that none is what another one becomes."""
