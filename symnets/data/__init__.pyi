from ._archive import read_archive as read_archive
from ._archive import read_header as read_header
from ._archive import read_kind as read_kind
from ._archive import write_archive as write_archive
from ._binary_task import POINT_TASKS as POINT_TASKS
from ._binary_task import BinaryTask as BinaryTask
from ._binary_task import binary_task as binary_task
from ._binary_task import random_task as random_task
from ._decision_rule import DecisionRule as DecisionRule
from ._decision_rule import RuleName as RuleName
from ._decision_rule import decision_rule as decision_rule
from ._duplicates import duplicates as duplicates
from ._frame_labels import LabelKeys as LabelKeys
from ._frame_labels import count_labels as count_labels
from ._frame_labels import counts_in_words as counts_in_words
from ._frame_labels import is_isolated_atom as is_isolated_atom
from ._frame_labels import keys_in_words as keys_in_words
from ._frame_labels import keys_present as keys_present
from ._frames import Frames as Frames
from ._gaussian_field import Covariance as Covariance
from ._gaussian_field import covariance_matrix as covariance_matrix
from ._gaussian_field import gaussian_field as gaussian_field
from ._generate import generate as generate
from ._generate import sample_trajectory as sample_trajectory
from ._graph import AtomGraph as AtomGraph
from ._graph import build_graphs as build_graphs
from ._graph import from_ase as from_ase
from ._graph import has_stress as has_stress
from ._graph import mark_missing as mark_missing
from ._graph import to_ase as to_ase
from ._graph_summary import GraphSummary as GraphSummary
from ._graphs_on_demand import GraphsOnDemand as GraphsOnDemand
from ._image_files import check_image_shape as check_image_shape
from ._image_files import image_files as image_files
from ._image_files import read_image_array as read_image_array
from ._image_files import read_image_files as read_image_files
from ._image_formats import read_cifar as read_cifar
from ._image_formats import read_cifar_archive as read_cifar_archive
from ._image_formats import read_idx as read_idx
from ._images import IMAGE_DATASETS as IMAGE_DATASETS
from ._images import Images as Images
from ._images import load_images as load_images
from ._inspect import DatasetSummary as DatasetSummary
from ._inspect import summarize as summarize
from ._labels import balanced_subset as balanced_subset
from ._labels import check_binary_labels as check_binary_labels
from ._labels import class_pair as class_pair
from ._labels import group_labels as group_labels
from ._labels import largest_balanced_subset as largest_balanced_subset
from ._labels import parity_labels as parity_labels
from ._loader import TENSOR as TENSOR
from ._loader import Batch as Batch
from ._loader import Labels as Labels
from ._loader import Loader as Loader
from ._loader import collate as collate
from ._loader import labels as labels
from ._loader import split as split
from ._neighbors import MIN_SEPARATION as MIN_SEPARATION
from ._neighbors import Neighbors as Neighbors
from ._neighbors import centered as centered
from ._neighbors import near_origin as near_origin
from ._neighbors import neighbors as neighbors
from ._pca import PrincipalComponents as PrincipalComponents
from ._pca import pca as pca
from ._point_cloud import point_cloud as point_cloud
from ._point_cloud import tetris as tetris
from ._points import gaussian_cloud as gaussian_cloud
from ._points import random_labels as random_labels
from ._points import sphere_points as sphere_points
from ._points import to_sphere as to_sphere
from ._points import uniform_cloud as uniform_cloud
from ._published_images import IMAGE_CLASSES as IMAGE_CLASSES
from ._random_hierarchy import HierarchySample as HierarchySample
from ._random_hierarchy import RandomHierarchy as RandomHierarchy
from ._read import find_data as find_data
from ._read import find_data_files as find_data_files
from ._read import find_structure as find_structure
from ._read import read_files as read_files
from ._read import read_structures as read_structures
from ._solids import SOLIDS as SOLIDS
from ._solids import Solids as Solids
from ._solids import solids as solids
from ._sparse_hierarchy import SparseHierarchy as SparseHierarchy
from ._sphere import Latitudes as Latitudes
from ._sphere import latitudes as latitudes
from ._sphere import on_sphere as on_sphere
from ._sphere import sphere_grid as sphere_grid
from ._statistics import Statistics as Statistics
from ._statistics import isolated_atoms as isolated_atoms
from ._statistics import statistics as statistics
from ._statistics import statistics_of_summaries as statistics_of_summaries
from ._statistics import suspicious_labels as suspicious_labels
from ._structure_file import StructureFile as StructureFile
from ._structure_file import write_structures as write_structures
from ._tensor_labels import TensorColumn as TensorColumn
from ._tensor_labels import add_tensor_labels as add_tensor_labels
from ._tensor_labels import has_tensor as has_tensor
from ._tensor_pairs import TensorPairs as TensorPairs
from ._tensor_pairs import Transform as Transform
from ._workers import Workers as Workers

__all__ = [
    "IMAGE_CLASSES",
    "IMAGE_DATASETS",
    "MIN_SEPARATION",
    "POINT_TASKS",
    "SOLIDS",
    "TENSOR",
    "AtomGraph",
    "Batch",
    "BinaryTask",
    "Covariance",
    "DatasetSummary",
    "DecisionRule",
    "Frames",
    "GraphSummary",
    "GraphsOnDemand",
    "HierarchySample",
    "Images",
    "LabelKeys",
    "Labels",
    "Latitudes",
    "Loader",
    "Neighbors",
    "PrincipalComponents",
    "RandomHierarchy",
    "RuleName",
    "Solids",
    "SparseHierarchy",
    "Statistics",
    "StructureFile",
    "TensorColumn",
    "TensorPairs",
    "Transform",
    "Workers",
    "add_tensor_labels",
    "balanced_subset",
    "binary_task",
    "build_graphs",
    "centered",
    "check_binary_labels",
    "check_image_shape",
    "class_pair",
    "collate",
    "count_labels",
    "counts_in_words",
    "covariance_matrix",
    "decision_rule",
    "duplicates",
    "find_data",
    "find_data_files",
    "find_structure",
    "from_ase",
    "gaussian_cloud",
    "gaussian_field",
    "generate",
    "group_labels",
    "has_stress",
    "has_tensor",
    "image_files",
    "is_isolated_atom",
    "isolated_atoms",
    "keys_in_words",
    "keys_present",
    "labels",
    "largest_balanced_subset",
    "latitudes",
    "load_images",
    "mark_missing",
    "near_origin",
    "neighbors",
    "on_sphere",
    "parity_labels",
    "pca",
    "point_cloud",
    "random_labels",
    "random_task",
    "read_archive",
    "read_cifar",
    "read_cifar_archive",
    "read_files",
    "read_header",
    "read_idx",
    "read_image_array",
    "read_image_files",
    "read_kind",
    "read_structures",
    "sample_trajectory",
    "solids",
    "sphere_grid",
    "sphere_points",
    "split",
    "statistics",
    "statistics_of_summaries",
    "summarize",
    "suspicious_labels",
    "tetris",
    "to_ase",
    "to_sphere",
    "uniform_cloud",
    "write_archive",
    "write_structures",
]
