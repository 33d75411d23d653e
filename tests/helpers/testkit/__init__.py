"""What the tests share. Fixtures are in :mod:`testkit.leaks` and :mod:`testkit.loops`, which ``conftest.py`` loads."""
