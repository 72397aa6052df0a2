"""What tests of profiles share."""

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where hypothesis's examples write their file, one after the other."""
    return tmp_path_factory.mktemp("profiles")
