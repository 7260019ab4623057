// Winograd's kernels over the sixteen lanes, included after kernels_impl.h and under its rules.

// The interpolation points are 0, a, -a, b, -b and infinity. With a = 1 / b turning a filter swaps points, so
// that one transform of the weights serves both directions; 5/8 is near the best of such a: bf16 products of
// 256 channels are off by 1.1 % of their deviation, with the textbook's 1 and 2 by 2.6 %.
constexpr float kPointA = 0.625F, kPointB = 1.6F;
constexpr float kSquareA = kPointA * kPointA, kSquareB = kPointB * kPointB, kSquares = kSquareA + kSquareB;
// What Lagrange's denominators leave to the outputs when the filters' rows are (1 / x, 1, x).
constexpr float kScaleA = 1 / (2 * kPointA * (kSquareA - kSquareB));
constexpr float kScaleB = 1 / (2 * kPointB * (kSquareB - kSquareA));

// Of a row or column each: B^T d,
inline void transform_data(const Vec& d0, const Vec& d1, const Vec& d2, const Vec& d3, const Vec& d4,
                           const Vec& d5, Vec (&t)[6]) {
  const Vec even_a = mul_add(set1(-kSquareB), d2, d4), even_b = mul_add(set1(-kSquareA), d2, d4);
  const Vec odd_a = mul_add(set1(kPointA), d3, mul(set1(-kPointB), d1));
  const Vec odd_b = mul_add(set1(kPointB), d3, mul(set1(-kPointA), d1));
  t[0] = add(mul_add(set1(-kSquares), d2, d4), d0);
  t[1] = add(even_a, odd_a), t[2] = sub(even_a, odd_a);
  t[3] = add(even_b, odd_b), t[4] = sub(even_b, odd_b);
  t[5] = add(mul_add(set1(-kSquares), d3, d5), d1);
}

// A^T m,
inline void transform_outputs(const Vec (&m)[6], Vec (&y)[4]) {
  const Vec even_a = add(m[1], m[2]), odd_a = sub(m[1], m[2]);
  const Vec even_b = add(m[3], m[4]), odd_b = sub(m[3], m[4]);
  y[0] = add(m[0], mul_add(set1(kScaleA), even_a, mul(set1(kScaleB), even_b)));
  y[1] = mul_add(set1(kScaleA * kPointA), odd_a, mul(set1(kScaleB * kPointB), odd_b));
  y[2] = mul_add(set1(kScaleA * kSquareA), even_a, mul(set1(kScaleB * kSquareB), even_b));
  y[3] = add(m[5], mul_add(set1(kScaleA * kSquareA * kPointA), odd_a,
                           mul(set1(kScaleB * kSquareB * kPointB), odd_b)));
}

// its transpose A dy,
inline void transform_gradient(const Vec& y0, const Vec& y1, const Vec& y2, const Vec& y3, Vec (&m)[6]) {
  auto at = [&](float scale, float point, Vec& plus, Vec& minus) {
    const Vec even = mul_add(set1(scale * point * point), y2, mul(set1(scale), y0));
    const Vec odd = mul_add(set1(scale * point * point * point), y3, mul(set1(scale * point), y1));
    plus = add(even, odd), minus = sub(even, odd);
  };
  m[0] = y0;
  at(kScaleA, kPointA, m[1], m[2]);
  at(kScaleB, kPointB, m[3], m[4]);
  m[5] = y3;
}

// G w
inline void transform_filter(const Vec& w0, const Vec& w1, const Vec& w2, Vec (&u)[6]) {
  const Vec a = set1(kPointA), b = set1(kPointB);
  const Vec outer_a = mul_add(b, w0, mul(a, w2)), outer_b = mul_add(a, w0, mul(b, w2));
  u[0] = w0;
  u[1] = add(outer_a, w1), u[2] = sub(outer_a, w1);
  u[3] = add(outer_b, w1), u[4] = sub(outer_b, w1);
  u[5] = w2;
}

// and its transpose G^T m.
inline void transform_taps(const Vec (&m)[6], Vec (&w)[3]) {
  const Vec a = set1(kPointA), b = set1(kPointB);
  const Vec even_a = add(m[1], m[2]), even_b = add(m[3], m[4]);
  w[0] = add(m[0], mul_add(b, even_a, mul(a, even_b)));
  w[1] = add(sub(m[1], m[2]), sub(m[3], m[4]));
  w[2] = add(m[5], mul_add(a, even_a, mul(b, even_b)));
}

// Turning a filter by 180 degrees.
constexpr int turned(int element) {
  constexpr int kTurned[6] = {5, 3, 4, 1, 2, 0};
  return kTurned[element / 6] * 6 + kTurned[element % 6];
}

// B^T d B of one row of tiles of 16 channels: emit(tile of the row, element, value).
template <class T, class Emit>
inline void transform_tiles(const T* picture, int size, int row, Emit emit) {
  const size_t down = static_cast<size_t>(size) * 16;
  const T* first = picture + 4 * row * down;
  const bool top = row == 0, bottom = row == size / 4 - 1;
  const Vec zero = set1(0);
  Vec columns[6][6];  // of the tile
  auto column = [&](int x, Vec(&t)[6]) {
    const T* p = first + x * 16;
    transform_data(top ? zero : load(p - down), load(p), load(p + down), load(p + 2 * down),
                   load(p + 3 * down), bottom ? zero : load(p + 4 * down), t);
  };
  for (Vec& v : columns[4]) v = zero;
  column(0, columns[5]);
  for (int x = 0; x < size / 4; ++x) {
    for (int i = 0; i < 6; ++i) columns[0][i] = columns[4][i], columns[1][i] = columns[5][i];
    for (int c = 2; c < 5; ++c) column(4 * x + c - 1, columns[c]);
    if (4 * x + 4 < size)
      column(4 * x + 4, columns[5]);
    else
      for (Vec& v : columns[5]) v = zero;
    for (int i = 0; i < 6; ++i) {
      Vec t[6];
      transform_data(columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i],
                     t);
#pragma GCC unroll 6
      for (int j = 0; j < 6; ++j) emit(x, 6 * i + j, t[j]);
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
  const int side = w.size / 4;
  const size_t part = winograd_part(w.channels / kValuesPerWord<T>, kPanelRows);
  const int depth = block * kWords;  // of the first channel
  for (int n = 0; n < w.images; ++n)
    for (int row = 0; row < side; ++row) {
      const int first_tile = (n * side + row) * side;
      transform_tiles(picture_of(w, n, block), w.size, row, [&](int x, int element, const Vec& v) {
        const int tile = first_tile + x;
        uint32_t* to = w.to + (static_cast<size_t>(tile / kPanelRows) * kWinogradElements + element) * part +
                       (depth / kPanelStep * kPanelRows + tile % kPanelRows) * kPanelStep +
                       depth % kPanelStep;
        store(reinterpret_cast<T*>(to), v);
      });
    }
}

template <class T>
inline int tile_words(const WinogradTiles<T>& w) {
  return winograd_words<T>(w.images * (w.size / 4) * (w.size / 4));
}

// Words of the gradient's operands: one tile (f32) or two neighbours (bf16) each, filled up with zeros to
// whole steps. transform(image, row, emit) gives a row of tiles, put(word, element, bits) takes the words.
template <class T, class Transform, class Put>
inline void gather_tile_words(const WinogradTiles<T>& w, Transform transform, Put put) {
  constexpr int kTiles = kValuesPerWord<T>;
  const int side = w.size / 4;
  alignas(64) T values[kTiles][kWinogradElements * 16];
  auto put_word = [&](int word, const T* last) {
#pragma GCC unroll 36
    for (int e = 0; e < kWinogradElements; ++e)
      put(word, e, load_element(values[0] + e * 16, last ? last + e * 16 : nullptr));
  };
  for (int n = 0; n < w.images; ++n)
    for (int row = 0; row < side; ++row) {
      const int first_tile = (n * side + row) * side;
      transform(n, row, [&](int x, int element, const Vec& v) {
        const int tile = first_tile + x;
        store(values[tile % kTiles] + element * 16, v);
        if (element + 1 == kWinogradElements && tile % kTiles == kTiles - 1)
          put_word(tile / kTiles, values[kTiles - 1]);
      });
    }
  if (w.images * side * side % kTiles != 0) put_word(tile_words(w) - 1, nullptr);
  for (int word = tile_words(w); word < panel_steps(tile_words(w)) * kPanelStep; ++word)
    for (int e = 0; e < kWinogradElements; ++e) put(word, e, zero_bits());
}

template <class T>
void winograd_grad_x(const WinogradTiles<T>& w, int block) {
  const size_t part = winograd_part(tile_words(w), kPanelRows);
  uint32_t* to = w.to + static_cast<size_t>(block) * kWinogradElements * part;
  gather_tile_words(
      w, [&](int n, int row, auto emit) { transform_tiles(picture_of(w, n, block), w.size, row, emit); },
      [&](int word, int element, const Bits& bits) {
        store_bits(to + element * part + static_cast<size_t>(word) * kPanelRows, bits);
      });
  for (int e = 0; e < kWinogradElements; ++e) turn_words(to + e * part, panel_steps(tile_words(w)));
}

template <class T>
void winograd_grad_dy(const WinogradTiles<T>& w, int block) {
  const size_t part = winograd_part(tile_words(w), kPanelColumns);
  uint32_t* to = w.to + static_cast<size_t>(block / 2) * kWinogradElements * part + (block % 2) * 16;
  // A dy A^T.
  auto transform = [&](int n, int row, auto emit) {
    const size_t down = static_cast<size_t>(w.size) * 16;
    const T* p = picture_of(w, n, block) + 4 * row * down;
    for (int x = 0; x < w.size / 4; ++x, p += 64) {
      Vec columns[4][6];
      for (int c = 0; c < 4; ++c) {
        const T* q = p + c * 16;
        transform_gradient(load(q), load(q + down), load(q + 2 * down), load(q + 3 * down), columns[c]);
      }
      for (int i = 0; i < 6; ++i) {
        Vec m[6];
        transform_gradient(columns[0][i], columns[1][i], columns[2][i], columns[3][i], m);
#pragma GCC unroll 6
        for (int j = 0; j < 6; ++j) emit(x, 6 * i + j, m[j]);
      }
    }
  };
  gather_tile_words(w, transform, [&](int word, int element, const Bits& bits) {
    store_bits(to + element * part + static_cast<size_t>(word) * kPanelColumns, bits);
  });
}

// One row of products, transformed along it: `to` holds a row of kTo results for each row of the tile.
template <int kTo, class Transform>
inline void transform_sums(const float (&sums)[6][kSums], float (&to)[kTo][kSums], Transform transform) {
  for (int k = 0; k < kSums; k += 16) {
    Vec m[6], out[kTo];
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) m[j] = load(sums[j] + k);
    transform(m, out);
#pragma GCC unroll 4
    for (int j = 0; j < kTo; ++j) store(to[j] + k, out[j]);
  }
}

// The rest of A^T m A: 16 channels of one tile to its 4x4 outputs.
template <class T>
inline void store_outputs(const float (&rows)[6][4][kSums], int at, T* y, int size) {
  for (int c = 0; c < 4; ++c) {
    Vec m[6], out[4];
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) m[i] = load(rows[i][c] + at);
    transform_outputs(m, out);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) store(y + (r * size + c) * 16, out[r]);
  }
}

template <class T>
void winograd_product(const WinogradProduct<T>& w, int pair) {
  // Row by row of the tile, a row's weights stay in the second cache for this many groups of tiles.
  constexpr int kGroups = 4, kTiles = kGroups * kPanelRows;
  const PanelUnit<T> unit;
  alignas(64) float rows[kGroups][6][4][kSums];
  alignas(64) float sums[6][kSums];
  const int depth = w.from_channels / kValuesPerWord<T>;
  const size_t left_part = winograd_part(depth, kPanelRows), right_part = winograd_part(depth, kPanelColumns);
  const size_t positions = static_cast<size_t>(w.size) * w.size;
  const int side = w.size / 4, per_image = side * side, tiles = w.images * per_image;
  const uint32_t* weights = w.weights + pair * kWinogradElements * right_part;
  for (int first = 0; first < tiles; first += kTiles) {
    const int count = tiles - first < kTiles ? tiles - first : kTiles;
    const uint32_t* left = w.tiles + static_cast<size_t>(first / kPanelRows) * kWinogradElements * left_part;
    for (int i = 0; i < 6; ++i)
      for (int g = 0; g * kPanelRows < count; ++g) {
        for (int j = 0; j < 6; ++j)
          unit.multiply(left + (g * kWinogradElements + 6 * i + j) * left_part,
                        weights + (6 * i + j) * right_part, panel_steps(depth), sums[j], false);
        transform_sums(sums, rows[g][i], transform_outputs);
      }
    for (int t = 0; t < count; ++t) {
      const int image = (first + t) / per_image, tile = (first + t) % per_image;
      T* y = w.to + ((static_cast<size_t>(w.first + image) * w.to_channels + 32 * pair) * positions) +
             4 * ((tile / side) * w.size + tile % side) * 16;
      const int at = t % kPanelRows * kPanelColumns;
      store_outputs(rows[t / kPanelRows], at, y, w.size);
      store_outputs(rows[t / kPanelRows], at + 16, y + positions * 16, w.size);
    }
  }
}

// The rest of G^T m G: 16 output channels of one input channel to nine taps, 256 floats apart.
inline void store_taps(const float (&rows)[6][3][kSums], int at, float* dw, bool is_added) {
  for (int kw = 0; kw < 3; ++kw) {
    Vec m[6], taps[3];
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) m[i] = load(rows[i][kw] + at);
    transform_taps(m, taps);
#pragma GCC unroll 3
    for (int kh = 0; kh < 3; ++kh) {
      float* to = dw + (kh * 3 + kw) * 256;
      store(to, is_added ? add(load(to), taps[kh]) : taps[kh]);
    }
  }
}

template <class T>
void winograd_weight_grad(const WinogradGrad& w, int pair) {
  const int depth = winograd_words<T>(w.tiles);
  const size_t left_part = winograd_part(depth, kPanelRows), right_part = winograd_part(depth, kPanelColumns);
  const uint32_t* dy = w.dy + pair * kWinogradElements * right_part;
  const size_t out_stride = static_cast<size_t>(w.in / 16) * 9 * 256;
  const PanelUnit<T> unit;
  alignas(64) float rows[6][3][kSums];
  alignas(64) float sums[6][kSums];
  for (int group = 0; group < w.in / kPanelRows; ++group) {
    const uint32_t* x = w.x + static_cast<size_t>(group) * kWinogradElements * left_part;
    for (int i = 0; i < 6; ++i) {
      for (int j = 0; j < 6; ++j)
        unit.multiply(x + (6 * i + j) * left_part, dy + (6 * i + j) * right_part, panel_steps(depth), sums[j],
                      false);
      transform_sums(sums, rows[i], transform_taps);
    }
    float* dw = w.dw + 2 * pair * out_stride + static_cast<size_t>(group) * 9 * 256;
    for (int r = 0; r < kPanelRows; ++r) {
      store_taps(rows, r * kPanelColumns, dw + r * 16, w.add);
      store_taps(rows, r * kPanelColumns + 16, dw + out_stride + r * 16, w.add);
    }
  }
}

// G w G^T of one row of 16 weights.
inline void transform_weights(const Vec (&w)[9], Vec (&u)[kWinogradElements]) {
  Vec columns[3][6];
  for (int k = 0; k < 3; ++k) transform_filter(w[k], w[3 + k], w[6 + k], columns[k]);
  for (int i = 0; i < 6; ++i) {
    Vec row[6];
    transform_filter(columns[0][i], columns[1][i], columns[2][i], row);
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) u[6 * i + j] = row[j];
  }
}

template <class T>
void winograd_publish(const WinogradWeights& w, int out_block, int in_block, const AdamStep* step) {
  const size_t at = (static_cast<size_t>(out_block) * (w.in / 16) + in_block) * 9 * 256;
  const size_t forward_part = winograd_part(w.in / kValuesPerWord<T>, kPanelColumns),
               backward_part = winograd_part(w.out / kValuesPerWord<T>, kPanelColumns);
  uint32_t* forward = w.forward + static_cast<size_t>(out_block / 2) * kWinogradElements * forward_part +
                      in_block * words_per_block<T>() * 32 + (out_block % 2) * 16;
  uint32_t* backward = w.backward + static_cast<size_t>(in_block / 2) * kWinogradElements * backward_part +
                       out_block * words_per_block<T>() * 32 + (in_block % 2) * 16;
  alignas(64) T rows[kWinogradElements][256];
  auto transformed_row = [&](int r, Vec(&u)[kWinogradElements]) {
    Vec taps[9];
    for (int tap = 0; tap < 9; ++tap) taps[tap] = updated(w.p, w.m, w.v, w.g, at + tap * 256 + r * 16, step);
    transform_weights(taps, u);
  };
  for (int r = 0; r < 16; r += 2) {
    Vec even[kWinogradElements], odd[kWinogradElements];
    transformed_row(r, even);
    transformed_row(r + 1, odd);
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
