/* Energy and forces of a molecule by a library that `symnets export` has written.
 *
 *     symnets export MODEL -o libmodel.so
 *     cc energy.c -lm $(symnets export libmodel.so --flags) -o energy
 *     ./energy < molecule.txt
 *
 * The input has a line for each atom: its atomic number and its position in angstrom. The output has the
 * energy in eV, then a line for each atom with its force in eV/angstrom. The molecule is not periodic.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "symnets.h"

#define MOST_ATOMS 1000

static void check(int64_t error) {
  if (error) {
    fprintf(stderr, "error: %s\n", symnets_error(error));
    exit(1);
  }
}

int main(void) {
  static int64_t numbers[MOST_ATOMS];
  static double positions[MOST_ATOMS][3], energies[MOST_ATOMS], forces[MOST_ATOMS][3];
  int64_t n = 0, n_edges = 0, number, error;
  double x, y, z;

  if (symnets_abi_version() != SYMNETS_ABI_VERSION) {
    fprintf(stderr, "error: the library has another version of the interface; export it again\n");
    return 1;
  }
  while (n < MOST_ATOMS && scanf("%" SCNd64 " %lf %lf %lf", &number, &x, &y, &z) == 4) {
    numbers[n] = number;
    positions[n][0] = x;
    positions[n][1] = y;
    positions[n++][2] = z;
  }
  if (n == MOST_ATOMS || !feof(stdin)) {
    fprintf(stderr, "error: expected lines of an atomic number and three coordinates, fewer than %d; line %d "
            "is not one\n", MOST_ATOMS, (int)n + 1);
    return 1;
  }

  /* All pairs within the cutoff, in both directions, sorted by receiver; large structures need cell lists. */
  int64_t *sender = malloc(n * n * sizeof *sender), *receiver = malloc(n * n * sizeof *receiver);
  double(*vectors)[3] = malloc(n * n * sizeof *vectors);
  const double cutoff = symnets_cutoff();
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) {
      double square = 0;
      for (int a = 0; a < 3; a++) {
        const double difference = positions[j][a] - positions[i][a];
        vectors[n_edges][a] = difference;
        square += difference * difference;
      }
      if (i == j || square >= cutoff * cutoff) continue;
      receiver[n_edges] = i;
      sender[n_edges++] = j;
    }

  symnets_model *model = symnets_new(&error);
  check(error);
  check(symnets_compute(model, n, n, numbers, n_edges, sender, receiver, vectors[0], energies, forces[0],
                        NULL, NULL, NULL, NULL));
  double energy = 0;
  for (int64_t i = 0; i < n; i++) energy += energies[i];
  printf("%.12f\n", energy);
  for (int64_t i = 0; i < n; i++) printf("%.12f %.12f %.12f\n", forces[i][0], forces[i][1], forces[i][2]);
  symnets_free(model);
  free(vectors);
  free(receiver);
  free(sender);
  return 0;
}
