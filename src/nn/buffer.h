// Memory of the step: allocated once, page-aligned, zeroed.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace tidemill::nn {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t count) : count_(count) {
    constexpr size_t kPage = 4096;
    const size_t bytes = (count * sizeof(T) + kPage - 1) / kPage * kPage + kPage;
    void* memory = std::aligned_alloc(kPage, bytes);
    if (!memory) throw std::bad_alloc();
    std::memset(memory, 0, bytes);
    data_.reset(static_cast<T*>(memory));
  }
  T* data() const { return data_.get(); }
  T& operator[](size_t i) const { return data_.get()[i]; }
  size_t size() const { return count_; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  size_t count_ = 0;
};

constexpr size_t round_up16(size_t n) { return (n + 15) / 16 * 16; }

// A group of weights with its gradient and moments; padded to 16 with zeros that stay zero.
struct Param {
  Param() = default;
  explicit Param(size_t count) : p(round_up16(count)), m(p.size()), v(p.size()), g(p.size()) {}
  Buffer<float> p, m, v, g;
};

}  // namespace tidemill::nn
