"""CIFAR-10 in 15 MB for a machine without network: JPEG images without their common header.

    python benchmarks/gpu/pack_images.py [--source cifar10_jpeg.npz] [--n-train 50000] [--n-test 3000]

The source, `cifar10_jpeg.npz` of the folder SYMNETS_DATA/cifar10, holds a JPEG file for each image. All have
the same 623 bytes of tables before 300 bytes of pixels. The packed file, `benchmarks/gpu/carry/cifar10.npz`,
holds these tables once. Nothing is compressed anew: `read_packed` returns the pixels of the JPEG files.
"""

import argparse
import io
import os
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from symnets.data import IMAGE_CLASSES, Images, balanced_subset

PACKED = Path(__file__).with_name("carry") / "cifar10.npz"
END = b"\xff\xd9"
"""Last bytes of a JPEG file."""


def scan_start(jpeg: bytes) -> int:
    """Position of the pixels in a JPEG file: after its first start-of-scan segment."""
    segment = jpeg.index(b"\xff\xda") + 2
    return segment + int.from_bytes(jpeg[segment : segment + 2], "big")


def pack(jpegs: Sequence[bytes], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of one part: the common header, all scans one after the other, their lengths, and labels.

    Raises:
        ValueError: headers differ, or a file does not end as JPEG files do.
    """
    start = scan_start(jpegs[0])
    header = jpegs[0][:start]
    wrong = [k for k, jpeg in enumerate(jpegs) if not (jpeg.startswith(header) and jpeg.endswith(END))]
    if wrong:
        raise ValueError(
            f"jpegs: expected files with one common header, but image {wrong[0]} differs from image 0; "
            "carry the JPEG files themselves"
        )
    scans = [jpeg[start : -len(END)] for jpeg in jpegs]
    return {
        "header": np.frombuffer(header, np.uint8),
        "scans": np.frombuffer(b"".join(scans), np.uint8),
        "lengths": np.array([len(scan) for scan in scans], np.uint16),
        "labels": labels.astype(np.uint8),
    }


def unpack(part: dict[str, np.ndarray], n: int | None = None) -> list[bytes]:
    """The first n JPEG files of a part packed by `pack`; all by default."""
    header, scans = part["header"].tobytes(), part["scans"].tobytes()
    ends = np.cumsum(part["lengths"][:n], dtype=np.int64).tolist()
    return [header + scans[a:b] + END for a, b in zip([0, *ends], ends, strict=False)]


def read_packed(path: Path, split: str, n: int | None = None) -> Images:
    """The first n images of the "train" or "test" part of a packed file; classes alternate."""
    with np.load(path, allow_pickle=False) as file:
        names = ("header", "scans", "lengths", "labels")
        packed = {name: file[f"{split}_{name}"] for name in names}
    jpegs = unpack(packed, n)
    parts = [jpegs[k : k + 500] for k in range(0, len(jpegs), 500)]
    if len(parts) < 10:
        pixels = np.concatenate([_decode(part) for part in parts])
    else:  # 50,000 images take 10 s in one process
        with get_context("fork").Pool(min(len(parts), os.cpu_count() or 1)) as pool:
            pixels = np.concatenate(pool.map(_decode, parts))
    labels = torch.from_numpy(packed["labels"][:n].astype(np.int64))
    return Images(
        torch.from_numpy(pixels).movedim(-1, 1).contiguous(), labels, IMAGE_CLASSES["cifar10"], "cifar10"
    )


def _decode(jpegs: Sequence[bytes]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])


def main() -> None:
    """Pack equally many images of each class, as given by the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = Path(os.environ.get("SYMNETS_DATA", ".")) / "cifar10" / "cifar10_jpeg.npz"
    parser.add_argument("--source", type=Path, default=source, help=f"by default {source}")
    parser.add_argument("--n-train", type=int, default=50_000, help="training images")
    parser.add_argument("--n-test", type=int, default=3000, help="test images")
    options = parser.parse_args()
    packed: dict[str, np.ndarray] = {}
    with np.load(options.source, allow_pickle=False) as file:
        for split, n in (("train", options.n_train), ("test", options.n_test)):
            blob, offsets = file[f"{split}_bytes"].tobytes(), file[f"{split}_offsets"]
            labels = file[f"{split}_labels"]
            rows = balanced_subset(torch.from_numpy(labels), n, 0).numpy()
            part = pack([blob[offsets[i] : offsets[i + 1]] for i in rows], labels[rows])
            packed |= {f"{split}_{name}": value for name, value in part.items()}
    PACKED.parent.mkdir(exist_ok=True)
    temporary = PACKED.with_suffix(".tmp.npz")
    np.savez(temporary, **packed)
    temporary.replace(PACKED)
    size = PACKED.stat().st_size / 1e6
    print(f"{PACKED}: {options.n_train:,} training and {options.n_test:,} test images, {size:.1f} MB")


if __name__ == "__main__":
    main()
