"""`import symnets` shows its subpackages and imports none of them."""

import subprocess
import sys
from pathlib import Path

import symnets


def test_dir_lists_all_subpackages() -> None:
    folder = Path(symnets.__file__).parent
    assert dir(symnets) == sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    assert symnets.__all__ == dir(symnets)


def test_a_subpackage_is_imported_when_it_is_used() -> None:
    script = (
        "import sys, symnets; assert 'models' in dir(symnets); assert 'symnets.models' not in sys.modules;"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules;"
        "symnets.models; assert 'symnets.models' in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
