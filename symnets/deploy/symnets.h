/* C interface of the shared libraries that `symnets export` writes: energies, forces and virials.
 *
 * Call symnets_new once, symnets_compute for each structure, symnets_free at the end. Lengths are in
 * angstrom, energies in eV, forces in eV/angstrom. Atoms are counted from 0. Numbers are 64-bit integers and
 * doubles, whatever the precision inside the library.
 *
 * Link the program with one library (`symnets export LIBRARY --flags` prints the compiler flags), or load
 * libraries with dlopen and dlsym. Two libraries in one process must be loaded with dlopen, without
 * RTLD_GLOBAL, because their functions have the same names.
 */
#ifndef SYMNETS_H
#define SYMNETS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the interface that this header describes. Do not use a library whose symnets_abi_version()
 * returns another number; export it again. */
#define SYMNETS_ABI_VERSION 1

/* Error codes; symnets_error returns a sentence for each. */
enum {
  SYMNETS_OK = 0,
  SYMNETS_SAME_PLACE = 1,          /* two atoms are at the same place */
  SYMNETS_BAD_VECTOR = 2,          /* an edge vector is not finite, or longer than the cutoff */
  SYMNETS_UNKNOWN_ELEMENT = 3,     /* the model has no parameters for an element */
  SYMNETS_BAD_EDGES = 4,           /* an index is out of range, or receivers are not sorted */
  SYMNETS_NO_MEMORY = 5,           /* not enough memory */
  SYMNETS_ALTERED_LIBRARY = 6,     /* the file was changed or damaged after it was written */
  SYMNETS_OLD_PROCESSOR = 7,       /* the processor lacks instructions: export with another --cpu */
  SYMNETS_BAD_ARGUMENT = 8         /* a null pointer, a negative number, or too many threads */
};

int64_t symnets_abi_version(void);
const char *symnets_model_hash(void);    /* SHA-256 of weights and operations, in hexadecimal */
const char *symnets_description(void);   /* JSON: model, dtype, species, cutoff, units, versions, ... */
double symnets_cutoff(void);             /* in angstrom; pairs of atoms closer than this are edges */
int64_t symnets_n_species(void);         /* number of elements that the model knows */
const int64_t *symnets_species(void);    /* their atomic numbers, increasing */
int64_t symnets_real_bytes(void);        /* size of a number in exchanged rows: 4 for float, 8 for double */
int64_t symnets_exchange_columns(void);  /* largest `columns` of an exchange; 0 if there are no exchanges */

/* Memory for intermediate results, which is kept between calls. A program that calls symnets_compute from
 * several threads at once needs one for each thread. */
typedef struct symnets_model symnets_model;

/* Make a symnets_model. If there is an error, return NULL. The error code, 0 for none, is written to *error,
 * unless `error` is NULL. */
symnets_model *symnets_new(int64_t *error);

/* Free its memory; NULL is allowed. */
void symnets_free(symnets_model *model);

/* Set the number of threads that a call of symnets_compute may use, from 1 (the default) to 1024. A small
 * structure is computed by one thread. Returns 0 or an error code. */
int64_t symnets_set_threads(symnets_model *model, int64_t threads);

/* Function of the caller that exchanges features of atoms between own atoms and ghosts, see symnets_compute.
 *
 * `rows` is a matrix of n_total rows of `columns` floats or doubles, see symnets_real_bytes: first the rows
 * of own atoms, then those of ghosts. `forward` must copy the rows of own atoms to those of their ghosts, in
 * other processes too. `reverse` must add the rows of ghosts to those of their owners. All processes get the
 * same calls in the same order with the same `columns`, even those without atoms. The functions are called
 * by the thread that called symnets_compute. */
typedef void (*symnets_exchange)(void *context, void *rows, int64_t columns);

/* Compute energies, forces and virials. Returns 0 or an error code; after an error the results are undefined.
 *
 * Atoms 0 to n_own - 1 are the caller's own. Atoms n_own to n_total - 1 are ghosts: copies of own atoms of
 * this process, such as periodic images, or of other processes, which compute their energies. A program
 * without ghosts passes n_own = n_total; an edge to a periodic image then has the atom itself as its sender.
 * The edges must be all pairs of atoms closer than the cutoff, in both directions, whose receiver is an own
 * atom. Edge k goes from atom sender[k] to atom receiver[k], and receiver[0] <= receiver[1] <= ...
 *
 * atomic_numbers  n_total
 * sender          n_edges
 * receiver        n_edges, sorted
 * vectors         n_edges x 3, position of the sender (or its image) minus that of the receiver
 *
 * energies        n_own, energy of each own atom
 * forces          n_total x 3; the caller adds those on ghosts to those on their owners
 * virials         n_total x 9 or NULL, the share of each atom in dE/dstrain[a][b], eV, not symmetrised; the
 *                 caller adds those of ghosts, too. The sum divided by the volume is the stress, positive
 *                 under tension. (Many programs call minus this quantity the virial.)
 *
 * forward, reverse  see symnets_exchange; NULL if there are no ghosts
 * context           passed to them
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
