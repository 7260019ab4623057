// Memory of the step: allocated once, page-aligned, zeroed.
#pragma once

#include <sys/mman.h>

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
    constexpr size_t kPage = 4096, kHugePage = size_t{2} << 20;
    size_t bytes = (count * sizeof(T) + kPage - 1) / kPage * kPage + kPage;
    // The step streams through its large buffers; prefetching stops at the border of a page.
    const bool is_large = bytes >= kHugePage;
    if (is_large) bytes = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* memory = std::aligned_alloc(is_large ? kHugePage : kPage, bytes);
    if (!memory) throw std::bad_alloc();
    if (is_large) madvise(memory, bytes, MADV_HUGEPAGE);
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
