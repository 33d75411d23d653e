"""A store that builds images."""

from __future__ import annotations

from ..driver import Durability
from ..runtime import ContainerStore
from ..store import open_as

TYPE_CHECKING = False

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import BinaryIO

    from ..errors import BuildStepError
    from ..image import Collected, Platform
    from ..image.registry import Options
    from ..plugin import Choice, PluginManager
    from ..store import Engine
    from ._agents import Agent
    from ._cache import BuildCache
    from ._events import BuildEvent
    from ._locks import KeyLocks
    from ._request import BuildResult, BuildWarning, Pull, Secret, Shell
    from .dockerfile import Outline, Target
    from .remote import DownloadRecords

__all__ = ["BuildStore", "open_store"]


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    driver: str = "auto",
    durability: Durability | str = Durability.COMMIT,
    options: Mapping[str, str] | None = None,
    create: bool = True,
) -> BuildStore:
    """Open a store with images, containers that run, and builds, or make one; the parameters and errors are those of
    :func:`overlaykit.store.open_store`.
    """
    return open_as(BuildStore, path, driver, Durability(durability), options or {}, create=create)


class BuildStore(ContainerStore):
    """A store that builds images out of Dockerfiles, and remembers the steps."""

    def __init__(self, engine: Engine, choice: Choice, plugins: PluginManager) -> None:
        super().__init__(engine, choice, plugins)
        self._cache: BuildCache | None = None
        self._build_locks: KeyLocks | None = None

    def build(
        self,
        context: str | os.PathLike[str] | BinaryIO | None,
        *,
        dockerfile: str | os.PathLike[str] | bytes | None = None,
        tags: str | Sequence[str] = (),
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
        platform: Platform | str | None = None,
        no_cache: bool = False,
        secrets: Mapping[str, Secret] | None = None,
        labels: Mapping[str, str] | None = None,
        cache_from: Sequence[str] = (),
        named_contexts: Mapping[str, str | os.PathLike[str]] | None = None,
        network: str = "host",
        agents: Mapping[str, Agent] | None = None,
        allow: Collection[str] = (),
        epoch: int | None = None,
        pull: Pull = "missing",
        registry: Options | None = None,
        compression: str = "gzip",
        runtime: str | None = None,
        progress: Callable[[BuildEvent], object] | None = None,
        debug: Callable[[BuildStepError, Shell], object] | None = None,
    ) -> BuildResult:
        """Build an image (BuildKit's Dockerfile reference; docs/build.md says where it differs).

        Each instruction that changes the tree makes a layer, all others a line of the image's history. A step that was
        done before, here or by somebody else at this moment, is taken from the cache: it depends on the layers below,
        the instruction, and what is copied, without its times.

        :param context: the directory that COPY takes files from; or an open tar archive; or ``None`` for none.
        :param dockerfile: its path, by default ``Dockerfile`` in the context; or its text, as bytes.
        :param tags: names for the image; each is taken from the image that had it.
        :param target: the stage to build; ``None`` for the last one.
        :param build_args: values for ARG.
        :param platform: what to build for, as ``linux/arm64``; ``None`` for this machine's.
        :param no_cache: do all steps again.
        :param secrets: by id, for ``RUN --mount=type=secret``. No layer, no history and no cache key has them.
        :param labels: labels for the image, over those of the Dockerfile.
        :param cache_from: images whose layers may be taken for steps; see docs/build.md.
        :param named_contexts: directories, and images as ``docker-image://debian:12`` or
            ``oci-layout://DIRECTORY[:TAG][@DIGEST]``, by the names that FROM, COPY ``--from`` and mounts use.
        :param network: of RUN instructions that say nothing: ``host`` or ``none``.
        :param agents: by id, for ``RUN --mount=type=ssh``: the path of an SSH agent's socket, or those of private keys.
        :param allow: entitlements: ``security.insecure`` for ``RUN --security=insecure``; ``network.host`` is there
            anyway.
        :param epoch: seconds since the epoch: when the image and all in it was made at the latest; ``None`` for the
            build argument ``SOURCE_DATE_EPOCH``, or else ``$SOURCE_DATE_EPOCH``, or where that is not set, times as
            they are. It is that build argument too.
        :param pull: when base images are asked for at their registry: ``missing``, ``always`` or ``never``.
        :param registry: how to speak with registries.
        :param compression: of the layers: ``"gzip"``, ``"zstd"`` or ``"none"``.
        :param runtime: what runs RUN: ``crun``, ``runc``, or a path.
        :param progress: called with each event, one at a time, from several threads.
        :param debug: called where a RUN failed and all else has ended, with the error that is raised next, and a
            function that opens a shell where it ran.
        :raises DockerfileError: the Dockerfile is wrong; the error says where.
        :raises BuildError: something that was asked for is not there, or not possible.
        :raises BuildStepError: the command of a RUN failed. Steps that were done are in the cache.
        :raises CapabilityError: RUN with a driver that has no host paths, as the memory driver.
        :raises NotFoundError: a base image is not there.
        :raises StoreFullError: there is no room.
        :raises OSError: as :meth:`pull`.
        """
        from ..image import Platform, Reference
        from ._request import BuildRequest, with_epoch
        from ._solve import solve

        names = [tags] if isinstance(tags, str) else list(tags)
        for name in names:
            Reference.parse(name)  # before the work
        epoch, build_args = with_epoch(epoch, build_args or {})
        request = BuildRequest(
            context=context,
            dockerfile=dockerfile,
            tags=names,
            target=target,
            build_args=build_args,
            platform=Platform.here() if platform is None else Platform.parse(str(platform)),
            no_cache=no_cache,
            secrets=dict(secrets or {}),
            labels=dict(labels or {}),
            cache_from=list(cache_from),
            named_contexts=dict(named_contexts or {}),
            network=network,
            agents=dict(agents or {}),
            allow=frozenset(allow),
            epoch=epoch,
            pull=pull,
            registry=registry,
            compression=compression,
            runtime=runtime,
            progress=progress,
            debug=debug,
        )
        return solve(self, request)

    def check_build(
        self,
        context: str | os.PathLike[str] | BinaryIO | None,
        *,
        dockerfile: str | os.PathLike[str] | bytes | None = None,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
        platform: Platform | str | None = None,
        named_contexts: Mapping[str, str | os.PathLike[str]] | None = None,
        pull: Pull = "missing",
        registry: Options | None = None,
    ) -> tuple[BuildWarning, ...]:
        """Run the build checks alone, and build nothing; of base images no layers are fetched.

        Parameters and errors are those of :meth:`build`. ``# check=error=true`` makes no difference.

        :returns: what was found, in the Dockerfile's order.
        """
        from ._request import look_at
        from ._solve import check

        return check(
            self,
            look_at(context, dockerfile, target, build_args, platform, named_contexts, pull, registry),
        )

    def outline_build(
        self,
        context: str | os.PathLike[str] | BinaryIO | None,
        *,
        dockerfile: str | os.PathLike[str] | bytes | None = None,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
        platform: Platform | str | None = None,
        named_contexts: Mapping[str, str | os.PathLike[str]] | None = None,
        pull: Pull = "missing",
        registry: Options | None = None,
    ) -> Outline:
        """Return what a target takes: build arguments, secrets, SSH agents. Parameters as for :meth:`check_build`."""
        from ._request import look_at
        from ._solve import outline

        return outline(
            self,
            look_at(context, dockerfile, target, build_args, platform, named_contexts, pull, registry),
        )

    def build_targets(
        self,
        context: str | os.PathLike[str] | BinaryIO | None,
        *,
        dockerfile: str | os.PathLike[str] | bytes | None = None,
    ) -> list[Target]:
        """Return the stages of a Dockerfile, each of which can be the target of a build.

        :raises DockerfileError: the Dockerfile is wrong.
        :raises BuildError: there is none.
        """
        from ._request import look_at
        from ._solve import targets

        return targets(self, look_at(context, dockerfile))

    # -- the cache -----------------------------------------------------------------------------------------------------

    @property
    def build_cache(self) -> BuildCache:
        """The steps that are remembered."""
        from ._cache import BuildCache

        if self._cache is None:
            # Not durable: what a power cut takes of it is only done again.
            self._cache = BuildCache(self._metadata.read, self._metadata.write)
        return self._cache

    @property
    def build_downloads(self) -> DownloadRecords:
        """What ADD has fetched by HTTP."""
        from .remote import DownloadRecords

        return DownloadRecords(self._metadata.read, self._metadata.write)

    @property
    def build_locks(self) -> KeyLocks:
        """Who does which step."""
        from ._locks import KeyLocks

        if self._build_locks is None:
            self._build_locks = KeyLocks(None if self.path is None else self.path / "build" / "locks")
        return self._build_locks

    def kept(self) -> tuple[Collection[str], Collection[str]]:
        """Return the layers and blobs of steps that are remembered."""
        records = [one for one in self.build_cache.records() if one.diff_id]
        layers, blobs = super().kept()
        fetched = (one.digest for one in self.build_downloads.records())
        return {*layers, *(one.chain for one in records)}, {*blobs, *(one.digest for one in records), *fetched}

    def prune(self, *, all_unnamed: bool = True, build_cache: bool = False) -> Collected:
        """Remove what nothing uses; see :meth:`ImageStore.prune`. Layers of remembered steps stay.

        :param build_cache: forget those steps, and remove what only they used, cache mounts and downloads included.
        """
        if build_cache:
            with self._lock.alone():
                self.build_cache.forget()
                self.build_downloads.forget()
                self._remove_cache_mounts()
        return super().prune(all_unnamed=all_unnamed)

    def _remove_cache_mounts(self) -> None:
        if self.path is None:
            return
        import shutil

        from ._mounts import remove_cache_mounts

        remove_cache_mounts(self.path / "build" / "mounts")
        shutil.rmtree(self.path / "build" / "stats", ignore_errors=True)
