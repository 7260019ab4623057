// The pipeline that is made of a driver while that is read: its steps so far, and what they are to each
// other.
#pragma once

#include "config/driver.h"
#include "config/driver_value.h"

namespace tidemill::config {

class DriverDraft {
 public:
  // --- What a driver asks of its own parameters and of the runs before ---
  DriverValue parameter(std::string_view name) const;
  DriverValue attribute(DriverValue of, const std::string& name) const;
  DriverValue metric(const DriverValue& run, const DriverValue& key) const;
  // The run that "${steps.NAME.run_id}" names.
  DriverValue run_of(const DriverValue& id) const;

  // --- What it says ---
  void set_experiment(std::string name) { driver_.experiment = std::move(name); }
  // Unless there is one of that name.
  void add_parameter(Parameter parameter);
  bool is_full() const;
  // Named after its folder, or its entry point.
  DriverStep new_step(const std::string& project, const std::string& entry_point, const Place& place) const;
  // A value that cannot be read becomes a parameter without a default.
  void add_argument(DriverStep& step, const std::string& name, const DriverValue& value);
  // What it runs cannot be read from this.
  void leave_step(const Place& place, const std::string& source);
  // Behind those before; returns its run.
  DriverValue add_step(DriverStep step);

  // Tells once of something that is not carried over.
  template <class... Args>
  void leave(const Place& place, fmt::format_string<Args...> format, Args&&... args) {
    leave(fail_at(place, format, std::forward<Args>(args)...).value());
  }

  Driver take() { return std::move(driver_); }

 private:
  std::string unused_name(const std::string& project, const std::string& entry_point) const;
  std::string with_artifacts(std::string text) const;
  void leave(Error error);

  Driver driver_;
};

}  // namespace tidemill::config
