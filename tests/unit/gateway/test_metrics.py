"""Numbers of several workers in one scrape."""

from noisefs.gateway.metrics import merge

FIRST = """# HELP a_total What a is.
# TYPE a_total counter
a_total{kind="x"} 1.0
a_total{kind="y{z}"} 2.0
# HELP b Bytes
# TYPE b gauge
b 5.0
"""
SECOND = """# HELP a_total What a is.
# TYPE a_total counter
a_total{kind="x"} 3.0
# HELP b Bytes
# TYPE b gauge
b 7.0
"""


def test_samples_keep_their_worker_and_help_is_there_once() -> None:
    """As Prometheus wants it: all samples of a metric together."""
    assert merge({0: FIRST, 1: SECOND}).splitlines() == [
        "# HELP a_total What a is.",
        "# TYPE a_total counter",
        'a_total{kind="x",worker="0"} 1.0',
        'a_total{kind="y{z}",worker="0"} 2.0',
        'a_total{kind="x",worker="1"} 3.0',
        "# HELP b Bytes",
        "# TYPE b gauge",
        'b{worker="0"} 5.0',
        'b{worker="1"} 7.0',
    ]


def test_a_worker_without_an_answer_is_left_out() -> None:
    """The others' numbers are still told."""
    assert 'b{worker="0"} 5.0' in merge({0: FIRST, 1: ""})
