"""Which devices are understood, and what is said of those that are not."""

import os

import pytest
import torch

from service.engine.devices import Device, as_ranges, check_devices, parse_devices


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", (Device("auto"),)),
        ("cuda:1", (Device("cuda:1"),)),
        ("cuda:0, cuda:1", (Device("cuda:0"), Device("cuda:1"))),
        ("cpu:0,cpu:2", (Device("cpu:0", (0,)), Device("cpu:2", (2,)))),
        ("cpu:0-3,cpu:4-7", (Device("cpu:0-3", (0, 1, 2, 3)), Device("cpu:4-7", (4, 5, 6, 7)))),
        ("cpu:0,cpu:1-3", (Device("cpu:0", (0,)), Device("cpu:1-3", (1, 2, 3)))),
    ],
)
def test_a_list_names_each_device(text, devices):
    assert parse_devices(text) == devices


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("abacus", "there is no device 'abacus'; use auto, cpu, cuda, cuda:0,cuda:1, or sets of cores"),
        ("", "there is no device ''"),
        ("cpu:0,", "there is no device ''"),
        ("cpu:", "there is no device 'cpu:'"),
        ("cpu:-1", "there is no device 'cpu:-1'"),
        ("cpu:²", "there is no device"),
        ("cpu:3-1", "cpu:3-1 ends before it begins; use cpu:1-3"),
        ("cpu:0-3,cpu:3-5", "cpu:0-3 and cpu:3-5 both have core 3; give it to one of them"),
        ("cpu:0,cpu:0", "cpu:0 and cpu:0 both have core 0"),
        ("cuda,cuda:0", "cuda and cuda:0 both have cuda:0"),
        ("cuda:1,cuda:1", "cuda:1 and cuda:1 both have cuda:1"),
        ("cpu,cpu:1", "cpu stands alone"),
        ("auto,cuda:1", "auto stands alone"),
        ("cuda:0,cpu:0", "start a service on each"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(text, told):
    with pytest.raises(ValueError) as refused:
        parse_devices(text)
    assert told in str(refused.value)


def test_cores_that_are_not_there_or_not_ours_are_named(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    check_devices(parse_devices("cpu:0-2,cpu:5"))
    with pytest.raises(ValueError, match=r"cores 3-4 are outside the set that .* \(taskset\); use some of 0-2, 5"):
        check_devices(parse_devices("cpu:0-5"))
    with pytest.raises(ValueError, match="cores 98-99 are not there; use some of 0-2, 5"):
        check_devices(parse_devices("cpu:98-99"))
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(ValueError, match="cannot keep threads on cores; use cpu"):
        check_devices(parse_devices("cpu:0"))


def test_gpus_that_are_not_there_or_differ_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: ["A100", "H100"][index])
    check_devices(parse_devices("cuda:1"))
    with pytest.raises(ValueError, match="PyTorch sees 2 CUDA devices here: cuda:0 … cuda:1; use those, auto or cpu"):
        check_devices(parse_devices("cuda:2"))
    with pytest.raises(ValueError, match="A100 and H100 give a seed other bytes: start a service on each"):
        check_devices(parse_devices("cuda,cuda:1"))


def test_cores_are_told_as_ranges():
    assert as_ranges({5, 1, 2, 3, 8}) == "1-3, 5, 8"
