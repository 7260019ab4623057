// Writes points into chunks. Keeps the open chunk of recently written metrics in memory, so that appending
// does not decode them again; the database is the truth and the memory may be dropped at any moment.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "db/database.h"
#include "tracking/chunk.h"
#include "tracking/chunk_summary.h"
#include "tracking/entities.h"
#include "tracking/key_ids.h"

namespace tidemill::tracking {

// Databases and JSON have no infinities: MLflow stores the largest numbers instead.
double finite(double value);

class MetricWriter {
 public:
  // Everything is in the database when it returns; the caller's transaction makes it durable.
  Result<> append(db::Connection& connection, KeyIds& keys, int64_t run, const std::vector<Metric>& metrics);
  // The same for points of one metric, by its number.
  Result<> append(db::Connection& connection, int64_t run, int64_t key, std::span<const Point> points);
  // Turns the open chunks of a run that has ended into full ones, which lie densely on disk.
  Result<> seal(db::Connection& connection, int64_t run);
  void forget() { series_.clear(); }

 private:
  struct Id {
    int64_t run, key;
    bool operator==(const Id&) const = default;
  };
  struct IdHash {
    size_t operator()(const Id& id) const {
      return static_cast<size_t>(id.run) * 0x9E3779B97F4A7C15u ^
             static_cast<size_t>(id.key) * 0xC2B2AE3D27D4EB4Fu;
    }
  };
  struct Series {
    bool stored = false;  // has its row in metrics
    bool changed = false;
    Point latest;
    Extremes extremes;
    std::optional<int64_t> tail;
    Chunk chunk;
  };

  Result<Series*> find(db::Connection& connection, Id id);
  Result<> add(db::Connection& connection, Id id, Series& series, const Point& point);
  Result<> store(db::Connection& connection, Id id, Series& series);
  Result<> store_full_chunk(db::Connection& connection, Id id, const Chunk& chunk);

  std::unordered_map<Id, Series, IdHash> series_;
};

}  // namespace tidemill::tracking
