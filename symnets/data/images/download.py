"""Published files, downloaded once into the user's cache."""

from pathlib import Path

import pooch

from symnets.data.images.published import Published


def cache() -> Path:
    """The folder for downloads: `~/.cache/symnets` on Linux, unless XDG_CACHE_HOME says otherwise."""
    return Path(pooch.os_cache("symnets"))


def download(published: Published, folder: Path) -> Path:
    """The file in `folder`, fetched if it is not there with the right content.

    The content is compared with the known sha256, of a file that was there before too; what differs is
    fetched anew. A download is kept only if it is what was published.

    Raises:
        ValueError: what came is not what was published.
        OSError: nothing came, or it cannot be written.
    """
    by_hand = f"or put the file as {published.file} into a folder of SYMNETS_DATA (docs: Images)"
    try:
        path = pooch.retrieve(
            published.url, known_hash=f"sha256:{published.sha256}", fname=published.file, path=folder
        )
    except OSError as error:  # what `requests` raises too
        raise OSError(f"{published.url}: no download to {folder}: {error}. Try again, {by_hand}") from error
    except ValueError as error:
        raise ValueError(
            f"{published.file} from {published.url} has the wrong checksum and was not kept. {error} "
            f"Try again later, {by_hand}"
        ) from error
    return Path(path)
