"""The fuzz targets of ``tests/endurance`` under a fixed budget, the same inputs in every run; ``make fuzz`` goes on."""

import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parent / "endurance"))

from fuzz_targets import TARGETS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # decoders warn of what they are given here
@pytest.mark.parametrize("name", list(TARGETS))
def test_spoiled_input_gives_a_sentence_or_a_result_that_keeps_its_promises(name):
    target, outcomes = TARGETS[name], []

    def check(value):
        with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
            outcomes.append(target.check(value, Path(folder)))

    settings(
        max_examples=target.in_suite, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )(given(target.inputs)(check))()  # fmt: skip
    assert len(outcomes) >= target.in_suite // 2
    assert 0 < sum(outcomes) < len(outcomes), (
        "all inputs were refused, or none: the target tests one half of its border"
    )
