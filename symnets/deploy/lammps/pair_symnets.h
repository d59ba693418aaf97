// SPDX-License-Identifier: MIT
// LAMMPS pair style `symnets`: a potential in a shared library written by `symnets export`.

#ifdef PAIR_CLASS
// clang-format off
PairStyle(symnets,PairSymnets);
// clang-format on
#else

#ifndef LMP_PAIR_SYMNETS_H
#define LMP_PAIR_SYMNETS_H

#include "pair.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairSymnets : public Pair {
 public:
  explicit PairSymnets(class LAMMPS *);
  ~PairSymnets() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;
  double memory_usage() override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

 private:
  struct Library;
  std::unique_ptr<Library> library;
  double cutoff = 0.0;
  std::vector<int64_t> atomic_number;    // by LAMMPS type from 1; 0 where another pair style has the type

  std::vector<int> receivers;    // own atoms in the neighbor list, increasing
  std::vector<int64_t> atomic_numbers, sender, receiver;
  std::vector<double> vectors, energies, forces, virials;

  char *rows = nullptr;     // matrix that is being exchanged
  size_t row_bytes = 0;     // bytes of a row
  int row_doubles = 0;      // numbers that LAMMPS sends for a row

  int64_t find_edges();
  void exchange(void *, int64_t, bool);
};

}    // namespace LAMMPS_NS

#endif
#endif
