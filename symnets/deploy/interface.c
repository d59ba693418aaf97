/* The functions of symnets.h around the machine code of one model, `symnets_entry`.
 *
 * model.h is written by `export`: numbers and strings of the model, and the slots that `symnets_entry` reads
 * (symnets/native/_driver_code.py).
 */
#define _POSIX_C_SOURCE 200112L

#include "symnets.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define EXPORTED __attribute__((visibility("default")))
#define INTERNAL __attribute__((visibility("hidden")))
#define ALIGNMENT 64
#define MOST_THREADS 1024
#define MOST_ROWS ((int64_t)1 << 36) /* so that no number of bytes overflows */

/* The weights, included from a file by the assembler. */
__asm__(".pushsection .rodata\n.balign 64\nsymnets_weights:\n.incbin \"" WEIGHTS_FILE "\"\n.popsection\n");
extern const char symnets_weights[] INTERNAL;

extern void symnets_entry(int64_t *slots) INTERNAL;

struct symnets_model {
  int64_t slots[N_SLOTS];
  int64_t threads;
  char *memory;
  int64_t bytes; /* of memory */
};

static const int64_t species[] = SPECIES;
static const int16_t index_of_element[] = INDEX_OF_ELEMENT; /* -1 where the model does not know the element */
static const char *const errors[] = ERRORS;

/* A mark, and the expected checksum (see `checksum`), which `export` writes into the file behind the mark. */
static volatile uint64_t expected[2] = {CHECKSUM_MARK, 0};

EXPORTED int64_t symnets_abi_version(void) { return SYMNETS_ABI_VERSION; }
EXPORTED const char *symnets_model_hash(void) { return MODEL_HASH; }
EXPORTED const char *symnets_description(void) { return DESCRIPTION; }
EXPORTED double symnets_cutoff(void) { return CUTOFF; }
EXPORTED int64_t symnets_n_species(void) { return sizeof species / sizeof *species; }
EXPORTED const int64_t *symnets_species(void) { return species; }
EXPORTED int64_t symnets_real_bytes(void) { return REAL_BYTES; }
EXPORTED int64_t symnets_exchange_columns(void) { return EXCHANGE_COLUMNS; }

EXPORTED const char *symnets_error(int64_t code) {
  return code >= 0 && code < (int64_t)(sizeof errors / sizeof *errors) ? errors[code] : "unknown error code";
}

/* Sum of (2 i + 1) w_i over the 8-byte words w_i of all read-only segments but the ELF header, modulo 2^64.
 * It changes whenever a single word does, because the factors are odd. */
static uint64_t checksum(void) {
  extern const ElfW(Ehdr) __ehdr_start INTERNAL;
  const char *base = (const char *)&__ehdr_start;
  const ElfW(Phdr) *segment = (const ElfW(Phdr) *)(base + __ehdr_start.e_phoff);
  uint64_t sum = 0, factor = 1;
  for (int k = 0; k < __ehdr_start.e_phnum; k++, segment++) {
    if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
    const char *at = base + segment->p_vaddr, *end = at + segment->p_filesz;
    if (at == base) at += sizeof(ElfW(Ehdr));
    for (; at < end; at += 8, factor += 2) {
      uint64_t word = 0;
      memcpy(&word, at, end - at < 8 ? end - at : 8);
      sum += word * factor;
    }
  }
  return sum;
}

EXPORTED symnets_model *symnets_new(int64_t *error) {
  symnets_model *model = NULL;
  int64_t code = SYMNETS_OK;
  if (!(PROCESSOR_IS_SUITABLE))
    code = SYMNETS_OLD_PROCESSOR;
  else if (checksum() != expected[1])
    code = SYMNETS_ALTERED_LIBRARY;
  else if (posix_memalign((void **)&model, ALIGNMENT, sizeof *model)) {
    code = SYMNETS_NO_MEMORY;
    model = NULL;
  } else {
    memset(model, 0, sizeof *model);
    model->threads = 1;
  }
  if (error) *error = code;
  return model;
}

EXPORTED void symnets_free(symnets_model *model) {
  if (model) free(model->memory);
  free(model);
}

EXPORTED int64_t symnets_set_threads(symnets_model *model, int64_t threads) {
  if (!model || threads < 1 || threads > MOST_THREADS) return SYMNETS_BAD_ARGUMENT;
  model->threads = threads;
  return SYMNETS_OK;
}

/* Make the memory of a model at least `bytes` bytes long; its content is lost if it grows. */
static int64_t grow(symnets_model *model, int64_t bytes) {
  if (model->bytes >= bytes) return SYMNETS_OK;
  void *memory;
  free(model->memory);
  model->memory = NULL;
  model->bytes = 0;
  bytes += bytes / 4;
  if (posix_memalign(&memory, ALIGNMENT, bytes)) return SYMNETS_NO_MEMORY;
  model->memory = memory;
  model->bytes = bytes;
  return SYMNETS_OK;
}

static int64_t padded(int64_t n) { return n / PADDING * PADDING + PADDING; }

/* A thread waits until the caller's thread has entered. The number of threads is then known, and the caller's
 * thread is the first. It calls `forward` and `reverse`, since MPI may allow calls from one thread only. */
static void *run(void *argument) {
  int64_t *slots = argument;
  while (!__atomic_load_n(&slots[SLOT_ENTERED], __ATOMIC_ACQUIRE)) sched_yield();
  symnets_entry(slots);
  return NULL;
}

static void run_in_threads(int64_t *slots, int64_t threads) {
  pthread_t started[MOST_THREADS];
  int64_t n = 0;
  while (n < threads - 1 && !pthread_create(&started[n], NULL, run, slots)) n++;
  __atomic_store_n(&slots[SLOT_THREADS], n + 1, __ATOMIC_RELEASE);
  symnets_entry(slots);
  while (n > 0) pthread_join(started[--n], NULL);
}

EXPORTED int64_t symnets_compute(symnets_model *model, int64_t n_own, int64_t n_total,
                                 const int64_t *atomic_numbers, int64_t n_edges, const int64_t *sender,
                                 const int64_t *receiver, const double *vectors, double *energies,
                                 double *forces, double *virials, symnets_exchange forward,
                                 symnets_exchange reverse, void *context) {
  if (!model || n_own < 0 || n_total < n_own || n_edges < 0 || (n_total && !(atomic_numbers && forces)) ||
      (n_own && !energies) || (n_edges && !(sender && receiver && vectors)))
    return SYMNETS_BAD_ARGUMENT;
  if (n_total > MOST_ROWS || n_edges > MOST_ROWS) return SYMNETS_NO_MEMORY;

  int64_t last = 0;
  int wrong = 0;
  for (int64_t k = 0; k < n_edges; k++) {
    wrong |= sender[k] < 0 || sender[k] >= n_total || receiver[k] < last || receiver[k] >= n_own;
    last = receiver[k];
  }
  if (wrong) return SYMNETS_BAD_EDGES;

  const int64_t arena = padded(n_total) * ATOM_BYTES + padded(n_edges) * EDGE_BYTES + OTHER_BYTES;
  if (grow(model, arena + n_total * 8 * (virials ? 1 : 10))) return SYMNETS_NO_MEMORY;
  int64_t *indices = (int64_t *)(model->memory + arena);
  if (!virials) virials = (double *)(indices + n_total);
  for (int64_t n = 0; n < n_total; n++) {
    const int64_t z = atomic_numbers[n];
    const int known = z >= 0 && z < (int64_t)(sizeof index_of_element / sizeof *index_of_element);
    indices[n] = known ? index_of_element[z] : -1;
    if (indices[n] < 0) return SYMNETS_UNKNOWN_ELEMENT;
  }

  int64_t *slots = model->slots;
  memset(slots, 0, sizeof model->slots);
  slots[SLOT_LOCAL] = n_own;
  slots[SLOT_TOTAL] = n_total;
  slots[SLOT_EDGES] = n_edges;
  slots[SLOT_WEIGHTS] = (int64_t)symnets_weights;
  slots[SLOT_ARENA] = (int64_t)model->memory;
  slots[SLOT_FORWARD] = (int64_t)forward;
  slots[SLOT_REVERSE] = (int64_t)reverse;
  slots[SLOT_CONTEXT] = (int64_t)context;
  slots[SLOT_SPECIES] = (int64_t)indices;
  slots[SLOT_SENDER] = (int64_t)sender;
  slots[SLOT_RECEIVER] = (int64_t)receiver;
  slots[SLOT_VECTORS] = (int64_t)vectors;
  slots[SLOT_ENERGY] = (int64_t)energies;
  slots[SLOT_FORCES] = (int64_t)forces;
  slots[SLOT_VIRIALS] = (int64_t)virials;
  run_in_threads(slots, n_edges > MOST_EDGES_OF_ONE_THREAD ? model->threads : 1);
  return slots[SLOT_ERROR];
}
