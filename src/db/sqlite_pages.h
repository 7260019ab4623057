// SQLite's own page cache, asked to look for pages behind the file's end only when there may be some. When an
// entry comes into the middle of a full index, SQLite (3.40, balance_nonroot in btree.c) brings the numbers
// of neighbouring pages into order by way of one far behind the file's end. Its cache takes that for its
// highest page, and at the end of the transaction goes through all of its pages for those that the file has
// no more.
#pragma once

namespace tidemill::db {

// To be called before SQLite is used for the first time; later it changes nothing.
void use_sparing_page_cache();

}  // namespace tidemill::db
