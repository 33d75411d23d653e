"""What a probe has said is told the driver, and only where it is true of the driver's own directory."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

import pytest

from overlaykit.driver import DriverConfig
from overlaykit.store import Store, open_store

if TYPE_CHECKING:
    from pathlib import Path

_BIND, _REMOUNT, _NOEXEC = 4096, 32, 8


def config(store: Store) -> DriverConfig:
    return store._engine.driver.driver.config


@pytest.mark.parametrize("driver", ["plain", pytest.param("directory", marks=pytest.mark.native)])
def test_the_driver_is_told(tmp_path: Path, driver: str) -> None:
    for _ in range(2):
        with open_store(tmp_path / "store", driver=driver) as store:
            assert config(store).probe is store.choice.probe
    with open_store(driver="memory") as store:
        assert config(store).probe is store.choice.probe


@pytest.mark.usefixtures("mount_namespace")
def test_a_driver_on_another_mount_finds_out_itself(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", driver="directory") as store:
        offered = store.choice.probe.capabilities
    place = os.fsencode(tmp_path / "store" / "driver")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(place, place, None, _BIND, None) == 0
    try:
        assert libc.mount(None, place, None, _BIND | _REMOUNT | _NOEXEC, None) == 0
        with open_store(tmp_path / "store") as store:
            assert config(store).probe is None
            assert store._engine.driver.driver.capabilities == offered
    finally:
        assert libc.umount(place) == 0
    assert libc.mount(b"tmpfs", place, b"tmpfs", 0, None) == 0
    try:
        with open_store(tmp_path / "store") as store:
            assert config(store).probe is None
    finally:
        assert libc.umount(place) == 0
