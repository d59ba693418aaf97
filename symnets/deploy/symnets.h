/* A potential in a shared library written by `symnets export`.
 *
 * Lengths are in angstrom, energies in eV, forces in eV/angstrom. Link with the library, or load it with
 * dlopen and dlsym; several libraries in one process must be loaded in this way, as their functions have
 * equal names.
 */
#ifndef SYMNETS_H
#define SYMNETS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this interface; a library of another version than symnets_abi_version() must not be used. */
#define SYMNETS_ABI_VERSION 1

/* Error codes; symnets_error gives a sentence for each. */
enum {
  SYMNETS_OK = 0,
  SYMNETS_SAME_PLACE = 1,          /* two atoms are at the same place */
  SYMNETS_BAD_VECTOR = 2,          /* an edge vector is not finite, or longer than the cutoff */
  SYMNETS_UNKNOWN_ELEMENT = 3,     /* the model has no parameters for an element */
  SYMNETS_BAD_EDGES = 4,           /* an index is out of range, or receivers are not sorted */
  SYMNETS_NO_MEMORY = 5,
  SYMNETS_ALTERED_LIBRARY = 6,     /* the file has changed since it was written */
  SYMNETS_OLD_PROCESSOR = 7,       /* the library was compiled for processors with more instructions */
  SYMNETS_BAD_ARGUMENT = 8         /* a null pointer or a negative number */
};

int64_t symnets_abi_version(void);
const char *symnets_model_hash(void);    /* SHA-256 of weights and operations, in hexadecimal */
const char *symnets_description(void);   /* JSON: model, dtype, species, cutoff, units, versions, ... */
double symnets_cutoff(void);
int64_t symnets_n_species(void);
const int64_t *symnets_species(void);    /* atomic numbers, increasing */
int64_t symnets_real_bytes(void);        /* bytes of a number in exchanged rows: 4 or 8 */
int64_t symnets_exchange_columns(void);  /* largest `columns` of an exchange; 0 without */

/* Memory for intermediate results, kept from call to call. Calls from several threads need one each. */
typedef struct symnets_model symnets_model;

/* New memory; NULL if it cannot be had, and then an error code in *error (which may be NULL). */
symnets_model *symnets_new(int64_t *error);
void symnets_free(symnets_model *model);

/* Number of threads that a call may use, 1 at first; small systems use one all the same. Returns 0 or an
 * error code. */
int64_t symnets_set_threads(symnets_model *model, int64_t threads);

/* Called with a matrix of n_total rows of `columns` numbers, of own atoms and then of ghosts. `forward` must
 * copy the rows of own atoms to those of their ghosts; `reverse` must add the rows of ghosts to those of
 * their owners. Both are called equally often, in the same order and with equal `columns`, whatever the
 * atoms. */
typedef void (*symnets_exchange)(void *context, void *rows, int64_t columns);

/* Energies, forces and virials. Returns 0 or an error code, and then the results are undefined.
 *
 * Atoms 0 to n_own - 1 are the caller's own. Atoms n_own to n_total - 1 are ghosts: copies of own atoms, of
 * this process or others, whose energies are computed by their owners. Without ghosts n_own = n_total, and
 * the sender of an edge may stand for one of its periodic images. The edges must be all pairs within the
 * cutoff, in both directions, whose receiver is an own atom; edge k goes from atom sender[k] to atom
 * receiver[k], and receiver[0] <= receiver[1] <= ...
 *
 * vectors   n_edges x 3, position of the sender (or its image) minus that of the receiver
 * energies  n_own, energy of each own atom
 * forces    n_total x 3; those on ghosts must be added to their owners'
 * virials   n_total x 9, share of each atom in the derivative of the energy by strain, dE/dstrain[a][b], not
 *           symmetrised; that of ghosts belongs to their owners; may be NULL
 * forward, reverse, context  see symnets_exchange; functions are NULL if there are no ghosts
 */
int64_t symnets_compute(symnets_model *model, int64_t n_own, int64_t n_total, const int64_t *atomic_numbers,
                        int64_t n_edges, const int64_t *sender, const int64_t *receiver,
                        const double *vectors, double *energies, double *forces, double *virials,
                        symnets_exchange forward, symnets_exchange reverse, void *context);

/* What an error code means, in one sentence. */
const char *symnets_error(int64_t code);

#ifdef __cplusplus
}
#endif
#endif
