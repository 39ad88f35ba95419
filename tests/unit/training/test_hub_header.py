"""A card's header is YAML with the values that were measured."""

import pytest
import yaml

from training.card.hub_header import _yaml


@pytest.mark.parametrize(
    "value", [0.0, 1.5, 2e-05, 1.25e-07, 1e16, -3e-09, 7, True, None, "2e-05", "off", "a: b", "é\x85"]
)
def test_a_value_is_read_back_as_it_was(value):
    assert yaml.safe_load("\n".join(_yaml({"metrics": [{"value": value}]}))) == {"metrics": [{"value": value}]}
