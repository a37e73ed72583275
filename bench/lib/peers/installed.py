"""Where bench/setup-peers puts what apt does not have."""
import os
import pathlib

FOLDER = pathlib.Path(os.environ.get("ROTA_PEERS") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "rota/peers")


def find(name):
    """(folder, version) of an installed peer; (None, None) when it is not there."""
    for place in sorted(FOLDER.glob(f"{name}-*"), reverse=True):
        if (place / "installed").exists():
            return place, place.name.removeprefix(f"{name}-")
    return None, None


class Installed:
    """Mixed into the engines that come from there."""

    @classmethod
    def missing(cls):
        return None if find(cls.name)[0] else f"bench/setup-peers {cls.name}"

    @classmethod
    def version(cls):
        return find(cls.name)[1]
