"""Published files: their download into the user's cache, with a checksum, or from the folder SYMNETS_DATA."""

import os
from pathlib import Path
from typing import NamedTuple

import pooch

__all__ = ["Published", "cache", "download", "local_folder"]


class Published(NamedTuple):
    """URL of a file, with the sha256 of its content."""

    url: str
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


def cache() -> Path:
    """Folder for downloads and machine code: `symnets` in the system's cache folder.

    On Linux that is XDG_CACHE_HOME or `~/.cache`."""
    return Path(pooch.os_cache("symnets"))


def download(published: Published, folder: Path) -> Path:
    """Path of a file in `folder`, downloaded if it is missing or its sha256 differs.

    A download with another sha256 is deleted.

    Args:
        published: URL and sha256.
        folder: where to keep it, such as `cache() / "mnist"`.

    Raises:
        ValueError: the download has the wrong sha256.
        OSError: the download failed, or cannot be written.
    """
    by_hand = f"or put the file as {published.file} into the folder {folder.name} of the folder SYMNETS_DATA"
    try:
        path = pooch.retrieve(
            published.url, known_hash=f"sha256:{published.sha256}", fname=published.file, path=folder
        )
    except OSError as error:  # `requests` raises it too
        raise OSError(
            f"{published.url}: download to {folder} failed: {error}. Try again, {by_hand}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{published.file} from {published.url} has the wrong checksum and was not kept. {error} "
            f"Try again later, {by_hand}"
        ) from error
    return Path(path)


def local_folder(name: str) -> Path | None:
    """Folder of a data set in SYMNETS_DATA; None if there is none."""
    root = os.environ.get("SYMNETS_DATA")
    folder = Path(root) / name if root else None
    return folder if folder is not None and folder.is_dir() else None
