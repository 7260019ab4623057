#include "db/sqlite_pages.h"

#include <sqlite3.h>

#include <algorithm>
#include <new>

namespace tidemill::db {
namespace {

sqlite3_pcache_methods2 plain;  // SQLite's own

struct Cache {
  sqlite3_pcache* inner;
  unsigned highest = 0;  // no page has a higher number, but for `passing`
  unsigned passing = 0;  // by way of which a page goes to another number; 0: none
};

Cache& of(sqlite3_pcache* cache) { return *reinterpret_cast<Cache*>(cache); }

sqlite3_pcache* create(int page_bytes, int extra_bytes, int purgeable) {
  sqlite3_pcache* inner = plain.xCreate(page_bytes, extra_bytes, purgeable);
  if (inner == nullptr) return nullptr;
  auto* cache = new (std::nothrow) Cache{inner};
  if (cache == nullptr) plain.xDestroy(inner);
  return reinterpret_cast<sqlite3_pcache*>(cache);
}

sqlite3_pcache_page* fetch(sqlite3_pcache* cache, unsigned page, int make) {
  if (make != 0) of(cache).highest = std::max(of(cache).highest, page);
  return plain.xFetch(of(cache).inner, page, make);
}

void rekey(sqlite3_pcache* cache, sqlite3_pcache_page* page, unsigned from, unsigned to) {
  Cache& own = of(cache);
  if (from == own.passing) own.passing = 0;
  if (to > own.highest && own.passing == 0)
    own.passing = to;
  else
    own.highest = std::max(own.highest, to);
  plain.xRekey(own.inner, page, from, to);
}

void truncate(sqlite3_pcache* cache, unsigned limit) {
  Cache& own = of(cache);
  if (std::max(own.highest, own.passing) < limit) return;
  plain.xTruncate(own.inner, limit);
  own.highest = std::min(own.highest, limit == 0 ? 0 : limit - 1);
  own.passing = 0;
}

void destroy(sqlite3_pcache* cache) {
  plain.xDestroy(of(cache).inner);
  delete &of(cache);
}

}  // namespace

void use_sparing_page_cache() {
  static const int once = [] {
    if (int code = sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &plain); code != SQLITE_OK) return code;
    sqlite3_pcache_methods2 methods = plain;
    methods.xCreate = create;
    methods.xCachesize = [](sqlite3_pcache* cache, int pages) { plain.xCachesize(of(cache).inner, pages); };
    methods.xPagecount = [](sqlite3_pcache* cache) { return plain.xPagecount(of(cache).inner); };
    methods.xFetch = fetch;
    methods.xUnpin = [](sqlite3_pcache* cache, sqlite3_pcache_page* page, int discard) {
      plain.xUnpin(of(cache).inner, page, discard);
    };
    methods.xRekey = rekey;
    methods.xTruncate = truncate;
    methods.xDestroy = destroy;
    methods.xShrink = [](sqlite3_pcache* cache) { plain.xShrink(of(cache).inner); };
    return sqlite3_config(SQLITE_CONFIG_PCACHE2, &methods);
  }();
  (void)once;
}

}  // namespace tidemill::db
