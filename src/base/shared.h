// A value that its copies share until one of them is changed: for what is large and alike in many places.
#pragma once

#include <concepts>
#include <memory>
#include <utility>

namespace tidemill {

// Looks like a pointer to a T that is never null. Copies may be read by several threads, each copy be changed
// by one.
template <class T>
class Shared {
 public:
  Shared() : value_(nothing()) {}
  template <class U>
    requires std::convertible_to<U, T>
  Shared(U&& value) : value_(std::make_shared<T>(std::forward<U>(value))) {}

  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  // To be changed: no other copy shares it any more.
  T& edit() {
    if (value_.use_count() > 1) value_ = std::make_shared<T>(*value_);
    return *value_;
  }

 private:
  static const std::shared_ptr<T>& nothing() {
    static const auto value = std::make_shared<T>();
    return value;
  }
  std::shared_ptr<T> value_;
};

}  // namespace tidemill
