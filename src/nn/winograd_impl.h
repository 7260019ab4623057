// Winograd's kernels over the sixteen lanes, included after kernels_impl.h and under its rules.

// B^T d B of one row of tiles of 16 channels: emit(tile of the row, element, value).
template <class T, class Emit>
inline void transform_tiles(const T* picture, int size, int row, Emit emit) {
  const size_t down = static_cast<size_t>(size) * 16;
  const T* centre = picture + 2 * row * down;
  const bool top = row == 0, bottom = row == size / 2 - 1;
  auto column = [&](int x, Vec(&t)[4]) {
    const T* p = centre + x * 16;
    const Vec zero = set1(0), d1 = load(p), d2 = load(p + down);
    const Vec d0 = top ? zero : load(p - down), d3 = bottom ? zero : load(p + 2 * down);
    t[0] = sub(d0, d2), t[1] = add(d1, d2), t[2] = sub(d2, d1), t[3] = sub(d1, d3);
  };
  Vec c0[4], c1[4], c2[4], c3[4];
  for (Vec& v : c0) v = set1(0);
  column(0, c1);
  for (int x = 0; x < size / 2; ++x) {
    column(2 * x + 1, c2);
    if (x + 1 < size / 2)
      column(2 * x + 2, c3);
    else
      for (Vec& v : c3) v = set1(0);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      emit(x, 4 * i, sub(c0[i], c2[i]));
      emit(x, 4 * i + 1, add(c1[i], c2[i]));
      emit(x, 4 * i + 2, sub(c2[i], c1[i]));
      emit(x, 4 * i + 3, sub(c1[i], c3[i]));
      c0[i] = c2[i], c1[i] = c3[i];
    }
  }
}

template <class T>
constexpr int words_per_block() {
  return 16 / kValuesPerWord<T>;
}

template <class T>
inline const T* picture_of(const WinogradTiles<T>& w, int image, int block) {
  const size_t positions = static_cast<size_t>(w.size) * w.size;
  return w.from + (w.first + image) * w.channels * positions + block * positions * 16;
}

template <class T>
void winograd_tiles(const WinogradTiles<T>& w, int block) {
  constexpr int kWords = words_per_block<T>();
  const int half = w.size / 2;
  const size_t part = winograd_part(static_cast<size_t>(w.channels) / kValuesPerWord<T>, 8);
  for (int n = 0; n < w.images; ++n)
    for (int row = 0; row < half; ++row) {
      const int first_tile = (n * half + row) * half;
      transform_tiles(picture_of(w, n, block), w.size, row, [&](int x, int element, const Vec& v) {
        const int tile = first_tile + x;
        uint32_t* to = w.to + (static_cast<size_t>(tile / 8) * kWinogradElements + element) * part +
                       (block * 8 + tile % 8) * kWords;
        store(reinterpret_cast<T*>(to), v);
      });
    }
}

// Words of the gradient's operands: one tile (f32) or two neighbours (bf16) each. transform(image, row, emit)
// gives a row of tiles, put(word, element, bits) takes the words.
template <class T, class Transform, class Put>
inline void gather_tile_words(const WinogradTiles<T>& w, Transform transform, Put put) {
  const int half = w.size / 2;
  alignas(64) T values[kValuesPerWord<T>][kWinogradElements * 16];
  for (int n = 0; n < w.images; ++n)
    for (int row = 0; row < half; ++row) {
      const int first_word = (n * half + row) * half / kValuesPerWord<T>;
      transform(n, row, [&](int x, int element, const Vec& v) {
        store(values[x % kValuesPerWord<T>] + element * 16, v);
        if (element + 1 < kWinogradElements || (x + 1) % kValuesPerWord<T> != 0) return;
#pragma GCC unroll 16
        for (int e = 0; e < kWinogradElements; ++e)
          put(first_word + x / kValuesPerWord<T>, e,
              load_element(values[0] + e * 16, values[kValuesPerWord<T> - 1] + e * 16));
      });
    }
}

template <class T>
inline size_t tile_words(const WinogradTiles<T>& w) {
  return static_cast<size_t>(w.images) * (w.size / 2) * (w.size / 2) / kValuesPerWord<T>;
}

template <class T>
void winograd_grad_x(const WinogradTiles<T>& w, int block) {
  const size_t part = winograd_part(tile_words(w), 8);
  uint32_t* low = w.to + static_cast<size_t>(2 * block) * kWinogradElements * part;
  uint32_t* high = low + kWinogradElements * part;
  gather_tile_words(
      w, [&](int n, int row, auto emit) { transform_tiles(picture_of(w, n, block), w.size, row, emit); },
      [&](int word, int element, const Bits& bits) {
        const size_t at = element * part + static_cast<size_t>(word) * 8;
        store_halves(low + at, high + at, bits);
      });
}

template <class T>
void winograd_grad_dy(const WinogradTiles<T>& w, int block) {
  const size_t part = winograd_part(tile_words(w), 32);
  uint32_t* to = w.to + static_cast<size_t>(block / 2) * kWinogradElements * part + (block % 2) * 16;
  // A dy A^T.
  auto transform = [&](int n, int row, auto emit) {
    const T* p = picture_of(w, n, block) + static_cast<size_t>(2 * row) * w.size * 16;
    for (int x = 0; x < w.size / 2; ++x, p += 32) {
      Vec left[4], right[4];
      auto column = [&](const T* q, Vec(&t)[4]) {
        const Vec upper = load(q), lower = load(q + w.size * 16);
        t[0] = upper, t[1] = add(upper, lower), t[2] = sub(upper, lower), t[3] = sub(set1(0), lower);
      };
      column(p, left);
      column(p + 16, right);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        emit(x, 4 * i, left[i]);
        emit(x, 4 * i + 1, add(left[i], right[i]));
        emit(x, 4 * i + 2, sub(left[i], right[i]));
        emit(x, 4 * i + 3, sub(set1(0), right[i]));
      }
    }
  };
  gather_tile_words(w, transform, [&](int word, int element, const Bits& bits) {
    store_bits(to + element * part + static_cast<size_t>(word) * 32, bits);
  });
}

// 8 tiles by 32 output channels over all input channels.
template <class T>
inline void accumulate_channels(const uint32_t* a, const uint32_t* b, int blocks, Vec (&sum)[16]) {
  constexpr int kWords = words_per_block<T>();
  for (int block = 0; block < blocks; ++block, a += 8 * kWords, b += 32 * kWords) {
#pragma GCC unroll 16
    for (int k = 0; k < kWords; ++k) {
      const Bits b0 = load_bits(b + k * 32), b1 = load_bits(b + k * 32 + 16);
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) {
        sum[2 * r] = dot<T>(sum[2 * r], a[r * kWords + k], b0);
        sum[2 * r + 1] = dot<T>(sum[2 * r + 1], a[r * kWords + k], b1);
      }
    }
  }
}

// Sums of one element of a tile: 8 rows of 32.
constexpr int kSums = 8 * 32;

inline void store_sums(float* to, const Vec (&sum)[16]) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store(to + i * 16, sum[i]);
}

// A^T m A of 16 channels of one tile to its 2x2 outputs.
template <class T>
inline void transform_output(const float* sums, T* y, int size) {
  Vec upper[4], lower[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Vec m0 = load(sums + i * kSums), m1 = load(sums + (4 + i) * kSums),
              m2 = load(sums + (8 + i) * kSums);
    upper[i] = add(m0, add(m1, m2));
    lower[i] = sub(m1, add(m2, load(sums + (12 + i) * kSums)));
  }
  store(y, add(upper[0], add(upper[1], upper[2])));
  store(y + 16, sub(upper[1], add(upper[2], upper[3])));
  store(y + size * 16, add(lower[0], add(lower[1], lower[2])));
  store(y + size * 16 + 16, sub(lower[1], add(lower[2], lower[3])));
}

template <class T>
void winograd_product(const WinogradProduct<T>& w, int pair) {
  const size_t depth = static_cast<size_t>(w.from_channels) / kValuesPerWord<T>;
  const size_t left_part = winograd_part(depth, 8), right_part = winograd_part(depth, 32);
  const size_t positions = static_cast<size_t>(w.size) * w.size;
  const int half = w.size / 2, per_image = half * half, tiles = w.images * per_image;
  const uint32_t* weights = w.weights + pair * kWinogradElements * right_part;
  alignas(64) float sums[kWinogradElements * kSums];
  for (int first = 0; first < tiles; first += 8) {
    const uint32_t* group = w.tiles + static_cast<size_t>(first / 8) * kWinogradElements * left_part;
    for (int e = 0; e < kWinogradElements; ++e) {
      Vec sum[16];
      for (Vec& s : sum) s = set1(0);
      accumulate_channels<T>(group + e * left_part, weights + e * right_part, w.from_channels / 16, sum);
      store_sums(sums + e * kSums, sum);
    }
    for (int r = 0; r < 8 && first + r < tiles; ++r) {
      const int image = (first + r) / per_image, tile = (first + r) % per_image;
      T* y = w.to + ((static_cast<size_t>(w.first + image) * w.to_channels + 32 * pair) * positions) +
             (2 * (tile / half) * w.size + 2 * (tile % half)) * 16;
      transform_output(sums + r * 32, y, w.size);
      transform_output(sums + r * 32 + 16, y + positions * 16, w.size);
    }
  }
}

// G^T m G of 16 output channels of one input channel to nine taps, 256 floats apart.
inline void transform_weight_grad(const float* sums, float* dw, bool is_added) {
  const Vec half = set1(0.5F);
  Vec rows[3][4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Vec m1 = mul(half, load(sums + (4 + i) * kSums)), m2 = mul(half, load(sums + (8 + i) * kSums));
    rows[0][i] = add(load(sums + i * kSums), add(m1, m2));
    rows[1][i] = sub(m1, m2);
    rows[2][i] = add(add(m1, m2), load(sums + (12 + i) * kSums));
  }
#pragma GCC unroll 3
  for (int kh = 0; kh < 3; ++kh) {
    const Vec m1 = mul(half, rows[kh][1]), m2 = mul(half, rows[kh][2]);
    const Vec taps[3] = {add(rows[kh][0], add(m1, m2)), sub(m1, m2), add(add(m1, m2), rows[kh][3])};
#pragma GCC unroll 3
    for (int kw = 0; kw < 3; ++kw) {
      float* to = dw + (kh * 3 + kw) * 256;
      store(to, is_added ? add(load(to), taps[kw]) : taps[kw]);
    }
  }
}

template <class T>
void winograd_weight_grad(const WinogradGrad& w, int pair) {
  const int depth = w.tiles / kValuesPerWord<T>;
  const size_t left_part = winograd_part(depth, 8), right_part = winograd_part(depth, 32);
  const uint32_t* dy = w.dy + pair * kWinogradElements * right_part;
  const size_t out_stride = static_cast<size_t>(w.in / 16) * 9 * 256;
  alignas(64) float sums[kWinogradElements * kSums];
  for (int i = 0; i < w.in / 8; ++i) {
    const uint32_t* x = w.x + static_cast<size_t>(i) * kWinogradElements * left_part;
    for (int e = 0; e < kWinogradElements; ++e) {
      Vec sum[16];
      for (Vec& s : sum) s = set1(0);
      accumulate<T>(x + e * left_part, dy + e * right_part, depth, sum);
      store_sums(sums + e * kSums, sum);
    }
    float* dw = w.dw + 2 * pair * out_stride + (i / 2) * 9 * 256 + (i % 2) * 128;
    for (int r = 0; r < 8; ++r) {
      transform_weight_grad(sums + r * 32, dw + r * 16, w.add);
      transform_weight_grad(sums + r * 32 + 16, dw + out_stride + r * 16, w.add);
    }
  }
}

// G w G^T of one row of 16 weights.
inline void transform_weights(const Vec (&w)[9], Vec (&u)[16]) {
  const Vec half = set1(0.5F);
  auto spread = [&](const Vec& a, const Vec& b, const Vec& c, Vec& u0, Vec& u1, Vec& u2, Vec& u3) {
    const Vec outer = mul(half, add(a, c)), inner = mul(half, b);
    u0 = a, u1 = add(outer, inner), u2 = sub(outer, inner), u3 = c;
  };
  Vec t[4][3];
#pragma GCC unroll 3
  for (int k = 0; k < 3; ++k) spread(w[k], w[3 + k], w[6 + k], t[0][k], t[1][k], t[2][k], t[3][k]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    spread(t[i][0], t[i][1], t[i][2], u[4 * i], u[4 * i + 1], u[4 * i + 2], u[4 * i + 3]);
}

// Turning the weights by 180 degrees swaps the first and last row and column of the transformed tile.
constexpr int turned(int element) {
  constexpr int kTurned[4] = {3, 1, 2, 0};
  return kTurned[element / 4] * 4 + kTurned[element % 4];
}

template <class T>
void winograd_publish(const WinogradWeights& w, int out_block, int in_block, const AdamStep* step) {
  const size_t at = (static_cast<size_t>(out_block) * (w.in / 16) + in_block) * 9 * 256;
  const size_t forward_part = winograd_part(w.in / kValuesPerWord<T>, 32),
               backward_part = winograd_part(w.out / kValuesPerWord<T>, 32);
  uint32_t* forward = w.forward + static_cast<size_t>(out_block / 2) * kWinogradElements * forward_part +
                      in_block * words_per_block<T>() * 32 + (out_block % 2) * 16;
  uint32_t* backward = w.backward + static_cast<size_t>(in_block / 2) * kWinogradElements * backward_part +
                       out_block * words_per_block<T>() * 32 + (in_block % 2) * 16;
  alignas(64) T rows[kWinogradElements][256];
  auto transformed_row = [&](int r, Vec(&u)[16]) {
    Vec taps[9];
    for (int tap = 0; tap < 9; ++tap) taps[tap] = updated(w.p, w.m, w.v, w.g, at + tap * 256 + r * 16, step);
    transform_weights(taps, u);
  };
  for (int r = 0; r < 16; r += 2) {
    Vec even[16], odd[16];
    transformed_row(r, even);
    transformed_row(r + 1, odd);
#pragma GCC unroll 16
    for (int e = 0; e < kWinogradElements; ++e) {
      uint32_t* to = forward + e * forward_part + static_cast<size_t>(r / kValuesPerWord<T>) * 32;
      T* row = rows[e] + r * 16;
      if constexpr (kValuesPerWord<T> == 2) {
        store_row_pair(reinterpret_cast<T*>(to), row, row + 16, even[e], odd[e]);
      } else {
        store(row, even[e]);
        store(row + 16, odd[e]);
        store_row(reinterpret_cast<T*>(to), even[e]);
        store_row(reinterpret_cast<T*>(to + 32), odd[e]);
      }
    }
  }
  for (int e = 0; e < kWinogradElements; ++e) {
    T* to = reinterpret_cast<T*>(backward + turned(e) * backward_part);
    if constexpr (kValuesPerWord<T> == 2)
      store_column_pairs(rows[e], to, 64);
    else
      transpose(rows[e], to, 32);
  }
  finish_stores();
}
