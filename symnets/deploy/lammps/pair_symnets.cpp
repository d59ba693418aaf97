// SPDX-License-Identifier: MIT
// Between its layers the model needs features of ghost atoms. It calls two functions for them, which use
// LAMMPS's forward and reverse communication. Results are therefore the same on any number of processes.

#include "pair_symnets.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "symnets.h"
#include "update.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

using namespace LAMMPS_NS;

static const std::vector<std::string> SYMBOLS = {
    "NULL", "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",
    "Cl",   "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se",   "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn",
    "Sb",   "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho",
    "Er",   "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po",
    "At",   "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md",
    "No",   "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"};

/* The functions of an exported model, and the memory for its intermediate results. */
struct PairSymnets::Library {
  void *handle = nullptr;
  symnets_model *model = nullptr;
  std::vector<int64_t> species;
  int64_t real_bytes = 0;
  decltype(&symnets_compute) compute = nullptr;
  decltype(&symnets_error) message = nullptr;
  decltype(&symnets_free) free_model = nullptr;

  ~Library()
  {
    if (model) free_model(model);
    if (handle) dlclose(handle);
  }

  template <typename T> bool find(T &function, const char *name)
  {
    function = reinterpret_cast<T>(dlsym(handle, name));
    return function != nullptr;
  }

  std::string elements() const
  {
    std::string names;
    for (int64_t z : species) names += (names.empty() ? "" : " ") + SYMBOLS[z];
    return names;
  }
};

PairSymnets::PairSymnets(LAMMPS *lmp) : Pair(lmp)
{
  one_coeff = 1;
  manybody_flag = 1;
  single_enable = 0;
  restartinfo = 0;
  no_virial_fdotr_compute = 1;    // the model returns the virial of each atom
  centroidstressflag = CENTROID_NOTAVAIL;
}

PairSymnets::~PairSymnets()
{
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
}

/* pair_style symnets LIBRARY [threads N] */
void PairSymnets::settings(int narg, char **arg)
{
  if (narg != 1 && narg != 3) error->all(FLERR, "Usage: pair_style symnets LIBRARY [threads N]");
  int64_t threads = 1;
  if (narg == 3) {
    if (strcmp(arg[1], "threads") != 0) error->all(FLERR, "Unknown pair_style symnets keyword: {}", arg[1]);
    threads = utils::inumeric(FLERR, arg[2], false, lmp);
    if (threads < 1) error->all(FLERR, "pair_style symnets threads must be at least 1, not {}", threads);
  }

  std::string path = arg[0];
  if (path.find('/') == std::string::npos) path = "./" + path;    // no search in folders of the system
  library.reset();
  library = std::make_unique<Library>();
  library->handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);    // local: all models have the same names
  if (!library->handle) error->one(FLERR, "pair_style symnets cannot load {}: {}", path, dlerror());

  decltype(&symnets_abi_version) abi_version;
  if (!library->find(abi_version, "symnets_abi_version"))
    error->all(FLERR, "{} is not a library written by symnets export", path);
  if (abi_version() != SYMNETS_ABI_VERSION)
    error->all(FLERR,
               "{} has version {} of the interface of symnets, but this pair style needs {}: export the model "
               "and build the pair style with the same symnets",
               path, abi_version(), SYMNETS_ABI_VERSION);

  decltype(&symnets_cutoff) get_cutoff;
  decltype(&symnets_n_species) n_species;
  decltype(&symnets_species) get_species;
  decltype(&symnets_real_bytes) real_bytes;
  decltype(&symnets_exchange_columns) exchange_columns;
  decltype(&symnets_model_hash) hash;
  decltype(&symnets_new) new_model;
  decltype(&symnets_set_threads) set_threads;
  if (!library->find(get_cutoff, "symnets_cutoff") || !library->find(n_species, "symnets_n_species") ||
      !library->find(get_species, "symnets_species") || !library->find(real_bytes, "symnets_real_bytes") ||
      !library->find(exchange_columns, "symnets_exchange_columns") ||
      !library->find(hash, "symnets_model_hash") || !library->find(new_model, "symnets_new") ||
      !library->find(set_threads, "symnets_set_threads") ||
      !library->find(library->compute, "symnets_compute") ||
      !library->find(library->message, "symnets_error") ||
      !library->find(library->free_model, "symnets_free"))
    error->all(FLERR, "{} is incomplete: {}", path, dlerror());

  int64_t code = 0;
  library->model = new_model(&code);
  if (!library->model) error->one(FLERR, "pair_style symnets {}: {}", path, library->message(code));
  code = set_threads(library->model, threads);
  if (code) error->one(FLERR, "pair_style symnets {}: {}", path, library->message(code));

  cutoff = get_cutoff();
  library->species.assign(get_species(), get_species() + n_species());
  library->real_bytes = real_bytes();
  comm_forward = comm_reverse = static_cast<int>((exchange_columns() * real_bytes() + 7) / 8);
  if (comm->me == 0)
    utils::logmesg(lmp, "symnets: {} with elements {}, cutoff {:.6g} Angstrom, {} bit, model {:.12}\n", path,
                   library->elements(), cutoff, 8 * library->real_bytes, hash());
}

/* pair_coeff * * ELEMENT ...: the element of each type; NULL for types of another style of a hybrid */
void PairSymnets::coeff(int narg, char **arg)
{
  const int n = atom->ntypes;
  if (!allocated) {
    memory->create(setflag, n + 1, n + 1, "pair:setflag");
    memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
    allocated = 1;
  }
  if (narg < 2 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0 || narg != n + 2)
    error->all(FLERR, "pair_coeff for symnets must be: * * and the element of each of the {} atom types", n);

  const auto &species = library->species;
  atomic_number.assign(n + 1, 0);
  for (int type = 1; type <= n; type++) {
    const std::string name = arg[type + 1];
    const int64_t z = std::find(SYMBOLS.begin(), SYMBOLS.end(), name) - SYMBOLS.begin();
    if (z > 0 && !std::binary_search(species.begin(), species.end(), z))
      error->all(FLERR, "pair_coeff: {} is not an element of the symnets model, which knows {}", name,
                 library->elements());
    atomic_number[type] = z;
  }
  for (int i = 1; i <= n; i++)
    for (int j = 1; j <= n; j++) setflag[i][j] = atomic_number[i] > 0 && atomic_number[j] > 0;
}

void PairSymnets::init_style()
{
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "Pair style symnets computes in eV and Angstrom: use units metal, not {}",
               update->unit_style);
  if (!force->newton_pair) error->all(FLERR, "Pair style symnets requires newton pair on");
  if (atom->molecular != Atom::ATOMIC && atom->nbonds > 0)
    for (int k = 1; k < 4; k++)
      if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
        error->all(FLERR, "Pair style symnets needs bonded neighbors: use special_bonds lj/coul 1 1 1");
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

double PairSymnets::init_one(int i, int j)
{
  if (!setflag[i][j]) error->all(FLERR, "pair_coeff: atom types {} and {} have no element of symnets", i, j);
  return cutoff;
}

/* Pairs within the cutoff, sorted by receiver; returns their number. */
int64_t PairSymnets::find_edges()
{
  receivers.assign(list->ilist, list->ilist + list->inum);
  std::sort(receivers.begin(), receivers.end());
  size_t candidates = 0;
  for (int i : receivers) candidates += list->numneigh[i];
  if (sender.size() <= candidates) {    // one more than needed: no pointer is null
    sender.resize(candidates + 1);
    receiver.resize(candidates + 1);
    vectors.resize(3 * (candidates + 1));
  }
  int64_t n = 0;
  double **x = atom->x;
  for (int i : receivers)
    for (int k = 0; k < list->numneigh[i]; k++) {
      const int j = list->firstneigh[i][k] & NEIGHMASK;
      const double dx = x[j][0] - x[i][0], dy = x[j][1] - x[i][1], dz = x[j][2] - x[i][2];
      if (dx * dx + dy * dy + dz * dz >= cutoff * cutoff) continue;
      sender[n] = j;
      receiver[n] = i;
      double *vector = &vectors[3 * n++];
      vector[0] = dx;
      vector[1] = dy;
      vector[2] = dz;
    }
  return n;
}

void PairSymnets::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const int n_own = atom->nlocal, n_total = n_own + atom->nghost;
  const int64_t n_edges = find_edges();
  atomic_numbers.resize(n_total + 1);
  for (int i = 0; i < n_total; i++) {    // an atom of another style has no edges, and its energy is not used
    const int64_t z = atomic_number[atom->type[i]];
    atomic_numbers[i] = z ? z : library->species[0];
  }
  energies.resize(n_own + 1);
  forces.resize(3 * (n_total + 1));
  if (vflag_either) virials.resize(9 * (n_total + 1));

  const int64_t code = library->compute(
      library->model, n_own, n_total, atomic_numbers.data(), n_edges, sender.data(), receiver.data(),
      vectors.data(), energies.data(), forces.data(), vflag_either ? virials.data() : nullptr,
      [](void *self, void *matrix, int64_t columns) {
        static_cast<PairSymnets *>(self)->exchange(matrix, columns, true);
      },
      [](void *self, void *matrix, int64_t columns) {
        static_cast<PairSymnets *>(self)->exchange(matrix, columns, false);
      },
      this);
  if (code) error->one(FLERR, "Pair style symnets at step {}: {}", update->ntimestep, library->message(code));

  for (int i = 0; i < n_total; i++)
    for (int a = 0; a < 3; a++) atom->f[i][a] += forces[3 * i + a];
  for (int i : receivers) {
    eng_vdwl += energies[i];
    if (eflag_atom) eatom[i] += energies[i];
  }
  if (!vflag_either) return;
  for (int i = 0; i < n_total; i++) {    // LAMMPS's virial is minus the derivative by strain
    const double *w = &virials[9 * i];
    const double v[6] = {w[0], w[4], w[8], (w[1] + w[3]) / 2, (w[2] + w[6]) / 2, (w[5] + w[7]) / 2};
    for (int a = 0; a < 6; a++) {
      if (vflag_global) virial[a] -= v[a];
      if (vflag_atom) vatom[i][a] -= v[a];
    }
  }
}

/* Exchange the rows of own atoms and ghosts. LAMMPS sends doubles, which hold the bytes of a row. */
void PairSymnets::exchange(void *matrix, int64_t columns, bool forward)
{
  rows = static_cast<char *>(matrix);
  row_bytes = columns * library->real_bytes;
  row_doubles = static_cast<int>((row_bytes + 7) / 8);
  const int largest = comm_forward;    // LAMMPS allocates its buffers for this size when a run begins
  comm_forward = comm_reverse = row_doubles;
  if (forward)
    comm->forward_comm(this);
  else
    comm->reverse_comm(this);
  comm_forward = comm_reverse = largest;
}

int PairSymnets::pack_forward_comm(int n, int *atoms, double *buffer, int, int *)
{
  for (int i = 0; i < n; i++) memcpy(buffer + i * row_doubles, rows + atoms[i] * row_bytes, row_bytes);
  return n * row_doubles;
}

void PairSymnets::unpack_forward_comm(int n, int first, double *buffer)
{
  for (int i = 0; i < n; i++) memcpy(rows + (first + i) * row_bytes, buffer + i * row_doubles, row_bytes);
}

int PairSymnets::pack_reverse_comm(int n, int first, double *buffer)
{
  for (int i = 0; i < n; i++) memcpy(buffer + i * row_doubles, rows + (first + i) * row_bytes, row_bytes);
  return n * row_doubles;
}

template <typename Real> static void add(char *row, const double *values, size_t bytes)
{
  Real *sum = reinterpret_cast<Real *>(row);
  const Real *terms = reinterpret_cast<const Real *>(values);
  for (size_t k = 0; k < bytes / sizeof(Real); k++) sum[k] += terms[k];
}

void PairSymnets::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  for (int i = 0; i < n; i++)
    (library->real_bytes == 4 ? add<float> : add<double>)(rows + atoms[i] * row_bytes,
                                                          buffer + i * row_doubles, row_bytes);
}

double PairSymnets::memory_usage()
{
  const size_t integers = atomic_numbers.capacity() + sender.capacity() + receiver.capacity();
  const size_t reals = vectors.capacity() + energies.capacity() + forces.capacity() + virials.capacity();
  return Pair::memory_usage() + 8.0 * (integers + reals) + 4.0 * receivers.capacity();
}
