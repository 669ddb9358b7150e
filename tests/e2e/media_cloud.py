#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Builds the image cloud-test (cloud-test.recipe) for test_cloud_init.py, with NETLAB_TEST_FULL=1 only.

Packages are downloaded, and the tests' namespaces have no network, so this runs outside of them.
"""
import os
import subprocess
import sys

if not os.environ.get("NETLAB_TEST_FULL"):
    print("skipped: with NETLAB_TEST_FULL=1 only")
    sys.exit(77)
recipe = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cloud-test.recipe")
sys.exit(subprocess.run([os.environ["NETLAB_BIN"], "image", "build", recipe], check=False).returncode)
