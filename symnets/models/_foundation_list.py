"""Published foundation models by name: training set, licence and citation, and where their files are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from symnets.downloads import Published, cache, local_folder

Obtained = Literal["downloaded", "inside the sevenn wheel", "converted once from a file of mace-torch"]
"""How the weights come to the user's machine."""

MATERIALS = (*range(1, 84), *range(89, 95))
"""Atomic numbers of the 89 elements of the Materials Project: H to Bi and Ac to Pu."""


@dataclass(frozen=True)
class FoundationModel:
    """A published model that `foundation_model` loads by its name."""

    name: str
    family: str
    """Architecture in lower case, also the folder of the file: nequix, sevennet or mace."""
    species: tuple[int, ...]
    """Atomic numbers of its elements."""
    training_set: str
    theory: str
    """Level of theory of the training set."""
    license: str
    """Licence of the weights."""
    citation: str
    n_weights: int
    megabytes: float
    """Size of the file that is read, in MB."""
    obtained: Obtained
    published: Published | None = None
    """The file and its sha256, for models that are downloaded."""
    source: str = ""
    """For converted models: what the converter reads, a name or the published file's address."""
    modality: str | None = None
    """For converted models of several fidelities: the chosen one."""

    @property
    def file(self) -> str:
        """Name of the file that symnets reads: the published one, or a symnets model file."""
        return self.published.file if self.published else f"{self.name}.safetensors"

    def origin(self) -> dict[str, str]:
        """Provenance, which is stored in model files made from this model."""
        names = ("name", "training_set", "theory", "license", "citation")
        return {name: getattr(self, name) for name in names}

    def places(self) -> tuple[Path, ...]:
        """Paths where the file may be, in this order: in the folder SYMNETS_DATA, in the user's cache."""
        folder = local_folder(self.family)
        return (*([folder / self.file] if folder else []), cache() / self.family / self.file)

    @property
    def cached(self) -> Path | None:
        """Path of the file on this machine; None before it is downloaded or converted."""
        return next((path for path in self.places() if path.is_file()), None)


_NEQUIX = "https://github.com/atomicarchitects/nequix/raw"
_FIRST, _SECOND = "7c2854de8e754b1a60274c7d9d2e014989ed632e", "9c852a9c4cce69ae5e75bc5a2cf670be21ff8c28"
"""Commits of the repository of Nequix that contain the model files."""
_KOKER_2025, _KOKER_2026 = "Koker et al. 2025, arXiv:2508.16067", "Koker et al. 2026, arXiv:2601.07742"


def _nequix(
    name: str, commit: str, sha256: str, training_set: str, theory: str, citation: str, megabytes: float
) -> FoundationModel:
    """Entry for a model of Nequix; all five have the same elements, licence and number of weights."""
    return FoundationModel(
        name=name,
        family="nequix",
        species=MATERIALS,
        training_set=training_set,
        theory=theory,
        license="MIT",
        citation=citation,
        n_weights=707_658,
        megabytes=megabytes,
        obtained="downloaded",
        published=Published(f"{_NEQUIX}/{commit}/models/{name}.nqx", sha256),
    )


_MACE_MP, _MACE_OFF = (
    "https://github.com/ACEsuit/mace-mp/releases/download",
    "https://raw.githubusercontent.com/ACEsuit/mace-off/main/mace_off23",
)
_MPA, _OMAT = "MPtrj and sAlex", "OMat24"
_BATATIA, _KOVACS = "Batatia et al. 2024, arXiv:2401.00096", "Kovács et al. 2023, arXiv:2312.15211"
_ORGANIC = (1, 6, 7, 8, 9, 15, 16, 17, 35, 53)
"""Atomic numbers of H, C, N, O, F, P, S, Cl, Br and I."""


def _mace(name: str, source: str, n_weights: int, training_set: str = "MPtrj") -> FoundationModel:
    """Entry for a model of MACE; its number of weights is that of the converted model."""
    organic, mit = training_set.startswith("SPICE"), training_set in ("MPtrj", _MPA)
    theory = "ωB97M-D3(BJ)/def2-TZVPPD" if organic else "PBE+U"
    return FoundationModel(
        name=name,
        family="mace",
        species=_ORGANIC if organic else MATERIALS,
        training_set=training_set,
        theory="PBE+U, VASP 54" if training_set == _OMAT else theory,
        license="MIT" if mit else "ASL (academic use)",
        citation=_KOVACS if organic else _BATATIA,
        n_weights=n_weights,
        megabytes=round(4e-6 * n_weights, 1),
        obtained="converted once from a file of mace-torch",
        source=source,
    )


_MACE = (
    _mace(
        "mace-mp-0-small", f"{_MACE_MP}/mace_mp_0/2023-12-10-mace-128-L0_energy_epoch-249.model", 3_506_035
    ),
    _mace("mace-mp-0-medium", f"{_MACE_MP}/mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model", 3_868_531),
    _mace("mace-mp-0-large", f"{_MACE_MP}/mace_mp_0/MACE_MPtrj_2022.9.model", 4_301_171),
    _mace("mace-mpa-0-medium", f"{_MACE_MP}/mace_mpa_0/mace-mpa-0-medium.model", 8_177_546, _MPA),
    _mace("mace-omat-0-small", f"{_MACE_MP}/mace_omat_0/mace-omat-0-small.model", 7_815_050, _OMAT),
    _mace("mace-omat-0-medium", f"{_MACE_MP}/mace_omat_0/mace-omat-0-medium.model", 8_177_546, _OMAT),
    _mace("mace-off23-small", f"{_MACE_OFF}/MACE-OFF23_small.model", 389_058, "SPICE 1 and QMugs"),
    _mace("mace-off23-medium", f"{_MACE_OFF}/MACE-OFF23_medium.model", 844_706, "SPICE 1 and QMugs"),
    _mace("mace-off23-large", f"{_MACE_OFF}/MACE-OFF23_large.model", 2_206_050, "SPICE 1 and QMugs"),
)

_PARK, _KIM = "Park et al. 2024, J. Chem. Theory Comput. 20, 4857", "Kim et al. 2024, arXiv:2409.07947"
_TWO_LEVELS = "relaxations of the Materials Project, PBE+U and r²SCAN"


def _sevennet(
    name: str,
    source: str,
    n_weights: int,
    training_set: str = "MPtrj",
    theory: str = "PBE+U",
    citation: str = _PARK,
    modality: str | None = None,
) -> FoundationModel:
    """Entry for a model inside the package sevenn, with the licence of this package from release 0.13 on."""
    return FoundationModel(
        name=name,
        family="sevennet",
        species=MATERIALS,
        training_set=training_set,
        theory=theory,
        license="MIT",
        citation=citation,
        n_weights=n_weights,
        megabytes=round(4e-6 * n_weights, 1),
        obtained="inside the sevenn wheel",
        source=source,
        modality=modality,
    )


_SEVENNET = (
    _sevennet("7net-0", "7net-0", 842_529),
    _sevennet("7net-0_22may2024", "7net-0_22may2024", 842_529, "MPF.2021.2.8 (M3GNet)"),
    _sevennet("7net-l3i5", "7net-l3i5", 1_171_233),
    _sevennet("7net-mf-0-pbe", "7net-mf-0", 844_193, _TWO_LEVELS, citation=_KIM, modality="PBE"),
    _sevennet("7net-mf-0-r2scan", "7net-mf-0", 844_193, _TWO_LEVELS, "r²SCAN", _KIM, "R2SCAN"),
)

FOUNDATION_MODELS = {
    model.name: model
    for model in (
        _nequix(
            "nequix-mp-1",
            _FIRST,
            "1647af8e627e1afa11e2bfadeab0797326513a521afd7dd01606a96f56783eee",
            "MPtrj",
            "PBE+U",
            _KOKER_2025,
            2.84,
        ),
        _nequix(
            "nequix-mp-1-pft",
            _FIRST,
            "a88aeaed71fd447572dc57af21d469207d7737b85a6dbb66f8c38156f175c5f1",
            "MPtrj, then MDR phonons",
            "PBE+U",
            _KOKER_2026,
            2.84,
        ),
        _nequix(
            "nequix-omat-1",
            _SECOND,
            "2d0802ae7f5915cb488c44d25649d98404a103697e6500abb40f515e003a46a6",
            "OMat24",
            "PBE+U, VASP 54",
            _KOKER_2026,
            2.84,
        ),
        _nequix(
            "nequix-oam-1",
            _SECOND,
            "6a43475eaeb32a7a049f36c1306d78aa1e7a17e8af37aeda7901c8fec0ca845c",
            "OMat24, then sAlex and MPtrj",
            "PBE+U",
            _KOKER_2026,
            2.87,
        ),
        _nequix(
            "nequix-oam-1-pft",
            _SECOND,
            "4ce693d68886512aab50c84ea2400efd68163e11155f7c7babe98e695177e809",
            "OMat24, sAlex, MPtrj, then MDR phonons",
            "PBE+U",
            _KOKER_2026,
            2.84,
        ),
        *_SEVENNET,
        *_MACE,
    )
}
"""Foundation models by name."""
