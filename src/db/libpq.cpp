#include "db/libpq.h"

#include <dlfcn.h>

namespace tidemill::db {

static Result<Libpq> open_library() {
  void* library = ::dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return fail(Code::kUnavailable, "PostgreSQL needs its client library: apt install libpq5 ({})",
                ::dlerror());
  Libpq functions;
#define TIDEMILL_LIBPQ_LOAD(name)                                                       \
  functions.name = reinterpret_cast<decltype(functions.name)>(::dlsym(library, #name)); \
  if (!functions.name)                                                                  \
    return fail(Code::kUnavailable, "libpq.so.5 has no " #name ": version 14 or newer is needed");
  TIDEMILL_LIBPQ_FUNCTIONS(TIDEMILL_LIBPQ_LOAD)
#undef TIDEMILL_LIBPQ_LOAD
  return functions;
}

Result<const Libpq*> load_libpq() {
  static const Result<Libpq> loaded = open_library();
  if (!loaded) return tl::unexpected<Error>(loaded.error());
  return &*loaded;
}

}  // namespace tidemill::db
