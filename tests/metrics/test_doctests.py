"""The examples in the docstrings hold."""

import doctest
import importlib
import pkgutil

import pytest

from gan_lab import metrics

MODULES = [module.name for module in pkgutil.iter_modules(metrics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"gan_lab.metrics.{name}")
    assert doctest.testmod(module).failed == 0


def test_every_metric_has_an_example():
    from gan_lab.metrics import coverage, fidelity, memorization

    for module in (coverage, fidelity, memorization):
        assert doctest.testmod(module).attempted >= 8
