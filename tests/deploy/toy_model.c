/* A small message-passing potential with the C interface of an exported model.
 *
 * With d_ij = x_j - x_i, phi_ij = (1 - |d_ij|^2 / CUTOFF^2)^3 and c_i = 0.2 + Z_i / 50:
 *
 *     a_i = sum_j c_j phi_ij              v_i = sum_j c_j phi_ij d_ij
 *     b_i = sum_j phi_ij (a_j + a_j^2 / 10 + c_i v_j . d_ij)
 *     E_i = c_i a_i - 0.3 b_i + 0.05 sum_j phi_ij b_i b_j
 *
 * It exchanges two matrices, with five columns and with one. Macros: REAL, ABI, ALTERED.
 */
#include "symnets.h"

#include <stdlib.h>
#include <string.h>

#ifndef REAL
#define REAL double
#endif
#ifndef ABI
#define ABI SYMNETS_ABI_VERSION
#endif
#define CUTOFF 3.5

struct symnets_model { int64_t threads; };

int64_t symnets_abi_version(void) { return ABI; }
const char *symnets_model_hash(void) { return "0123456789abcdef"; }
const char *symnets_description(void) { return "{}"; }
double symnets_cutoff(void) { return CUTOFF; }
int64_t symnets_n_species(void) { return 2; }
const int64_t *symnets_species(void)
{
  static const int64_t species[] = {6, 29};
  return species;
}
int64_t symnets_real_bytes(void) { return sizeof(REAL); }
int64_t symnets_exchange_columns(void) { return 5; }

symnets_model *symnets_new(int64_t *error)
{
#ifdef ALTERED
  *error = SYMNETS_ALTERED_LIBRARY;
  return NULL;
#endif
  *error = 0;
  return malloc(sizeof(symnets_model));
}

void symnets_free(symnets_model *model) { free(model); }

int64_t symnets_set_threads(symnets_model *model, int64_t threads)
{
  model->threads = threads;
  return 0;
}

const char *symnets_error(int64_t code)
{
  return code == SYMNETS_SAME_PLACE ? "two atoms are at the same place"
      : code == SYMNETS_ALTERED_LIBRARY ? "the library was altered"
                                        : "another error";
}

static double coefficient(int64_t z) { return 0.2 + z / 50.0; }

/* phi of an edge, and its derivative by the squared length */
static double phi(const double *d, double *slope)
{
  const double s = 1.0 - (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]) / (CUTOFF * CUTOFF);
  *slope = -3.0 * s * s / (CUTOFF * CUTOFF);
  return s * s * s;
}

static double dot(const REAL *v, const double *d) { return v[0] * d[0] + v[1] * d[1] + v[2] * d[2]; }

int64_t symnets_compute(symnets_model *model, int64_t n_own, int64_t n_total, const int64_t *atomic_numbers,
                        int64_t n_edges, const int64_t *sender, const int64_t *receiver,
                        const double *vectors, double *energies, double *forces, double *virials,
                        symnets_exchange forward, symnets_exchange reverse, void *context)
{
  (void) model;
  int64_t error = 0;
  REAL *h = calloc(5 * n_total + 1, sizeof(REAL)), *gh = calloc(5 * n_total + 1, sizeof(REAL));
  REAL *b = calloc(n_total + 1, sizeof(REAL)), *gb = calloc(n_total + 1, sizeof(REAL));
  double *gphi = calloc(n_edges + 1, sizeof(double)), *gd = calloc(3 * n_edges + 1, sizeof(double));
  double slope;

  for (int64_t e = 0; e < n_edges; e++) {
    const double *d = vectors + 3 * e, p = phi(d, &slope), c = coefficient(atomic_numbers[sender[e]]);
    REAL *row = h + 5 * receiver[e];
    if (dot((REAL[]) {d[0], d[1], d[2]}, d) < 1e-10) error = SYMNETS_SAME_PLACE;
    if (e && receiver[e] < receiver[e - 1]) error = SYMNETS_BAD_EDGES;
    row[0] += c * p;
    for (int a = 0; a < 3; a++) row[1 + a] += c * p * d[a];
  }
  for (int64_t i = 0; i < n_own; i++) h[5 * i + 4] = h[5 * i] * h[5 * i];
  if (forward) forward(context, h, 5);
  for (int64_t e = 0; e < n_edges; e++) {
    const double *d = vectors + 3 * e, c = coefficient(atomic_numbers[receiver[e]]);
    const REAL *row = h + 5 * sender[e];
    b[receiver[e]] += phi(d, &slope) * (row[0] + 0.1 * row[4] + c * dot(row + 1, d));
  }
  if (forward) forward(context, b, 1);
  for (int64_t i = 0; i < n_own; i++) {
    energies[i] = coefficient(atomic_numbers[i]) * h[5 * i] - 0.3 * b[i];
    gb[i] = -0.3;
  }
  for (int64_t e = 0; e < n_edges; e++) {
    const double p = phi(vectors + 3 * e, &slope);
    const int64_t i = receiver[e], j = sender[e];
    energies[i] += 0.05 * p * b[i] * b[j];
    gb[i] += 0.05 * p * b[j];
    gb[j] += 0.05 * p * b[i];
    gphi[e] += 0.05 * b[i] * b[j];
  }

  if (reverse) reverse(context, gb, 1);
  for (int64_t e = 0; e < n_edges; e++) {
    const double *d = vectors + 3 * e, p = phi(d, &slope);
    const int64_t i = receiver[e], j = sender[e];
    const double c = coefficient(atomic_numbers[i]);
    const REAL *row = h + 5 * j;
    gphi[e] += gb[i] * (row[0] + 0.1 * row[4] + c * dot(row + 1, d));
    gh[5 * j] += gb[i] * p;
    gh[5 * j + 4] += 0.1 * gb[i] * p;
    for (int a = 0; a < 3; a++) {
      gh[5 * j + 1 + a] += gb[i] * p * c * d[a];
      gd[3 * e + a] += gb[i] * p * c * row[1 + a];
    }
  }
  if (reverse) reverse(context, gh, 5);
  memset(forces, 0, 3 * n_total * sizeof(double));
  if (virials) memset(virials, 0, 9 * n_total * sizeof(double));
  for (int64_t e = 0; e < n_edges; e++) {
    const double *d = vectors + 3 * e, p = phi(d, &slope);
    const int64_t i = receiver[e], j = sender[e];
    const double c = coefficient(atomic_numbers[j]);
    const double ga = coefficient(atomic_numbers[i]) + gh[5 * i] + 2.0 * h[5 * i] * gh[5 * i + 4];
    gphi[e] += c * (ga + dot(gh + 5 * i + 1, d));
    for (int a = 0; a < 3; a++) {
      const double g = gd[3 * e + a] + c * p * gh[5 * i + 1 + a] + 2.0 * gphi[e] * slope * d[a];
      forces[3 * i + a] += g;
      forces[3 * j + a] -= g;
      for (int k = 0; virials && k < 3; k++) {
        virials[9 * i + 3 * a + k] += 0.5 * g * d[k];
        virials[9 * j + 3 * a + k] += 0.5 * g * d[k];
      }
    }
  }
  free(h), free(gh), free(b), free(gb), free(gphi), free(gd);
  return error;
}
