"""Every class of tests in one, to inherit."""

from __future__ import annotations

from .test_changes import TestChanges
from .test_closed import TestClosed
from .test_copy_on_write import TestCopyOnWrite
from .test_errno import TestErrno
from .test_files import TestFiles
from .test_isolation import TestIsolation
from .test_lifecycle import TestLifecycle
from .test_links import TestLinks
from .test_names import TestNames
from .test_renames import TestRenames
from .test_stacking import TestStacking
from .test_times import TestTimes
from .test_whiteouts import TestWhiteouts
from .test_xattrs import TestXattrs


class CoreSuite(
    TestChanges,
    TestClosed,
    TestCopyOnWrite,
    TestErrno,
    TestFiles,
    TestIsolation,
    TestLifecycle,
    TestLinks,
    TestNames,
    TestRenames,
    TestStacking,
    TestTimes,
    TestWhiteouts,
    TestXattrs,
):
    """x."""


class FullSuite(CoreSuite):
    """x."""
