"""Unpack the files of pack.sh into a folder of packages and a folder of data; run by run.sh.

    python benchmarks/gpu/unpack.py benchmarks/gpu/carry FOLDER

FOLDER/site is for PYTHONPATH, FOLDER/data for SYMNETS_DATA. Nothing is fetched. Packages that this Python has
stay as they are. What is absent, or does not suit this machine, is left out and named. Standard library only.
"""

import gzip
import lzma
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def main(carry: Path, folder: Path) -> None:
    """Unpack wheels, kernels and images."""
    site = folder / "site"
    site.mkdir(parents=True)
    missing = [wheel for wheel in sorted(carry.glob("wheels/*.whl")) if not present(wheel.name.split("-")[0])]
    if not install(missing, site):
        for wheel in missing:  # one by one, so that an unsuitable wheel does not affect the others
            if not install([wheel], site):
                print(f"left out: {wheel.name}")
    kernels = carry / "kernels.tar.xz"
    if kernels.exists():
        with tarfile.open(kernels) as archive:
            archive.extractall(site, filter="data")
    else:
        print("not carried: the CUDA kernels of cuequivariance")
    images = sorted(carry.glob("fashion-mnist/*.xz"))
    (folder / "data" / "fashion-mnist").mkdir(parents=True)
    for packed in images:
        target = folder / "data" / "fashion-mnist" / f"{packed.stem}.gz"
        with lzma.open(packed) as source, gzip.open(target, "wb", compresslevel=1) as file:
            shutil.copyfileobj(source, file)
    names = ", ".join(wheel.name.split("-")[0] for wheel in missing) or "nothing"
    print(f"unpacked: {names}; {len(images)} files of Fashion-MNIST")


def present(name: str) -> bool:
    """Whether this Python has the package of a wheel."""
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def install(wheels: list[Path], site: Path) -> bool:
    """Whether pip could install the wheels into the folder."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--target", str(site)]
    return not wheels or subprocess.run([*command, *map(str, wheels)]).returncode == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
