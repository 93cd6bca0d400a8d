# SPDX-License-Identifier: Apache-2.0
"""Finds the packages under the three source roots; everything else is in setup.cfg."""

from setuptools import find_packages, setup

ROOTS = ("plugin", "operators", "runtime")

setup(packages=[name for root in ROOTS for name in find_packages(root)])
