"""Without root, with the ids of /etc/subuid, a real distribution builds and runs: apt, dpkg, useradd, su."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testkit.bases import BaseRegistry
    from testkit.ranges import RangedUser

pytestmark = pytest.mark.real

# apt becomes the user _apt to fetch; dpkg gives files to others; the last step needs what they left.
DOCKERFILE = """\
FROM ubuntu:20.04
RUN apt-get update && apt-get install -y --no-install-recommends --reinstall passwd
RUN useradd --create-home --uid 1234 --groups www-data app && su app -c 'id -un > ~/name && chmod 600 ~/name'
USER app
RUN test "$(cat /home/app/name)" = app && ! cat /etc/shadow
CMD ["stat", "-c", "%U:%G", "/home/app/name", "/etc/shadow"]
"""


def test_apt_and_users(base_registry: BaseRegistry, ranged_user: RangedUser) -> None:
    user = ranged_user
    (user.home / "Dockerfile").write_text(DOCKERFILE)
    mirrors = user.home / "registries.conf"
    mirrors.write_text(base_registry.conf.read_text())
    environment = dict.fromkeys(base_registry.environment, str(mirrors))
    user.run("build", "-t", "made:1", "--progress", "plain", str(user.home), **environment)
    assert user.run("run", "--rm", "-u", "0", "made:1").stdout.split() == ["app:app", "root:shadow"]
    assert user.run("run", "--rm", "-u", "www-data", "made:1", "id", "-un").stdout == "www-data\n"
    user.run("rmi", "made:1")
    user.run("prune", "--build-cache")
