"""The flags of `spirale-sample` as the fields of a job."""

import argparse

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
    assert asked("--label", "7", "--n", "1").label == 7 and asked("--label", '{"7": 3}').label == {"7": 3}
    assert asked("--label", "balanced", "--n", "10").label == "balanced"
