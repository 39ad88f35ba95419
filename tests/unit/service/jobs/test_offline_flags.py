"""The flags of `spirale-sample` as the fields of a job."""

import argparse

import pytest

from service.jobs.job_request import JobRequest
from service.offline import add_data_set_flags


def asked(*flags: str) -> JobRequest:
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
    add_data_set_flags(parser)
    given = vars(parser.parse_args(["--out", "x", "--dataset", "mnist", *flags]))
    return JobRequest(**{name: given[name] for name in given if name in JobRequest.model_fields})


def test_words_stay_words_and_what_is_json_is_read_as_json():
    body = asked("--prompt", "7", "--n", "5", "--guidance-interval", "[0.2, 3]", "--distinct", "true")
    assert (body.prompt, body.n, body.guidance_interval, body.distinct) == ("7", 5, [0.2, 3.0], True)
    assert asked("--prompt", '"a seven"', "--n", "1").prompt == "a seven"


@pytest.mark.parametrize("name", ["7", "1.0", "2e0", "true", "null", "balanced", "[a", "007"])
def test_a_class_is_asked_by_the_name_that_is_written(name: str):
    assert asked("--label", name, "--n", "1").label == name


def test_lists_counts_and_names_in_quotes_are_read_as_json():
    assert asked("--label", '{"7": 3}').label == {"7": 3} and asked("--label", '["7", 8]').label == ["7", 8]
    assert asked("--label", '"[1]"', "--n", "1").label == "[1]"
