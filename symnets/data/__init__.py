"""What goes in: graphs of atoms, images and points, readers, splits, statistics."""

from symnets.data.binary_task import BinaryTask, binary_task, random_task
from symnets.data.find import find_data, find_structure
from symnets.data.generate import generate, sample
from symnets.data.graph import AtomGraph, Labels, labels
from symnets.data.images import Images, load_images
from symnets.data.loader import Batch, Loader, collate
from symnets.data.neighbors import Neighbors, neighbors
from symnets.data.pca import PrincipalComponents, pca
from symnets.data.points import gaussian_cloud, random_labels, sphere_points, uniform_cloud
from symnets.data.read import read_structures
from symnets.data.sphere import to_sphere
from symnets.data.split import split
from symnets.data.statistics import Statistics, isolated_atoms, statistics
from symnets.data.structures import build_graphs, from_ase, to_ase
from symnets.data.subset import subset
from symnets.data.tasks import check_signs, groups, pair, parity
from symnets.data.tensor_pairs import TensorPairs
from symnets.data.whole_file import whole_file
from symnets.data.write import write_structures

__all__ = [
    "AtomGraph",
    "Batch",
    "BinaryTask",
    "Images",
    "Labels",
    "Loader",
    "Neighbors",
    "PrincipalComponents",
    "Statistics",
    "TensorPairs",
    "binary_task",
    "build_graphs",
    "check_signs",
    "collate",
    "find_data",
    "find_structure",
    "from_ase",
    "gaussian_cloud",
    "generate",
    "groups",
    "isolated_atoms",
    "labels",
    "load_images",
    "neighbors",
    "pair",
    "parity",
    "pca",
    "random_labels",
    "random_task",
    "read_structures",
    "sample",
    "sphere_points",
    "split",
    "statistics",
    "subset",
    "to_ase",
    "to_sphere",
    "uniform_cloud",
    "whole_file",
    "write_structures",
]
