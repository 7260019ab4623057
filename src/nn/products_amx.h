// Products of panels of bf16 by the matrix unit AMX (Intel 64 and IA-32 Architectures Software Developer's
// Manual, volume 1, chapter 18): eight tile registers of 16 rows of 64 bytes, one instruction for 16x16 sums
// over 32 values. Included inside an unnamed namespace; products_lanes.h does the same over lanes.

// What a product of panels gives: 16 rows of 32.
constexpr int kSums = kPanelRows * kPanelColumns;

// GCC 12's intrinsics do not say that they read memory.
inline void finish_writes() { __asm__ volatile("" ::: "memory"); }

// The tiles' shapes, for as long as it lives: what a thread leaves configured would be saved at each of its
// switches. Tiles 0 and 1 hold sums, 2 the left operand, 3 and 4 the right one.
class Tiles {
 public:
  // left_words: depth of a product in words.
  Tiles(int rows, int left_words) {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } shapes;
    for (int tile = 0; tile < 5; ++tile) {
      shapes.rows[tile] = static_cast<uint8_t>(tile < 3 ? rows : left_words);
      shapes.row_bytes[tile] = static_cast<uint16_t>(tile == 2 ? left_words * 4 : 64);
    }
    finish_writes();
    _tile_loadconfig(&shapes);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

inline void begin_sums(const float* sums, bool is_added) {
  if (!is_added) {
    _tile_zero(0);
    _tile_zero(1);
    return;
  }
  finish_writes();
  _tile_loadd(0, sums, 32 * sizeof(float));
  _tile_loadd(1, sums + 16, 32 * sizeof(float));
}

inline void end_sums(float* sums) {
  _tile_stored(0, sums, 32 * sizeof(float));
  _tile_stored(1, sums + 16, 32 * sizeof(float));
}

template <class T>
class PanelUnit {
 public:
  void multiply(const uint32_t* left, const uint32_t* right, int steps, float* sums, bool is_added) const {
    begin_sums(sums, is_added);
    for (int s = 0; s < steps; ++s, left += kPanelStep * kPanelRows, right += kPanelStep * kPanelColumns) {
      _tile_loadd(2, left, kPanelStep * 4);
      _tile_loadd(3, right, kPanelColumns * 4);
      _tile_loadd(4, right + 16, kPanelColumns * 4);
      _tile_dpbf16ps(0, 2, 3);
      _tile_dpbf16ps(1, 2, 4);
    }
    end_sums(sums);
  }

 private:
  Tiles tiles_{kPanelRows, kPanelStep};
};

template <class T>
class TinyUnit {
 public:
  void multiply(const T* images, const T* weights, size_t stride, size_t other, int blocks, float* sums,
                bool is_added) const {
    begin_sums(sums, is_added);
    for (int block = 0; block < blocks; ++block, weights += stride, images += kTinyConvImages * 16) {
      _tile_loadd(2, images, 32);
      _tile_loadd(3, weights, 64);
      _tile_loadd(4, weights + other, 64);
      _tile_dpbf16ps(0, 2, 3);
      _tile_dpbf16ps(1, 2, 4);
    }
    end_sums(sums);
  }

 private:
  Tiles tiles_{kTinyConvImages, 8};
};
