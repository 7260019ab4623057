// Products of panels (kernels.h) over the sixteen lanes. Included inside an unnamed namespace, after the
// lanes; products_amx.h does the same with a matrix unit.

// What a product of panels gives: 16 rows of 32.
constexpr int kSums = kPanelRows * kPanelColumns;

template <class T>
struct PanelUnit {
  // `steps` steps of depth. sums: rows of 32, overwritten or added to.
  void multiply(const uint32_t* left, const uint32_t* right, int steps, float* sums, bool is_added) const {
    // Sixteen registers hold the sums of half the rows.
    for (int half = 0; half < 2; ++half)
      multiply_half(left + half * 8 * kPanelStep, right, steps, sums + half * 8 * kPanelColumns, is_added);
  }

 private:
  static void multiply_half(const uint32_t* a, const uint32_t* b, int steps, float* sums, bool is_added) {
    Vec sum[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = is_added ? load(sums + i * 16) : set1(0);
    for (int s = 0; s < steps; ++s, a += kPanelStep * kPanelRows, b += kPanelStep * kPanelColumns) {
#pragma GCC unroll 16
      for (int k = 0; k < kPanelStep; ++k) {
        const Bits b0 = load_bits(b + k * kPanelColumns), b1 = load_bits(b + k * kPanelColumns + 16);
#pragma GCC unroll 8
        for (int r = 0; r < 8; ++r) {
          sum[2 * r] = dot<T>(sum[2 * r], a[r * kPanelStep + k], b0);
          sum[2 * r + 1] = dot<T>(sum[2 * r + 1], a[r * kPanelStep + k], b1);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) store(sums + i * 16, sum[i]);
  }
};

template <class T>
struct TinyUnit {
  // 8 images by 32 output channels over `blocks` blocks of 16 input channels. weights: of the first block,
  // those of the next one `stride` further, those of the other 16 output channels `other`; neighbouring input
  // channels share a word (bf16). sums: rows of 32, overwritten or added to.
  void multiply(const T* images, const T* weights, size_t stride, size_t other, int blocks, float* sums,
                bool is_added) const {
    constexpr int kWords = 16 / kValuesPerWord<T>;
    Vec sum[2 * kTinyConvImages];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = is_added ? load(sums + i * 16) : set1(0);
    for (int block = 0; block < blocks; ++block, weights += stride, images += kTinyConvImages * 16) {
      const auto* x = reinterpret_cast<const uint32_t*>(images);
      const auto* w0 = reinterpret_cast<const uint32_t*>(weights);
      const auto* w1 = reinterpret_cast<const uint32_t*>(weights + other);
#pragma GCC unroll 16
      for (int k = 0; k < kWords; ++k) {
        const Bits b0 = load_bits(w0 + k * 16), b1 = load_bits(w1 + k * 16);
#pragma GCC unroll 8
        for (int r = 0; r < kTinyConvImages; ++r) {
          sum[2 * r] = dot<T>(sum[2 * r], x[r * kWords + k], b0);
          sum[2 * r + 1] = dot<T>(sum[2 * r + 1], x[r * kWords + k], b1);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) store(sums + i * 16, sum[i]);
  }
};
