"""What a build is made on, and what it is made for."""

from __future__ import annotations

import pytest

from overlaykit import open_store
from overlaykit.image import Platform

TEXT = b"""FROM scratch AS final
ARG BUILDPLATFORM TARGETPLATFORM TARGETARCH TARGETVARIANT TARGETSTAGE
ENV ON=$BUILDPLATFORM FOR=$TARGETPLATFORM WHAT=$TARGETARCH-$TARGETVARIANT-$TARGETSTAGE
"""


@pytest.mark.parametrize(("platform", "what"), [("linux/arm/v7", "arm-v7-final"), ("linux/riscv64", "riscv64--final")])
def test_the_variables_of_platforms(platform: str, what: str) -> None:
    with open_store(driver="memory") as store:
        image = store.build(None, dockerfile=TEXT, platform=platform).image
        config = store.config(image).document
    env = dict(pair.split("=", 1) for pair in config["config"]["Env"])
    assert (env["ON"], env["FOR"], env["WHAT"]) == (str(Platform.here()), platform, what)
    assert config["architecture"] == platform.split("/")[1]
