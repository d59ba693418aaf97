from ._export import compiler_flags as compiler_flags
from ._export import export as export
from ._shared_model import SharedModel as SharedModel

__all__ = ["SharedModel", "compiler_flags", "export"]
