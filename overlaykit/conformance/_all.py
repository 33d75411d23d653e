"""Every theme in one class, to inherit."""

from __future__ import annotations

from ._level import Level
from .test_aspects import TestAspects
from .test_capabilities import TestCapabilities
from .test_changes import TestChanges
from .test_closed import TestClosed
from .test_copy_on_write import TestCopyOnWrite
from .test_errno import TestErrno
from .test_files import TestFiles
from .test_host import TestHost
from .test_isolation import TestIsolation
from .test_lifecycle import TestLifecycle
from .test_links import TestLinks
from .test_names import TestNames
from .test_privileges import TestPrivileges
from .test_properties import TestProperties
from .test_renames import TestRenames
from .test_stacking import TestStacking
from .test_store_errors import TestStoreErrors
from .test_store_keys import TestStoreKeys
from .test_store_kinds import TestStoreKinds
from .test_times import TestTimes
from .test_whiteouts import TestWhiteouts
from .test_xattrs import TestXattrs

__all__ = ["CoreSuite", "FullSuite"]


class FullSuite(
    TestAspects,
    TestCapabilities,
    TestChanges,
    TestClosed,
    TestCopyOnWrite,
    TestErrno,
    TestFiles,
    TestHost,
    TestIsolation,
    TestLifecycle,
    TestLinks,
    TestNames,
    TestPrivileges,
    TestProperties,
    TestRenames,
    TestStacking,
    TestStoreErrors,
    TestStoreKeys,
    TestStoreKinds,
    TestTimes,
    TestWhiteouts,
    TestXattrs,
):
    """The core, and each capability: tested where it is declared, and tested to be refused where it is not."""


class CoreSuite(FullSuite):
    """What no driver may fail: stacking, copy-on-write, whiteouts, changes, kinds and errors. Knows no capability."""

    level = Level.CORE
