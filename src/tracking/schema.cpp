#include "tracking/schema.h"

#include "tracking/metric_extremes.h"
#include "tracking/schema_steps.h"

namespace tidemill::tracking {

constexpr db::DataStep kDataSteps[] = {{.version = 12, .fill = fill_metric_extremes}};

const db::Schema& store_schema() {
  static const db::Schema schema{
      .application = kApplication, .steps = kSchemaSteps, .data_steps = kDataSteps};
  return schema;
}

}  // namespace tidemill::tracking
