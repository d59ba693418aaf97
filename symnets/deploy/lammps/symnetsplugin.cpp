// SPDX-License-Identifier: MIT
// Registers pair style `symnets` when LAMMPS loads the plugin, which must be compiled for its release.

#include "pair_symnets.h"

#include "lmptype.h"
#include "library.h"

#include <cstdio>

#if __has_include("lammpsplugin.h")
#include "lammpsplugin.h"
#else    // for an installed LAMMPS without this header: the record that describes a style
extern "C" {
struct lammpsplugin_t {
  const char *version, *style, *name, *info, *author;
  union {
    void *(*v1)(void *);
    void *(*v2)(void *, int, char **);
  } creator;
  void *handle;
};
typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);
}
#endif

using namespace LAMMPS_NS;

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *register_plugin)
{
  const int version = lammps_version(lmp);
  const bool same_integers = lammps_extract_setting(lmp, "bigint") == sizeof(bigint) &&
      lammps_extract_setting(lmp, "tagint") == sizeof(tagint) &&
      lammps_extract_setting(lmp, "imageint") == sizeof(imageint);
  if (version != SYMNETS_LAMMPS_VERSION || !same_integers) {    // LAMMPS's classes have another layout
    if (lammps_extract_setting(lmp, "world_rank") == 0)
      fprintf(stderr,
              "WARNING: pair style symnets is not available: it was built for LAMMPS %d, and this is LAMMPS "
              "%d%s. Run `symnets lammps build` for this LAMMPS.\n",
              SYMNETS_LAMMPS_VERSION, version, same_integers ? "" : " with integers of other sizes");
    return;
  }
  lammpsplugin_t plugin;
  plugin.version = SYMNETS_LAMMPS_DATE;
  plugin.style = "pair";
  plugin.name = "symnets";
  plugin.info = "symnets pair style";
  plugin.author = "the symnets developers";
  plugin.creator.v1 = [](void *instance) -> void * {
    return new PairSymnets(static_cast<LAMMPS *>(instance));
  };
  plugin.handle = handle;
  reinterpret_cast<lammpsplugin_regfunc>(register_plugin)(&plugin, lmp);
}
